//! The messages of actions: a call for each command, in four kinds.

use super::Key;
use super::{Command, FromFunction, FromProxy, Protocol, Reply, StatePart, Stored};
use cloudstate_protocol::action as wire;
use cloudstate_protocol::cloudstate::client_action::Action;
use prost::Message as _;
use prost_types::Any;
use wire::action_response::Response;

/// `cloudstate.action.ActionProtocol`.
#[derive(Debug)]
pub struct ActionProtocol;

impl From<wire::ActionResponse> for Reply {
    fn from(response: wire::ActionResponse) -> Reply {
        Reply {
            action: response.response.map(|response| match response {
                Response::Failure(failure) => Action::Failure(failure),
                Response::Reply(reply) => Action::Reply(reply),
                Response::Forward(forward) => Action::Forward(forward),
            }),
            side_effects: response.side_effects,
            ..Reply::default()
        }
    }
}

impl Protocol for ActionProtocol {
    fn path(&self) -> &'static str {
        "/cloudstate.action.ActionProtocol/"
    }

    fn noun(&self) -> &'static str {
        "an action"
    }

    fn messages(&self) -> (&'static str, &'static str) {
        (
            "cloudstate.action.ActionCommand",
            "cloudstate.action.ActionResponse",
        )
    }

    fn state_parts(&self) -> &'static [StatePart] {
        &[]
    }

    fn replay_keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn read_in(&self, bytes: &[u8]) -> FromProxy {
        let message = match wire::ActionCommand::decode(bytes) {
            Err(error) => return FromProxy::Garbage(error.to_string()),
            Ok(message) => message,
        };
        let named = !message.service_name.is_empty() || !message.name.is_empty();
        let command = Command {
            service: message.service_name,
            name: message.name,
            payload: message.payload,
            metadata: message.metadata.unwrap_or_default().entries,
            ..Command::default()
        };
        if named {
            FromProxy::Command(command)
        } else {
            FromProxy::Request(command)
        }
    }

    fn read_out(&self, bytes: &[u8]) -> FromFunction {
        match wire::ActionResponse::decode(bytes) {
            Err(error) => FromFunction::Garbage(error.to_string()),
            Ok(response) => FromFunction::Reply(response.into()),
        }
    }

    fn activation(&self, _: &Key, _: &Stored) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn command(&self, command: Command) -> Vec<u8> {
        wire::ActionCommand {
            service_name: command.service,
            name: command.name,
            payload: command.payload,
            metadata: super::wire_metadata(command.metadata),
        }
        .encode_to_vec()
    }

    fn reply(&self, reply: Reply) -> Vec<u8> {
        wire::ActionResponse {
            response: reply.action.map(|action| match action {
                Action::Failure(failure) => Response::Failure(failure),
                Action::Reply(reply) => Response::Reply(reply),
                Action::Forward(forward) => Response::Forward(forward),
            }),
            side_effects: reply.side_effects,
        }
        .encode_to_vec()
    }
}

/// A further request of a stream.
pub fn request(payload: Any) -> Vec<u8> {
    wire::ActionCommand {
        payload: Some(payload),
        ..wire::ActionCommand::default()
    }
    .encode_to_vec()
}
