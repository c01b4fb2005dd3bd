//! Messages for people: as trees, and trees as YAML on one line.

use super::any::{self, Held};
use super::{ANY, Bindings, METADATA, substitute, unknown};
use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Span, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloudstate_protocol::cloudstate::{Metadata, metadata_entry};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value as Field};
use prost_types::Any;

/// The tree that would be written for a message.
pub fn to_node(message: &DynamicMessage, package: &str) -> Node {
    message_node(message, package, Span::default())
}

/// The tree of an `Any`, by its type.
pub fn any_to_node(any: &Any, package: &str, span: Span) -> Node {
    if any.type_url.is_empty() && any.value.is_empty() {
        return Node::map::<String>(span, []);
    }
    let by_url = |rest| {
        let url = ("@type".to_owned(), Node::text(span, escaped(&any.type_url)));
        Node::map(span, std::iter::once(url).chain(rest))
    };
    match (any::held(any), any::short_name(&any.type_url, package)) {
        (Held::Primitive(kind, value), Some(name)) => {
            Node::map(span, [(name, value_node(&value, &kind, package, span))])
        }
        (Held::Message(message), Some(name)) => {
            Node::map(span, [(name, message_node(&message, package, span))])
        }
        (Held::Primitive(kind, value), None) => by_url(vec![(
            "value".to_owned(),
            value_node(&value, &kind, package, span),
        )]),
        (Held::Message(message), None) => {
            let inner = message_node(&message, package, span);
            let entries = inner.entries().unwrap_or_default();
            by_url(
                entries
                    .iter()
                    .map(|(key, value)| (key.text.clone(), value.clone()))
                    .collect(),
            )
        }
        (Held::Bytes, _) => by_url(vec![(
            "@bytes".to_owned(),
            Node::text(span, unknown::hex(&any.value)),
        )]),
    }
}

/// The tree of the message inside an `Any`, without its type.
pub fn payload_to_node(any: &Any, package: &str, span: Span) -> Node {
    match any::held(any) {
        Held::Message(message) => message_node(&message, package, span),
        _ => Node::map::<String>(span, []),
    }
}

fn message_node(message: &DynamicMessage, package: &str, span: Span) -> Node {
    match message.descriptor().full_name() {
        ANY => return any_to_node(&any::from_message(message), package, span),
        METADATA => return metadata_node(message, span),
        _ => {}
    }
    let descriptor = message.descriptor();
    let set = descriptor.fields().filter(|field| message.has_field(field));
    let mut entries: Vec<(String, Node)> = set
        .map(|field| {
            let value = value_node(&message.get_field(&field), &field.kind(), package, span);
            (field.name().to_owned(), value)
        })
        .collect();
    for field in message.unknown_fields() {
        let (key, value) = (
            format!("?{}", field.number()),
            unknown::to_node(field, span),
        );
        match entries.iter_mut().find(|(other, _)| *other == key) {
            Some((
                _,
                Node {
                    value: Value::List(list),
                    ..
                },
            )) => list.push(value),
            Some((_, first)) => *first = Node::list(span, [first.clone(), value]),
            None => entries.push((key, value)),
        }
    }
    Node::map(span, entries)
}

/// Names and values, where that says it all.
fn metadata_node(message: &DynamicMessage, span: Span) -> Node {
    let metadata: Metadata = message.transcode_to().unwrap_or_default();
    let entries = metadata.entries.into_iter().map(|entry| {
        let value = match entry.value {
            Some(metadata_entry::Value::StringValue(text)) => escaped(&text),
            Some(metadata_entry::Value::BytesValue(bytes)) => BASE64.encode(bytes),
            None => String::new(),
        };
        (entry.key, Node::text(span, value))
    });
    Node::map(span, entries)
}

