//! From a request to the id of its entity.
//!
//! The request is only skimmed: the key fields are picked out of its bytes, and nothing is decoded
//! that isn't needed.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Buf;
use cloudstate_protocol::descriptors::entity_key_fields;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use tonic::Status;

/// The longest entity id in bytes; a journal has to be able to use it in a key.
const LONGEST_ID: usize = 16 * 1024;

/// The key of a method's requests.
#[derive(Debug)]
pub struct Key {
    message: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: String,
    text: Text,
}

/// How a field's value is written.
#[derive(Debug)]
enum Text {
    String,
    Bool,
    Signed32,
    Signed64,
    Unsigned32,
    Unsigned64,
    Zigzag32,
    Zigzag64,
    Enum(HashMap<i32, String>),
}

/// Why the requests of a method don't name an entity.
#[derive(Debug, PartialEq, Eq)]
pub enum UnusableKey {
    /// No field is marked.
    None,
    /// A marked field, by its full name, that has no text.
    Kind(String),
}

impl Key {
    /// The key that the options of a message's fields mark.
    pub fn of(message: &MessageDescriptor) -> Result<Self, UnusableKey> {
        let fields = entity_key_fields(message);
        if fields.is_empty() {
            return Err(UnusableKey::None);
        }
        Ok(Self {
            message: message.full_name().to_owned(),
            fields: fields.iter().map(Field::of).collect::<Result<_, _>>()?,
        })
    }

    /// The id of the entity that a request is for, or the answer to a request that names none.
    pub fn entity_id(&self, request: &[u8]) -> Result<Arc<str>, Status> {
        // spec: serving.malformed-request-status
        let id = self.read(request).map_err(|error| {
            let message = &self.message;
            Status::invalid_argument(format!("the request is no well-formed {message}: {error}"))
        })?;
        if id.is_empty() {
            // spec: entity-keys.empty-key-refused
            let fields: Vec<_> = self.fields.iter().map(|field| &*field.name).collect();
            let (message, fields) = (&self.message, fields.join(", "));
            let reason = format!("the entity key of {message} is empty; set {fields}");
            return Err(Status::invalid_argument(reason));
        }
        if id.len() > LONGEST_ID {
            let reason = format!(
                "the entity id has {} bytes, {LONGEST_ID} are allowed",
                id.len()
            );
            return Err(Status::invalid_argument(reason));
        }
        Ok(id.into())
    }

    fn read(&self, request: &[u8]) -> Result<String, Malformed> {
        let values = self.skim(request)?;
        let mut id = String::new();
        // spec: entity-keys.key-fields-in-order
        for (index, (field, value)) in self.fields.iter().zip(values).enumerate() {
            if index > 0 {
                id.push('-');
            }
            field.text.write(value, &mut id)?;
        }
        Ok(id)
    }

    /// The last value of each key field, as fields that occur twice are read everywhere.
    fn skim<'a>(&self, mut request: &'a [u8]) -> Result<Vec<Wire<'a>>, Malformed> {
        let mut values = vec![Wire::Number(0); self.fields.len()];
        while request.has_remaining() {
            let (number, wire_type) = decode_key(&mut request)?;
            match self.fields.iter().position(|field| field.number == number) {
                Some(index) => values[index] = Wire::read(wire_type, &mut request)?,
                None => skip_field(wire_type, number, &mut request, DecodeContext::default())?,
            }
        }
        Ok(values)
    }
}

/// Why a request can't be read.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("{0}")]
    Undecodable(#[from] DecodeError),
    #[error("a key field ends too early")]
    Truncated,
    #[error("a key field has another wire type than its declaration")]
    WireType,
    #[error("a key field isn't UTF-8")]
    NotUtf8,
}

/// A value as it is on the wire. An absent field reads like a zero.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn read(wire_type: WireType, data: &mut &'a [u8]) -> Result<Self, Malformed> {
        Ok(match wire_type {
            WireType::Varint => Self::Number(decode_varint(data)?),
            WireType::SixtyFourBit => {
                Self::Number(data.try_get_u64_le().map_err(|_| Malformed::Truncated)?)
            }
            WireType::ThirtyTwoBit => {
                let value = data.try_get_u32_le().map_err(|_| Malformed::Truncated)?;
                Self::Number(value.into())
            }
            WireType::LengthDelimited => {
                let length = decode_varint(data)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                let (value, rest) = data.split_at_checked(length).ok_or(Malformed::Truncated)?;
                *data = rest;
                Self::Bytes(value)
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Malformed::WireType),
        })
    }
}

impl Field {
    fn of(field: &FieldDescriptor) -> Result<Self, UnusableKey> {
        let unusable = || UnusableKey::Kind(field.full_name().to_owned());
        // spec: entity-keys.unsupported-kind-refused
        if field.is_list() || field.is_map() {
            return Err(unusable());
        }
        Ok(Self {
            number: field.number(),
            name: field.name().to_owned(),
            text: Text::of(&field.kind()).ok_or_else(unusable)?,
        })
    }
}

impl Text {
    fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::String => Self::String,
            Kind::Bool => Self::Bool,
            Kind::Int32 | Kind::Sfixed32 => Self::Signed32,
            Kind::Int64 | Kind::Sfixed64 => Self::Signed64,
            Kind::Uint32 | Kind::Fixed32 => Self::Unsigned32,
            Kind::Uint64 | Kind::Fixed64 => Self::Unsigned64,
            Kind::Sint32 => Self::Zigzag32,
            Kind::Sint64 => Self::Zigzag64,
            Kind::Enum(kind) => Self::Enum(names(kind)),
            Kind::Bytes | Kind::Message(_) | Kind::Float | Kind::Double => return None,
        })
    }

    fn write(&self, value: Wire<'_>, id: &mut String) -> Result<(), Malformed> {
        let number = match (self, value) {
            (Self::String, Wire::Bytes(text)) => {
                id.push_str(std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?);
                return Ok(());
            }
            // Only an absent text is a number, which is zero.
            (Self::String, Wire::Number(0)) => return Ok(()),
            (Self::String, Wire::Number(_)) | (_, Wire::Bytes(_)) => {
                return Err(Malformed::WireType);
            }
            (_, Wire::Number(number)) => number,
        };
        self.write_number(number, id);
        Ok(())
    }

    /// Numbers are cut to their type's width, as everybody who reads protobuf does.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "see above"
    )]
    fn write_number(&self, number: u64, id: &mut String) {
        // spec: entity-keys.non-string-text
        let written = match self {
            Self::Bool => write!(id, "{}", number != 0),
            Self::Signed32 => write!(id, "{}", number as i32),
            Self::Signed64 => write!(id, "{}", number as i64),
            Self::Unsigned32 => write!(id, "{}", number as u32),
            Self::String | Self::Unsigned64 => write!(id, "{number}"),
            Self::Zigzag32 => write!(id, "{}", zigzag(number & u64::from(u32::MAX)) as i32),
            Self::Zigzag64 => write!(id, "{}", zigzag(number)),
            Self::Enum(names) => match names.get(&(number as i32)) {
                Some(name) => write!(id, "{name}"),
                None => write!(id, "{}", number as i32),
            },
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "that is how the encoding is defined"
)]
fn zigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

/// Of several names for one number the first counts.
fn names(kind: &EnumDescriptor) -> HashMap<i32, String> {
    let mut names = HashMap::new();
    for value in kind.values() {
        names
            .entry(value.number())
            .or_insert_with(|| value.name().to_owned());
    }
    names
}

#[cfg(test)]
mod tests;
