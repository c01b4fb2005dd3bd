//! Messages written as trees: to send ([`build`]), to compare with what came ([`compare`]), and the reverse for
//! people ([`to_node`], [`summary`]).
//!
//! The world is closed: what isn't written must not be there, metadata apart. An `Any` is written by its type,
//! `{ Persisted: { value: A } }` or `{ string: x }`. `"?99": "0801"` is a field that the descriptors don't have.

use super::node::Key;
use super::{Node, Span, Value};
use crate::judge::Mismatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, Bytes};
use prost::Message as _;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Field,
};
use prost_types::Any;
use std::collections::BTreeMap;
use std::fmt;

/// Values of `$names`, without the dollar.
pub type Bindings = BTreeMap<String, String>;

/// What names in a message mean.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The package in which short type names are looked up.
    pub package: &'a str,
    /// What `$names` stand for.
    pub bindings: &'a Bindings,
}

/// A tree that is no message of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    /// The culprit.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What would have been allowed.
    pub help: Option<String>,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for MessageError {}

type Result<T> = std::result::Result<T, MessageError>;

fn error<T>(span: Span, message: impl Into<String>, help: Option<String>) -> Result<T> {
    Err(MessageError { span, message: message.into(), help })
}

const ANY: &str = "google.protobuf.Any";
const METADATA: &str = "cloudstate.Metadata";
const PROTOBUF: &str = "type.googleapis.com/";
const PRIMITIVE: &str = "p.cloudstate.io/";
const PRIMITIVES: [&str; 7] = ["string", "bytes", "int32", "int64", "float", "double", "bool"];

/// Replaces `$name` by its value, and `$$` by a dollar.
///
/// # Errors
/// A name that nothing binds.
pub fn substitute(text: &str, bindings: &Bindings) -> std::result::Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = &rest[..end];
        match bindings.get(name) {
            Some(value) => result.push_str(value),
            None => return Err(name.to_owned()),
        }
        rest = &rest[end..];
    }
    result.push_str(rest);
    Ok(result)
}

fn text_of(node: &Node, text: &str, scope: &Scope<'_>) -> Result<String> {
    substitute(text, scope.bindings).or_else(|name| {
        let known: Vec<String> = scope.bindings.keys().map(|key| format!("${key}")).collect();
        error(node.span, format!("nothing binds ${name}"), Some(format!("known: {}", known.join(", "))))
    })
}

/// The items of a list, `$repeat` written out.
pub fn items(node: &Node) -> Vec<Node> {
    let repeat = |node: &Node| match node.operator() {
        Some(("$repeat", Some(repeat))) => {
            let times = repeat.get("times").and_then(Node::as_text).and_then(|t| t.parse().ok());
            let item = repeat.get("item").cloned().unwrap_or_else(|| Node::new(node.span, Value::Null));
            Some(vec![item; times.unwrap_or(0)])
        }
        _ => None,
    };
    if let Some(all) = repeat(node) {
        return all;
    }
    match &node.value {
        Value::List(list) => {
            list.iter().flat_map(|item| repeat(item).unwrap_or_else(|| vec![item.clone()])).collect()
        }
        // The long form of a replay: sequence number and event.
        Value::Map(entries) => entries.iter().map(|(_, event)| event.clone()).collect(),
        _ => Vec::new(),
    }
}

// === Building ===

/// The message that a tree stands for. Of several alternatives the first is taken.
///
/// # Errors
/// The first thing in the tree that doesn't fit the type.
pub fn build(node: &Node, descriptor: &MessageDescriptor, scope: &Scope<'_>) -> Result<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let entries = match (&node.value, node.operator()) {
        (_, Some(("$either", Some(options)))) => {
            return match options.items().and_then(<[Node]>::first) {
                Some(first) => build(first, descriptor, scope),
                None => error(node.span, "$either needs a list of alternatives", None),
            };
        }
        (_, Some(("$any", _))) | (Value::Null, _) => return Ok(message),
        (Value::Map(entries), _) => entries,
        _ => {
            let help = Some(format!("a map with fields of {}", descriptor.full_name()));
            return error(node.span, "a message is written as a map", help);
        }
    };
    let mut unknown = Vec::new();
    for (key, value) in entries {
        if let Some(number) = key.text.strip_prefix('?') {
            unknown_field(&mut unknown, key, number, value)?;
            continue;
        }
        let field = field(descriptor, key)?;
        if let Some(oneof) = field.containing_oneof()
            && let Some(other) = oneof.fields().find(|other| *other != field && message.has_field(other))
        {
            let text = format!("{} and {} can't both be set", other.name(), field.name());
            return error(key.span, text, Some(format!("they are alternatives of {}", oneof.name())));
        }
        if matches!(value.operator(), Some(("$absent", _))) {
            continue;
        }
        let value = field_value(value, &field, scope)?;
        message.set_field(&field, value);
    }
    if unknown.is_empty() {
        return Ok(message);
    }
    let mut bytes = message.encode_to_vec();
    bytes.extend(unknown);
    DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).map_err(|e| MessageError {
        span: node.span,
        message: e.to_string(),
        help: None,
    })
}

