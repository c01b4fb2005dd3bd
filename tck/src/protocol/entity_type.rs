//! What a service is to the protocol.

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

    /// The full name of the protocol's service, by which the type is announced.
    pub fn name(self) -> &'static str {
        let path = self.path().trim_start_matches('/');
        path.split_once('/').map_or(path, |(name, _)| name)
    }

    /// The path of the protocol's call for entities of this type; actions have four.
    pub fn path(self) -> &'static str {
        match self {
            EntityType::EventSourced => "/cloudstate.eventsourced.EventSourced/handle",
            EntityType::Value => "/cloudstate.valueentity.ValueEntity/handle",
            EntityType::Crdt => "/cloudstate.crdt.Crdt/handle",
            EntityType::Action => "/cloudstate.action.ActionProtocol/",
        }
    }

    /// The type of the entities whose messages travel on a call of this path.
    pub fn of_path(path: &str) -> Option<EntityType> {
        EntityType::ALL
            .into_iter()
            .find(|entity_type| path.starts_with(entity_type.path()))
    }

    /// How it is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            EntityType::EventSourced => "an event sourced entity",
            EntityType::Value => "a value entity",
            EntityType::Crdt => "a CRDT",
            EntityType::Action => "an action",
        }
    }

    /// The type of the messages that a party sends on the stream with the other.
    pub fn message(self, sender: Party) -> &'static str {
        let proxy = sender == Party::Proxy;
        match self {
            EntityType::EventSourced if proxy => "cloudstate.eventsourced.EventSourcedStreamIn",
            EntityType::EventSourced => "cloudstate.eventsourced.EventSourcedStreamOut",
            EntityType::Value if proxy => "cloudstate.valueentity.ValueEntityStreamIn",
            EntityType::Value => "cloudstate.valueentity.ValueEntityStreamOut",
            EntityType::Crdt if proxy => "cloudstate.crdt.CrdtStreamIn",
            EntityType::Crdt => "cloudstate.crdt.CrdtStreamOut",
            EntityType::Action if proxy => "cloudstate.action.ActionCommand",
            EntityType::Action => "cloudstate.action.ActionResponse",
        }
    }

    /// The keys of an answer that change the state.
    pub fn state_keys(self) -> &'static [&'static str] {
        match self {
            EntityType::EventSourced => &["events", "snapshot"],
            EntityType::Value => &["state", "delete"],
            EntityType::Crdt => &["delta", "delete"],
            EntityType::Action => &[],
        }
    }

    /// The keys of a replay.
    pub fn replay_keys(self) -> &'static [&'static str] {
        match self {
            EntityType::EventSourced => &["snapshot", "events"],
            EntityType::Value => &["state"],
            EntityType::Crdt => &["delta"],
            EntityType::Action => &[],
        }
    }
}
