//! (2) The scenario language: what should happen, as data.
//!
//! A [`Scenario`] is a message sequence chart between client, proxy and user function, read once from YAML
//! ([`read`]), checked against the descriptors ([`crate::check`]) and valid ever after. Messages stay trees of the
//! source ([`Node`]) with their positions: [`message`] turns such a tree into a protobuf message to send, or
//! compares it with one received.

pub mod form;
pub mod keys;
pub mod message;
pub mod read;
pub mod replay;
pub mod schema;
pub mod service;
pub mod steps;
pub mod write;

use crate::party::Party;
use crate::yaml::{Node, Source, Span};
use std::fmt;
use std::sync::Arc;

/// The suite of generated scenarios.
pub const GENERATED: &str = "generated";

/// The name of a requirement where a scenario mentions it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifies {
    /// `chapter.slug`.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// One scenario: a chart and what it is for.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it came from.
    pub source: Arc<Source>,
    /// Where its `id` stands.
    pub span: Span,
    /// The name of its suite, for example `event-sourced`.
    pub suite: String,
    /// Unique in its suite, kebab-case.
    pub id: String,
    /// A sentence a protocol engineer would say.
    pub title: String,
    /// The full name of the service that `call: Method` means.
    pub service: String,
    /// Where that stands.
    pub service_span: Span,
    /// Requirements for steps that name none.
    pub verifies: Vec<Verifies>,
    /// The party that departs from model or protocol on purpose.
    pub scripted: Option<Party>,
    /// Features that the system under test must have.
    pub needs: Vec<String>,
    /// Fresh ids beside `$id`.
    pub ids: Vec<String>,
    /// Merged over the entity spec that the kit's function announces.
    pub spec: Option<Node>,
    /// What should happen.
    pub chart: Vec<Step>,
}

impl Scenario {
    /// `suite/id`: the name that filters, reports and the command line use.
    pub fn name(&self) -> String {
        format!("{}/{}", self.suite, self.id)
    }
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands in the source.
    pub span: Span,
    /// Requirements of this step; empty: the scenario's.
    pub verifies: Vec<Verifies>,
    /// What it is.
    pub kind: StepKind,
}

/// What a step is.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// One command all the way through: `call: Method`.
    Call(Box<Call>),
    /// The entity's stream ends because it is idle: `passivate`.
    Passivate,
    /// A later message on an open streamed call: `streamed: name`.
    Streamed {
        /// The `as` name of the call.
        call: String,
        /// What is sent on it.
        answer: Box<Answer>,
        /// It is the last one.
        end: bool,
    },
    /// The client leaves an open streamed call: `cancel: name`.
    Cancel {
        /// The `as` name of the call.
        call: String,
        /// What the function does then.
        answer: Box<Answer>,
    },
    /// A call whose client is an event log: `consume: Method`.
    Consume(Box<Call>),
    /// A change made on another node: `replicate: delta`.
    Replicate {
        /// The delta, as a `CrdtDelta`.
        delta: Node,
        /// The node that makes it.
        node: Option<Node>,
    },
    /// In `during`: none of these may have happened yet.
    None(Vec<Step>),
    /// In `none`: the client's call has returned.
    Returns,
    /// A round trip through the same proxy: what has not come by then, was not sent before.
    Fence,
    /// Clients that each play the list on their own.
    Concurrent {
        /// How many.
        clients: usize,
        /// What each of them does; `$client` is its number from 1.
        each: Vec<Step>,
    },
    /// All of them, in any order.
    Unordered(Vec<Vec<Step>>),
    /// One of them, told apart by the first message.
    OneOf(Vec<Vec<Step>>),
    /// A message, an end or a fault, named by its sender.
    Raw {
        /// Who sends it.
        party: Party,
        /// What is sent.
        what: Raw,
    },
    /// The process is killed, without a warning.
    Kill(Party),
    /// The process is started (again).
    Start(Party),
}

