//! A text as a field of one value.

use super::{Result, error};
use crate::yaml::Node;
use crate::yaml::source::allowed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost_reflect::{EnumDescriptor, Kind, Value as Field};

pub(super) fn scalar(node: &Node, kind: &Kind, text: &str) -> Result<Field> {
    Ok(match kind {
        Kind::String => Field::String(text.to_owned()),
        Kind::Bytes => match BASE64.decode(text) {
            Ok(bytes) => Field::Bytes(Bytes::from(bytes)),
            Err(_) => return wrong(node, text, "bytes in base64", None),
        },
        Kind::Bool => match text {
            "true" => Field::Bool(true),
            "false" => Field::Bool(false),
            _ => return wrong(node, text, "true or false", None),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Field::I32(whole(node, text, i32::MIN.into(), i32::MAX.into())?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Field::I64(whole(node, text, i64::MIN.into(), i64::MAX.into())?)
        }
        Kind::Uint32 | Kind::Fixed32 => Field::U32(whole(node, text, 0, u32::MAX.into())?),
        Kind::Uint64 | Kind::Fixed64 => Field::U64(whole(node, text, 0, u64::MAX.into())?),
        Kind::Float => match text.parse() {
            Ok(value) => Field::F32(value),
            Err(_) => return wrong(node, text, "a number", None),
        },
        Kind::Double => match text.parse() {
            Ok(value) => Field::F64(value),
            Err(_) => return wrong(node, text, "a number", None),
        },
        Kind::Enum(descriptor) => Field::EnumNumber(enum_number(node, text, descriptor)?),
        Kind::Message(_) => return error(node.span, "a message is written as a map", None),
    })
}

fn wrong<T>(node: &Node, text: &str, what: &str, help: Option<String>) -> Result<T> {
    error(node.span, format!("{text:?} is not {what}"), help)
}

/// A whole number in a range, by its type.
fn whole<T: TryFrom<i128>>(node: &Node, text: &str, from: i128, to: i128) -> Result<T> {
    let parsed: Option<i128> = text.parse().ok();
    let help = Some(format!("from {from} to {to}"));
    match parsed.map(T::try_from) {
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => error(node.span, format!("{text} doesn't fit here"), help),
        None => wrong(node, text, "a whole number", help),
    }
}

fn enum_number(node: &Node, text: &str, descriptor: &EnumDescriptor) -> Result<i32> {
    let named = descriptor
        .get_value_by_name(text)
        .map(|value| value.number());
    named.or_else(|| text.parse().ok()).map_or_else(
        || {
            let values: Vec<_> = descriptor.values().collect();
            let help = allowed(text, values.iter().map(|value| value.name()));
            error(
                node.span,
                format!("{} has no value {text}", descriptor.name()),
                Some(help),
            )
        },
        Ok,
    )
}
