//! What one chart means in one role: calls with everything filled in, and moves in their partial order.

use crate::scenario::message::Bindings;
use crate::scenario::{Answer, Node, Party, Role, Scenario, Span};
use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use std::fmt;
use std::sync::Arc;

/// An entity: its service and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Full name of the service.
    pub service: String,
    /// The entity id.
    pub entity: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            self.service.rsplit('.').next().unwrap_or(&self.service),
            self.entity
        )
    }
}

/// One chart, one role, one choice, fresh ids.
#[derive(Clone, Debug)]
pub struct Script {
    /// The scenario, its unwritten answers completed by the model.
    pub scenario: Arc<Scenario>,
    /// Who is under test.
    pub role: Role,
    /// Which of the alternatives the kit takes where it has a choice.
    pub choice: usize,
    /// The values of `$names`.
    pub bindings: Bindings,
    /// The package in which short type names are looked up.
    pub package: String,
    /// The entity that raw steps mean.
    pub key: Key,
    /// All calls, those inside others too.
    pub calls: Vec<CallPlan>,
    /// All moves; each comes after those that it names.
    pub moves: Vec<Move>,
    /// The chart's steps, as moves refer to them.
    pub steps: Vec<StepInfo>,
}

/// Where a step stands and what it verifies.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// In the scenario's source.
    pub span: Span,
    /// Requirement names on the step itself.
    pub verifies: Vec<String>,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The client, through the proxy's door.
    Client,
    /// A side effect of another call.
    Effect {
        /// The call whose answer has it.
        parent: usize,
        /// The caller waits.
        synchronous: bool,
    },
    /// A forward of another call.
    Forward {
        /// The call whose answer it is.
        parent: usize,
    },
}

/// What the client gets.
#[derive(Clone, Debug)]
pub enum Returns {
    /// One message and status OK.
    Message(Node),
    /// A status other than OK.
    Status {
        /// Code names, any of them; empty: any code but OK.
        codes: Vec<i32>,
        /// The message.
        message: Option<Node>,
    },
    /// Any of these.
    Either(Vec<Returns>),
    /// Whatever comes, the call must end.
    Anything,
    /// What the model answers at the time; so nothing is known before.
    Model,
}

/// One call, ready to be played.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Who makes it.
    pub origin: Origin,
    /// `/Service/Method`.
    pub path: String,
    /// The entity, unless the path is unknown to the kit.
    pub key: Option<Key>,
    /// Bare method name.
    pub method: String,
    /// The request, encoded.
    pub payload: Bytes,
    /// Its type; `None` for raw bytes or unknown methods.
    pub input: Option<MessageDescriptor>,
    /// The type of what the client gets: that of the method the client called.
    pub output: Option<MessageDescriptor>,
    /// Request headers, or the metadata of an effect or forward.
    pub metadata: Vec<(String, String)>,
    /// The answer as written (or completed); `None`: the model answers when it is asked.
    pub answer: Option<Answer>,
    /// Scripted: the function doesn't answer by itself.
    pub silent: bool,
    /// Side effects, in the order of the answer.
    pub effects: Vec<usize>,
    /// Where the answer forwards to.
    pub forward: Option<usize>,
    /// What the client gets.
    pub returns: Returns,
    /// The chart says what the client gets; else it follows from the function's answer.
    pub returns_written: bool,
    /// What must be replayed if the entity was activated for this command.
    pub replay: Option<Node>,
    /// It is the fence at the end, not a step of the chart.
    pub fence: bool,
    /// Value of `$client` in a concurrent step.
    pub client: Option<usize>,
}

/// One thing that one party does.
#[derive(Clone, Debug)]
pub struct Move {
    /// Index into [`Script::steps`].
    pub step: usize,
    /// Moves that come first.
    pub after: Vec<usize>,
    /// What it is.
    pub kind: MoveKind,
}

