//! What each entity type says on the wire: one file an entity type, one interface for all of them.
//!
//! A [`Protocol`] reads and writes the messages between proxy and function; the state machine above it
//! ([`super::Play`]), the invariants and the judge see [`FromProxy`] and [`FromFunction`] only.

mod action;
mod crdt;
pub mod discovery;
mod entity_type;
mod event_sourced;
mod key;
mod kind;
pub mod metadata;
mod value_entity;

pub use entity_type::EntityType;
pub use key::Key;
pub use kind::Kind;

use cloudstate_protocol::cloudstate as common;
use prost_types::Any;
use std::fmt::Debug;

/// What a proxy sends.
#[derive(Clone, Debug, PartialEq)]
pub enum FromProxy {
    /// The first message of a stateful entity's stream.
    Init {
        /// Full service name.
        service: String,
        /// Entity id.
        entity: String,
        /// The state to begin with, without what is replayed.
        state: Begin,
    },
    /// A replayed event.
    Event {
        /// Its sequence number.
        sequence: i64,
        /// The event.
        payload: Any,
    },
    /// A command. Of an action: the message that names service and command.
    Command(Command),
    /// A further request of an action's stream.
    Request(Command),
    /// No member of the oneof is set.
    Empty,
    /// Not a message of the stream's type.
    Garbage(String),
}

/// A command of any entity type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// Full service name; only an action's command has one.
    pub service: String,
    /// The entity; empty for actions.
    pub entity: String,
    /// Its number on the stream; 0 for actions.
    pub id: i64,
    /// Bare method name.
    pub name: String,
    /// The request.
    pub payload: Option<Any>,
    /// Request headers.
    pub metadata: Vec<common::MetadataEntry>,
}

/// What init says of the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Begin {
    /// A snapshot and the sequence number that it stands for.
    pub snapshot: Option<(i64, Any)>,
    /// A value entity's value.
    pub value: Option<Any>,
    /// A value entity's state is there, with or without a value.
    pub present: bool,
}

/// What a function sends.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are replies, and none is kept"
)]
pub enum FromFunction {
    /// The answer to a command.
    Reply(Reply),
    /// The function gives the stream up.
    Failure(common::Failure),
    /// No member of the oneof is set.
    Empty,
    /// Not a message of the stream's type.
    Garbage(String),
}

/// A reply of any entity type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Of the command it answers; 0 for actions.
    pub command_id: i64,
    /// Reply, forward or failure.
    pub action: Option<common::client_action::Action>,
    /// Side effects in order.
    pub side_effects: Vec<common::SideEffect>,
    /// Events to persist.
    pub events: Vec<Any>,
    /// A snapshot.
    pub snapshot: Option<Any>,
    /// What becomes of a value entity's value.
    pub value: Option<Change>,
}

/// What a reply does to a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new value; `None`: the update has none.
    Update(Option<Any>),
    /// The value is removed.
    Delete,
    /// A state action with nothing set.
    Unset,
}

impl Reply {
    /// The failure, if that's what the client gets.
    pub fn failure(&self) -> Option<&common::Failure> {
        match &self.action {
            Some(common::client_action::Action::Failure(failure)) => Some(failure),
            _ => None,
        }
    }

    /// The failure asks for a restart.
    pub fn restarts(&self) -> bool {
        self.failure().is_some_and(|failure| failure.restart)
    }

    /// The same, as the answer to a command of this id.
    pub fn for_command(mut self, id: i64) -> Reply {
        self.command_id = id;
        if let Some(common::client_action::Action::Failure(failure)) = &mut self.action {
            failure.command_id = id;
        }
        self
    }

    /// It asks to store something.
    pub fn stores(&self) -> bool {
        !self.events.is_empty() || self.snapshot.is_some() || self.value.is_some()
    }
}

/// What is stored for an entity: enough to activate it again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The latest snapshot and the sequence number it stands for.
    pub snapshot: Option<(i64, Any)>,
    /// All events, from sequence number 1.
    pub events: Vec<Any>,
    /// A value entity's value.
    pub value: Option<Any>,
}

impl Stored {
    /// What init says of it.
    pub fn begin(&self) -> Begin {
        Begin {
            snapshot: self.snapshot.clone(),
            value: self.value.clone(),
            present: true,
        }
    }

    /// What is stored of an entity for which a proxy says this in init; events before a snapshot are gone.
    pub fn of(begin: &Begin) -> Stored {
        let snapshot = begin.snapshot.clone();
        let before = snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        Stored {
            events: vec![Any::default(); usize::try_from(before).unwrap_or(0)],
            snapshot,
            value: begin.value.clone(),
        }
    }