/// The tree of one value; the kind of a list is that of its items, the kind of a map that of its entries.
pub(super) fn value_node(value: &Field, kind: &Kind, package: &str, span: Span) -> Node {
    match value {
        Field::Bool(truth) => Node::new(span, Value::Bool(*truth)),
        Field::String(text) => Node::text(span, escaped(text)),
        Field::Bytes(bytes) => Node::text(span, BASE64.encode(bytes)),
        Field::Message(message) => message_node(message, package, span),
        Field::EnumNumber(number) => {
            let value = kind
                .as_enum()
                .and_then(|descriptor| descriptor.get_value(*number));
            value.map_or(Node::number(span, number), |value| {
                Node::text(span, value.name())
            })
        }
        Field::I32(number) => Node::number(span, number),
        Field::I64(number) => Node::number(span, number),
        Field::U32(number) => Node::number(span, number),
        Field::U64(number) => Node::number(span, number),
        Field::F32(number) => float(span, f64::from(*number), number),
        Field::F64(number) => float(span, *number, number),
        Field::List(list) => Node::list(
            span,
            list.iter()
                .map(|value| value_node(value, kind, package, span)),
        ),
        Field::Map(map) => {
            let kind = kind
                .as_message()
                .map(|entry| entry.map_entry_value_field().kind());
            let kind = kind.unwrap_or(Kind::String);
            let mut entries: Vec<(String, Node)> = map
                .iter()
                .map(|(key, value)| (map_key(key), value_node(value, &kind, package, span)))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Node::map(span, entries)
        }
    }
}

/// The key of a map's entry as it is written.
pub(super) fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(truth) => truth.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

fn float(span: Span, number: f64, text: &dyn std::fmt::Display) -> Node {
    // `inf` and `NaN` are texts to YAML, and to the JSON mapping too.
    if number.is_finite() {
        Node::number(span, text)
    } else {
        Node::text(span, text.to_string())
    }
}

fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// The tree with the values of its names; what isn't bound stays.
pub fn resolved(node: &Node, bindings: &Bindings) -> Node {
    let value = match &node.value {
        Value::Text(text) if node.operator().is_none() => Value::Text(
            substitute(text, bindings).map_or_else(|_| text.clone(), |text| escaped(&text)),
        ),
        Value::List(items) => {
            Value::List(items.iter().map(|item| resolved(item, bindings)).collect())
        }
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), resolved(value, bindings)))
                .collect(),
        ),
        other => other.clone(),
    };
    Node::new(node.span, value)
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

/// Cuts two texts so that the first place where they differ is still seen.
pub(super) fn shorten_both(one: &str, other: &str, limit: usize) -> (String, String) {
    let long = |text: &str| text.chars().count() > limit;
    let equal = one
        .chars()
        .zip(other.chars())
        .take_while(|(a, b)| a == b)
        .count();
    // A little of what is equal says where we are.
    let skip = equal.saturating_sub(limit / 8);
    if skip < limit / 4 || !(long(one) || long(other)) {
        return (shorten(one, limit), shorten(other, limit));
    }
    let cut = |text: &str| {
        let rest: String = text.chars().skip(skip).collect();
        format!("({skip} equal) …{}", shorten(&rest, limit))
    };
    (cut(one), cut(other))
}

/// A tree as YAML on one line.
pub fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => quoted(text),
        Value::List(list) if list.is_empty() => "[]".to_owned(),
        Value::List(list) => format!(
            "[ {} ]",
            list.iter().map(flow).collect::<Vec<_>>().join(", ")
        ),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let entry =
                |(key, value): &(NodeKey, Node)| format!("{}: {}", quoted(&key.text), flow(value));
            format!(
                "{{ {} }}",
                entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// Words that YAML, or a YAML of another version, takes for something else.
const RESERVED: [&str; 11] = [
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
];

/// A text as a YAML scalar: plain where that reads back as the same text.
pub fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./$".contains(c))
        && !RESERVED.contains(&text.to_lowercase().as_str());
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
            // What a YAML file may not hold as it is, and what looks like the end of a line.
            c if c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                ) =>
            {
                result.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => result.push(c),
        }
    }
    result.push('"');
    result
}
