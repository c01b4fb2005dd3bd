//! (3) What the TCK actions mean: the oracle.
//!
//! An action has no state, so that each request can be answered by itself. What is answered to one request is an
//! iterator: the model function sends a response before it makes the next.

use super::outcome::{Action, side_effect};
use super::{ModelError, unpack};
use crate::protocol::EntityType;
use crate::protocol::Kind;
use crate::services;
use crate::services::{Part, Service};
use cloudstate_protocol::action::ActionResponse;
use cloudstate_protocol::action::action_response::Response as Member;
use cloudstate_protocol::cloudstate::{SideEffect, client_action};
use cloudstate_protocol::tck::model::action::process_step::Step;
use cloudstate_protocol::tck::model::action::{OtherRequest, ProcessGroup, Request, Response};
use prost_types::Any;

/// A method of a TCK action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    service: &'static Service,
    kind: Kind,
}

/// One response. Without an action there is no reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionOutcome {
    /// Side effects, in order; whatever the client gets.
    pub effects: Vec<SideEffect>,
    /// What the client gets.
    pub action: Option<Action>,
}

impl Method {
    /// The method of this name.
    ///
    /// # Errors
    /// There is no such service, or it has no such method.
    pub fn named(service: &str, method: &str) -> Result<Method, ModelError> {
        let service = Service::named(service, EntityType::Action)
            .ok_or_else(|| ModelError::Service(service.to_owned()))?;
        let methods: Vec<(&'static str, Kind)> = match service.part {
            Part::Model => Kind::ALL.map(|kind| (kind.method(), kind)).to_vec(),
            _ => vec![(service.method(), Kind::Unary)],
        };
        match methods.iter().find(|(name, _)| *name == method) {
            Some((_, kind)) => Ok(Method {
                service,
                kind: *kind,
            }),
            None => Err(ModelError::Command {
                service: service.name,
                method: method.to_owned(),
                known: methods
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// Which of the four calls it is.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The responses that a request asks for, one for each of its groups.
    ///
    /// # Errors
    /// The payload is not a request of this method.
    pub fn outcomes(
        self,
        payload: &Any,
    ) -> Result<impl Iterator<Item = ActionOutcome> + use<>, ModelError> {
        let (groups, reply) = if self.service.is_model() {
            let request: Request = unpack(payload)?;
            (request.groups, None)
        } else {
            let _: OtherRequest = unpack(payload)?;
            (Vec::new(), Some(ActionOutcome::empty_reply()))
        };
        Ok(groups.into_iter().map(ActionOutcome::of).chain(reply))
    }

    /// What a request adds to the one response of a method that doesn't stream responses.
    ///
    /// # Errors
    /// The payload is not a request of this method.
    pub fn combine(self, outcome: &mut ActionOutcome, payload: &Any) -> Result<(), ModelError> {
        self.outcomes(payload)?.for_each(|next| outcome.add(next));
        Ok(())
    }
}

/// What an action answers to one request of a stream, or to its only one: any number of responses where the method
/// streams them, else one.
///
/// # Errors
/// There is no such method, or the payload is not a request of it.
pub fn respond(
    service: &str,
    method: &str,
    payload: &Any,
) -> Result<Vec<ActionOutcome>, ModelError> {
    let method = Method::named(service, method)?;
    if method.kind.streams_out() {
        return Ok(method.outcomes(payload)?.collect());
    }
    let mut outcome = ActionOutcome::default();
    method.combine(&mut outcome, payload)?;
    Ok(vec![outcome])
}

/// What an action answers to all requests of a call together, where the method doesn't stream responses.
///
/// # Errors
/// There is no such method, or a payload is not a request of it.
pub fn answer(service: &str, method: &str, payloads: &[Any]) -> Result<ActionOutcome, ModelError> {
    let method = Method::named(service, method)?;
    let mut outcome = ActionOutcome::default();
    for payload in payloads {
        method.combine(&mut outcome, payload)?;
    }
    Ok(outcome)
}

impl ActionOutcome {
    fn empty_reply() -> ActionOutcome {
        ActionOutcome {
            effects: Vec::new(),
            action: Some(Action::reply(&Response::default())),
        }
    }

    fn of(group: ProcessGroup) -> ActionOutcome {
        let mut outcome = ActionOutcome::default();
        for step in group.steps.into_iter().filter_map(|step| step.step) {
            outcome.carry_out(step);
        }
        outcome
    }

    fn carry_out(&mut self, step: Step) {
        let two = &services::ACTION_TWO;
        let other = |id| OtherRequest { id };
        self.action = Some(match step {
            Step::Reply(reply) => Action::reply(&Response {
                message: reply.message,
            }),
            Step::Forward(to) => Action::forward(two, &other(to.id)),
            Step::Fail(fail) => Action::Failure(fail.message),
            Step::Effect(on) => {
                self.effects
                    .push(side_effect(two, &other(on.id), on.synchronous));
                return;
            }
        });
    }

    /// What comes later decides, and all side effects stay.
    fn add(&mut self, next: ActionOutcome) {
        self.effects.extend(next.effects);
        self.action = next.action.or(self.action.take());
    }

    /// The message that a function sends.
    pub fn into_response(self) -> ActionResponse {
        let member = |action: Action| match action.into_member(0) {
            client_action::Action::Reply(reply) => Member::Reply(reply),
            client_action::Action::Forward(forward) => Member::Forward(forward),
            client_action::Action::Failure(failure) => Member::Failure(failure),
        };
        ActionResponse {
            response: self.action.map(member),
            side_effects: self.effects,
        }
    }
}

#[cfg(test)]
mod tests;