fn unknown_field(bytes: &mut Vec<u8>, key: &Key, number: &str, value: &Node) -> Result<()> {
    let parsed: Option<u32> = number.parse().ok().filter(|n| *n > 0);
    let content = value.as_text().and_then(hex_bytes);
    let (Some(number), Some(content)) = (parsed, content) else {
        return error(key.span, "an unknown field is written as `\"?99\": hex digits`", None);
    };
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, bytes);
    prost::encoding::encode_varint(content.len() as u64, bytes);
    bytes.put_slice(&content);
    Ok(())
}

/// Bytes from hexadecimal digits.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

fn field(descriptor: &MessageDescriptor, key: &Key) -> Result<FieldDescriptor> {
    let found = descriptor
        .get_field_by_name(&key.text)
        .or_else(|| descriptor.get_field_by_json_name(&key.text));
    if let Some(field) = found {
        return Ok(field);
    }
    let names: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    let closest = names
        .iter()
        .min_by_key(|name| strsim::damerau_levenshtein(name, &key.text))
        .filter(|name| strsim::damerau_levenshtein(name, &key.text) <= 2)
        .map(|name| format!("did you mean {name}? "))
        .unwrap_or_default();
    let help = format!("{closest}{} has: {}", descriptor.full_name(), names.join(", "));
    error(key.span, format!("no field {}", key.text), Some(help))
}

fn field_value(node: &Node, field: &FieldDescriptor, scope: &Scope<'_>) -> Result<Field> {
    if !field.is_list() {
        return value(node, &field.kind(), scope);
    }
    if matches!(node.operator(), Some(("$any", _))) {
        return Ok(Field::List(Vec::new()));
    }
    let listed = matches!(node.value, Value::List(_)) || matches!(node.operator(), Some(("$repeat", _)));
    if !listed {
        let text = format!("{} is repeated: write a list", field.name());
        return error(node.span, text, None);
    }
    let all = items(node);
    // Ten thousand equal items are built once.
    let mut last: Option<(&Node, Field)> = None;
    let mut built = Vec::with_capacity(all.len());
    for item in &all {
        let same = last.as_ref().filter(|(node, _)| *node == item).map(|(_, value)| value.clone());
        let value = match same {
            Some(value) => value,
            None => value(item, &field.kind(), scope)?,
        };
        last = Some((item, value.clone()));
        built.push(value);
    }
    Ok(Field::List(built))
}

fn value(node: &Node, kind: &Kind, scope: &Scope<'_>) -> Result<Field> {
    if let Kind::Message(message) = kind {
        return Ok(Field::Message(match message.full_name() {
            ANY => any_message(message, &build_any(node, scope)?),
            METADATA => build(&metadata_entries(node), message, scope)?,
            _ => build(node, message, scope)?,
        }));
    }
    match node.operator() {
        Some(("$either", Some(options))) => {
            return match options.items().and_then(<[Node]>::first) {
                Some(first) => value(first, kind, scope),
                None => error(node.span, "$either needs a list of alternatives", None),
            };
        }
        Some(("$contains", Some(part))) => return value(part, kind, scope),
        Some(("$any", _)) => return value(&sample(node.span, kind), kind, scope),
        Some(("$repeat", _)) => {
            let parts = items(node);
            let one = parts.first().map(|part| scalar_text(part, scope)).transpose()?.unwrap_or_default();
            return Ok(Field::String(one.repeat(parts.len())));
        }
        _ => {}
    }
    scalar(node, kind, &scalar_text(node, scope)?)
}

