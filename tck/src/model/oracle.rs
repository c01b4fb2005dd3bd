//! What the model answers, in the terms of `protocol`: for charts that leave an answer open, and for the
//! kit's own user function.

use crate::model::{ModelError, action, event_sourced, value_entity};
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

    /// What init says.
    ///
    /// # Errors
    /// A state that the model can't read, and leaves alone.
    pub fn begin(&mut self, begin: &Begin) -> Result<(), ModelError> {
        match (self, &begin.snapshot, &begin.value) {
            (Entity::EventSourced(entity), Some((sequence, snapshot)), _) => {
                entity.restore(*sequence, snapshot)
            }
            (Entity::Value(entity), _, Some(value)) => entity.restore(value),
            (Entity::EventSourced(_) | Entity::Value(_), ..) => Ok(()),
        }
    }

    /// A replayed event.
    ///
    /// # Errors
    /// One that the model can't read or has no place for, and leaves alone.
    pub fn apply(&mut self, sequence: i64, event: &Any) -> Result<(), ModelError> {
        match self {
            Entity::EventSourced(entity) => entity.apply(sequence, event),
            Entity::Value(_) => Ok(()),
        }
    }

    /// What a written reply does to the state.
    ///
    /// # Errors
    /// What the model can't read.
    pub fn learn(&mut self, reply: &Reply) -> Result<(), ModelError> {
        match (self, &reply.value) {
            (Entity::EventSourced(entity), _) => reply
                .events
                .iter()
                .try_for_each(|event| entity.apply(entity.sequence() + 1, event)),
            (Entity::Value(entity), Some(Change::Update(Some(value)))) => entity.restore(value),
            (Entity::Value(entity), Some(Change::Delete)) => {
                entity.apply(&value_entity::ValueChange::Delete)
            }
            (Entity::Value(_), Some(Change::Update(None) | Change::Unset) | None) => Ok(()),
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
