//! Fields that the descriptors don't have: `"?99": "0801"` holds bytes, `"?99": 5` a varint.

use super::{Result, error};
use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Span, Value};
use bytes::{Buf, BufMut};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::UnknownField;

/// The number of a field that is written by number.
pub(super) fn number(key: &NodeKey) -> Option<&str> {
    key.text.strip_prefix('?')
}

/// Appends such a field, or each of a list of them.
pub(super) fn encode(bytes: &mut Vec<u8>, key: &NodeKey, value: &Node) -> Result<()> {
    let written: Option<u32> = number(key).and_then(|number| number.parse().ok());
    let Some(number) = written.filter(|number| (1..1 << 29).contains(number)) else {
        let help = "for example \"?99\", from 1 to 536870911".to_owned();
        return error(
            key.span,
            format!("{} is no field number", key.text),
            Some(help),
        );
    };
    match &value.value {
        Value::List(items) => items.iter().try_for_each(|item| one(bytes, number, item)),
        _ => one(bytes, number, value),
    }
}

fn one(bytes: &mut Vec<u8>, number: u32, value: &Node) -> Result<()> {
    let fixed = |name: &str| value.get(name).and_then(Node::as_text).map(str::to_owned);
    if let Value::Number(text) = &value.value
        && let Ok(varint) = text.parse()
    {
        encode_key(number, WireType::Varint, bytes);
        encode_varint(varint, bytes);
    } else if let Some(content) = fixed("fixed32").and_then(|text| text.parse().ok()) {
        encode_key(number, WireType::ThirtyTwoBit, bytes);
        bytes.put_u32_le(content);
    } else if let Some(content) = fixed("fixed64").and_then(|text| text.parse().ok()) {
        encode_key(number, WireType::SixtyFourBit, bytes);
        bytes.put_u64_le(content);
    } else if let Value::Text(text) = &value.value
        && let Some(content) = hex_bytes(text)
    {
        encode_key(number, WireType::LengthDelimited, bytes);
        encode_varint(content.len() as u64, bytes);
        bytes.put_slice(&content);
    } else {
        let help = "hexadecimal digits in quotes, a number for a varint, or { fixed32: 1 }, { fixed64: 1 }";
        return error(
            value.span,
            "this is no unknown field",
            Some(help.to_owned()),
        );
    }
    Ok(())
}

/// How such a field would be written.
pub(super) fn to_node(field: &UnknownField, span: Span) -> Node {
    let mut bytes = Vec::new();
    field.encode(&mut bytes);
    let mut rest = bytes.as_slice();
    let hex = |bytes: &[u8]| Node::text(span, hex(bytes));
    let key = decode_key(&mut rest);
    match key.map(|(_, wire_type)| wire_type) {
        Ok(WireType::Varint) => Node::number(span, decode_varint(&mut rest).unwrap_or_default()),
        Ok(WireType::ThirtyTwoBit) if rest.len() == 4 => {
            Node::map(span, [("fixed32", Node::number(span, rest.get_u32_le()))])
        }
        Ok(WireType::SixtyFourBit) if rest.len() == 8 => {
            Node::map(span, [("fixed64", Node::number(span, rest.get_u64_le()))])
        }
        Ok(WireType::LengthDelimited) => {
            let _ = decode_varint(&mut rest);
            hex(rest)
        }
        _ => hex(rest),
    }
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal digits.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| (pair[0] << 4) | pair[1])
            .collect(),
    )
}
