//! `Any` as a scenario writes it: by its type.
//!
//! | written | type URL | bytes |
//! |---|---|---|
//! | `{}` | none | none |
//! | `{ Persisted: { value: A } }` | `type.googleapis.com/` and the full name | the message |
//! | `{ string: x }` | `p.cloudstate.io/string` | the value in field 1, a default as no bytes |
//! | `{ "@type": json.cloudstate.io/x, value: "{}" }` | as written | the text in field 1 |
//! | `{ "@type": URL, … }` | as written | the message of that name |
//! | `{ "@type": URL, "@bytes": "0a01" }` | as written | as written |

use super::unknown::hex_bytes;
use super::{Result, error, nothing_written};
use crate::services::descriptor_pool;
use crate::yaml::{Node, Value};
use bytes::Bytes;
use cloudstate_protocol::payload::{PRIMITIVE_PREFIX, Primitive, TypeUrl, protobuf_type_url};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value as Field};
use prost_types::Any;

/// The types of primitive values, with the kind of field that their value is.
const PRIMITIVES: [(&str, Kind); 7] = [
    ("string", Kind::String),
    ("bytes", Kind::Bytes),
    ("int32", Kind::Int32),
    ("int64", Kind::Int64),
    ("float", Kind::Float),
    ("double", Kind::Double),
    ("bool", Kind::Bool),
];

/// An `Any` as it is written.
pub(super) struct WrittenAny {
    pub url: String,
    pub content: Content,
}

/// What is inside.
pub(super) enum Content {
    /// Nothing, and no type.
    Empty,
    /// A value in field 1.
    Primitive(Kind, Node),
    /// A message.
    Message(MessageDescriptor, Node),
    /// Just these.
    Bytes(Vec<u8>),
}

/// Reads an `Any` that is no operator.
pub(super) fn read(node: &Node, package: &str) -> Result<WrittenAny> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => return nothing_written(node.span),
        _ => return not_any(node),
    };
    if node.get("@type").is_some() {
        return by_url(node);
    }
    match entries {
        [] => Ok(WrittenAny {
            url: String::new(),
            content: Content::Empty,
        }),
        [(key, content)] => match primitive(&key.text) {
            Some(kind) => Ok(WrittenAny {
                url: format!("{PRIMITIVE_PREFIX}{}", key.text),
                content: Content::Primitive(kind, content.clone()),
            }),
            None => {
                let descriptor = named(&key.text, package, key.span)?;
                let url = protobuf_type_url(descriptor.full_name());
                Ok(WrittenAny {
                    url,
                    content: Content::Message(descriptor, content.clone()),
                })
            }
        },
        _ => not_any(node),
    }
}

fn not_any<T>(node: &Node) -> Result<T> {
    let help = "for example { Persisted: { value: A } }, { string: x } or { \"@type\": URL, … }";
    error(
        node.span,
        "an Any is written as a map with its type as the only key",
        Some(help.into()),
    )
}

fn by_url(node: &Node) -> Result<WrittenAny> {
    let entries = node.entries().unwrap_or_default();
    let Some(url) = node.get("@type").and_then(Node::as_text) else {
        return not_any(node);
    };
    let rest: Vec<_> = entries
        .iter()
        .filter(|(key, _)| key.text != "@type")
        .cloned()
        .collect();
    let content = match (rest.as_slice(), TypeUrl::parse(url)) {
        ([(key, bytes)], _) if key.text == "@bytes" => match bytes.as_text().and_then(hex_bytes) {
            Some(bytes) => Content::Bytes(bytes),
            None => return error(bytes.span, "bytes are pairs of hexadecimal digits", None),
        },
        ([(key, value)], TypeUrl::Json(_)) if key.text == "value" => {
            Content::Primitive(Kind::String, value.clone())
        }
        ([(key, value)], TypeUrl::Primitive(name)) if key.text == "value" => {
            match primitive(name) {
                Some(kind) => Content::Primitive(kind, value.clone()),
                None => return unreadable(node, url),
            }
        }
        (_, TypeUrl::Json(_) | TypeUrl::Primitive(_)) => return unreadable(node, url),
        _ => {
            let name = url.rsplit('/').next().unwrap_or(url);
            let Some(descriptor) = descriptor_pool().get_message_by_name(name) else {
                return unreadable(node, url);
            };
            Content::Message(descriptor, Node::new(node.span, Value::Map(rest)))
        }
    };
    Ok(WrittenAny {
        url: url.to_owned(),
        content,
    })
}

fn unreadable<T>(node: &Node, url: &str) -> Result<T> {
    let help = "write what is inside as \"@bytes\" in hexadecimal digits, or under value where \
                the type is a primitive one or JSON";
    error(
        node.span,
        format!("the kit can't write what {url:?} stands for"),
        Some(help.into()),
    )
}

