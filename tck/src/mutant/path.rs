//! Paths to fields: `reply.events[0].Persisted.value`. Inside an `Any` the next step is the type of what it holds.

use super::PACKAGE;
use crate::scenario::message::{self, Bindings, MessageError, Scope};
use crate::services::descriptor_pool;
use crate::yaml::{Node, Span, Value};
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Field,
};
use std::fmt;

const ANY: &str = "google.protobuf.Any";

/// A path to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<PathStep>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct PathStep {
    name: String,
    index: Option<usize>,
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            write!(f, "{dot}{}", step.name)?;
            step.index.map_or(Ok(()), |index| write!(f, "[{index}]"))?;
        }
        Ok(())
    }
}

impl FieldPath {
    /// `None`: it isn't written like a path.
    pub fn parse(text: &str) -> Option<FieldPath> {
        let name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let step = |text: &str| {
            let (text, index) = match text.strip_suffix(']') {
                Some(text) => {
                    let (text, index) = text.split_once('[')?;
                    (text, Some(index.parse().ok()?))
                }
                None => (text, None),
            };
            name(text).then(|| PathStep {
                name: text.to_owned(),
                index,
            })
        };
        text.split('.')
            .map(step)
            .collect::<Option<_>>()
            .map(FieldPath)
    }

    /// Can this value be set here, in messages of this type? The path stands at `span`.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(
        &self,
        span: Span,
        value: &Node,
        descriptor: &MessageDescriptor,
    ) -> Result<(), MessageError> {
        let wrong = |message: String| MessageError {
            span,
            message,
            help: None,
        };
        let (field, index) = self.field(descriptor).map_err(wrong)?;
        let mut empty = DynamicMessage::new(field.parent_message().clone());
        put(&mut empty, &field, index.map(|_| 0), value)
    }

    /// The field at its end.
    fn field(
        &self,
        descriptor: &MessageDescriptor,
    ) -> Result<(FieldDescriptor, Option<usize>), String> {
        let mut descriptor = descriptor.clone();
        let mut steps = self.0.iter().peekable();
        while let Some(step) = steps.next() {
            if is_any(&descriptor) && !is_part_of_any(step) {
                descriptor =
                    named(&step.name).ok_or_else(|| format!("no message type {}", step.name))?;
                continue;
            }
            let field = field_of(&descriptor, &step.name)?;
            if step.index.is_some() && !field.is_list() {
                return Err(format!("{} is not repeated", step.name));
            }
            if steps.peek().is_none() {
                return Ok((field, step.index));
            }
            match field.kind() {
                Kind::Message(inner) if field.is_list() == step.index.is_some() => {
                    descriptor = inner
                }
                Kind::Message(_) => return Err(format!("{} is repeated: write {0}[0]", step.name)),
                _ => return Err(format!("{} has no fields", step.name)),
            }
        }
        Err(format!("{self} ends with a type; a field of it is missing"))
    }

    /// Sets the field, if there is a message that has it. Messages on the way there are made.
    pub(super) fn set(&self, message: &mut DynamicMessage, value: &Node) {
        set(message, &self.0, value);
    }
}

fn is_any(descriptor: &MessageDescriptor) -> bool {
    descriptor.full_name() == ANY
}

fn is_part_of_any(step: &PathStep) -> bool {
    matches!(step.name.as_str(), "type_url" | "value")
}

/// A message type by its name in the package of the models, or by its full name.
pub(super) fn named(name: &str) -> Option<MessageDescriptor> {
    let pool = descriptor_pool();
    pool.get_message_by_name(&format!("{PACKAGE}.{name}"))
        .or_else(|| pool.get_message_by_name(name))
}

/// What an `Any` holds, if it is of this type.
pub(super) fn held(any: &DynamicMessage, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
    let url = any.get_field_by_name("type_url")?;
    let value = any.get_field_by_name("value")?;
    let (_, name) = url.as_str()?.rsplit_once('/')?;
    (name == descriptor.full_name())
        .then(|| DynamicMessage::decode(descriptor.clone(), value.as_bytes()?.clone()).ok())?
}

fn field_of(descriptor: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    descriptor.get_field_by_name(name).ok_or_else(|| {
        let fields: Vec<String> = descriptor
            .fields()
            .map(|field| field.name().to_owned())
            .collect();
        format!(
            "no field {name}; {} has: {}",
            descriptor.full_name(),
            fields.join(", ")
        )
    })
}

