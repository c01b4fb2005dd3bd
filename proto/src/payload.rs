//! The conventions for `google.protobuf.Any`: how the application's data travels.
//!
//! | what | type URL | bytes |
//! |---|---|---|
//! | protobuf message | `type.googleapis.com/<full name>` | the message |
//! | primitive value | `p.cloudstate.io/<type>` | a message with the value in field 1 |
//! | JSON | `json.cloudstate.io/<type>` | a message with the UTF-8 text in field 1 |
//!
//! One value has one form, because elements of sets and keys of maps are compared by their bytes:
//! what is written is stable, and a default value is written as no bytes at all. What is read may
//! have the default written out, as older SDKs do.

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// What the type URL of a protobuf message starts with; the message's full name follows.
pub const PROTOBUF_PREFIX: &str = "type.googleapis.com/";
/// What the type URL of a primitive value starts with; the name of its protobuf type follows.
pub const PRIMITIVE_PREFIX: &str = "p.cloudstate.io/";
/// What the type URL of a JSON value starts with; a name of the application's choice follows.
pub const JSON_PREFIX: &str = "json.cloudstate.io/";

/// A payload that isn't what its reader takes it for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The type URL names something else.
    #[error("expected a payload of type {expected:?}, got {actual:?}")]
    UnexpectedType {
        /// The type URL, or how it starts.
        expected: String,
        /// The type URL that the payload has.
        actual: String,
    },
    /// The type URL names a primitive type that there isn't.
    #[error(
        "{type_url:?} names no primitive type; \
         the types are string, bytes, int32, int64, float, double and bool"
    )]
    UnknownPrimitive {
        /// The type URL that the payload has.
        type_url: String,
    },
    /// The bytes are not what the type URL says.
    #[error("the bytes of the payload are no {type_url:?}: {source}")]
    Undecodable {
        /// The type URL that the payload has.
        type_url: String,
        /// What is wrong with the bytes.
        source: DecodeError,
    },
}

/// What a type URL stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeUrl<'a> {
    /// A protobuf message, by its full name.
    Protobuf(&'a str),
    /// A primitive value, by the name of its type. There need not be such a type.
    Primitive(&'a str),
    /// JSON, by the name that the application gave its type.
    Json(&'a str),
    /// None of the conventions.
    Other(&'a str),
}

impl<'a> TypeUrl<'a> {
    /// Tells by which convention a type URL is written.
    pub fn parse(url: &'a str) -> Self {
        let after = |prefix| url.strip_prefix(prefix);
        after(PROTOBUF_PREFIX)
            .map(Self::Protobuf)
            .or_else(|| after(PRIMITIVE_PREFIX).map(Self::Primitive))
            .or_else(|| after(JSON_PREFIX).map(Self::Json))
            .unwrap_or(Self::Other(url))
    }
}

/// The type URL of a protobuf message with this full name.
pub fn protobuf_type_url(full_name: &str) -> String {
    format!("{PROTOBUF_PREFIX}{full_name}")
}

/// A protobuf message as payload.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// The protobuf message that a payload holds.
pub fn unpack<M: Message + Name + Default>(payload: &Any) -> Result<M, PayloadError> {
    if payload.type_url != M::type_url() {
        return Err(unexpected(M::type_url(), payload));
    }
    decode(payload)
}

/// A primitive value.
#[derive(Debug, Clone, PartialEq)]
pub enum Primitive {
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A whole number of 32 bits.
    Int32(i32),
    /// A whole number of 64 bits.
    Int64(i64),
    /// A floating point number of 32 bits.
    Float(f32),
    /// A floating point number of 64 bits.
    Double(f64),
    /// True or false.
    Bool(bool),
}

impl Primitive {
    /// The name of the value's type, as it stands in the type URL.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Bool(_) => "bool",
        }
    }

    /// The value as payload. A default value has no bytes.
    pub fn pack(&self) -> Any {
        let value = match self {
            Self::String(value) => value.encode_to_vec(),
            Self::Bytes(value) => value.encode_to_vec(),
            Self::Int32(value) => value.encode_to_vec(),
            Self::Int64(value) => value.encode_to_vec(),
            Self::Float(value) => float_bytes(*value),
            Self::Double(value) => double_bytes(*value),
            Self::Bool(value) => value.encode_to_vec(),
        };
        Any {
            type_url: format!("{PRIMITIVE_PREFIX}{}", self.type_name()),
            value,
        }
    }

    /// The primitive value that a payload holds.
    pub fn unpack(payload: &Any) -> Result<Self, PayloadError> {
        match TypeUrl::parse(&payload.type_url) {
            TypeUrl::Primitive("string") => decode(payload).map(Self::String),
            TypeUrl::Primitive("bytes") => decode(payload).map(Self::Bytes),
            TypeUrl::Primitive("int32") => decode(payload).map(Self::Int32),
            TypeUrl::Primitive("int64") => decode(payload).map(Self::Int64),
            TypeUrl::Primitive("float") => decode(payload).map(Self::Float),
            TypeUrl::Primitive("double") => decode(payload).map(Self::Double),
            TypeUrl::Primitive("bool") => decode(payload).map(Self::Bool),
            TypeUrl::Primitive(_) => Err(PayloadError::UnknownPrimitive {
                type_url: payload.type_url.clone(),
            }),
            _ => Err(unexpected(PRIMITIVE_PREFIX.to_owned(), payload)),
        }
    }
}

/// The default is told by its bits: negative zero is equal to it and yet another value, which
/// prost's own encoding would lose.
fn float_bytes(value: f32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value.to_bits() != 0 {
        prost::encoding::float::encode(1, &value, &mut bytes);
    }
    bytes
}

/// As [`float_bytes`].
fn double_bytes(value: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value.to_bits() != 0 {
        prost::encoding::double::encode(1, &value, &mut bytes);
    }
    bytes
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json {
    /// The name of the value's type, of the application's choice.
    pub type_name: String,
    /// The JSON itself, byte for byte: whether it is well-formed, and in which order its
    /// properties are, is the writer's business.
    pub text: String,
}

impl Json {
    /// The value as payload.
    pub fn pack(&self) -> Any {
        Any {
            type_url: format!("{JSON_PREFIX}{}", self.type_name),
            value: self.text.encode_to_vec(),
        }
    }

    /// The JSON value that a payload holds.
    pub fn unpack(payload: &Any) -> Result<Self, PayloadError> {
        let TypeUrl::Json(type_name) = TypeUrl::parse(&payload.type_url) else {
            return Err(unexpected(JSON_PREFIX.to_owned(), payload));
        };
        Ok(Self {
            type_name: type_name.to_owned(),
            text: decode(payload)?,
        })
    }
}

fn unexpected(expected: String, payload: &Any) -> PayloadError {
    PayloadError::UnexpectedType {
        expected,
        actual: payload.type_url.clone(),
    }
}

/// Prost takes a bare `String`, `i32` and so on for a message with the value in field 1, which is
/// just what the conventions for primitive values and JSON want.
fn decode<M: Message + Default>(payload: &Any) -> Result<M, PayloadError> {
    M::decode(payload.value.as_slice()).map_err(|source| PayloadError::Undecodable {
        type_url: payload.type_url.clone(),
        source,
    })
}

#[cfg(test)]
mod tests;
