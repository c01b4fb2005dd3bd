//! The protocol's messages as this proxy reads and writes them.
//!
//! They are the same bytes as those of the generated types. The difference is that whatever only
//! passes through (payloads, events, snapshots, metadata of forwards) stays the bytes that it is:
//! nothing is decoded that nobody looks at, and nothing is copied that can be shared.

use bytes::{BufMut, Bytes};
use cloudstate_protocol::cloudstate::{Failure, Metadata};
use http::HeaderMap;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{Message, Oneof};

use crate::function::call::Frame;
use crate::router;

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// The type of the value.
    #[prost(bytes = "bytes", tag = "1")]
    pub type_url: Bytes,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `cloudstate.Reply`.
#[derive(Clone, PartialEq, Message)]
pub struct Reply {
    /// The response.
    #[prost(message, optional, tag = "1")]
    pub payload: Option<Payload>,
    /// What becomes its headers.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Metadata>,
}

/// `cloudstate.Forward`.
#[derive(Clone, PartialEq, Message)]
pub struct Forward {
    /// The service of the target.
    #[prost(string, tag = "1")]
    pub service_name: String,
    /// The method of the target.
    #[prost(string, tag = "2")]
    pub command_name: String,
    /// The target's request.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// A `cloudstate.Metadata`.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub metadata: Option<Bytes>,
}

/// `cloudstate.SideEffect`.
#[derive(Clone, PartialEq, Message)]
pub struct SideEffect {
    /// The service of the target.
    #[prost(string, tag = "1")]
    pub service_name: String,
    /// The method of the target.
    #[prost(string, tag = "2")]
    pub command_name: String,
    /// The target's request.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
    /// Whether the caller waits for it.
    #[prost(bool, tag = "4")]
    pub synchronous: bool,
    /// A `cloudstate.Metadata`.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub metadata: Option<Bytes>,
}

/// `cloudstate.ClientAction`.
#[derive(Clone, PartialEq, Message)]
pub struct ClientAction {
    /// Which of them.
    #[prost(oneof = "Action", tags = "1, 2, 3")]
    pub action: Option<Action>,
}

/// What the client gets.
#[derive(Clone, PartialEq, Oneof)]
pub enum Action {
    /// A response.
    #[prost(message, tag = "1")]
    Reply(Reply),
    /// What another method replies.
    #[prost(message, tag = "2")]
    Forward(Forward),
    /// An error.
    #[prost(message, tag = "3")]
    Failure(Failure),
}

/// The length of a field with so many bytes.
pub fn field_len(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

/// The length of a field with a number. Zero is written too.
pub fn number_len(tag: u32, number: u64) -> usize {
    key_len(tag) + encoded_len_varint(number)
}

/// Writes what precedes the bytes of a field.
pub fn put_header(tag: u32, length: usize, out: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Writes a field with bytes, text or an encoded message.
pub fn put_field(tag: u32, value: &[u8], out: &mut impl BufMut) {
    put_header(tag, value.len(), out);
    out.put_slice(value);
}

/// Writes a field with a number.
pub fn put_number(tag: u32, number: u64, out: &mut impl BufMut) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(number, out);
}

/// Metadata that goes with a command.
#[derive(Debug, Clone)]
pub enum CommandMetadata {
    /// The headers of the client's request.
    Headers(HeaderMap),
    /// A `cloudstate.Metadata` from a user function, or none.
    Encoded(Option<Bytes>),
}

/// `cloudstate.Command`.
pub struct Command<'a> {
    /// The id of the entity.
    pub entity_id: &'a str,
    /// The number of the command on its stream.
    pub id: u64,
    /// The bare name of the method.
    pub name: &'a str,
    /// The type of the request.
    pub type_url: &'a [u8],
    /// The request.
    pub value: &'a Bytes,
    /// What the client, or a forward, sent along.
    pub metadata: &'a CommandMetadata,
}

impl<'a> Command<'a> {
    /// A command of the router, as number `id` on its stream.
    pub fn of(id: u64, command: &'a router::Command) -> Self {
        let input = command.method.input.as_bytes();
        Self {
            // spec: commands.command-for-the-streams-entity
            entity_id: &command.entity.id,
            id,
            // spec: commands.bare-method-name
            name: &command.method.name,
            // spec: commands.payload-type
            type_url: command.type_url.as_deref().unwrap_or(input),
            // spec: commands.payload-unchanged
            value: &command.value,
            metadata: &command.metadata,
        }
    }

    /// The frame of a stream message that has this command in field `tag`.
    pub fn frame(&self, tag: u32) -> Frame {
        // The payload comes last, so that a long one needn't be copied.
        let any = field_len(1, self.type_url.len()) + field_len(2, self.value.len());
        let metadata = self.metadata.encoded_len();
        let command = field_len(1, self.entity_id.len())
            + number_len(2, self.id)
            + field_len(3, self.name.len())
            + metadata.map_or(0, |length| field_len(6, length))
            + field_len(4, any);
        let mut frame = Frame::with_tail(field_len(tag, command), self.value.clone());
        let out = frame.head();
        put_header(tag, command, out);
        put_field(1, self.entity_id.as_bytes(), out);
        put_number(2, self.id, out);
        put_field(3, self.name.as_bytes(), out);
        if let Some(length) = metadata {
            put_header(6, length, out);
            self.metadata.put(out);
        }
        put_header(4, any, out);
        put_field(1, self.type_url, out);
        put_header(2, self.value.len(), out);
        frame.put_tail(self.value);
        frame
    }
}

impl CommandMetadata {
    /// The length as `cloudstate.Metadata`, if there is any.
    fn encoded_len(&self) -> Option<usize> {
        match self {
            Self::Headers(headers) => {
                let length = passed_on(headers).map(|e| field_len(1, e.len())).sum();
                (length > 0).then_some(length)
            }
            Self::Encoded(metadata) => metadata.as_ref().map(Bytes::len),
        }
    }

    fn put(&self, out: &mut impl BufMut) {
        match self {
            Self::Headers(headers) => passed_on(headers).for_each(|entry| entry.put(out)),
            Self::Encoded(metadata) => out.put_slice(metadata.as_deref().unwrap_or_default()),
        }
    }
}

/// `cloudstate.MetadataEntry`.
struct Entry<'a> {
    key: &'a str,
    value: &'a [u8],
}

impl Entry<'_> {
    /// The field for text, or that for bytes where the value is none.
    fn value_tag(&self) -> u32 {
        if std::str::from_utf8(self.value).is_ok() {
            2
        } else {
            3
        }
    }

    fn len(&self) -> usize {
        field_len(1, self.key.len()) + field_len(2, self.value.len())
    }

    fn put(&self, out: &mut impl BufMut) {
        put_header(1, self.len(), out);
        put_field(1, self.key.as_bytes(), out);
        put_field(self.value_tag(), self.value, out);
    }
}

/// The headers that are the client's own and not those of the transport.
fn passed_on(headers: &HeaderMap) -> impl Iterator<Item = Entry<'_>> {
    // spec: commands.request-metadata
    headers
        .iter()
        .filter(|(name, _)| !is_transport(name.as_str()))
        .map(|(name, value)| Entry {
            key: name.as_str(),
            value: value.as_bytes(),
        })
}

/// Whether a header belongs to gRPC or HTTP, and not to the application.
pub fn is_transport(name: &str) -> bool {
    const HTTP: [&str; 9] = [
        "te",
        "content-type",
        "content-length",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "host",
    ];
    name.starts_with("grpc-") || HTTP.contains(&name)
}

#[cfg(test)]
mod tests;
