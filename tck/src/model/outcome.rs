//! (3) What the outcomes of all models have in common: what the client gets, and calls of a second service.

use super::pack;
use crate::services::Service;
use cloudstate_protocol::cloudstate::{self as protocol, ClientAction, SideEffect, client_action};
use prost::Name;
use prost_types::Any;

/// What the client gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A message.
    Reply(Any),
    /// What another service answers.
    Forward {
        /// The full name of the other service.
        service: String,
        /// Its method.
        method: String,
        /// The request to it.
        payload: Any,
    },
    /// The command failed, with this description.
    Failure(String),
}

impl Action {
    pub(super) fn reply(response: &impl Name) -> Action {
        Action::Reply(pack(response))
    }

    pub(super) fn forward(to: &Service, request: &impl Name) -> Action {
        Action::Forward {
            service: to.name.to_owned(),
            method: to.method().to_owned(),
            payload: pack(request),
        }
    }

    /// As a member of a message. An action's command has the id 0.
    pub(super) fn into_member(self, command_id: i64) -> client_action::Action {
        match self {
            Action::Reply(payload) => client_action::Action::Reply(protocol::Reply {
                payload: Some(payload),
                metadata: None,
            }),
            Action::Forward {
                service,
                method,
                payload,
            } => client_action::Action::Forward(protocol::Forward {
                service_name: service,
                command_name: method,
                payload: Some(payload),
                metadata: None,
            }),
            Action::Failure(description) => client_action::Action::Failure(protocol::Failure {
                command_id,
                description,
                restart: false,
            }),
        }
    }

    pub(super) fn into_client_action(self, command_id: i64) -> ClientAction {
        ClientAction {
            action: Some(self.into_member(command_id)),
        }
    }
}

pub(super) fn side_effect(on: &Service, request: &impl Name, synchronous: bool) -> SideEffect {
    SideEffect {
        service_name: on.name.to_owned(),
        command_name: on.method().to_owned(),
        payload: Some(pack(request)),
        synchronous,
        metadata: None,
    }
}
