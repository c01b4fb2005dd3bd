//! The protocol's messages as this proxy reads and writes them.
//!
//! They are the same bytes as those of the generated types. The difference is that whatever only
//! passes through (payloads, events, snapshots, metadata of forwards) stays the bytes that it is:
//! nothing is decoded that nobody looks at, and nothing is copied that can be shared.

pub mod metadata;

use bytes::{BufMut, Bytes};
use cloudstate_protocol::cloudstate::{Failure, Metadata};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{Message, Oneof};

use crate::function::call::Frame;

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

/// `cloudstate.Command`.
pub struct CommandFrame<'a> {
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
    pub metadata: Option<&'a Bytes>,
}

impl CommandFrame<'_> {
    /// The frame of a stream message that has this command in field `tag`.
    pub fn frame(&self, tag: u32) -> Frame {
        // The payload comes last, so that a long one needn't be copied.
        let any = field_len(1, self.type_url.len()) + field_len(2, self.value.len());
        let command = field_len(1, self.entity_id.len())
            + number_len(2, self.id)
            + field_len(3, self.name.len())
            + self
                .metadata
                .map_or(0, |metadata| field_len(6, metadata.len()))
            + field_len(4, any);
        let mut frame = Frame::with_tail(field_len(tag, command), self.value.clone());
        let out = frame.head();
        put_header(tag, command, out);
        put_field(1, self.entity_id.as_bytes(), out);
        put_number(2, self.id, out);
        put_field(3, self.name.as_bytes(), out);
        if let Some(metadata) = self.metadata {
            put_field(6, metadata, out);
        }
        put_header(4, any, out);
        put_field(1, self.type_url, out);
        put_header(2, self.value.len(), out);
        frame.put_tail(self.value);
        frame
    }
}

/// `cloudstate.action.ActionCommand`, the first of a call.
pub struct ActionCommand<'a> {
    /// The full name of the service.
    pub service: &'a str,
    /// The bare name of the method.
    pub name: &'a str,
    /// The request, unless requests follow.
    pub payload: Option<&'a Payload>,
    /// What the client, or a forward, sent along.
    pub metadata: Option<&'a Bytes>,
}

impl ActionCommand<'_> {
    /// The frame of this message.
    pub fn frame(&self) -> Frame {
        let length = field_len(2, self.service.len())
            + field_len(3, self.name.len())
            + self
                .metadata
                .map_or(0, |metadata| field_len(5, metadata.len()))
            + self
                .payload
                .map_or(0, |payload| field_len(4, any_len(payload)));
        let tail = self.payload.map(|payload| payload.value.clone());
        let mut frame = Frame::with_tail(length, tail.unwrap_or_default());
        let out = frame.head();
        put_field(2, self.service.as_bytes(), out);
        put_field(3, self.name.as_bytes(), out);
        if let Some(metadata) = self.metadata {
            put_field(5, metadata, out);
        }
        if let Some(payload) = self.payload {
            put_payload(payload, &mut frame);
        }
        frame
    }
}

/// A further `cloudstate.action.ActionCommand`: a request and nothing else.
pub fn action_request(payload: &Payload) -> Frame {
    let length = field_len(4, any_len(payload));
    let mut frame = Frame::with_tail(length, payload.value.clone());
    put_payload(payload, &mut frame);
    frame
}

fn any_len(payload: &Payload) -> usize {
    field_len(1, payload.type_url.len()) + field_len(2, payload.value.len())
}

/// Writes field 4, which comes last.
fn put_payload(payload: &Payload, frame: &mut Frame) {
    let out = frame.head();
    put_header(4, any_len(payload), out);
    put_field(1, &payload.type_url, out);
    put_header(2, payload.value.len(), out);
    frame.put_tail(&payload.value);
}

#[cfg(test)]
mod tests;