/// A raw step: below the level of calls.
#[derive(Clone, Debug)]
pub enum Raw {
    /// One message on the entity's stream, in the JSON mapping of the stream's message type.
    Message(Node),
    /// Bytes that are sent as one gRPC message on the entity's stream.
    Bytes(Vec<u8>),
    /// The sender ends its side of the entity's stream; a status may be given (function only).
    Ends(Option<Node>),
    /// The sender resets the stream.
    Resets,
    /// The sender gives the stream up in any way the protocol allows: a failure, an error status, or both.
    Fails,
    /// As `Fails`, or the command alone is failed inside a reply.
    Refuses,
    /// The sender breaks what is below the messages.
    Fault(Fault),
    /// `reportError` was called; the text as a pattern. Sent by the proxy, whoever the step names.
    Reported(Option<Node>),
    /// `discover` is called, with this `ProxyInfo`.
    Discover(Option<Node>),
    /// The answer to `discover`; `None`: the kit's own entity spec.
    Spec(Option<Node>),
    /// A client call outside the life of an entity: its method (`/Service/Method` for one unknown), the request
    /// or bytes, and what it returns.
    Call {
        /// `Method`, `Service.Method` or a path that starts with `/`.
        target: String,
        /// The request; `None` with `bytes`: those.
        request: Option<Node>,
        /// Sent instead of a message.
        bytes: Option<Vec<u8>>,
        /// Sent as they are, without a length in front.
        frame: Option<Vec<u8>>,
        /// Request headers.
        metadata: Option<Node>,
        /// What the client gets.
        returns: Option<Node>,
    },
}

/// What a party can break of HTTP/2 and gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes as they are, without gRPC's length in front.
    Frame(bytes::Bytes),
    /// The stream ends without trailers, so without a status.
    NoTrailers,
    /// The connection under the stream is closed.
    Disconnects,
    /// The connection takes no more streams (GOAWAY); those that are open go on.
    GoesAway,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Frame(bytes) => write!(f, "sends {} bytes without a length", bytes.len()),
            Fault::NoTrailers => f.write_str("ends the stream without a status"),
            Fault::Disconnects => f.write_str("closes the connection"),
            Fault::GoesAway => f.write_str("takes no more streams on the connection"),
        }
    }
}

/// One command all the way through.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where it stands.
    pub span: Span,
    /// `Method` of the suite's service, or `Service.Method`.
    pub target: String,
    /// A name for later steps.
    pub alias: Option<String>,
    /// The entity id, where it isn't the scenario's `$id`.
    pub id: Option<Node>,
    /// The node that the client calls.
    pub node: Option<Node>,
    /// client ▶ proxy, and the payload of the command proxy ▶ function.
    pub request: Option<Node>,
    /// Request headers (of a call), or the metadata of an effect or forward.
    pub metadata: Option<Node>,
    /// Between the command's arrival and its answer.
    pub during: Vec<Step>,
    /// What the client gets; by default the reply at the end of the forwards.
    pub returns: Option<Node>,
    /// What is replayed before the command, where the derived replay is not meant.
    pub replay: Option<Node>,
    /// Of a side effect: the caller waits for it.
    pub synchronous: bool,
    /// What the function answers.
    pub answer: Answer,
    /// A streamed call, message by message.
    pub stream: Option<Stream>,
    /// Right after the answer left: `then: { kill: proxy }`.
    pub then: Option<Box<Step>>,
}

/// The messages of a streamed call in order.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Each waits for those above it, unless `burst`.
    pub lines: Vec<StreamLine>,
    /// Nobody waits.
    pub burst: bool,
    /// What the client sees at the end.
    pub ends: Option<Node>,
}

/// One line of a streamed call.
#[derive(Clone, Debug)]
pub struct StreamLine {
    /// Where it stands.
    pub span: Span,
    /// client ▶ function.
    pub request: Option<Node>,
    /// function ▶ client.
    pub answer: Option<Answer>,
    /// Something raw, or whatever else happens meanwhile.
    pub step: Option<Box<Step>>,
}

/// What the function answers. What is not written must not be there.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The reply's message.
    pub reply: Option<Node>,
    /// The command goes on to another service.
    pub forward: Option<Box<Call>>,
    /// The failure's description.
    pub failure: Option<Node>,
    /// No client action at all.
    pub nothing: bool,
    /// Reply metadata.
    pub metadata: Option<Node>,
    /// What it says of the state: the key of a state part, and what stands there.
    pub state: Vec<(&'static str, Node)>,
    /// Side effects, in order.
    pub effects: Vec<Call>,
    /// The failure asks for a restart.
    pub restart: Option<Node>,
    /// Messages that may come in any order: this answer's and those of open streamed calls.
    pub unordered: Vec<Step>,
}

impl Answer {
    /// What it says of the state under this key.
    pub fn part(&self, key: &str) -> Option<&Node> {
        let found = self.state.iter().find(|(written, _)| *written == key);
        found.map(|(_, node)| node)
    }

    /// Nothing about the answer is written: the model says it.
    pub fn is_unwritten(&self) -> bool {
        self.reply.is_none()
            && self.forward.is_none()
            && self.failure.is_none()
            && !self.nothing
            && self.state.is_empty()
            && self.effects.is_empty()
            && self.unordered.is_empty()
    }
}
