//! Golden bytes, in both directions: the files of `fixtures/wire/<package>/<message>/`.
//!
//! Each has the bytes of a message, its JSON, and a sentence that says why it is there. The bytes
//! were made by another implementation of protobuf or by hand, and are read and written here
//! through the descriptors, through the generated types, and for an `Any` through the payload
//! conventions.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudstate_protocol::payload::{Json, Primitive, TypeUrl};
use cloudstate_protocol::{action, cloudstate, crdt, descriptors, eventsourced, tck, valueentity};
use prost::{DecodeError, Message, Name};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions, Value};
use prost_types::Any;
use serde::Deserialize;
use serde_json::Value as JsonValue;

/// What prost-reflect can't do in JSON: an `Any` without type URL, whose JSON is `{}`, and negative
/// zero, which it takes for a default.
const NOT_MAPPED: [&str; 5] = [
    "cloudstate.Command/empty-payload",
    "cloudstate.action.ActionResponse/failure-with-effect",
    "google.protobuf.Any/empty",
    "google.protobuf.Any/primitive-double-negative-zero",
    "google.protobuf.Any/primitive-float-negative-zero",
];

/// A golden file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    /// Why the file is there.
    why: String,
    /// The bytes that are read.
    hex: String,
    /// The bytes that are written for the same message, where they are others.
    rewritten: Option<String>,
    /// The numbers of the fields that aren't known, sorted.
    #[serde(default)]
    unknown: Vec<u32>,
    /// Whether the bytes are no message at all.
    #[serde(default)]
    malformed: bool,
    /// The message in the JSON mapping, with the names of the .proto file.
    #[serde(default)]
    json: JsonValue,
}

impl Golden {
    fn read(&self) -> Vec<u8> {
        bytes(&self.hex)
    }

    fn written(&self) -> Vec<u8> {
        bytes(self.rewritten.as_ref().unwrap_or(&self.hex))
    }

