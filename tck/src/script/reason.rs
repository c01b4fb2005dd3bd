//! Why a chart is not played.

use crate::party::Party;
use crate::scenario::message::MessageError;

/// Why a chart can't be played in a role, or with a system: it is not applicable, and the report lists it with this
/// reason. Its text is a sentence for people, [`NotPlayable::code`] a word for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPlayable {
    /// Whoever is under test would have to break the rules.
    #[error("the {0} departs from the protocol on purpose, and here it is under test")]
    Departs(Party),
    /// Only a proxy asks the kit's function what it serves.
    #[error("the kit announces an entity spec of its own only to a proxy under test")]
    OwnSpec,
    /// Only a proxy of the kit's can replay what nobody has made.
    #[error("the history that is replayed was never made")]
    NoHistory,
    /// The kit doesn't kill itself: said of the chart before it is expanded.
    #[error("the chart kills or starts the {0}, which the kit plays")]
    KillsTheKit(Party),
    /// The same, said of a step.
    #[error("the chart starts or kills the {0}, which the kit plays")]
    StartsTheKit(Party),
    /// Steps of the client, without one.
    #[error("without a proxy there is no client")]
    NoClient,
    /// A call of the client's by hand, without a proxy.
    #[error("a call of the client doesn't reach the function without a proxy")]
    NoProxy,
    /// Discovery, where the proxy asks when it likes.
    #[error("the function's side of discovery is judged in the role sdk")]
    Discovery,
    /// Commands at the same time, to a function that gets them from the kit.
    #[error("the proxy hands an entity one command at a time, and here the kit is the proxy")]
    Serialised,
    /// The same of an entity that can have several commands at once.
    #[error("the proxy hands an entity one command at a time")]
    OneAtATime,
    /// Calls that must wait for an answer that nobody can hold back.
    #[error("the function is under test and answers when it likes, so no call is sure to wait")]
    CannotHold,
    /// Steps before an answer that nobody can hold back.
    #[error("the function is under test, and nothing can be put between a command and its answer")]
    CannotComeBetween,
    /// A step that the kit can't play yet.
    #[error("{0}")]
    NotYet(NotYet),
    /// `returns` outside `none`.
    #[error("`returns` stands only in `none`")]
    StrayReturns,
    /// The target of a call.
    #[error("the kit doesn't know {0}")]
    UnknownMethod(String),
    /// A service that the kit can't tell the type of.
    #[error("{0} is no service of the models")]
    UnknownService(String),
    /// A request that is none of its method.
    #[error("{which} request of {target}: {error}")]
    Request {
        /// `the`, or `a` where there are several.
        which: &'static str,
        /// What is called.
        target: String,
        /// What is wrong with it.
        error: MessageError,
    },
    /// A feature that the chart needs.
    #[error("the system doesn't have the feature {0}")]
    NoFeature(String),
    /// A subject that the chart needs for itself.
    #[error("the kit can't start a subject of its own for it")]
    NoOwnSubject,
    /// A proxy with a short passivation timeout.
    #[error("it needs a second proxy, which the kit can't start")]
    NoSecondProxy,
    /// An entity type, by the proxy's own word.
    #[error("the proxy doesn't support {0}")]
    Unsupported(String),
    /// A service, by the function's own word.
    #[error("the function doesn't announce {0}")]
    NotAnnounced(String),
}

/// What the kit can't play yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// Alternatives that the first message tells apart.
    #[error("`one_of` is played for no entity type yet")]
    OneOf,
    /// Messages of a streamed call.
    #[error("streamed calls are not played yet")]
    Streamed,
    /// The streamed call itself.
    #[error("streamed calls of entities are not played yet")]
    StreamedCall,
    /// Event logs.
    #[error("eventing is not played yet")]
    Eventing,
    /// Changes on other nodes.
    #[error("replicated changes are not played yet")]
    Replicated,
}

impl NotPlayable {
    /// A short name for this kind of reason, which stays the same when its sentence doesn't.
    pub fn code(&self) -> &'static str {
        match self {
            NotPlayable::Departs(_) => "subject-departs",
            NotPlayable::OwnSpec => "own-spec",
            NotPlayable::NoHistory => "no-history",
            NotPlayable::KillsTheKit(_) | NotPlayable::StartsTheKit(_) => "own-process",
            NotPlayable::NoClient => "no-client",
            NotPlayable::NoProxy => "no-proxy",
            NotPlayable::Discovery => "discovery",
            NotPlayable::Serialised | NotPlayable::OneAtATime => "one-at-a-time",
            NotPlayable::CannotHold | NotPlayable::CannotComeBetween => "cannot-hold",
            NotPlayable::NotYet(_) => "not-yet",
            NotPlayable::StrayReturns => "stray-returns",
            NotPlayable::UnknownMethod(_) => "unknown-method",
            NotPlayable::UnknownService(_) => "unknown-service",
            NotPlayable::Request { .. } => "bad-request",
            NotPlayable::NoFeature(_) => "no-feature",
            NotPlayable::NoOwnSubject => "no-own-subject",
            NotPlayable::NoSecondProxy => "no-second-proxy",
            NotPlayable::Unsupported(_) => "unsupported-type",
            NotPlayable::NotAnnounced(_) => "not-announced",
        }
    }
}

impl From<NotYet> for NotPlayable {
    fn from(what: NotYet) -> NotPlayable {
        NotPlayable::NotYet(what)
    }
}
