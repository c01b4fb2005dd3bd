//! What the model answers, in the terms of `protocol`: for charts that leave an answer open, and for the
//! kit's own user function.

use crate::model::{action, event_sourced, value_entity};
use crate::protocol::{Begin, Change, Reply};
use prost_types::Any;

/// Is there a model of this method?
pub fn knows(service: &str, method: &str) -> bool {
    Entity::new(service).is_some() || action::Method::named(service, method).is_ok()
}

/// The model of one entity.
#[derive(Clone, Debug)]
pub enum Entity {
    /// Of an event sourced one.
    EventSourced(event_sourced::EventSourcedEntity),
    /// Of a value entity.
    Value(value_entity::ValueEntity),
}

impl Entity {
    /// A fresh entity of a TCK service, or `None` if there is no model of it.
    pub fn new(service: &str) -> Option<Entity> {
        let event_sourced =
            event_sourced::EventSourcedEntity::new(service).map(Entity::EventSourced);
        event_sourced.or_else(|| value_entity::ValueEntity::new(service).map(Entity::Value))
    }

    /// What init says. A state that the model can't read is left alone: the judge has its word on it.
    pub fn begin(&mut self, begin: &Begin) {
        match self {
            Entity::EventSourced(entity) => {
                if let Some((sequence, snapshot)) = &begin.snapshot {
                    let _ = entity.restore(*sequence, snapshot);
                }
            }
            Entity::Value(entity) => {
                if let Some(value) = &begin.value {
                    let _ = entity.restore(value);
                }
            }
        }
    }

    /// A replayed event.
    pub fn apply(&mut self, sequence: i64, event: &Any) {
        if let Entity::EventSourced(entity) = self {
            let _ = entity.apply(sequence, event);
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
            Entity::Value(entity) => {
                let _ = match &reply.value {
                    Some(Change::Update(Some(value))) => entity.restore(value),
                    Some(Change::Delete) => entity.apply(&value_entity::ValueChange::Delete),
                    Some(Change::Update(None) | Change::Unset) | None => Ok(()),
                };
            }
        }
    }

    /// A command; `None`: the model doesn't know it.
    pub fn handle(&mut self, method: &str, payload: &Any) -> Option<Reply> {
        Some(match self {
            Entity::EventSourced(entity) => {
                entity.handle(method, payload).ok()?.into_reply(0).into()
            }
            Entity::Value(entity) => entity.handle(method, payload).ok()?.into_reply(0).into(),
        })
    }
}

/// What an action answers to one request: any number of messages where its answer streams, else one; `None`: the
/// model doesn't know it.
pub fn respond(service: &str, method: &str, payload: &Any) -> Option<Vec<Reply>> {
    let outcomes = action::respond(service, method, payload).ok()?;
    let reply = |outcome: action::ActionOutcome| outcome.into_response().into();
    Some(outcomes.into_iter().map(reply).collect())
}

/// What an action whose answer doesn't stream makes of all its requests; `None`: the model doesn't know it.
pub fn answer(service: &str, method: &str, payloads: &[Any]) -> Option<Reply> {
    let outcome = action::answer(service, method, payloads).ok()?;
    Some(outcome.into_response().into())
}
