//! From a tree to a message, or to everything that is wrong with the tree.
//!
//! One walk serves both: whoever sends takes the message, whoever checks takes the errors. Of several
//! alternatives all are looked at, and the first is sent.

use super::any::{self, Content};
use super::scalar::scalar;
use super::{
    ANY, METADATA, MOST, MessageError, Result, Scope, alternatives, error, is, nothing_written,
    repeated, text_of, unknown,
};
use crate::yaml::node::{NodeKey, OPERATORS};
use crate::yaml::source::allowed;
use crate::yaml::{Node, Span, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field,
};
use prost_types::Any;
use std::collections::HashMap;

/// The message that a tree stands for. Of several alternatives the first is taken.
///
/// # Errors
/// The first thing in the tree that doesn't fit the type.
pub fn build(
    node: &Node,
    descriptor: &MessageDescriptor,
    scope: &Scope<'_>,
) -> Result<DynamicMessage> {
    first_error(scope, |builder| builder.message(node, descriptor))
}

/// An `Any`, written by its type: `{ Persisted: { value: A } }`, `{ string: x }`, `{ "@type": url, … }`.
///
/// # Errors
/// The type isn't known, or the message doesn't fit it.
pub fn build_any(node: &Node, scope: &Scope<'_>) -> Result<Any> {
    first_error(scope, |builder| builder.any(node))
}

/// Everything in a tree that doesn't fit the type, in the order of the source.
pub fn verify(node: &Node, descriptor: &MessageDescriptor, scope: &Scope<'_>) -> Vec<MessageError> {
    all_errors(scope, |builder| drop(builder.message(node, descriptor)))
}

/// Everything that is wrong with an `Any`.
pub fn verify_any(node: &Node, scope: &Scope<'_>) -> Vec<MessageError> {
    all_errors(scope, |builder| drop(builder.any(node)))
}

/// Everything that is wrong with a text or a pattern of one.
pub fn verify_text(node: &Node, scope: &Scope<'_>) -> Vec<MessageError> {
    all_errors(scope, |builder| drop(builder.value(node, &Kind::String)))
}

/// A tree as a value of this kind, for comparisons.
pub(super) fn build_value(node: &Node, kind: &Kind, scope: &Scope<'_>) -> Result<Field> {
    let mut builder = Builder {
        scope,
        errors: Vec::new(),
    };
    let value = builder.value(node, kind);
    match (builder.errors.into_iter().next(), value) {
        (Some(error), _) => Err(error),
        (None, Some(value)) => Ok(value),
        (None, None) => nothing_written(node.span),
    }
}

fn first_error<T>(scope: &Scope<'_>, build: impl FnOnce(&mut Builder<'_>) -> T) -> Result<T> {
    let mut builder = Builder {
        scope,
        errors: Vec::new(),
    };
    let built = build(&mut builder);
    builder.errors.into_iter().next().map_or(Ok(built), Err)
}

fn all_errors(scope: &Scope<'_>, build: impl FnOnce(&mut Builder<'_>)) -> Vec<MessageError> {
    let mut builder = Builder {
        scope,
        errors: Vec::new(),
    };
    build(&mut builder);
    builder.errors
}

/// Goes on after an error, with whatever could be built.
struct Builder<'a> {
    scope: &'a Scope<'a>,
    errors: Vec<MessageError>,
}