fn sample(span: Span, kind: &Kind) -> Node {
    match kind {
        Kind::String => Node::text(span, "any"),
        Kind::Bytes => Node::text(span, "YW55"),
        Kind::Bool => Node::new(span, Value::Bool(true)),
        _ => Node::number(span, 1),
    }
}

fn scalar_text(node: &Node, scope: &Scope<'_>) -> Result<String> {
    match node.as_text() {
        Some(text) => text_of(node, text, scope),
        None => error(node.span, "a single value is expected here", None),
    }
}

fn scalar(node: &Node, kind: &Kind, text: &str) -> Result<Field> {
    let number = |what: &str| -> Result<Field> {
        error(node.span, format!("{text:?} is not {what}"), None)
    };
    Ok(match kind {
        Kind::String => Field::String(text.to_owned()),
        Kind::Bytes => match BASE64.decode(text) {
            Ok(bytes) => Field::Bytes(Bytes::from(bytes)),
            Err(_) => return number("base64"),
        },
        Kind::Bool => match text {
            "true" => Field::Bool(true),
            "false" => Field::Bool(false),
            _ => return number("true or false"),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => match text.parse() {
            Ok(value) => Field::I32(value),
            Err(_) => return number("a 32-bit integer"),
        },
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => match text.parse() {
            Ok(value) => Field::I64(value),
            Err(_) => return number("a 64-bit integer"),
        },
        Kind::Uint32 | Kind::Fixed32 => match text.parse() {
            Ok(value) => Field::U32(value),
            Err(_) => return number("a 32-bit integer without a sign"),
        },
        Kind::Uint64 | Kind::Fixed64 => match text.parse() {
            Ok(value) => Field::U64(value),
            Err(_) => return number("a 64-bit integer without a sign"),
        },
        Kind::Float => match text.parse() {
            Ok(value) => Field::F32(value),
            Err(_) => return number("a number"),
        },
        Kind::Double => match text.parse() {
            Ok(value) => Field::F64(value),
            Err(_) => return number("a number"),
        },
        Kind::Enum(descriptor) => match descriptor.get_value_by_name(text) {
            Some(value) => Field::EnumNumber(value.number()),
            None => {
                let names: Vec<String> = descriptor.values().map(|v| v.name().to_owned()).collect();
                let help = Some(format!("one of {}", names.join(", ")));
                return error(node.span, format!("{} has no value {text}", descriptor.name()), help);
            }
        },
        Kind::Message(_) => return error(node.span, "a message is written as a map", None),
    })
}

/// `{ name: value }` as the entries of `cloudstate.Metadata`.
fn metadata_entries(node: &Node) -> Node {
    let entries = node.entries().unwrap_or_default();
    if entries.iter().any(|(key, _)| key.text == "entries") {
        return node.clone();
    }
    let entries = entries.iter().map(|(key, value)| {
        let name = Node::text(key.span, &key.text);
        Node::map(key.span, [("key", name), ("string_value", value.clone())])
    });
    Node::map(node.span, [("entries", Node::list(node.span, entries))])
}

/// An `Any`, written by its type: `{ Persisted: { value: A } }`, `{ string: x }`, `{ "@type": url, … }`.
///
/// # Errors
/// The type isn't known, or the message doesn't fit it.
pub fn build_any(node: &Node, scope: &Scope<'_>) -> Result<Any> {
    match &node.value {
        Value::Null => return Ok(Any::default()),
        Value::Map(entries) if entries.is_empty() => return Ok(Any::default()),
        _ => {}
    }
    if let Some(("$either", Some(options))) = node.operator() {
        let first = options.items().and_then(<[Node]>::first);
        return first.map_or_else(|| Ok(Any::default()), |first| build_any(first, scope));
    }
    if matches!(node.operator(), Some(("$any", _))) {
        return Ok(Any::default());
    }
    let (type_url, name, content) = written_any(node, scope)?;
    let value = match primitive(&name) {
        Some(kind) if type_url.starts_with(PRIMITIVE) => primitive_bytes(&value(&content, &kind, scope)?),
        _ => {
            let descriptor = message_named(&name, &content, scope)?;
            build(&content, &descriptor, scope)?.encode_to_vec()
        }
    };
    Ok(Any { type_url, value })
}

/// Type URL, type name, and the tree of the message.
fn written_any(node: &Node, scope: &Scope<'_>) -> Result<(String, String, Node)> {
    let entries = node.entries().unwrap_or_default();
    if let Some(url) = node.get("@type").and_then(Node::as_text) {
        let rest = entries.iter().filter(|(key, _)| key.text != "@type").cloned().collect();
        let name = url.rsplit('/').next().unwrap_or(url).to_owned();
        let content = match node.get("value") {
            Some(value) if url.starts_with(PRIMITIVE) => value.clone(),
            _ => Node::new(node.span, Value::Map(rest)),
        };
        return Ok((url.to_owned(), name, content));
    }
    let [(key, content)] = entries else {
        let help = "for example { Persisted: { value: A } } or { string: x }".to_owned();
        return error(node.span, "an Any is written as a map with its type as the only key", Some(help));
    };
    if PRIMITIVES.contains(&key.text.as_str()) {
        return Ok((format!("{PRIMITIVE}{}", key.text), key.text.clone(), content.clone()));
    }
    let descriptor = message_named(&key.text, node, scope)?;
    let name = descriptor.full_name().to_owned();
    Ok((format!("{PROTOBUF}{name}"), name, content.clone()))
}

fn message_named(name: &str, node: &Node, scope: &Scope<'_>) -> Result<MessageDescriptor> {
    let pool = crate::model::spec::descriptor_pool();
    let short = format!("{}.{name}", scope.package);
    pool.get_message_by_name(&short).or_else(|| pool.get_message_by_name(name)).map_or_else(
        || {
            let prefix = format!("{}.", scope.package);
            let near: Vec<String> = pool
                .all_messages()
                .filter_map(|m| m.full_name().strip_prefix(&prefix).map(str::to_owned))
                .filter(|m| !m.contains('.'))
                .collect();
            let help = format!("in {}: {}; else a full name", scope.package, near.join(", "));
            error(node.span, format!("no message type {name}"), Some(help))
        },
        Ok,
    )
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bool" => Kind::Bool,
        _ => return None,
    })
}

