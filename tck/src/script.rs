//! What one chart means in one role: calls with everything filled in, and moves in their partial order.

mod action;
pub mod choice;
mod describe;
pub mod expand;
pub mod needs;
mod plan;
mod raw;
pub mod reason;

pub use reason::NotPlayable;

use crate::party::{Party, Role};
use crate::protocol::PROTOBUF;
use crate::protocol::{Command, EntityType, Key, Kind, metadata};
use crate::scenario::form::Form;
use crate::scenario::message::Bindings;
use crate::scenario::{Answer, Fault, Scenario};
use crate::yaml::{Node, Span};
use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use prost_types::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The stream between proxy and function that a raw step means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An entity's.
    Entity(EntityType, Key),
    /// That of an action's call: an index into [`Script::calls`].
    Call(usize),
}

impl Place {
    /// Whose messages travel there.
    pub fn entity_type(&self) -> EntityType {
        match self {
            Place::Entity(entity_type, _) => *entity_type,
            Place::Call(_) => EntityType::Action,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Entity(_, key) => write!(f, "the stream of {key}"),
            Place::Call(_) => f.write_str("the action's call"),
        }
    }
}

/// One chart, one role, one choice, fresh ids.
#[derive(Clone, Debug)]
pub struct Script {
    /// The scenario, the kit's choices taken, its unwritten answers completed by the model.
    pub scenario: Arc<Scenario>,
    /// Who is under test.
    pub role: Role,
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
    /// Not a call of its own: one message of what a streamed call answers.
    Element {
        /// The streamed call.
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
    /// The type of its service, unless the path is unknown to the kit.
    pub entity_type: Option<EntityType>,
    /// Which sides stream.
    pub kind: Kind,
    /// The entity; an action has none.
    pub key: Option<Key>,
    /// Bare method name.
    pub method: String,
    /// The request, encoded.
    pub payload: Bytes,
    /// The payload is sent as it is, without gRPC's length in front.
    pub bare: bool,
    /// Of a call whose client streams: the requests, encoded.
    pub requests: Vec<Bytes>,
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
    /// client ▶ proxy: a request of a streamed call.
    Send(usize, usize),
    /// client ▶ proxy: no more requests.
    Sent(usize),
    /// proxy ▶ function: that request.
    Deliver(usize, usize),
    /// proxy ▶ function: no more requests.
    Delivered(usize),
    /// function ▶ proxy: an action's call ends with OK.
    End(usize),
    /// proxy ▶ client: one message of a streamed answer.
    Pass(usize),
    /// proxy ▶ function: nobody wants the rest of an action's call.
    Cancel(usize),
    /// The proxy half-closes an idle entity's stream.
    HalfClose(Key),
    /// The function completes its side after that.
    Complete(Key),
    /// A raw message on the entity's stream.
    Message {
        /// Who sends it.
        from: Party,
        /// On which stream.
        place: Place,
        /// The message.
        node: Node,
    },
    /// Raw bytes as one message.
    Bytes {
        /// Who sends them.
        from: Party,
        /// On which stream.
        place: Place,
        /// What is sent.
        bytes: Bytes,
    },
    /// A party ends its side.
    Ends {
        /// Who.
        from: Party,
        /// Which stream.
        place: Place,
        /// With which status, as `{ status, message }` (function).
        status: Option<Node>,
    },
    /// A party resets the stream.
    Resets {
        /// Who.
        from: Party,
        /// Which stream.
        place: Place,
    },
    /// The kit breaks something below the messages.
    Fault {
        /// As whom.
        from: Party,
        /// On which stream.
        place: Place,
        /// What.
        fault: Fault,
    },
    /// The function gives the stream up: a failure, an error status, or both.
    Fails {
        /// Which stream.
        place: Place,
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
    /// The function fails `discover`, with this status.
    NoSpec(Option<Node>),
    /// The kit kills a process.
    Kill(Party),
    /// The kit starts a process.
    Start(Party),
}

impl Move {
    /// Who makes it.
    pub fn from(&self) -> Party {
        match &self.kind {
            MoveKind::Request(_) | MoveKind::Send(..) | MoveKind::Sent(_) => Party::Client,
            MoveKind::Command(_)
            | MoveKind::Return(_)
            | MoveKind::Deliver(..)
            | MoveKind::Delivered(_)
            | MoveKind::Pass(_)
            | MoveKind::Cancel(_)
            | MoveKind::HalfClose(_)
            | MoveKind::Reported(_)
            | MoveKind::Discover(_) => Party::Proxy,
            MoveKind::Answer(_)
            | MoveKind::End(_)
            | MoveKind::Complete(_)
            | MoveKind::Fails { .. }
            | MoveKind::Acknowledged
            | MoveKind::Spec(_)
            | MoveKind::NoSpec(_) => Party::Function,
            MoveKind::Message { from, .. }
            | MoveKind::Bytes { from, .. }
            | MoveKind::Ends { from, .. }
            | MoveKind::Fault { from, .. }
            | MoveKind::Resets { from, .. } => *from,
            MoveKind::Kill(_) | MoveKind::Start(_) => Party::Client,
        }
    }

    /// Who gets it.
    pub fn to(&self) -> Party {
        match (&self.kind, self.from()) {
            (MoveKind::Return(_) | MoveKind::Pass(_), _) => Party::Client,
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

impl MoveKind {
    /// The entity on whose stream it is, where that isn't told by a call.
    pub fn entity(&self) -> Option<&Key> {
        match self {
            MoveKind::HalfClose(key) | MoveKind::Complete(key) => Some(key),
            MoveKind::Message { place, .. }
            | MoveKind::Bytes { place, .. }
            | MoveKind::Ends { place, .. }
            | MoveKind::Resets { place, .. }
            | MoveKind::Fault { place, .. }
            | MoveKind::Fails { place, .. } => match place {
                Place::Entity(_, key) => Some(key),
                Place::Call(_) => None,
            },
            _ => None,
        }
    }
}

impl CallPlan {
    /// The full name of the service that it goes to.
    pub fn service(&self) -> &str {
        let path = self.path.trim_start_matches('/');
        path.split_once('/').map_or("", |(service, _)| service)
    }

    /// It goes to an action.
    pub fn is_action(&self) -> bool {
        self.entity_type == Some(EntityType::Action)
    }

    /// Its command with this id; without a payload, the message that names an action's stream.
    pub fn command(&self, id: i64, payload: Option<Any>) -> Command {
        let entity = self.key.as_ref().map(|key| key.entity.clone());
        Command {
            service: self.service().to_owned(),
            entity: entity.unwrap_or_default(),
            id,
            name: self.method.clone(),
            payload,
            metadata: metadata::entries(&self.metadata),
        }
    }
}

impl Script {
    /// The call whose stream carries the messages of this one: its own, unless it is an element.
    pub fn carrier(&self, call: usize) -> usize {
        match self.calls[call].origin {
            Origin::Element { parent } => parent,
            _ => call,
        }
    }

    /// The client's call at whose door this one's answer comes out, if any.
    pub fn client_call(&self, mut call: usize) -> usize {
        loop {
            match self.calls[call].origin {
                Origin::Element { parent } | Origin::Forward { parent } => call = parent,
                Origin::Client | Origin::Effect { .. } => return call,
            }
        }
    }

    /// It is the other call, or one that the other's answer asks for, or that one's, and so on.
    pub fn comes_from(&self, mut call: usize, other: usize) -> bool {
        loop {
            match self.calls[call].origin {
                _ if call == other => return true,
                Origin::Effect { parent, .. }
                | Origin::Forward { parent }
                | Origin::Element { parent } => call = parent,
                Origin::Client => return false,
            }
        }
    }

    /// The calls whose answers the function sends on the stream of this one, in order.
    pub fn answers(&self, call: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.calls.len()).filter(move |index| self.carrier(*index) == call)
    }

    /// The call at the end of the forwards.
    pub fn last(&self, mut call: usize) -> usize {
        while let Some(forward) = self.calls[call].forward {
            call = forward;
        }
        call
    }

    /// How calls of `discover` end that the kit's function fails, in this order.
    pub fn refusals(&self) -> VecDeque<(i32, String)> {
        let status = |this: &Move| match &this.kind {
            MoveKind::NoSpec(status) => Some(crate::status::end_status(status.as_ref())),
            _ => None,
        };
        self.moves.iter().filter_map(status).collect()
    }

    /// What the kit's function answers to `discover`, call by call; `None`: its own spec. The last holds for all that
    /// follow.
    pub fn specs(&self) -> VecDeque<Option<Node>> {
        let kit = self.role == Role::Proxy;
        let spec = |this: &Move| match &this.kind {
            MoveKind::Spec(node) => Some(node.clone()),
            _ => None,
        };
        self.moves.iter().filter(|_| kit).filter_map(spec).collect()
    }
}

/// A request as the payload of a command.
pub fn payload(call: &CallPlan, value: &[u8]) -> Any {
    let input = call.input.as_ref().map_or("", |input| input.full_name());
    Any {
        type_url: format!("{PROTOBUF}{input}"),
        value: value.to_vec(),
    }
}

/// The answer of a call as a scenario would write the message of the stream.
pub fn answer_node(
    script: &Script,
    call: &CallPlan,
    entity_type: EntityType,
    answer: &Answer,
    command_id: i64,
) -> Node {
    Form {
        scenario: &script.scenario,
        entity_type,
        output: call.output.as_ref(),
        answer,
        command_id,
    }
    .message()
}

#[cfg(test)]
mod tests;
