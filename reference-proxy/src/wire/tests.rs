//! What is written and read here by hand is what the generated types write and read.

use cloudstate_protocol::cloudstate as generated;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use http::{HeaderMap, HeaderValue};
use prost_types::Any;

use super::metadata::metadata_of;
use super::*;

fn any(type_url: &str, value: &[u8]) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: value.to_vec(),
    }
}

fn metadata(entries: &[(&str, &str)]) -> generated::Metadata {
    let entry = |(key, value): &(&str, &str)| generated::MetadataEntry {
        key: (*key).to_owned(),
        value: Some(Value::StringValue((*value).to_owned())),
    };
    generated::Metadata {
        entries: entries.iter().map(entry).collect(),
    }
}

fn decoded(command: &CommandFrame<'_>) -> generated::Command {
    use cloudstate_protocol::eventsourced::EventSourcedStreamIn;
    use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
    let sent = EventSourcedStreamIn::decode(&*command.frame(3).message()).unwrap();
    match sent.message {
        Some(In::Command(command)) => command,
        other => panic!("no command: {other:?}"),
    }
}

#[test]
fn a_command_is_read_back_whatever_its_size() {
    for length in [0, 1, 200, 100_000] {
        let value = Bytes::from(vec![7; length]);
        let passed_on = metadata(&[("k", "v"), ("k", "")]);
        let encoded = Bytes::from(passed_on.encode_to_vec());
        let command = CommandFrame {
            entity_id: "é",
            id: 300,
            name: "Process",
            type_url: b"type.googleapis.com/m.Request",
            value: &value,
            metadata: Some(&encoded),
        };
        let expected = generated::Command {
            entity_id: "é".to_owned(),
            id: 300,
            name: "Process".to_owned(),
            payload: Some(any("type.googleapis.com/m.Request", &value)),
            streamed: false,
            metadata: Some(passed_on),
        };
        assert_eq!(decoded(&command), expected, "{length} bytes");
    }
}

fn sent_with(headers: HeaderMap) -> Option<generated::Metadata> {
    let metadata = metadata_of(&headers);
    let command = CommandFrame {
        entity_id: "a",
        id: 1,
        name: "Process",
        type_url: b"",
        value: &Bytes::new(),
        metadata: metadata.as_ref(),
    };
    decoded(&command).metadata
}

#[test]
fn headers_of_the_client_are_passed_on_and_those_of_the_transport_are_not() {
    let mut headers = HeaderMap::new();
    headers.append("te", HeaderValue::from_static("trailers"));
    headers.append("grpc-timeout", HeaderValue::from_static("1S"));
    headers.append("content-type", HeaderValue::from_static("application/grpc"));
    assert_eq!(sent_with(headers.clone()), None);
    headers.append("x-user", HeaderValue::from_static("alice"));
    headers.append("x-user", HeaderValue::from_static("bob"));
    let expected = metadata(&[("x-user", "alice"), ("x-user", "bob")]);
    assert_eq!(sent_with(headers), Some(expected));
}

#[test]
fn a_header_that_is_no_text_is_passed_on_as_bytes() {
    let mut headers = HeaderMap::new();
    headers.append("x-raw", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    let entries = sent_with(headers).unwrap().entries;
    let expected = Some(Value::BytesValue(b"\xff\xfe".to_vec()));
    assert_eq!(entries[0].value, expected);
}

#[test]
fn actions_and_effects_are_read_as_they_were_written() {
    let forward = generated::Forward {
        service_name: "s".to_owned(),
        command_name: "c".to_owned(),
        payload: Some(any("t", b"v")),
        metadata: Some(metadata(&[("k", "v")])),
    };
    let action = generated::ClientAction {
        action: Some(generated::client_action::Action::Forward(forward.clone())),
    };
    let read = ClientAction::decode(&*action.encode_to_vec()).unwrap();
    let Some(Action::Forward(read)) = read.action else {
        panic!("no forward: {read:?}")
    };
    assert_eq!((&*read.service_name, &*read.command_name), ("s", "c"));
    let payload = read.payload.unwrap();
    assert_eq!(
        (&*payload.type_url, &*payload.value),
        (&b"t"[..], &b"v"[..])
    );
    let encoded = metadata(&[("k", "v")]).encode_to_vec();
    assert_eq!(read.metadata.unwrap(), encoded);

    let effect = generated::SideEffect {
        service_name: "s".to_owned(),
        command_name: "c".to_owned(),
        payload: None,
        synchronous: true,
        metadata: Some(metadata(&[])),
    };
    let read = SideEffect::decode(&*effect.encode_to_vec()).unwrap();
    assert!(read.synchronous && read.payload.is_none());
    assert_eq!(read.metadata, Some(Bytes::new()));
}

#[test]
fn payloads_share_the_memory_of_what_was_received() {
    let value = vec![7; 1000];
    let reply = generated::Reply {
        payload: Some(any("t", &value)),
        metadata: None,
    };
    let received = Bytes::from(reply.encode_to_vec());
    let payload = Reply::decode(received.clone()).unwrap().payload.unwrap();
    let range = received.as_ptr_range();
    assert!(range.contains(&payload.value.as_ptr()));
}