impl Builder<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.errors.push(MessageError {
            span,
            message: message.into(),
            help,
        });
    }

    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// The first alternative, all of them checked; outer `None`: there are none to choose from.
    fn either<T>(
        &mut self,
        node: &Node,
        mut build: impl FnMut(&mut Self, &Node) -> T,
    ) -> Option<T> {
        let Some(options) = alternatives(node) else {
            if is(node, "$either") {
                self.error(node.span, "$either needs a list of alternatives", None);
            }
            return None;
        };
        let mut built = options
            .iter()
            .map(|option| build(self, option))
            .collect::<Vec<_>>();
        Some(built.swap_remove(0))
    }

    fn message(&mut self, node: &Node, descriptor: &MessageDescriptor) -> DynamicMessage {
        if descriptor.full_name() == ANY {
            return any::to_message(descriptor, self.any(node));
        }
        if is(node, "$either") {
            let built = self.either(node, |builder, option| builder.message(option, descriptor));
            return built.unwrap_or_else(|| DynamicMessage::new(descriptor.clone()));
        }
        if is(node, "$any") {
            return DynamicMessage::new(descriptor.clone());
        }
        if descriptor.full_name() == METADATA && node.get("entries").is_none() {
            return self.fields(&metadata_entries(node), descriptor);
        }
        self.fields(node, descriptor)
    }

    fn fields(&mut self, node: &Node, descriptor: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let Value::Map(entries) = &node.value else {
            let problem = match node.value {
                Value::Null => nothing_written(node.span),
                _ => {
                    let help = Some(format!(
                        "write {{ … }} with fields of {}",
                        descriptor.full_name()
                    ));
                    error(node.span, "a message is written as a map", help)
                }
            };
            self.keep::<()>(problem);
            return message;
        };
        let mut extra = Vec::new();
        for (key, value) in entries {
            if unknown::number(key).is_some() {
                let encoded = unknown::encode(&mut extra, key, value);
                self.keep(encoded);
            } else if let Some(field) = self.field(descriptor, key) {
                self.alone_in_oneof(key, &field, &message);
                if let Some(value) = self.field_value(value, &field) {
                    message.set_field(&field, value);
                }
            }
        }
        if !extra.is_empty() {
            let merged = message.merge(extra.as_slice());
            if let Err(problem) = merged {
                self.error(node.span, problem.to_string(), None);
            }
        }
        message
    }

    fn field(&mut self, descriptor: &MessageDescriptor, key: &NodeKey) -> Option<FieldDescriptor> {
        let found = descriptor.get_field_by_name(&key.text);
        if found.is_none() {
            let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
            let help = match key.text.starts_with('$') {
                true => format!("operators: {}", OPERATORS.join(", ")),
                false if fields.is_empty() => "it has no fields".to_owned(),
                false => allowed(&key.text, fields.iter().map(|field| field.name())),
            };
            let text = format!("{} has no field {}", descriptor.full_name(), key.text);
            self.error(key.span, text, Some(help));
        }
        found
    }

    fn alone_in_oneof(&mut self, key: &NodeKey, field: &FieldDescriptor, message: &DynamicMessage) {
        let Some(oneof) = field.containing_oneof() else {
            return;
        };
        let other = oneof
            .fields()
            .find(|other| other != field && message.has_field(other));
        if let Some(other) = other {
            let text = format!("{} and {} can't both be set", other.name(), field.name());
            self.error(
                key.span,
                text,
                Some(format!("they are alternatives of {}", oneof.name())),
            );
        }
    }

    /// `None`: the field stays away, on purpose or by mistake.
    fn field_value(&mut self, node: &Node, field: &FieldDescriptor) -> Option<Field> {
        if is(node, "$absent") {
            return None;
        }
        if is(node, "$either") {
            return self.either(node, |builder, option| builder.field_value(option, field))?;
        }
        match field.kind() {
            Kind::Message(entry) if field.is_map() => self.map(node, &entry),
            kind if field.is_list() => self.list(node, field.name(), &kind),
            kind => self.value(node, &kind),
        }
    }

    fn map(&mut self, node: &Node, entry: &MessageDescriptor) -> Option<Field> {
        if is(node, "$any") {
            return None;
        }
        let Value::Map(entries) = &node.value else {
            self.error(node.span, "a map is expected here", None);
            return None;
        };
        let (keys, values) = (
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        );
        let mut built = HashMap::new();
        for (key, value) in entries {
            let name = Node::text(key.span, &key.text);
            let key = self.value(&name, &keys).and_then(map_key);
            let value = self.value(value, &values);
            built.extend(key.zip(value));
        }
        Some(Field::Map(built))
    }

    fn list(&mut self, node: &Node, name: &str, kind: &Kind) -> Option<Field> {
        let mut built = Vec::new();
        match (&node.value, node.operator()) {
            (_, Some(("$repeat", _))) => self.repeat(node, kind, &mut built),
            (_, Some(("$any", _))) => return None,
            (_, Some(("$contains", Some(item)))) => built.extend(self.value(item, kind)),
            (Value::List(items), _) => {
                for item in items {
                    // Of a text the operator makes one longer text, of a list more items.
                    match is(item, "$repeat") {
                        true => self.repeat(item, kind, &mut built),
                        false => built.extend(self.value(item, kind)),
                    }
                }
            }
            _ => self.error(
                node.span,
                format!("{name} is repeated: a list is expected here"),
                None,
            ),
        }
        Some(Field::List(built))
    }

    fn times<'n>(&mut self, node: &'n Node) -> Option<(usize, &'n Node)> {
        let found = repeated(node);
        if found.is_none() {
            let help = format!("times is a whole number up to {MOST}");
            self.error(
                node.span,
                "$repeat is written as { times: 3, item: … }",
                Some(help),
            );
        }
        found
    }

    fn repeat(&mut self, node: &Node, kind: &Kind, list: &mut Vec<Field>) {
        let Some((times, item)) = self.times(node) else {
            return;
        };
        let Some(item) = self.value(item, kind) else {
            return;
        };
        if self.fits(node, times, size(&item)) {
            list.extend(std::iter::repeat_n(item, times));
        }
    }

    /// Memory is not endless, and repeats can stand in repeats.
    fn fits(&mut self, node: &Node, times: usize, size: usize) -> bool {
        let fits = times.saturating_mul(size) <= MOST;
        if !fits {
            let help = Some(format!("up to {MOST} bytes"));
            self.error(
                node.span,
                format!("{times} times {size} bytes are too many"),
                help,
            );
        }
        fits
    }

    /// `None`: nothing that could be sent.
    fn value(&mut self, node: &Node, kind: &Kind) -> Option<Field> {
        if let Kind::Message(descriptor) = kind {
            return Some(Field::Message(self.message(node, descriptor)));
        }
        match node.operator() {
            Some(("$either", _)) => {
                self.either(node, |builder, option| builder.value(option, kind))?
            }
            Some(("$contains", Some(part))) => self.value(part, kind),
            Some(("$any", _)) => self.value(&sample(node.span, kind), kind),
            Some(("$repeat", _)) => self.longer(node, kind),
            Some((operator, _)) => {
                self.error(node.span, format!("{operator} says nothing here"), None);
                None
            }
            None => {
                let value = text_of(node, self.scope).and_then(|text| scalar(node, kind, &text));
                self.keep(value)
            }
        }
    }

    /// A text or bytes, repeated.
    fn longer(&mut self, node: &Node, kind: &Kind) -> Option<Field> {
        let (times, item) = self.times(node)?;
        let item = self.value(item, kind)?;
        let length = match &item {
            Field::String(text) => text.len(),
            Field::Bytes(bytes) => bytes.len(),
            _ => {
                self.error(
                    node.span,
                    "only texts, bytes and the items of lists are repeated",
                    None,
                );
                return None;
            }
        };
        if !self.fits(node, times, length) {
            return None;
        }
        Some(match item {
            Field::Bytes(bytes) => Field::Bytes(Bytes::from(bytes.repeat(times))),
            Field::String(text) => Field::String(text.repeat(times)),
            other => other,
        })
    }

    fn any(&mut self, node: &Node) -> Any {
        if is(node, "$either") {
            return self
                .either(node, |builder, option| builder.any(option))
                .unwrap_or_default();
        }
        if is(node, "$any") {
            return self.any(&Node::map(
                node.span,
                [("string", Node::text(node.span, "any"))],
            ));
        }
        let Some(written) = self.keep(any::read(node, self.scope.package)) else {
            return Any::default();
        };
        let value = match written.content {
            Content::Empty => Vec::new(),
            Content::Bytes(bytes) => bytes,
            Content::Primitive(kind, node) => self
                .value(&node, &kind)
                .map(|value| any::primitive_bytes(&value))
                .unwrap_or_default(),
            Content::Message(descriptor, node) => self.message(&node, &descriptor).encode_to_vec(),
        };
        Any {
            type_url: written.url,
            value,
        }
    }
}

