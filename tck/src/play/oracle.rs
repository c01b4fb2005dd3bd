//! What the model answers, in the terms of [`super::protocol`]: for charts that leave an answer open, and for the
//! kit's own user function.

use super::protocol::{Begin, Reply};
use crate::model::event_sourced;
use prost_types::Any;

/// Is there a model of this service?
pub fn knows(service: &str) -> bool {
    Entity::new(service).is_some()
}

/// The model of one entity.
#[derive(Clone, Debug)]
pub enum Entity {
    /// Of an event sourced one.
    EventSourced(event_sourced::Entity),
}

impl Entity {
    /// A fresh entity of a TCK service, or `None` if there is no model of it.
    pub fn new(service: &str) -> Option<Entity> {
        event_sourced::Entity::new(service).map(Entity::EventSourced)
    }

    /// What init says. A state that the model can't read is left alone: the judge has its word on it.
    pub fn begin(&mut self, begin: &Begin) {
        match self {
            Entity::EventSourced(entity) => {
                if let Some((sequence, snapshot)) = &begin.snapshot {
                    let _ = entity.restore(*sequence, snapshot);
                }
            }
        }
    }

    /// A replayed event.
    pub fn apply(&mut self, sequence: i64, event: &Any) {
        match self {
            Entity::EventSourced(entity) => {
                let _ = entity.apply(sequence, event);
            }
        }
    }

    /// What a written reply does to the state.
    pub fn learn(&mut self, reply: &Reply) {
        match self {
            Entity::EventSourced(entity) => {
                for event in &reply.events {
                    let next = entity.sequence() + 1;
                    if entity.apply(next, event).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// A command; `None`: the model doesn't know it.
    pub fn handle(&mut self, method: &str, payload: &Any) -> Option<Reply> {
        match self {
            Entity::EventSourced(entity) => entity.handle(method, payload).ok().map(Reply::from),
        }
    }
}

impl From<event_sourced::Outcome> for Reply {
    fn from(outcome: event_sourced::Outcome) -> Reply {
        let reply = outcome.into_reply(0);
        Reply {
            command_id: 0,
            action: reply.client_action.and_then(|action| action.action),
            side_effects: reply.side_effects,
            events: reply.events,
            snapshot: reply.snapshot,
            value: None,
        }
    }
}

/// What an action answers to one request: any number of messages where its answer streams, else one.
pub fn respond(_service: &str, _method: &str, _payload: &Any) -> Vec<Reply> {
    Vec::new()
}

/// What an action whose answer doesn't stream makes of all its requests; `None`: the model doesn't know it.
pub fn answer(_service: &str, _method: &str, _payloads: &[Any]) -> Option<Reply> {
    None
}
