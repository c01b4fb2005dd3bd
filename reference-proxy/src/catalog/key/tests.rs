use cloudstate_protocol::descriptors::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto,
};
use tonic::Code;

use super::*;

/// A message whose fields are declared in this order, all of them marked as keys.
fn message(fields: &[(&str, i32, Type)], label: Label, option: u32) -> MessageDescriptor {
    let mut marked = Vec::new();
    encode_key(option, WireType::Varint, &mut marked);
    encode_varint(1, &mut marked);
    let field = |(name, number, kind): &(&str, i32, Type)| FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(*number),
        label: Some(label.into()),
        r#type: Some((*kind).into()),
        type_name: match kind {
            Type::Enum => Some(".keys.Colour".to_owned()),
            Type::Message => Some(".keys.M".to_owned()),
            _ => None,
        },
        ..Default::default()
    };
    let value = |(name, number): (&str, i32)| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("keys.proto".to_owned()),
        package: Some("keys".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("M".to_owned()),
            field: fields.iter().map(field).collect(),
            ..Default::default()
        }],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Colour".to_owned()),
            value: [("RED", 0), ("GREEN", 5)].map(value).to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let marked = with_options(file.encode_to_vec(), fields, &marked);
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    pool.decode_file_descriptor_proto(&*marked).unwrap();
    pool.get_message_by_name("keys.M").unwrap()
}

/// The types of prost can't hold the option, so it goes into the encoded file: each field gets
/// `options` appended.
fn with_options(file: Vec<u8>, fields: &[(&str, i32, Type)], options: &[u8]) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "4")]
        messages: Vec<Body>,
        #[prost(bytes = "vec", repeated, tag = "5")]
        enums: Vec<Vec<u8>>,
        #[prost(string, tag = "12")]
        syntax: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Body {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(bytes = "vec", repeated, tag = "2")]
        fields: Vec<Vec<u8>>,
    }
    let mut file = File::decode(&*file).unwrap();
    assert_eq!(file.messages[0].fields.len(), fields.len());
    for field in &mut file.messages[0].fields {
        encode_key(8, WireType::LengthDelimited, field);
        encode_varint(options.len() as u64, field);
        field.extend_from_slice(options);
    }
    file.encode_to_vec()
}

fn marked(fields: &[(&str, i32, Type)]) -> MessageDescriptor {
    message(fields, Label::Optional, 1080)
}

fn id_of(message: &MessageDescriptor, values: &[(&str, Value)]) -> String {
    let mut request = DynamicMessage::new(message.clone());
    for (field, value) in values {
        request.set_field_by_name(field, value.clone());
    }
    let key = Key::of(message).unwrap();
    key.entity_id(&request.encode_to_vec()).unwrap().to_string()
}

#[test]
fn a_text_is_the_id_as_it_is() {
    let message = marked(&[("id", 3, Type::String)]);
    for id in ["a", " a ", "A-b", "é\u{301}", "日本/🙂", "\0"] {
        assert_eq!(id_of(&message, &[("id", Value::String(id.to_owned()))]), id);
    }
}

#[test]
fn every_kind_has_its_text() {
    let cases = [
        (Type::Bool, Value::Bool(true), "true", "false"),
        (Type::Int32, Value::I32(-7), "-7", "0"),
        (
            Type::Int64,
            Value::I64(i64::MIN),
            "-9223372036854775808",
            "0",
        ),
        (Type::Uint32, Value::U32(u32::MAX), "4294967295", "0"),
        (
            Type::Uint64,
            Value::U64(u64::MAX),
            "18446744073709551615",
            "0",
        ),
        (Type::Sint32, Value::I32(i32::MIN), "-2147483648", "0"),
        (
            Type::Sint64,
            Value::I64(i64::MIN),
            "-9223372036854775808",
            "0",
        ),
        (Type::Fixed32, Value::U32(u32::MAX), "4294967295", "0"),
        (
            Type::Fixed64,
            Value::U64(u64::MAX),
            "18446744073709551615",
            "0",
        ),
        (Type::Sfixed32, Value::I32(-7), "-7", "0"),
        (Type::Sfixed64, Value::I64(-7), "-7", "0"),
        (Type::Enum, Value::EnumNumber(5), "GREEN", "RED"),
        (Type::Enum, Value::EnumNumber(-6), "-6", "RED"),
    ];
    for (kind, value, text, absent) in cases {
        let message = marked(&[("id", 1, kind)]);
        assert_eq!(id_of(&message, &[("id", value)]), text, "{kind:?}");
        assert_eq!(id_of(&message, &[]), absent, "{kind:?}");
    }
}