/// A scalar in field 1; a default value is no bytes at all.
fn primitive_bytes(value: &Field) -> Vec<u8> {
    match value {
        Field::String(text) => text.encode_to_vec(),
        Field::Bytes(bytes) => bytes.encode_to_vec(),
        Field::I32(number) => number.encode_to_vec(),
        Field::I64(number) => number.encode_to_vec(),
        Field::F32(number) => number.encode_to_vec(),
        Field::F64(number) => number.encode_to_vec(),
        Field::Bool(truth) => truth.encode_to_vec(),
        _ => Vec::new(),
    }
}

fn read_primitive(kind: &Kind, bytes: &[u8]) -> Option<Field> {
    Some(match kind {
        Kind::String => Field::String(String::decode(bytes).ok()?),
        Kind::Bytes => Field::Bytes(Bytes::decode(bytes).ok()?),
        Kind::Int32 => Field::I32(i32::decode(bytes).ok()?),
        Kind::Int64 => Field::I64(i64::decode(bytes).ok()?),
        Kind::Float => Field::F32(f32::decode(bytes).ok()?),
        Kind::Double => Field::F64(f64::decode(bytes).ok()?),
        Kind::Bool => Field::Bool(bool::decode(bytes).ok()?),
        _ => return None,
    })
}

fn any_message(descriptor: &MessageDescriptor, any: &Any) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("type_url", Field::String(any.type_url.clone()));
    message.set_field_by_name("value", Field::Bytes(Bytes::from(any.value.clone())));
    message
}

fn as_any(message: &DynamicMessage) -> Any {
    let url = message.get_field_by_name("type_url").and_then(|v| v.as_str().map(str::to_owned));
    let value = message.get_field_by_name("value").and_then(|v| v.as_bytes().map(|b| b.to_vec()));
    Any { type_url: url.unwrap_or_default(), value: value.unwrap_or_default() }
}

// === Comparing ===

/// Where a message differs from what is written; empty: nowhere.
pub fn compare(
    node: &Node,
    descriptor: &MessageDescriptor,
    actual: &DynamicMessage,
    scope: &Scope<'_>,
) -> Vec<Mismatch> {
    let mut found = Vec::new();
    Comparison { scope, found: &mut found }.message("", node, descriptor, actual);
    found
}

/// What a text should have been; `None`: it is.
pub fn compare_text(node: &Node, actual: &str, scope: &Scope<'_>) -> Option<String> {
    let mut found = Vec::new();
    let actual = Field::String(actual.to_owned());
    Comparison { scope, found: &mut found }.value("", node, &Kind::String, &actual);
    found.pop().map(|mismatch| mismatch.expected)
}

