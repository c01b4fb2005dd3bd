//! The messages of event sourced entities.

use super::{
    Begin, Command, FromFunction, FromProxy, Key, Protocol, Reply, StateContent, StatePart, Stored,
};
use cloudstate_protocol::eventsourced as wire;
use prost::Message as _;
use prost_types::Any;
use wire::event_sourced_stream_in::Message as In;
use wire::event_sourced_stream_out::Message as Out;

/// `cloudstate.eventsourced.EventSourced`.
#[derive(Debug)]
pub struct EventSourcedProtocol;

fn stream_in(message: In) -> Vec<u8> {
    let message = Some(message);
    wire::EventSourcedStreamIn { message }.encode_to_vec()
}

impl From<wire::EventSourcedReply> for Reply {
    fn from(reply: wire::EventSourcedReply) -> Reply {
        Reply {
            command_id: reply.command_id,
            action: reply.client_action.and_then(|action| action.action),
            side_effects: reply.side_effects,
            events: reply.events,
            snapshot: reply.snapshot,
            value: None,
        }
    }
}

impl Protocol for EventSourcedProtocol {
    fn path(&self) -> &'static str {
        "/cloudstate.eventsourced.EventSourced/handle"
    }

    fn noun(&self) -> &'static str {
        "an event sourced entity"
    }

    fn messages(&self) -> (&'static str, &'static str) {
        (
            "cloudstate.eventsourced.EventSourcedStreamIn",
            "cloudstate.eventsourced.EventSourcedStreamOut",
        )
    }

    fn state_parts(&self) -> &'static [StatePart] {
        &[
            StatePart {
                key: "events",
                content: StateContent::Anys("cloudstate.eventsourced.EventSourcedReply"),
                path: &["events"],
            },
            StatePart {
                key: "snapshot",
                content: StateContent::Any,
                path: &["snapshot"],
            },
        ]
    }

    fn replay_keys(&self) -> &'static [&'static str] {
        &["snapshot", "events"]
    }

    fn read_in(&self, bytes: &[u8]) -> FromProxy {
        let message = match wire::EventSourcedStreamIn::decode(bytes) {
            Err(error) => return FromProxy::Garbage(error.to_string()),
            Ok(stream_in) => stream_in.message,
        };
        match message {
            None => FromProxy::Empty,
            Some(In::Init(init)) => FromProxy::Init {
                service: init.service_name,
                entity: init.entity_id,
                state: Begin {
                    snapshot: init
                        .snapshot
                        .map(|s| (s.snapshot_sequence, s.snapshot.unwrap_or_default())),
                    ..Begin::default()
                },
            },
            Some(In::Event(event)) => FromProxy::Event {
                sequence: event.sequence,
                payload: event.payload.unwrap_or_default(),
            },
            Some(In::Command(command)) => super::read_command(command),
        }
    }

    fn read_out(&self, bytes: &[u8]) -> FromFunction {
        let message = match wire::EventSourcedStreamOut::decode(bytes) {
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
        let snapshot = |(sequence, snapshot): &(i64, Any)| wire::EventSourcedSnapshot {
            snapshot_sequence: *sequence,
            snapshot: Some(snapshot.clone()),
        };
        let init = In::Init(wire::EventSourcedInit {
            service_name: key.service.clone(),
            entity_id: key.entity.clone(),
            snapshot: stored.snapshot.as_ref().map(snapshot),
        });
        let event = |(sequence, payload): (i64, &Any)| {
            let payload = Some(payload.clone());
            In::Event(wire::EventSourcedEvent { sequence, payload })
        };
        let events = stored.replay().map(event);
        std::iter::once(init).chain(events).map(stream_in).collect()
    }

    fn command(&self, command: Command) -> Vec<u8> {
        stream_in(In::Command(super::wire_command(command)))
    }

    fn reply(&self, reply: Reply) -> Vec<u8> {
        let message = Some(Out::Reply(wire::EventSourcedReply {
            command_id: reply.command_id,
            client_action: super::wire_action(reply.action),
            side_effects: reply.side_effects,
            events: reply.events,
            snapshot: reply.snapshot,
        }));
        wire::EventSourcedStreamOut { message }.encode_to_vec()
    }
}