/// The message of this name: in the package, else by its full name.
fn named(name: &str, package: &str, span: super::Span) -> Result<MessageDescriptor> {
    let pool = descriptor_pool();
    let short = pool.get_message_by_name(&format!("{package}.{name}"));
    if let Some(found) = short.or_else(|| pool.get_message_by_name(name)) {
        return Ok(found);
    }
    let prefix = format!("{package}.");
    let messages: Vec<MessageDescriptor> = pool.all_messages().collect();
    let near: Vec<&str> = messages
        .iter()
        .filter_map(|message| message.full_name().strip_prefix(&prefix))
        .filter(|short| !short.contains('.'))
        .collect();
    let primitives = PRIMITIVES.iter().map(|(name, _)| *name);
    let help = crate::yaml::source::allowed(name, near.iter().copied().chain(primitives));
    let help = format!("{help}; else a full name");
    error(
        span,
        format!("no message type is called {name}"),
        Some(help),
    )
}

fn primitive(name: &str) -> Option<Kind> {
    PRIMITIVES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| kind.clone())
}

/// A value in field 1; a default is no bytes at all.
pub(super) fn primitive_bytes(value: &Field) -> Vec<u8> {
    let primitive = match value {
        Field::String(text) => Primitive::String(text.clone()),
        Field::Bytes(bytes) => Primitive::Bytes(bytes.to_vec()),
        Field::I32(number) => Primitive::Int32(*number),
        Field::I64(number) => Primitive::Int64(*number),
        Field::F32(number) => Primitive::Float(*number),
        Field::F64(number) => Primitive::Double(*number),
        Field::Bool(truth) => Primitive::Bool(*truth),
        _ => return Vec::new(),
    };
    primitive.pack().value
}

/// What an `Any` that was received holds.
pub(super) enum Held {
    /// A value in field 1: a primitive one, or JSON text.
    Primitive(Kind, Field),
    /// A message.
    Message(DynamicMessage),
    /// What can't be read.
    Bytes,
}

/// Reads the contents of an `Any`. A default may be written out, as older SDKs do.
pub(super) fn held(any: &Any) -> Held {
    let value = match TypeUrl::parse(&any.type_url) {
        TypeUrl::Primitive(name) => {
            primitive(name).and_then(|kind| Some((kind, Primitive::unpack(any).ok()?)))
        }
        TypeUrl::Json(_) => String::decode(any.value.as_slice())
            .ok()
            .map(|t| (Kind::String, Primitive::String(t))),
        _ => return message(any).map_or(Held::Bytes, Held::Message),
    };
    match value {
        Some((kind, value)) => Held::Primitive(kind, field(value)),
        None => Held::Bytes,
    }
}

fn field(value: Primitive) -> Field {
    match value {
        Primitive::String(text) => Field::String(text),
        Primitive::Bytes(bytes) => Field::Bytes(Bytes::from(bytes)),
        Primitive::Int32(number) => Field::I32(number),
        Primitive::Int64(number) => Field::I64(number),
        Primitive::Float(number) => Field::F32(number),
        Primitive::Double(number) => Field::F64(number),
        Primitive::Bool(truth) => Field::Bool(truth),
    }
}

fn message(any: &Any) -> Option<DynamicMessage> {
    let name = any.type_url.rsplit('/').next()?;
    let descriptor = descriptor_pool().get_message_by_name(name)?;
    DynamicMessage::decode(descriptor, any.value.as_slice()).ok()
}

/// By what key an `Any` of this URL is written; `None`: by `@type`.
pub(super) fn short_name<'a>(url: &'a str, package: &str) -> Option<&'a str> {
    match TypeUrl::parse(url) {
        TypeUrl::Protobuf(name) => {
            let short = name
                .strip_prefix(package)
                .and_then(|rest| rest.strip_prefix('.'));
            let plain = |short: &&str| !short.contains('.') && primitive(short).is_none();
            Some(short.filter(plain).unwrap_or(name))
        }
        TypeUrl::Primitive(name) => primitive(name).map(|_| name),
        TypeUrl::Json(_) | TypeUrl::Other(_) => None,
    }
}

/// A message of type `Any` as the struct.
pub(super) fn from_message(message: &DynamicMessage) -> Any {
    let url = message.get_field_by_name("type_url");
    let value = message.get_field_by_name("value");
    Any {
        type_url: url
            .and_then(|url| url.as_str().map(str::to_owned))
            .unwrap_or_default(),
        value: value
            .and_then(|value| value.as_bytes().map(|b| b.to_vec()))
            .unwrap_or_default(),
    }
}

/// The struct as a message of type `Any`.
pub(super) fn to_message(descriptor: &MessageDescriptor, any: Any) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    if !any.type_url.is_empty() {
        message.set_field_by_name("type_url", Field::String(any.type_url));
    }
    if !any.value.is_empty() {
        message.set_field_by_name("value", Field::Bytes(Bytes::from(any.value)));
    }
    message
}