/// How much memory a value takes, roughly.
fn size(value: &Field) -> usize {
    let own = match value {
        Field::String(text) => text.len(),
        Field::Bytes(bytes) => bytes.len(),
        Field::Message(message) => message.encoded_len(),
        _ => 0,
    };
    own + size_of::<Field>()
}

fn map_key(value: Field) -> Option<MapKey> {
    Some(match value {
        Field::Bool(truth) => MapKey::Bool(truth),
        Field::I32(number) => MapKey::I32(number),
        Field::I64(number) => MapKey::I64(number),
        Field::U32(number) => MapKey::U32(number),
        Field::U64(number) => MapKey::U64(number),
        Field::String(text) => MapKey::String(text),
        _ => return None,
    })
}

/// What is sent where anything would do.
fn sample(span: Span, kind: &Kind) -> Node {
    match kind {
        Kind::String => Node::text(span, "any"),
        Kind::Bytes => Node::text(span, BASE64.encode("any")),
        Kind::Bool => Node::new(span, Value::Bool(true)),
        Kind::Enum(descriptor) => Node::number(span, descriptor.default_value().number()),
        _ => Node::number(span, 1),
    }
}

/// `{ name: value }` as the entries of `cloudstate.Metadata`.
fn metadata_entries(node: &Node) -> Node {
    let Some(entries) = node.entries() else {
        return node.clone();
    };
    let entries = entries.iter().flat_map(|(key, value)| {
        let entry = |value: &Node| {
            let name = Node::text(key.span, key.text.replace('$', "$$"));
            let binary = key.text.to_lowercase().ends_with("-bin");
            let field = if binary {
                "bytes_value"
            } else {
                "string_value"
            };
            let value = match value.as_text() {
                // Headers may leave the padding out.
                Some(text) if binary => {
                    let padding = "=".repeat(text.len().wrapping_neg() % 4);
                    Node::text(value.span, format!("{text}{padding}"))
                }
                _ => value.clone(),
            };
            Node::map(key.span, [("key", name), (field, value)])
        };
        let values = value.items().unwrap_or(std::slice::from_ref(value));
        values.iter().map(entry).collect::<Vec<_>>()
    });
    Node::map(node.span, [("entries", Node::list(node.span, entries))])
}
