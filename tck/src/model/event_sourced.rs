//! (3) What the event sourced TCK services mean: the oracle.
//!
//! A pure state machine, written from the specification of the services alone. It is asked by the model
//! function (a server), by the kit's own user function for what a chart leaves open, and by `check`, which
//! compares every chart with it.

use super::outcome::{Action, side_effect};
use super::{ModelError, expect_method, expect_state, pack, unpack};
use crate::protocol::EntityType;
use crate::services;
use crate::services::Service;
use cloudstate_protocol::cloudstate::SideEffect;
use cloudstate_protocol::eventsourced::EventSourcedReply;
use cloudstate_protocol::tck::model::request_action::Action as Wanted;
use cloudstate_protocol::tck::model::{Persisted, Request, Response};
use prost_types::Any;

/// A snapshot is due when a reply holds an event whose sequence number is a multiple of this.
pub const SNAPSHOT_EVERY: i64 = 5;

/// One event sourced entity: where it is in its journal, and its state there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSourcedEntity {
    service: &'static Service,
    sequence: i64,
    state: String,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSourcedOutcome {
    /// Events to persist, in order.
    pub events: Vec<Any>,
    /// A snapshot of the state after all events.
    pub snapshot: Option<Any>,
    /// Side effects, in order.
    pub effects: Vec<SideEffect>,
    /// What the client gets.
    pub action: Action,
}

impl EventSourcedEntity {
    /// A fresh entity of an event sourced TCK service, or `None` if there is no service of this name.
    pub fn new(service: &str) -> Option<EventSourcedEntity> {
        let service = Service::named(service, EntityType::EventSourced)?;
        Some(EventSourcedEntity {
            service,
            sequence: 0,
            state: String::new(),
        })
    }

    /// The sequence number of the last event.
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// The state after the last event.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Replay begins with a snapshot.
    ///
    /// # Errors
    /// The entity is not fresh, the sequence number is no event's, or the snapshot is not one of this service.
    pub fn restore(&mut self, sequence: i64, snapshot: &Any) -> Result<(), ModelError> {
        if self.sequence != 0 || sequence < 1 {
            return Err(ModelError::Snapshot {
                at: self.sequence,
                sequence,
            });
        }
        self.state = self.persisted(snapshot)?.value;
        self.sequence = sequence;
        Ok(())
    }

    /// Replay of one event.
    ///
    /// # Errors
    /// The event does not follow the last one, or is not one of this service.
    pub fn apply(&mut self, sequence: i64, event: &Any) -> Result<(), ModelError> {
        let expected = self.after(1)?;
        if sequence != expected {
            return Err(ModelError::Sequence { expected, sequence });
        }
        self.state += &self.persisted(event)?.value;
        self.sequence = sequence;
        Ok(())
    }

    /// One command. The entity advances by the outcome's events, so by nothing if the command fails.
    ///
    /// # Errors
    /// The service has no such method, or the payload is not a request.
    pub fn handle(
        &mut self,
        method: &str,
        payload: &Any,
    ) -> Result<EventSourcedOutcome, ModelError> {
        expect_method(self.service, method)?;
        let request: Request = unpack(payload)?;
        if self.service.is_model() {
            self.process(request)
        } else {
            Ok(EventSourcedOutcome::reply(String::new()))
        }
    }

    fn process(&mut self, request: Request) -> Result<EventSourcedOutcome, ModelError> {
        let mut state = self.state.clone();
        let mut outcome = EventSourcedOutcome::reply(String::new());
        let mut forward = None;
        for action in request
            .actions
            .into_iter()
            .filter_map(|action| action.action)
        {
            match action {
                Wanted::Emit(emit) => {
                    state += &emit.value;
                    outcome.events.push(pack(&Persisted { value: emit.value }));
                }
                Wanted::Forward(to) => {
                    forward = Some(Action::forward(
                        &services::EVENT_SOURCED_TWO,
                        &request_to(to.id),
                    ));
                }
                Wanted::Effect(on) => outcome.effects.push(side_effect(
                    &services::EVENT_SOURCED_TWO,
                    &request_to(on.id),
                    on.synchronous,
                )),
                Wanted::Fail(fail) => {
                    return Ok(EventSourcedOutcome::of(Action::Failure(fail.message)));
                }
            }
        }
        outcome.action = forward.unwrap_or_else(|| {
            Action::reply(&Response {
                message: state.clone(),
            })
        });
        let sequence = self.after(outcome.events.len() as i64)?;
        if sequence / SNAPSHOT_EVERY > self.sequence / SNAPSHOT_EVERY {
            outcome.snapshot = Some(pack(&Persisted {
                value: state.clone(),
            }));
        }
        (self.sequence, self.state) = (sequence, state);
        Ok(outcome)
    }

    fn persisted(&self, payload: &Any) -> Result<Persisted, ModelError> {
        expect_state(self.service)?;
        Ok(unpack(payload)?)
    }

    fn after(&self, events: i64) -> Result<i64, ModelError> {
        self.sequence
            .checked_add(events)
            .ok_or(ModelError::JournalFull)
    }
}

impl EventSourcedOutcome {
    fn reply(message: String) -> EventSourcedOutcome {
        EventSourcedOutcome::of(Action::reply(&Response { message }))
    }

    /// Nothing but what the client gets.
    fn of(action: Action) -> EventSourcedOutcome {
        EventSourcedOutcome {
            events: Vec::new(),
            snapshot: None,
            effects: Vec::new(),
            action,
        }
    }

    /// The message that a function sends for this outcome of a command.
    pub fn into_reply(self, command_id: i64) -> EventSourcedReply {
        EventSourcedReply {
            command_id,
            client_action: Some(self.action.into_client_action(command_id)),
            side_effects: self.effects,
            events: self.events,
            snapshot: self.snapshot,
        }
    }
}

fn request_to(id: String) -> Request {
    Request {
        id,
        actions: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
