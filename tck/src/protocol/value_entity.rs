//! The messages of value entities.

use super::{
    Begin, Change, Command, FromFunction, FromProxy, Key, Protocol, Reply, StateContent, StatePart,
    Stored,
};
use cloudstate_protocol::valueentity as wire;
use prost::Message as _;
use wire::value_entity_action::Action;
use wire::value_entity_stream_in::Message as In;
use wire::value_entity_stream_out::Message as Out;

/// `cloudstate.valueentity.ValueEntity`.
#[derive(Debug)]
pub struct ValueEntityProtocol;

fn stream_in(message: In) -> Vec<u8> {
    let message = Some(message);
    wire::ValueEntityStreamIn { message }.encode_to_vec()
}

impl From<wire::ValueEntityReply> for Reply {
    fn from(reply: wire::ValueEntityReply) -> Reply {
        Reply {
            command_id: reply.command_id,
            action: reply.client_action.and_then(|action| action.action),
            side_effects: reply.side_effects,
            value: reply.state_action.map(|state| match state.action {
                None => Change::Unset,
                Some(Action::Update(update)) => Change::Update(update.value),
                Some(Action::Delete(_)) => Change::Delete,
            }),
            ..Reply::default()
        }
    }
}

impl Protocol for ValueEntityProtocol {
    fn path(&self) -> &'static str {
        "/cloudstate.valueentity.ValueEntity/handle"
    }

    fn noun(&self) -> &'static str {
        "a value entity"
    }

    fn messages(&self) -> (&'static str, &'static str) {
        (
            "cloudstate.valueentity.ValueEntityStreamIn",
            "cloudstate.valueentity.ValueEntityStreamOut",
        )
    }

    fn state_parts(&self) -> &'static [StatePart] {
        &[
            StatePart {
                key: "state",
                content: StateContent::Any,
                path: &["state_action", "update", "value"],
            },
            StatePart {
                key: "delete",
                content: StateContent::Flag,
                path: &["state_action", "delete"],
            },
        ]
    }

    fn replay_keys(&self) -> &'static [&'static str] {
        &["state"]
    }

    fn read_in(&self, bytes: &[u8]) -> FromProxy {
        let message = match wire::ValueEntityStreamIn::decode(bytes) {
            Err(error) => return FromProxy::Garbage(error.to_string()),
            Ok(stream_in) => stream_in.message,
        };
        match message {
            None => FromProxy::Empty,
            Some(In::Init(init)) => FromProxy::Init {
                service: init.service_name,
                entity: init.entity_id,
                state: Begin {
                    present: init.state.is_some(),
                    value: init.state.and_then(|state| state.value),
                    snapshot: None,
                },
            },
            Some(In::Command(command)) => super::read_command(command),
        }
    }

    fn read_out(&self, bytes: &[u8]) -> FromFunction {
        let message = match wire::ValueEntityStreamOut::decode(bytes) {
            Err(error) => return FromFunction::Garbage(error.to_string()),
            Ok(stream_out) => stream_out.message,
        };
        match message {
            None => FromFunction::Empty,
            Some(Out::Failure(failure)) => FromFunction::Failure(failure),
            Some(Out::Reply(reply)) => FromFunction::Reply(reply.into()),
        }
    }

    fn activation(&self, key: &Key, stored: &Stored) -> Vec<Vec<u8>> {
        let value = stored.value.clone();
        let init = wire::ValueEntityInit {
            service_name: key.service.clone(),
            entity_id: key.entity.clone(),
            state: Some(wire::ValueEntityInitState { value }),
        };
        vec![stream_in(In::Init(init))]
    }

    fn command(&self, command: Command) -> Vec<u8> {
        stream_in(In::Command(super::wire_command(command)))
    }

    fn reply(&self, reply: Reply) -> Vec<u8> {
        let action = |change| match change {
            Change::Update(value) => Some(Action::Update(wire::ValueEntityUpdate { value })),
            Change::Delete => Some(Action::Delete(wire::ValueEntityDelete {})),
            Change::Unset => None,
        };
        let message = Some(Out::Reply(wire::ValueEntityReply {
            command_id: reply.command_id,
            client_action: super::wire_action(reply.action),
            side_effects: reply.side_effects,
            state_action: reply.value.map(|change| wire::ValueEntityAction {
                action: action(change),
            }),
        }));
        wire::ValueEntityStreamOut { message }.encode_to_vec()
    }
}
