//! Laws of the payload conventions, and what a reader is told about a payload that breaks them.

use proptest::prelude::*;

use super::*;
use crate::tck::model::{Persisted, Response};

fn primitives() -> impl Strategy<Value = Primitive> {
    prop_oneof![
        any::<String>().prop_map(Primitive::String),
        any::<Vec<u8>>().prop_map(Primitive::Bytes),
        any::<i32>().prop_map(Primitive::Int32),
        any::<i64>().prop_map(Primitive::Int64),
        any::<u32>().prop_map(|bits| Primitive::Float(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Primitive::Double(f64::from_bits(bits))),
        any::<bool>().prop_map(Primitive::Bool),
    ]
}

/// Equality that tells negative zero from zero, and finds a NaN equal to itself.
fn same(left: &Primitive, right: &Primitive) -> bool {
    match (left, right) {
        (Primitive::Float(left), Primitive::Float(right)) => left.to_bits() == right.to_bits(),
        (Primitive::Double(left), Primitive::Double(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}

/// A field 1 that is written whatever it holds, in front of bytes that need not be there.
fn any_of(type_name: &str, value: &[u8]) -> Any {
    Any {
        type_url: format!("{PRIMITIVE_PREFIX}{type_name}"),
        value: value.to_vec(),
    }
}

proptest! {
    #[test]
    fn a_primitive_survives_the_round_trip(value in primitives()) {
        let read = Primitive::unpack(&value.pack());
        prop_assert!(read.as_ref().is_ok_and(|read| same(read, &value)), "{value:?}: {read:?}");
    }

    #[test]
    fn a_primitive_that_is_read_is_written_the_same(value in primitives()) {
        let written = value.pack();
        let read = Primitive::unpack(&written);
        prop_assert_eq!(read.map(|read| read.pack()), Ok(written));
    }

    #[test]
    fn different_primitives_have_different_payloads(left in primitives(), right in primitives()) {
        prop_assert_eq!(same(&left, &right), left.pack() == right.pack());
    }

    #[test]
    fn fields_that_nobody_knows_are_skipped(value in primitives(), more in any::<u32>()) {
        let mut written = value.pack();
        prost::encoding::uint32::encode(2, &more, &mut written.value);
        let read = Primitive::unpack(&written);
        prop_assert!(read.as_ref().is_ok_and(|read| same(read, &value)), "{value:?}: {read:?}");
    }

    #[test]
    fn json_survives_the_round_trip(type_name in ".*", text in ".*") {
        let value = Json { type_name, text };
        prop_assert_eq!(Json::unpack(&value.pack()), Ok(value));
    }

    #[test]
    fn a_message_survives_the_round_trip(value in ".*") {
        let message = Persisted { value };
        prop_assert_eq!(unpack(&pack(&message)), Ok(message));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(name in "(string|bytes|int32|int64|float|double|bool)",
                                    value in any::<Vec<u8>>()) {
        let _ = Primitive::unpack(&any_of(&name, &value));
    }

    #[test]
    fn every_type_url_is_one_convention_or_none(url in ".*") {
        let (prefix, name) = match TypeUrl::parse(&url) {
            TypeUrl::Protobuf(name) => (PROTOBUF_PREFIX, name),
            TypeUrl::Primitive(name) => (PRIMITIVE_PREFIX, name),
            TypeUrl::Json(name) => (JSON_PREFIX, name),
            TypeUrl::Other(name) => ("", name),
        };
        prop_assert_eq!(format!("{}{}", prefix, name), url);
    }
}

#[test]
fn a_default_has_no_bytes_and_is_read_when_written_out() {
    let defaults: [(Primitive, &[u8]); 7] = [
        (Primitive::String(String::new()), &[0x0a, 0]),
        (Primitive::Bytes(Vec::new()), &[0x0a, 0]),
        (Primitive::Int32(0), &[0x08, 0]),
        (Primitive::Int64(0), &[0x08, 0]),
        (Primitive::Float(0.0), &[0x0d, 0, 0, 0, 0]),
        (Primitive::Double(0.0), &[0x09, 0, 0, 0, 0, 0, 0, 0, 0]),
        (Primitive::Bool(false), &[0x08, 0]),
    ];
    for (value, written_out) in defaults {
        assert!(value.pack().value.is_empty(), "{value:?}");
        let explicit = any_of(value.type_name(), written_out);
        assert_eq!(Primitive::unpack(&explicit), Ok(value));
    }
}

#[test]
fn negative_zero_is_not_the_default() {
    assert_eq!(Primitive::Float(-0.0).pack().value, [0x0d, 0, 0, 0, 0x80]);
    assert_eq!(
        Primitive::Double(-0.0).pack().value,
        [0x09, 0, 0, 0, 0, 0, 0, 0, 0x80]
    );
}

#[test]
fn type_urls_are_those_of_the_table() {
    assert_eq!(
        pack(&Persisted::default()).type_url,
        "type.googleapis.com/cloudstate.tck.model.Persisted"
    );
    assert_eq!(
        pack(&Persisted::default()).type_url,
        protobuf_type_url("cloudstate.tck.model.Persisted")
    );
    assert_eq!(Primitive::Int64(1).pack().type_url, "p.cloudstate.io/int64");
    let json = Json {
        type_name: "JsonEvent".to_owned(),
        text: "{}".to_owned(),
    };
    assert_eq!(json.pack().type_url, "json.cloudstate.io/JsonEvent");
}

#[test]
fn errors_name_both_types() {
    let error = unpack::<Response>(&pack(&Persisted::default())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a payload of type \"type.googleapis.com/cloudstate.tck.model.Response\", \
         got \"type.googleapis.com/cloudstate.tck.model.Persisted\""
    );
    let error = Primitive::unpack(&pack(&Persisted::default())).unwrap_err();
    assert!(
        matches!(error, PayloadError::UnexpectedType { expected, .. } if expected == PRIMITIVE_PREFIX)
    );
    let error = Json::unpack(&Primitive::Bool(true).pack()).unwrap_err();
    assert!(
        matches!(error, PayloadError::UnexpectedType { expected, .. } if expected == JSON_PREFIX)
    );
}

#[test]
fn an_unknown_primitive_is_an_error() {
    let error = Primitive::unpack(&any_of("uint32", &[])).unwrap_err();
    assert_eq!(
        error,
        PayloadError::UnknownPrimitive {
            type_url: "p.cloudstate.io/uint32".to_owned()
        }
    );
}

#[test]
fn bytes_of_another_type_are_an_error() {
    let error = Primitive::unpack(&any_of("string", &[0x08, 7])).unwrap_err();
    assert!(
        matches!(error, PayloadError::Undecodable { type_url, .. } if type_url == "p.cloudstate.io/string")
    );
    let not_utf8 = any_of("string", &[0x0a, 1, 0xff]);
    assert!(matches!(
        Primitive::unpack(&not_utf8),
        Err(PayloadError::Undecodable { .. })
    ));
}
