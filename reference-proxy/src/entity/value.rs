//! Value entities: their state is one value, or none.

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use prost::{DecodeError, Message, Oneof};

use super::{Behaviour, Change, EntityReply, FromFunction, NotActivated};
use crate::command::{Command, Consequences};
use crate::function::call::{Frame, Sender};
use crate::journal::{Claimed, EntityRef, LogError, Position};
use crate::violation::{Remark, Violation};
use crate::wire::{ClientAction, SideEffect, field_len, put_field, put_header};

/// The fields of `ValueEntityStreamIn`.
const INIT: u32 = 1;
const COMMAND: u32 = 2;

/// `cloudstate.valueentity.ValueEntityStreamOut`.
#[derive(Clone, PartialEq, Message)]
struct ValueEntityOut {
    #[prost(oneof = "ValueEntityMember", tags = "1, 2")]
    message: Option<ValueEntityMember>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ValueEntityMember {
    #[prost(message, tag = "1")]
    Reply(ValueEntityReply),
    #[prost(message, tag = "2")]
    Failure(Failure),
}

/// `cloudstate.valueentity.ValueEntityReply`.
#[derive(Clone, PartialEq, Message)]
struct ValueEntityReply {
    #[prost(int64, tag = "1")]
    command_id: i64,
    #[prost(message, optional, tag = "2")]
    client_action: Option<ClientAction>,
    #[prost(message, repeated, tag = "3")]
    side_effects: Vec<SideEffect>,
    #[prost(message, optional, tag = "4")]
    state_action: Option<StateAction>,
}

/// `cloudstate.valueentity.ValueEntityAction`.
#[derive(Clone, PartialEq, Message)]
struct StateAction {
    #[prost(oneof = "ActionMember", tags = "1, 2")]
    action: Option<ActionMember>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ActionMember {
    #[prost(message, tag = "1")]
    Update(Update),
    #[prost(message, tag = "2")]
    Delete(()),
}

/// `cloudstate.valueentity.ValueEntityUpdate`; the value stays encoded.
#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(bytes = "bytes", optional, tag = "1")]
    value: Option<Bytes>,
}

/// How value entities behave.
pub struct ValueEntity;

/// What a reply does to the value.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueChange {
    /// It stays.
    None,
    /// Another takes its place.
    Update(Bytes),
    /// It is removed.
    Delete,
    /// The reply doesn't say what it is to be.
    Unclear(&'static str),
}

impl Behaviour for ValueEntity {
    const HANDLE: &'static str = "/cloudstate.valueentity.ValueEntity/handle";
    /// The version of the value.
    type State = Position;
    type Change = ValueChange;

    async fn activate(
        entity: &EntityRef,
        service_name: &str,
        journal: &Claimed,
        out: &mut Sender,
    ) -> Result<Position, NotActivated> {
        // spec: value-entities.load-failure
        let stored = journal.value(entity).await?;
        out.send(init(service_name, &entity.id, stored.value.as_ref()))
            .await?;
        Ok(stored.version)
    }

    fn command(id: u64, command: &Command) -> Frame {
        command.message(id).frame(COMMAND)
    }

    fn read(message: Bytes) -> Result<FromFunction<ValueChange>, DecodeError> {
        Ok(match ValueEntityOut::decode(message)?.message {
            Some(ValueEntityMember::Reply(reply)) => FromFunction::Reply(reply.into()),
            Some(ValueEntityMember::Failure(failure)) => FromFunction::Failure(failure.description),
            None => FromFunction::Empty,
        })
    }

    async fn persist(
        entity: &EntityRef,
        journal: &Claimed,
        version: &mut Position,
        change: ValueChange,
    ) -> Result<(), LogError> {
        let value = match change {
            // spec: value-entities.no-action-no-change
            ValueChange::None | ValueChange::Unclear(_) => return Ok(()),
            ValueChange::Update(value) => Some(value),
            // spec: value-entities.delete-removes
            ValueChange::Delete => None,
        };
        let is_there = value.is_some();
        let position = journal.put(entity, *version, value).await?;
        *version = if is_there { position } else { Position(0) };
        Ok(())
    }
}

impl From<ValueEntityReply> for EntityReply<ValueChange> {
    fn from(reply: ValueEntityReply) -> Self {
        let action = reply.client_action.and_then(|action| action.action);
        let effects = reply.side_effects;
        Self {
            command_id: reply.command_id,
            consequences: action.map(|action| Consequences { effects, action }),
            change: reply
                .state_action
                .map_or(ValueChange::None, ValueChange::from),
        }
    }
}

impl From<StateAction> for ValueChange {
    fn from(state_action: StateAction) -> Self {
        match state_action.action {
            Some(ActionMember::Update(Update { value: Some(value) })) => Self::Update(value),
            Some(ActionMember::Delete(())) => Self::Delete,
            Some(ActionMember::Update(Update { value: None })) => {
                Self::Unclear("an update without a value (value-entities.update-has-value)")
            }
            None => {
                Self::Unclear("a state_action with no member (value-entities.state-action-set)")
            }
        }
    }
}

impl Change for ValueChange {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    fn remark(&self, _: i64) -> Option<Remark> {
        None
    }

    fn violation(&self, command_id: i64) -> Option<Violation> {
        match self {
            Self::Unclear(what) => Some(Violation::UnclearChange { command_id, what }),
            Self::None | Self::Update(_) | Self::Delete => None,
        }
    }
}

/// A frame with init: whose stream it is, and the value, if there is one.
fn init(service_name: &str, entity_id: &str, value: Option<&Bytes>) -> Frame {
    // spec: value-entities.init-state-present, value-entities.init-value-absent
    let state = value.map_or(0, |value| field_len(1, value.len()));
    let length =
        field_len(1, service_name.len()) + field_len(2, entity_id.len()) + field_len(3, state);
    let tail = value.cloned().unwrap_or_default();
    let mut frame = Frame::with_tail(field_len(INIT, length), tail);
    let out = frame.head();
    put_header(INIT, length, out);
    // spec: commands.init-identifies-entity
    put_field(1, service_name.as_bytes(), out);
    put_field(2, entity_id.as_bytes(), out);
    put_header(3, state, out);
    if let Some(value) = value {
        // spec: value-entities.init-has-stored-value
        put_header(1, value.len(), out);
        frame.put_tail(value);
    }
    frame
}

#[cfg(test)]
mod tests;