    /// Keeps what a reply asks to keep. A failed command leaves nothing.
    pub fn keep(&mut self, reply: &Reply) {
        if reply.failure().is_some() {
            return;
        }
        self.events.extend(reply.events.iter().cloned());
        if let (Some(snapshot), false) = (&reply.snapshot, reply.events.is_empty()) {
            self.snapshot = Some((self.events.len() as i64, snapshot.clone()));
        }
        match &reply.value {
            Some(Change::Update(value)) => self.value.clone_from(value),
            Some(Change::Delete) => self.value = None,
            Some(Change::Unset) | None => {}
        }
    }

    /// Events after the snapshot, with their sequence numbers.
    pub fn replay(&self) -> impl Iterator<Item = (i64, &Any)> {
        let from = self.snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        (1..)
            .zip(&self.events)
            .skip(usize::try_from(from).unwrap_or(0))
    }
}

/// What an answer may say of the state, and where the function's reply has it.
#[derive(Clone, Copy, Debug)]
pub struct StatePart {
    /// The key under which a chart has it.
    pub key: &'static str,
    /// What stands there.
    pub content: StateContent,
    /// The field of the reply that it is, the outermost first.
    pub path: &'static [&'static str],
}

/// What stands under the key of a [`StatePart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateContent {
    /// Any message.
    Any,
    /// A list of any messages, in the field of a message of this type that has the key's name.
    Anys(&'static str),
    /// A message of this type.
    Message(&'static str),
    /// `true`; the reply has an empty message.
    Flag,
}

/// What an answer of any entity type may say of the state, each key once.
pub fn state_parts() -> Vec<StatePart> {
    let mut parts: Vec<StatePart> = Vec::new();
    for part in EntityType::ALL
        .into_iter()
        .flat_map(EntityType::state_parts)
    {
        if parts.iter().all(|known| known.key != part.key) {
            parts.push(*part);
        }
    }
    parts
}

/// Everything that is particular to one entity type on the wire and in a chart: one file each, and nothing of it
/// elsewhere. See [`EntityType::protocol`].
pub trait Protocol: Debug + Sync {
    /// The path of the protocol's call; of types with several, what all of them begin with.
    fn path(&self) -> &'static str;
    /// How an entity is called in a sentence.
    fn noun(&self) -> &'static str;
    /// The types of the messages that the proxy and the function send.
    fn messages(&self) -> (&'static str, &'static str);
    /// What an answer may say of the state, in the order in which it is written.
    fn state_parts(&self) -> &'static [StatePart];
    /// What a chart may say of the state that an activation begins with.
    fn replay_keys(&self) -> &'static [&'static str];
    /// Reads a message of the proxy.
    fn read_in(&self, bytes: &[u8]) -> FromProxy;
    /// Reads a message of the function.
    fn read_out(&self, bytes: &[u8]) -> FromFunction;
    /// The messages that activate an entity: init, and what is replayed.
    fn activation(&self, key: &Key, stored: &Stored) -> Vec<Vec<u8>>;
    /// A command as the proxy sends it; without a payload, the message that names an action's stream.
    fn command(&self, command: Command) -> Vec<u8>;
    /// A reply as a message.
    fn reply(&self, reply: Reply) -> Vec<u8>;
}

/// Reads a message of the proxy.
pub fn read_in(entity_type: EntityType, bytes: &[u8]) -> FromProxy {
    entity_type.protocol().read_in(bytes)
}

/// Reads a message of the function.
pub fn read_out(entity_type: EntityType, bytes: &[u8]) -> FromFunction {
    entity_type.protocol().read_out(bytes)
}

/// The path of discovery.
pub const DISCOVER: &str = "/cloudstate.EntityDiscovery/discover";
/// The path of error reports.
pub const REPORT_ERROR: &str = "/cloudstate.EntityDiscovery/reportError";
/// A gRPC message may not be larger; a peer that announces more is cut off. 64 MiB.
pub const MESSAGE_LIMIT: usize = 64 << 20;
/// Prefix of the type URL of protobuf messages.
pub const PROTOBUF: &str = "type.googleapis.com/";

/// A further request of an action's stream.
pub fn further(payload: Any) -> Vec<u8> {
    action::request(payload)
}

/// A stateful entity's command on the wire.
fn wire_command(command: Command) -> common::Command {
    common::Command {
        entity_id: command.entity,
        id: command.id,
        name: command.name,
        payload: command.payload,
        streamed: false,
        metadata: wire_metadata(command.metadata),
    }
}

/// No entries are no metadata.
fn wire_metadata(entries: Vec<common::MetadataEntry>) -> Option<common::Metadata> {
    (!entries.is_empty()).then_some(common::Metadata { entries })
}

fn wire_action(action: Option<common::client_action::Action>) -> Option<common::ClientAction> {
    action.map(|action| common::ClientAction {
        action: Some(action),
    })
}

fn read_command(command: common::Command) -> FromProxy {
    FromProxy::Command(Command {
        service: String::new(),
        entity: command.entity_id,
        id: command.id,
        name: command.name,
        payload: command.payload,
        metadata: command.metadata.unwrap_or_default().entries,
    })
}