fn set(message: &mut DynamicMessage, path: &[PathStep], value: &Node) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    if is_any(&message.descriptor()) && !is_part_of_any(step) {
        return set_held(message, &step.name, rest, value);
    }
    let Some(field) = message.descriptor().get_field_by_name(&step.name) else {
        return;
    };
    if rest.is_empty() {
        // It was checked when it was read: what can't be set in this message is not of this message's type.
        let _ = put(message, &field, step.index, value);
        return;
    }
    match (message.get_field_mut(&field), step.index) {
        (Field::Message(inner), None) => set(inner, rest, value),
        (Field::List(items), Some(index)) => {
            if let Some(Field::Message(inner)) = items.get_mut(index) {
                set(inner, rest, value);
            }
        }
        _ => {}
    }
}

fn set_held(any: &mut DynamicMessage, name: &str, rest: &[PathStep], value: &Node) {
    let Some(mut inner) = named(name).and_then(|descriptor| held(any, &descriptor)) else {
        return;
    };
    set(&mut inner, rest, value);
    any.set_field_by_name("value", Field::Bytes(inner.encode_to_vec().into()));
}

/// Gives a field of a message, or an item of it, a value.
fn put(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    index: Option<usize>,
    value: &Node,
) -> Result<(), MessageError> {
    match (index, &value.value) {
        (Some(index), _) => put_item(message, field, index, value),
        (None, Value::Null) => {
            message.clear_field(field);
            Ok(())
        }
        (None, _) => {
            let new = match value.get("$add") {
                Some(more) => Some(sum(&message.get_field(field), more)?),
                None => built(message, field, value.clone())?,
            };
            match new {
                Some(new) => message.set_field(field, new),
                None => message.clear_field(field),
            }
            Ok(())
        }
    }
}

fn put_item(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    index: usize,
    value: &Node,
) -> Result<(), MessageError> {
    let new = match value.value {
        Value::Null => None,
        _ => {
            let list = built(message, field, Node::list(value.span, [value.clone()]))?;
            list.and_then(|list| list.as_list().and_then(|items| items.first().cloned()))
        }
    };
    if let Field::List(items) = message.get_field_mut(field)
        && index < items.len()
    {
        match new {
            Some(new) => items[index] = new,
            None => drop(items.remove(index)),
        }
    }
    Ok(())
}

/// The value that a tree stands for; `None`: the one that a field has when it isn't set.
fn built(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    value: Node,
) -> Result<Option<Field>, MessageError> {
    // The parts of an Any are set as they are; as a message it would be written by its type.
    if is_any(&message.descriptor())
        && let Some(text) = value.as_text()
    {
        return match field.kind() {
            Kind::String => Ok(Some(Field::String(text.to_owned()))),
            _ => message::hex_bytes(text)
                .map(|bytes| Some(Field::Bytes(bytes.into())))
                .ok_or_else(|| {
                    let message =
                        "the bytes of an Any are written as pairs of hexadecimal digits".to_owned();
                    MessageError {
                        span: value.span,
                        message,
                        help: None,
                    }
                }),
        };
    }
    // A message with just this field, so that every way to write a value works.
    let holder = Node::map(value.span, [(field.name(), value)]);
    let bindings = Bindings::new();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    let holder = message::build(&holder, &message.descriptor(), &scope)?;
    Ok(holder
        .has_field(field)
        .then(|| holder.get_field(field).into_owned()))
}

fn sum(old: &Field, more: &Node) -> Result<Field, MessageError> {
    let wrong = |message: &str| MessageError {
        span: more.span,
        message: message.to_owned(),
        help: None,
    };
    let number = more.as_text().and_then(|text| text.parse::<i64>().ok());
    let more = number.ok_or_else(|| wrong("a whole number is expected here"))?;
    match old {
        Field::I64(old) => Ok(Field::I64(old.wrapping_add(more))),
        Field::I32(old) => Ok(Field::I32(old.wrapping_add(more as i32))),
        Field::U64(old) => Ok(Field::U64(old.wrapping_add_signed(more))),
        Field::U32(old) => Ok(Field::U32(old.wrapping_add_signed(more as i32))),
        _ => Err(wrong("only a whole number can be added to")),
    }
}