    /// Whether the descriptors can read and write the JSON. No descriptor stands for the
    /// application's own JSON types.
    fn is_mapped(&self, case: &str) -> bool {
        let is_json = matches!(
            type_url(&self.json).map(TypeUrl::parse),
            Some(TypeUrl::Json(_))
        );
        !self.malformed && !is_json && !NOT_MAPPED.contains(&case)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex
        .chars()
        .map(|digit| digit.to_digit(16).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

fn type_url(json: &JsonValue) -> Option<&str> {
    json.get("@type").and_then(JsonValue::as_str)
}

/// Calls `check` with every golden file: its message type, its name as `<message>/<case>`, and what
/// it says. A failure shows the name last.
fn for_each(check: impl Fn(&str, &str, &Golden)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire");
    let packages = entries(&root).into_iter().filter(|path| path.is_dir());
    let mut count = 0;
    for message in packages.flat_map(|package| entries(&package)) {
        let name = format!(
            "{}.{}",
            file_name(message.parent().unwrap()),
            file_name(&message)
        );
        for file in entries(&message) {
            let case = format!("{name}/{}", file.file_stem().unwrap().to_str().unwrap());
            println!("{case}");
            let golden = serde_yaml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            check(&name, &case, &golden);
            count += 1;
        }
    }
    assert!(count > 0, "no golden files under {}", root.display());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn descriptor(name: &str) -> MessageDescriptor {
    descriptors::pool()
        .get_message_by_name(name)
        .unwrap_or_else(|| panic!("the folder names no message: {name}"))
}

fn to_json(message: &DynamicMessage) -> JsonValue {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap()
}

fn from_json(name: &str, json: &JsonValue) -> DynamicMessage {
    DynamicMessage::deserialize(descriptor(name), json).unwrap()
}

#[test]
fn every_file_says_why_it_is_there() {
    for_each(|_, _, golden| {
        assert!(golden.why.trim_end().ends_with('.'));
        assert_ne!(golden.malformed, golden.json.is_object());
    });
}

#[test]
fn malformed_bytes_are_refused() {
    for_each(|name, _, golden| {
        let read = golden.read();
        let dynamic = DynamicMessage::decode(descriptor(name), read.as_slice());
        assert_eq!(dynamic.is_err(), golden.malformed);
        assert_eq!(rewrite(name, &read).is_err(), golden.malformed);
    });
}

#[test]
fn bytes_are_read_by_the_descriptors() {
    for_each(|name, case, golden| {
        if !golden.is_mapped(case) {
            return;
        }
        let read = DynamicMessage::decode(descriptor(name), golden.read().as_slice()).unwrap();
        assert_eq!(to_json(&read), golden.json);
        let unknown: Vec<_> = read.unknown_fields().map(|field| field.number()).collect();
        assert_eq!(unknown, golden.unknown);
    });
}

#[test]
fn json_is_written_by_the_descriptors() {
    for_each(|name, case, golden| {
        if golden.is_mapped(case) {
            assert_eq!(
                from_json(name, &golden.json).encode_to_vec(),
                golden.written()
            );
        }
    });
}

#[test]
fn what_is_not_mapped_still_is_not() {
    for_each(|name, case, golden| {
        if NOT_MAPPED.contains(&case) {
            let message = DynamicMessage::deserialize(descriptor(name), &golden.json);
            let mapped = message.is_ok_and(|it| it.encode_to_vec() == golden.written());
            assert!(!mapped, "it works now: take {case} from the list");
        }
    });
}

#[test]
fn unknown_fields_get_through_the_descriptors() {
    for_each(|name, _, golden| {
        if golden.unknown.is_empty() {
            return;
        }
        let read = DynamicMessage::decode(descriptor(name), golden.read().as_slice()).unwrap();
        let again = DynamicMessage::decode(descriptor(name), read.encode_to_vec().as_slice());
        assert_eq!(again.unwrap(), read);
    });
}

#[test]
fn generated_types_read_and_write_the_same() {
    for_each(|name, _, golden| {
        if golden.malformed {
            return;
        }
        // What an `Any` holds passes through as it is.
        let expected = if name == Any::full_name() {
            golden.read()
        } else {
            golden.written()
        };
        assert_eq!(rewrite(name, &golden.read()), Ok(expected));
    });
}

#[test]
fn payloads_follow_their_conventions() {
    for_each(|name, _, golden| {
        if name != Any::full_name() {
            return;
        }
        let read = Any::decode(golden.read().as_slice()).unwrap();
        let written = Any::decode(golden.written().as_slice()).unwrap();
        match TypeUrl::parse(&read.type_url) {
            TypeUrl::Primitive(type_name) => {
                let value = primitive(type_name, &golden.json);
                assert_eq!(Primitive::unpack(&read).as_ref(), Ok(&value));
                assert_eq!(value.pack(), written);
            }
            TypeUrl::Json(type_name) => {
                let text = golden.json["value"].as_str().unwrap().to_owned();
                let value = Json {
                    type_name: type_name.to_owned(),
                    text,
                };
                assert_eq!(Json::unpack(&read).as_ref(), Ok(&value));
                assert_eq!(value.pack(), written);
            }
            TypeUrl::Protobuf(_) | TypeUrl::Other(_) => assert_eq!(read, written),
        }
    });
}

/// The value of an `Any`'s JSON, read by the descriptor of the primitive type.
fn primitive(type_name: &str, json: &JsonValue) -> Primitive {
    let mut json = json.clone();
    json.as_object_mut().unwrap().remove("@type");
    let message = from_json(type_name, &json);
    match message.get_field_by_name("value").unwrap().into_owned() {
        Value::String(value) => Primitive::String(value),
        Value::Bytes(value) => Primitive::Bytes(value.to_vec()),
        Value::I32(value) => Primitive::Int32(value),
        Value::I64(value) => Primitive::Int64(value),
        Value::F32(value) => Primitive::Float(value),
        Value::F64(value) => Primitive::Double(value),
        Value::Bool(value) => Primitive::Bool(value),
        other => panic!("no primitive value: {other:?}"),
    }
}

/// Reads a message as its generated type and writes it again.
fn rewrite(name: &str, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    macro_rules! generated {
        ($($message:ty),* $(,)?) => {
            [$((<$message>::full_name(), rewrite_as::<$message> as Rewrite)),*]
        };
    }
    let types = generated![
        Any,
        cloudstate::ClientAction,
        cloudstate::Command,
        cloudstate::EntityPassivationStrategy,
        cloudstate::EntitySpec,
        cloudstate::Failure,
        cloudstate::Metadata,
        cloudstate::MetadataEntry,
        cloudstate::ProxyInfo,
        cloudstate::SideEffect,
        cloudstate::StreamCancelled,
        cloudstate::TimeoutPassivationStrategy,
        cloudstate::UserFunctionError,
        action::ActionCommand,
        action::ActionResponse,
        crdt::CrdtDelta,
        crdt::CrdtInit,
        crdt::CrdtReply,
        crdt::CrdtStreamIn,
        crdt::CrdtStreamOut,
        crdt::GCounterDelta,
        crdt::LwwRegisterDelta,
        crdt::OrMapDelta,
        crdt::OrSetDelta,
        crdt::PnCounterDelta,
        crdt::VoteDelta,
        eventsourced::EventSourcedReply,
        eventsourced::EventSourcedStreamIn,
        eventsourced::EventSourcedStreamOut,
        valueentity::ValueEntityInit,
        valueentity::ValueEntityReply,
        valueentity::ValueEntityStreamIn,
        tck::model::Persisted,
        tck::model::Request,
        tck::model::action::Request,
        tck::model::crdt::LwwRegisterClock,
        tck::model::crdt::StreamedRequest,
        tck::model::crdt::Update,
        tck::model::eventlogeventing::EmitEventRequest,
        tck::model::valueentity::Request,
    ];
    let (_, rewrite) = types
        .into_iter()
        .find(|(full_name, _)| full_name == name)
        .unwrap_or_else(|| panic!("add {name} to the generated types of this test"));
    rewrite(bytes)
}

type Rewrite = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

fn rewrite_as<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    M::decode(bytes).map(|message| message.encode_to_vec())
}
