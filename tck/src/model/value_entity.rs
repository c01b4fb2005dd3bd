//! (3) What the value entity TCK services mean: the oracle.
//!
//! As [`super::event_sourced`]: pure, and written from the specification of the services alone.

use super::outcome::{Action, side_effect};
use super::{ModelError, expect_method, expect_state, pack, unpack};
use crate::protocol::EntityType;
use crate::services;
use crate::services::Service;
use cloudstate_protocol::cloudstate::SideEffect;
use cloudstate_protocol::tck::model::valueentity::request_action::Action as Wanted;
use cloudstate_protocol::tck::model::valueentity::{Persisted, Request, Response};
use cloudstate_protocol::valueentity::value_entity_action::Action as StateAction;
use cloudstate_protocol::valueentity::{
    ValueEntityAction, ValueEntityDelete, ValueEntityReply, ValueEntityUpdate,
};
use prost_types::Any;

/// One value entity and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueEntity {
    service: &'static Service,
    state: String,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueOutcome {
    /// What becomes of the stored value; `None`: it stays.
    pub change: Option<ValueChange>,
    /// Side effects, in order.
    pub effects: Vec<SideEffect>,
    /// What the client gets.
    pub action: Action,
}

/// A change of the stored value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueChange {
    /// Another value takes its place.
    Update(Any),
    /// It is removed.
    Delete,
}

impl ValueEntity {
    /// A fresh entity of a value entity TCK service, or `None` if there is no service of this name.
    pub fn new(service: &str) -> Option<ValueEntity> {
        let service = Service::named(service, EntityType::Value)?;
        Some(ValueEntity {
            service,
            state: String::new(),
        })
    }

    /// The state; empty if nothing is stored.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The entity begins with a stored value.
    ///
    /// # Errors
    /// The value is not one of this service.
    pub fn restore(&mut self, value: &Any) -> Result<(), ModelError> {
        expect_state(self.service)?;
        let Persisted { value } = unpack(value)?;
        self.state = value;
        Ok(())
    }

    /// The stored value was changed.
    ///
    /// # Errors
    /// The new value is not one of this service.
    pub fn apply(&mut self, change: &ValueChange) -> Result<(), ModelError> {
        match change {
            ValueChange::Update(value) => self.restore(value)?,
            ValueChange::Delete => self.state.clear(),
        }
        Ok(())
    }

    /// One command. The entity changes as the outcome says, so not at all if the command fails.
    ///
    /// # Errors
    /// The service has no such method, or the payload is not a request.
    pub fn handle(&mut self, method: &str, payload: &Any) -> Result<ValueOutcome, ModelError> {
        expect_method(self.service, method)?;
        let request: Request = unpack(payload)?;
        let outcome = if self.service.is_model() {
            self.process(request)
        } else {
            ValueOutcome::of(Action::reply(&Response::default()))
        };
        Ok(outcome)
    }

    fn process(&mut self, request: Request) -> ValueOutcome {
        let mut state = self.state.clone();
        let (mut change, mut effects, mut forward) = (None, Vec::new(), None);
        let wanted = request.actions.into_iter();
        for action in wanted.filter_map(|action| action.action) {
            match action {
                Wanted::Update(update) => {
                    state.clone_from(&update.value);
                    let value = update.value;
                    change = Some(ValueChange::Update(pack(&Persisted { value })));
                }
                Wanted::Delete(_) => {
                    state.clear();
                    change = Some(ValueChange::Delete);
                }
                Wanted::Forward(to) => {
                    forward = Some(Action::forward(
                        &services::VALUE_ENTITY_TWO,
                        &request_to(to.id),
                    ));
                }
                Wanted::Effect(on) => effects.push(side_effect(
                    &services::VALUE_ENTITY_TWO,
                    &request_to(on.id),
                    on.synchronous,
                )),
                Wanted::Fail(fail) => return ValueOutcome::of(Action::Failure(fail.message)),
            }
        }
        self.state.clone_from(&state);
        ValueOutcome {
            change,
            effects,
            action: forward.unwrap_or_else(|| Action::reply(&Response { message: state })),
        }
    }
}

impl ValueOutcome {
    /// Nothing but what the client gets.
    fn of(action: Action) -> ValueOutcome {
        ValueOutcome {
            change: None,
            effects: Vec::new(),
            action,
        }
    }

    /// The message that a function sends for this outcome of a command.
    pub fn into_reply(self, command_id: i64) -> ValueEntityReply {
        ValueEntityReply {
            command_id,
            client_action: Some(self.action.into_client_action(command_id)),
            side_effects: self.effects,
            state_action: self.change.map(ValueChange::into_state_action),
        }
    }
}

impl ValueChange {
    fn into_state_action(self) -> ValueEntityAction {
        let action = match self {
            ValueChange::Update(value) => {
                StateAction::Update(ValueEntityUpdate { value: Some(value) })
            }
            ValueChange::Delete => StateAction::Delete(ValueEntityDelete {}),
        };
        ValueEntityAction {
            action: Some(action),
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