struct Comparison<'a> {
    scope: &'a Scope<'a>,
    found: &'a mut Vec<Mismatch>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Comparison<'_> {
    fn differs(&mut self, path: &str, expected: impl Into<String>, received: impl Into<String>) {
        let (expected, received) = (shorten(&expected.into(), 400), shorten(&received.into(), 400));
        self.found.push(Mismatch { path: path.to_owned(), expected, received });
    }

    /// The alternative that fits; if none does, what is wrong with the first.
    fn either(&mut self, options: &Node, mut compare: impl FnMut(&mut Comparison<'_>, &Node)) {
        let mut first = None;
        for option in options.items().unwrap_or_default() {
            let mut found = Vec::new();
            compare(&mut Comparison { scope: self.scope, found: &mut found }, option);
            if found.is_empty() {
                return;
            }
            first.get_or_insert(found);
        }
        self.found.extend(first.unwrap_or_default());
    }

    fn message(
        &mut self,
        path: &str,
        node: &Node,
        descriptor: &MessageDescriptor,
        actual: &DynamicMessage,
    ) {
        match node.operator() {
            Some(("$any", _)) => return,
            Some(("$either", Some(options))) => {
                return self.either(options, |c, option| c.message(path, option, descriptor, actual));
            }
            _ => {}
        }
        if descriptor.full_name() == ANY {
            return self.any(path, node, &as_any(actual));
        }
        if descriptor.full_name() == METADATA {
            return self.metadata(path, node, actual);
        }
        for field in descriptor.fields() {
            let expected = node.get(field.name()).or_else(|| node.get(field.json_name()));
            self.field(&join(path, field.name()), expected, &field, actual);
        }
        for unknown in actual.unknown_fields() {
            let written = node.get(&format!("?{}", unknown.number()));
            if written.is_none() {
                let path = join(path, &format!("?{}", unknown.number()));
                self.differs(&path, "no such field in the protocol", "an unknown field");
            }
        }
    }

    fn field(&mut self, path: &str, expected: Option<&Node>, field: &FieldDescriptor, actual: &DynamicMessage) {
        let has = actual.has_field(field);
        let show = |value: &Field| flow(&value_node(value, &field.kind(), self.scope.package, Span::default()));
        let shown = || match actual.get_field(field).as_ref() {
            Field::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
            value => show(value),
        };
        let Some(expected) = expected else {
            let metadata = matches!(field.kind(), Kind::Message(m) if m.full_name() == METADATA);
            if has && !metadata {
                let shown = shown();
                self.differs(path, "nothing", shown);
            }
            return;
        };
        if matches!(expected.operator(), Some(("$absent", _))) {
            if has {
                let shown = shown();
                self.differs(path, "nothing", shown);
            }
            return;
        }
        let optional = matches!(expected.operator(), Some(("$either", _)));
        let presence = field.supports_presence() && !optional;
        if presence && !has && field.cardinality() != Cardinality::Repeated {
            return self.differs(path, flow(expected), "nothing");
        }
        let value = actual.get_field(field);
        match value.as_ref() {
            Field::List(list) => self.list(path, expected, &field.kind(), list),
            value => self.value(path, expected, &field.kind(), value),
        }
    }

    fn list(&mut self, path: &str, node: &Node, kind: &Kind, actual: &[Field]) {
        match node.operator() {
            Some(("$any", _)) => return,
            Some(("$contains", Some(item))) => {
                let fits = |value: &Field| {
                    let mut found = Vec::new();
                    Comparison { scope: self.scope, found: &mut found }.value(path, item, kind, value);
                    found.is_empty()
                };
                if !actual.iter().any(fits) {
                    self.differs(path, format!("an item {}", flow(item)), format!("{} others", actual.len()));
                }
                return;
            }
            _ => {}
        }
        let expected = items(node);
        for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            self.value(&format!("{path}[{index}]"), expected, kind, actual);
            if self.found.len() > 20 {
                return;
            }
        }
        for (index, missing) in expected.iter().enumerate().skip(actual.len()).take(5) {
            self.differs(&format!("{path}[{index}]"), flow(missing), "nothing");
        }
        for (index, extra) in actual.iter().enumerate().skip(expected.len()).take(5) {
            let shown = flow(&value_node(extra, kind, self.scope.package, Span::default()));
            self.differs(&format!("{path}[{index}]"), "nothing", shown);
        }
    }

    fn value(&mut self, path: &str, node: &Node, kind: &Kind, actual: &Field) {
        if let (Kind::Message(descriptor), Field::Message(actual)) = (kind, actual) {
            return self.message(path, node, descriptor, actual);
        }
        match node.operator() {
            Some(("$any", _)) => return,
            Some(("$either", Some(options))) => {
                return self.either(options, |c, option| c.value(path, option, kind, actual));
            }
            Some(("$contains", Some(part))) => {
                let wanted = scalar_text(part, self.scope).unwrap_or_default();
                let text = actual.as_str().unwrap_or_default().to_owned();
                if !text.contains(&wanted) {
                    self.differs(path, format!("a text that contains {wanted:?}"), format!("{text:?}"));
                }
                return;
            }
            _ => {}
        }
        match value(node, kind, self.scope) {
            Ok(expected) if expected == *actual => {}
            Ok(expected) => {
                let show = |v: &Field| flow(&value_node(v, kind, self.scope.package, node.span));
                self.differs(path, show(&expected), show(actual));
            }
            Err(error) => self.differs(path, error.to_string(), "?"),
        }
    }

    fn any(&mut self, path: &str, node: &Node, actual: &Any) {
        let show = |any: &Any| flow(&any_to_node(any, self.scope.package, node.span));
        let expected = match build_any(node, self.scope) {
            Ok(expected) => expected,
            Err(error) => return self.differs(path, error.to_string(), show(actual)),
        };
        if expected.type_url != actual.type_url {
            return self.differs(path, show(&expected), show(actual));
        }
        let Ok((_, name, content)) = written_any(node, self.scope) else {
            if expected != *actual {
                self.differs(path, show(&expected), show(actual));
            }
            return;
        };
        if let (Some(kind), true) = (primitive(&name), actual.type_url.starts_with(PRIMITIVE)) {
            return match read_primitive(&kind, &actual.value) {
                Some(value) => self.value(path, &content, &kind, &value),
                None => self.differs(path, show(&expected), "bytes that can't be decoded"),
            };
        }
        let descriptor = crate::model::spec::descriptor_pool().get_message_by_name(&name);
        match descriptor.map(|d| DynamicMessage::decode(d, actual.value.as_slice())) {
            Some(Ok(message)) => self.message(path, &content, &message.descriptor(), &message),
            _ => self.differs(path, show(&expected), "bytes that can't be decoded"),
        }
    }

    /// A subset, names without case.
    fn metadata(&mut self, path: &str, node: &Node, actual: &DynamicMessage) {
        use cloudstate_protocol::cloudstate::{Metadata, metadata_entry};
        let actual: Metadata = actual.transcode_to().unwrap_or_default();
        for (key, expected) in node.entries().unwrap_or_default() {
            let values: Vec<String> = actual
                .entries
                .iter()
                .filter(|entry| entry.key.eq_ignore_ascii_case(&key.text))
                .filter_map(|entry| match &entry.value {
                    Some(metadata_entry::Value::StringValue(text)) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            let fits = |text: &String| compare_text(expected, text, self.scope).is_none();
            if !values.iter().any(fits) {
                let received = if values.is_empty() { "nothing".to_owned() } else { values.join(", ") };
                self.differs(&join(path, &key.text), flow(expected), received);
            }
        }
    }
}

// === Showing ===

/// The tree that would be written for a message.
pub fn to_node(message: &DynamicMessage, package: &str) -> Node {
    message_node(message, package, Span::default())
}

/// The tree of an `Any`, by its type.
pub fn any_to_node(any: &Any, package: &str, span: Span) -> Node {
    if any.type_url.is_empty() && any.value.is_empty() {
        return Node::map::<String>(span, []);
    }
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let short = name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
    if any.type_url.starts_with(PRIMITIVE)
        && let Some(value) = primitive(name).and_then(|kind| read_primitive(&kind, &any.value))
    {
        let kind = primitive(name).unwrap_or(Kind::String);
        return Node::map(span, [(name, value_node(&value, &kind, package, span))]);
    }
    match decoded(any) {
        Some(message) => Node::map(span, [(short, message_node(&message, package, span))]),
        None => {
            let url = Node::text(span, &any.type_url);
            let value = Node::text(span, BASE64.encode(&any.value));
            Node::map(span, [("@type", url), ("value", value)])
        }
    }
}

/// The tree of the message inside an `Any`, without its type.
pub fn payload_to_node(any: &Any, package: &str, span: Span) -> Node {
    match decoded(any) {
        Some(message) => message_node(&message, package, span),
        None => Node::map::<String>(span, []),
    }
}

fn decoded(any: &Any) -> Option<DynamicMessage> {
    let name = any.type_url.strip_prefix(PROTOBUF)?;
    let descriptor = crate::model::spec::descriptor_pool().get_message_by_name(name)?;
    DynamicMessage::decode(descriptor, any.value.as_slice()).ok()
}

fn message_node(message: &DynamicMessage, package: &str, span: Span) -> Node {
    match message.descriptor().full_name() {
        ANY => return any_to_node(&as_any(message), package, span),
        METADATA => return metadata_node(message, package, span),
        _ => {}
    }
    let mut entries: Vec<(String, Node)> = message
        .descriptor()
        .fields()
        .filter(|field| message.has_field(field))
        .map(|field| {
            let node = match message.get_field(&field).as_ref() {
                Field::List(list) => {
                    let items = list.iter().map(|v| value_node(v, &field.kind(), package, span));
                    Node::list(span, items)
                }
                value => value_node(value, &field.kind(), package, span),
            };
            (field.name().to_owned(), node)
        })
        .collect();
    for unknown in message.unknown_fields() {
        entries.push((format!("?{}", unknown.number()), Node::text(span, "…")));
    }
    Node::map(span, entries)
}

fn metadata_node(message: &DynamicMessage, package: &str, span: Span) -> Node {
    use cloudstate_protocol::cloudstate::{Metadata, metadata_entry};
    let _ = package;
    let metadata: Metadata = message.transcode_to().unwrap_or_default();
    let entries = metadata.entries.into_iter().map(|entry| {
        let value = match entry.value {
            Some(metadata_entry::Value::StringValue(text)) => Node::text(span, text),
            Some(metadata_entry::Value::BytesValue(bytes)) => Node::text(span, BASE64.encode(bytes)),
            None => Node::new(span, Value::Null),
        };
        (entry.key, value)
    });
    Node::map(span, entries.collect::<Vec<_>>())
}

fn value_node(value: &Field, kind: &Kind, package: &str, span: Span) -> Node {
    match value {
        Field::Bool(truth) => Node::new(span, Value::Bool(*truth)),
        Field::String(text) => Node::text(span, text.replace('$', "$$")),
        Field::Bytes(bytes) => Node::text(span, BASE64.encode(bytes)),
        Field::Message(message) => message_node(message, package, span),
        Field::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => match descriptor.get_value(*number) {
                Some(value) => Node::text(span, value.name()),
                None => Node::number(span, number),
            },
            _ => Node::number(span, number),
        },
        Field::I32(number) => Node::number(span, number),
        Field::I64(number) => Node::number(span, number),
        Field::U32(number) => Node::number(span, number),
        Field::U64(number) => Node::number(span, number),
        Field::F32(number) => Node::number(span, number),
        Field::F64(number) => Node::number(span, number),
        Field::List(list) => {
            Node::list(span, list.iter().map(|value| value_node(value, kind, package, span)))
        }
        Field::Map(_) => Node::text(span, "a map"),
    }
}

/// One line, as a scenario would write it, cut in the middle if it is longer than `limit` characters.
pub fn summary(message: &DynamicMessage, package: &str, limit: usize) -> String {
    shorten(&flow(&to_node(message, package)), limit)
}

/// Cuts a text in the middle.
pub fn shorten(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let keep = limit.saturating_sub(20) / 2;
    let head: String = text.chars().take(keep).collect();
    let tail: String = text.chars().skip(count - keep).collect();
    format!("{head}… ({} more) …{tail}", count - 2 * keep)
}

/// A tree as YAML on one line.
pub fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => quoted(text),
        Value::List(list) if list.is_empty() => "[]".to_owned(),
        Value::List(list) => format!("[ {} ]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let entry = |(key, value): &(Key, Node)| format!("{}: {}", quoted(&key.text), flow(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text as a YAML scalar: plain where that reads back as the same text.
pub fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./$".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
            .contains(&text.to_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\t' => result.push_str("\\t"),
            '\r' => result.push_str("\\r"),
            c if c.is_control() => result.push_str(&format!("\\u{:04x}", c as u32)),
            c => result.push(c),
        }
    }
    result.push('"');
    result
}
