//! The entity types, and where each is described.

use super::{Protocol, StatePart, action, crdt, event_sourced, value_entity};
use crate::party::Party;

/// What a service is to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityType {
    /// State from events.
    EventSourced,
    /// State as a value.
    Value,
    /// State that nodes share.
    Crdt,
    /// No state.
    Action,
}

impl EntityType {
    /// All of them.
    pub const ALL: [EntityType; 4] = [
        EntityType::EventSourced,
        EntityType::Value,
        EntityType::Crdt,
        EntityType::Action,
    ];

    /// Everything that is particular to the type on the wire and in a chart.
    pub fn protocol(self) -> &'static dyn Protocol {
        match self {
            EntityType::EventSourced => &event_sourced::EventSourcedProtocol,
            EntityType::Value => &value_entity::ValueEntityProtocol,
            EntityType::Crdt => &crdt::CrdtProtocol,
            EntityType::Action => &action::ActionProtocol,
        }
    }

    /// The full name of the protocol's service, by which the type is announced.
    pub fn name(self) -> &'static str {
        let path = self.protocol().path().trim_start_matches('/');
        path.split_once('/').map_or(path, |(name, _)| name)
    }

    /// The type of the entities whose messages travel on a call of this path.
    pub fn of_path(path: &str) -> Option<EntityType> {
        EntityType::ALL
            .into_iter()
            .find(|entity_type| path.starts_with(entity_type.protocol().path()))
    }

    /// Its entities have ids, and a stream each while they are live.
    pub fn has_entities(self) -> bool {
        self != EntityType::Action
    }

    /// How it is called in a sentence.
    pub fn noun(self) -> &'static str {
        self.protocol().noun()
    }

    /// The type of the messages that a party sends on the stream with the other.
    pub fn message(self, sender: Party) -> &'static str {
        let (of_proxy, of_function) = self.protocol().messages();
        match sender {
            Party::Proxy => of_proxy,
            Party::Function | Party::Client => of_function,
        }
    }

    /// What an answer may say of the state.
    pub fn state_parts(self) -> &'static [StatePart] {
        self.protocol().state_parts()
    }

    /// The keys of a replay.
    pub fn replay_keys(self) -> &'static [&'static str] {
        self.protocol().replay_keys()
    }
}