#[test]
fn several_fields_are_joined_in_the_order_of_declaration() {
    let message = marked(&[
        ("tenant", 9, Type::String),
        ("cart", 2, Type::Int64),
        ("part", 5, Type::String),
    ]);
    let values = [
        ("cart", Value::I64(7)),
        ("tenant", Value::String("acme".to_owned())),
    ];
    assert_eq!(id_of(&message, &values), "acme-7-");
}

#[test]
fn the_old_option_marks_a_key_too() {
    let message = message(&[("id", 1, Type::String)], Label::Optional, 50002);
    let id = id_of(&message, &[("id", Value::String("a".to_owned()))]);
    assert_eq!(id, "a");
}

#[test]
fn kinds_without_a_text_are_named() {
    for kind in [Type::Bytes, Type::Float, Type::Double, Type::Message] {
        let error = Key::of(&marked(&[("id", 1, kind)])).unwrap_err();
        assert_eq!(error, UnusableKey::Kind("keys.M.id".to_owned()), "{kind:?}");
    }
    let list = message(&[("id", 1, Type::String)], Label::Repeated, 1080);
    let error = Key::of(&list).unwrap_err();
    assert_eq!(error, UnusableKey::Kind("keys.M.id".to_owned()));
}

#[test]
fn without_a_marked_field_there_is_no_key() {
    let message = message(&[("id", 1, Type::String)], Label::Optional, 1079);
    assert_eq!(Key::of(&message).unwrap_err(), UnusableKey::None);
}

#[test]
fn other_fields_are_skipped_and_the_last_value_counts() {
    let key = Key::of(&marked(&[("id", 1, Type::String)])).unwrap();
    let request = b"\x12\x02zz\x18\x05\x0a\x01a\x21aaaaaaaa\x2daaaa\x0a\x01b\x33\x08\x01\x34";
    assert_eq!(&*key.entity_id(request).unwrap(), "b");
}

#[test]
fn what_is_not_protobuf_is_refused() {
    let key = Key::of(&marked(&[("id", 1, Type::String)])).unwrap();
    let cases: [&[u8]; 9] = [
        b"\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x02\xff\xfe",
        b"\x08\x01",
        b"\x09abc",
        b"\x0b\x0c",
        b"\x12\x05ab",
    ];
    for request in cases {
        let status = key.entity_id(request).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}");
        assert!(status.message().contains("keys.M"), "{}", status.message());
    }
}

#[test]
fn an_empty_id_is_refused_and_the_fields_are_named() {
    let key = Key::of(&marked(&[("id", 1, Type::String)])).unwrap();
    for request in [b"".as_slice(), b"\x0a\x00"] {
        let status = key.entity_id(request).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "the entity key of keys.M is empty; set id"
        );
    }
}

#[test]
fn ids_may_be_long_but_not_endless() {
    let message = marked(&[("id", 1, Type::String)]);
    let id = "x".repeat(LONGEST_ID);
    assert_eq!(id_of(&message, &[("id", Value::String(id.clone()))]), id);
    let mut request = DynamicMessage::new(message.clone());
    request.set_field_by_name("id", Value::String(id + "x"));
    let status = Key::of(&message)
        .unwrap()
        .entity_id(&request.encode_to_vec());
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}
