//! Event sourced entities: their state is what their events add up to.

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use prost::{DecodeError, Message, Oneof};

use super::{Behaviour, Change, EntityReply, FromFunction, NotActivated};
use crate::command::{Command, Consequences};
use crate::function::call::{Frame, Sender};
use crate::journal::{Append, Claimed, EntityRef, LogError, Snapshot};
use crate::violation::Remark;
use crate::wire::{
    ClientAction, SideEffect, field_len, number_len, put_field, put_header, put_number,
};

/// The fields of `EventSourcedStreamIn`.
const INIT: u32 = 1;
const EVENT: u32 = 2;
const COMMAND: u32 = 3;

/// `cloudstate.eventsourced.EventSourcedStreamOut`.
#[derive(Clone, PartialEq, Message)]
struct EventSourcedOut {
    #[prost(oneof = "EventSourcedMember", tags = "1, 2")]
    message: Option<EventSourcedMember>,
}

#[derive(Clone, PartialEq, Oneof)]
enum EventSourcedMember {
    #[prost(message, tag = "1")]
    Reply(EventSourcedReply),
    #[prost(message, tag = "2")]
    Failure(Failure),
}

/// `cloudstate.eventsourced.EventSourcedReply`; events and snapshot stay encoded.
#[derive(Clone, PartialEq, Message)]
struct EventSourcedReply {
    #[prost(int64, tag = "1")]
    command_id: i64,
    #[prost(message, optional, tag = "2")]
    client_action: Option<ClientAction>,
    #[prost(message, repeated, tag = "3")]
    side_effects: Vec<SideEffect>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    events: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    snapshot: Option<Bytes>,
}

/// How event sourced entities behave.
pub struct EventSourced;

/// The sequence number of the last event.
type Sequence = u64;

impl Behaviour for EventSourced {
    const HANDLE: &'static str = "/cloudstate.eventsourced.EventSourced/handle";
    type State = Sequence;
    type Change = Append;

    async fn activate(
        entity: &EntityRef,
        service_name: &str,
        journal: &Claimed,
        out: &mut Sender,
    ) -> Result<Sequence, NotActivated> {
        let history = journal.load(entity).await?;
        // spec: commands.init-first, event-sourced.init-for-new-entity
        let snapshot = history.snapshot;
        out.send(init(service_name, &entity.id, snapshot.as_ref()))
            .await?;
        // spec: event-sourced.replay-from-latest-snapshot
        let mut sequence = snapshot.map_or(0, |snapshot| snapshot.sequence);
        let mut chunk = history.events;
        loop {
            // spec: event-sourced.replay-in-order, event-sourced.sequence-without-gaps
            let mut frames = Vec::with_capacity(chunk.events.len());
            for payload in chunk.events {
                sequence += 1;
                frames.push(event(sequence, &payload));
            }
            out.send_all(frames).await?;
            if !chunk.more {
                return Ok(sequence);
            }
            chunk = journal.replay(entity, sequence).await?;
        }
    }

    fn command(id: u64, command: &Command) -> Frame {
        command.message(id).frame(COMMAND)
    }

    fn read(message: Bytes) -> Result<FromFunction<Append>, DecodeError> {
        Ok(match EventSourcedOut::decode(message)?.message {
            Some(EventSourcedMember::Reply(reply)) => FromFunction::Reply(reply.into()),
            Some(EventSourcedMember::Failure(failure)) => {
                FromFunction::Failure(failure.description)
            }
            None => FromFunction::Empty,
        })
    }

    async fn persist(
        entity: &EntityRef,
        journal: &Claimed,
        sequence: &mut Sequence,
        change: Append,
    ) -> Result<(), LogError> {
        // spec: event-sourced.snapshot-without-events-ignored
        if change.events.is_empty() {
            return Ok(());
        }
        let last = *sequence + change.events.len() as u64;
        // spec: event-sourced.events-atomic
        journal.append(entity, *sequence, change).await?;
        *sequence = last;
        Ok(())
    }
}

impl From<EventSourcedReply> for EntityReply<Append> {
    fn from(reply: EventSourcedReply) -> Self {
        let action = reply.client_action.and_then(|action| action.action);
        let effects = reply.side_effects;
        Self {
            command_id: reply.command_id,
            consequences: action.map(|action| Consequences { effects, action }),
            change: Append {
                events: reply.events,
                snapshot: reply.snapshot,
            },
        }
    }
}

impl Change for Append {
    fn is_none(&self) -> bool {
        self.events.is_empty() && self.snapshot.is_none()
    }

    fn remark(&self, command_id: i64) -> Option<Remark> {
        // spec: event-sourced.snapshot-without-events-reported
        (self.events.is_empty() && self.snapshot.is_some())
            .then_some(Remark::SnapshotWithoutEvents(command_id))
    }
}

fn init(service_name: &str, entity_id: &str, snapshot: Option<&Snapshot>) -> Frame {
    let snapshot_len = |s: &Snapshot| number_len(1, s.sequence) + field_len(2, s.state.len());
    let length = field_len(1, service_name.len())
        + field_len(2, entity_id.len())
        + snapshot.map_or(0, |s| field_len(3, snapshot_len(s)));
    let tail = snapshot.map(|s| s.state.clone()).unwrap_or_default();
    let mut frame = Frame::with_tail(field_len(INIT, length), tail);
    let out = frame.head();
    put_header(INIT, length, out);
    // spec: commands.init-identifies-entity
    put_field(1, service_name.as_bytes(), out);
    put_field(2, entity_id.as_bytes(), out);
    if let Some(snapshot) = snapshot {
        // spec: event-sourced.snapshot-sequence
        put_header(3, snapshot_len(snapshot), out);
        put_number(1, snapshot.sequence, out);
        put_header(2, snapshot.state.len(), out);
        frame.put_tail(&snapshot.state);
    }
    frame
}

fn event(sequence: Sequence, payload: &Bytes) -> Frame {
    let length = number_len(1, sequence) + field_len(2, payload.len());
    let mut frame = Frame::with_tail(field_len(EVENT, length), payload.clone());
    let out = frame.head();
    put_header(EVENT, length, out);
    put_number(1, sequence, out);
    // spec: event-sourced.events-unchanged
    put_header(2, payload.len(), out);
    frame.put_tail(payload);
    frame
}

#[cfg(test)]
mod tests;