/// What a move is.
#[derive(Clone, Debug)]
pub enum MoveKind {
    /// client ▶ proxy.
    Request(usize),
    /// proxy ▶ function.
    Command(usize),
    /// function ▶ proxy.
    Answer(usize),
    /// proxy ▶ client.
    Return(usize),
    /// The proxy half-closes an idle entity's stream.
    HalfClose(Key),
    /// The function completes its side after that.
    Complete(Key),
    /// A raw message on the entity's stream.
    Message {
        /// Who sends it.
        from: Party,
        /// On whose stream.
        key: Key,
        /// The message.
        node: Node,
    },
    /// Raw bytes as one message.
    Bytes {
        /// Who sends them.
        from: Party,
        /// On whose stream.
        key: Key,
        /// What is sent.
        bytes: Bytes,
    },
    /// A party ends its side.
    Ends {
        /// Who.
        from: Party,
        /// Whose stream.
        key: Key,
        /// With which status, as `{ status, message }` (function).
        status: Option<Node>,
    },
    /// A party resets the stream.
    Resets {
        /// Who.
        from: Party,
        /// Whose stream.
        key: Key,
    },
    /// The function gives the stream up: a failure, an error status, or both.
    Fails {
        /// Whose stream.
        key: Key,
        /// A failure inside a reply will do as well.
        or_command: bool,
    },
    /// The proxy calls `reportError`.
    Reported(Option<Node>),
    /// The function answers `reportError`.
    Acknowledged,
    /// The proxy calls `discover`.
    Discover(Option<Node>),
    /// The function answers `discover`.
    Spec(Option<Node>),
    /// The kit kills a process.
    Kill(Party),
    /// The kit starts a process.
    Start(Party),
}

impl Move {
    /// Who makes it.
    pub fn from(&self) -> Party {
        match &self.kind {
            MoveKind::Request(_) => Party::Client,
            MoveKind::Command(_)
            | MoveKind::Return(_)
            | MoveKind::HalfClose(_)
            | MoveKind::Reported(_)
            | MoveKind::Discover(_) => Party::Proxy,
            MoveKind::Answer(_)
            | MoveKind::Complete(_)
            | MoveKind::Fails { .. }
            | MoveKind::Acknowledged
            | MoveKind::Spec(_) => Party::Function,
            MoveKind::Message { from, .. }
            | MoveKind::Bytes { from, .. }
            | MoveKind::Ends { from, .. }
            | MoveKind::Resets { from, .. } => *from,
            MoveKind::Kill(_) | MoveKind::Start(_) => Party::Client,
        }
    }

    /// Who gets it.
    pub fn to(&self) -> Party {
        match (&self.kind, self.from()) {
            (MoveKind::Return(_), _) => Party::Client,
            (_, Party::Client | Party::Function) => Party::Proxy,
            (_, Party::Proxy) => Party::Function,
        }
    }

    /// Does the kit make it, in this role?
    pub fn by_kit(&self, role: Role) -> bool {
        match self.kind {
            MoveKind::Kill(_) | MoveKind::Start(_) => true,
            _ => role.kit_plays(self.from()),
        }
    }
}

impl Script {
    /// A move as a person would say what is awaited.
    pub fn describe(&self, index: usize) -> String {
        let Some(this) = self.moves.get(index) else {
            return "the end".to_owned();
        };
        let call = |c: &usize| {
            let call = &self.calls[*c];
            let what = match call.origin {
                Origin::Client if call.fence => "the fence",
                Origin::Client => "the call",
                Origin::Effect { .. } => "the side effect",
                Origin::Forward { .. } => "the forward",
            };
            match &call.key {
                Some(key) => format!("{what} {} to {key}", call.method),
                None => format!("{what} {}", call.path),
            }
        };
        match &this.kind {
            MoveKind::Request(c) => format!("the request of {}", call(c)),
            MoveKind::Command(c) => format!("the command of {}", call(c)),
            MoveKind::Answer(c) => format!("the function's answer to {}", call(c)),
            MoveKind::Return(c) => format!("what {} returns to the client", call(c)),
            MoveKind::HalfClose(key) => format!("the proxy to half-close the idle stream of {key}"),
            MoveKind::Complete(key) => {
                format!("the function to complete its side of the stream of {key}")
            }
            MoveKind::Message { from, key, .. } => {
                format!("a message of the {from} on the stream of {key}")
            }
            MoveKind::Bytes { from, key, .. } => {
                format!("bytes of the {from} on the stream of {key}")
            }
            MoveKind::Ends { from, key, .. } => format!("the {from} to end the stream of {key}"),
            MoveKind::Resets { from, key } => format!("the {from} to reset the stream of {key}"),
            MoveKind::Fails {
                key,
                or_command: false,
            } => format!("the function to fail the stream of {key}"),
            MoveKind::Fails {
                key,
                or_command: true,
            } => {
                format!("the function to fail the command or the stream of {key}")
            }
            MoveKind::Acknowledged => "the function to answer reportError".to_owned(),
            MoveKind::Reported(_) => "the proxy to call reportError".to_owned(),
            MoveKind::Discover(_) => "the proxy to call discover".to_owned(),
            MoveKind::Spec(_) => "the function's entity spec".to_owned(),
            MoveKind::Kill(party) => format!("the {party} to be killed"),
            MoveKind::Start(party) => format!("the {party} to be started"),
        }
    }
}
