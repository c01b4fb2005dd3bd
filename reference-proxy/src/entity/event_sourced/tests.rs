//! What is written and read here by hand is what the generated types write and read.

use cloudstate_protocol::cloudstate as generated;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::eventsourced::event_sourced_stream_out::Message as Out;
use cloudstate_protocol::eventsourced::{
    EventSourcedEvent, EventSourcedInit, EventSourcedReply, EventSourcedSnapshot,
    EventSourcedStreamIn, EventSourcedStreamOut,
};
use prost_types::Any;

use super::*;

fn any(value: &[u8]) -> Any {
    Any {
        type_url: "t".to_owned(),
        value: value.to_vec(),
    }
}

fn sent(frame: &Frame) -> In {
    let message = EventSourcedStreamIn::decode(&*frame.message()).unwrap();
    message.message.unwrap()
}

fn received(message: Option<Out>) -> FromFunction<Append> {
    let message = EventSourcedStreamOut { message };
    EventSourced::read(message.encode_to_vec().into()).unwrap()
}

#[test]
fn init_is_read_back_with_and_without_a_snapshot() {
    let expected = |snapshot| EventSourcedInit {
        service_name: "s".to_owned(),
        entity_id: "é".to_owned(),
        snapshot,
    };
    assert_eq!(sent(&init("s", "é", None)), In::Init(expected(None)));
    for length in [0, 10, 100_000] {
        let state = any(&vec![7; length]);
        let snapshot = Snapshot {
            sequence: 500,
            state: state.encode_to_vec().into(),
        };
        let told = EventSourcedSnapshot {
            snapshot_sequence: 500,
            snapshot: Some(state),
        };
        let frame = init("s", "é", Some(&snapshot));
        assert_eq!(sent(&frame), In::Init(expected(Some(told))));
    }
}

#[test]
fn an_empty_snapshot_is_a_snapshot() {
    let snapshot = Snapshot {
        sequence: 1,
        state: Bytes::new(),
    };
    let In::Init(init) = sent(&init("s", "a", Some(&snapshot))) else {
        panic!("no init")
    };
    assert_eq!(init.snapshot.unwrap().snapshot, Some(Any::default()));
}

#[test]
fn an_event_is_read_back_whatever_its_size() {
    for length in [0, 10, 100_000] {
        let payload = any(&vec![7; length]);
        let frame = event(300, &payload.encode_to_vec().into());
        let expected = EventSourcedEvent {
            sequence: 300,
            payload: Some(payload),
        };
        assert_eq!(sent(&frame), In::Event(expected));
    }
}

#[test]
fn a_reply_is_read_as_it_was_written() {
    let events = vec![any(b"1"), Any::default()];
    let reply = EventSourcedReply {
        command_id: 3,
        client_action: Some(generated::ClientAction {
            action: Some(Action::Failure(generated::Failure {
                command_id: 3,
                description: "no".to_owned(),
                restart: true,
            })),
        }),
        side_effects: vec![generated::SideEffect::default()],
        events: events.clone(),
        snapshot: Some(Any::default()),
    };
    let FromFunction::Reply(read) = received(Some(Out::Reply(reply))) else {
        panic!("no reply")
    };
    assert_eq!(read.command_id, 3);
    let stored: Vec<Bytes> = events.iter().map(|e| e.encode_to_vec().into()).collect();
    assert_eq!(read.change.events, stored);
    assert_eq!(read.change.snapshot, Some(Bytes::new()));
    let consequences = read.consequences.unwrap();
    assert_eq!(consequences.effects.len(), 1);
    assert!(matches!(consequences.action, crate::wire::Action::Failure(f) if f.restart));
}

#[test]
fn a_client_action_without_a_member_is_none() {
    for client_action in [None, Some(generated::ClientAction { action: None })] {
        let reply = EventSourcedReply {
            client_action,
            ..EventSourcedReply::default()
        };
        let FromFunction::Reply(read) = received(Some(Out::Reply(reply))) else {
            panic!("no reply")
        };
        assert_eq!(read.consequences, None);
    }
}

#[test]
fn failures_and_nothing_are_told_apart() {
    let failure = generated::Failure {
        description: "why".to_owned(),
        ..generated::Failure::default()
    };
    let read = received(Some(Out::Failure(failure)));
    assert_eq!(read, FromFunction::Failure("why".to_owned()));
    assert_eq!(received(None), FromFunction::Empty);
    assert!(EventSourced::read(Bytes::from_static(b"\xff")).is_err());
}

#[test]
fn only_a_snapshot_without_events_is_remarkable() {
    let append = |events: usize, snapshot: bool| Append {
        events: vec![Bytes::new(); events],
        snapshot: snapshot.then(Bytes::new),
    };
    let remark = append(0, true).remark(4);
    assert_eq!(remark, Some(Remark::SnapshotWithoutEvents(4)));
    for (events, snapshot) in [(0, false), (1, false), (1, true)] {
        assert_eq!(append(events, snapshot).remark(4), None);
    }
    assert!(append(0, false).is_none() && !append(0, true).is_none());
}
