//! Rules at work on one direction of one stream. Pure: what passes goes in, what arrives comes out.

use super::path::{held, named};
use super::{Assignment, Direction, PACKAGE, Passing, Rule, RuleAction, When};
use crate::scenario::message::{self, Bindings, Scope};
use crate::services::descriptor_pool;
use crate::services::message_types;
use crate::yaml::Node;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value as Field,
};

/// The rules of one relay, at work on one way of one stream.
#[derive(Debug)]
pub struct Filter {
    direction: Direction,
    method: String,
    descriptor: Option<MessageDescriptor>,
    answers: Option<MessageDescriptor>,
    held: Option<Bytes>,
}

impl Filter {
    /// One way of a call of this path.
    pub fn new(direction: Direction, path: &str) -> Filter {
        let named = |name: Option<String>| descriptor_pool().get_message_by_name(&name?);
        let (input, output) = message_types(path).unzip();
        let (mine, other) = if direction.is_call() {
            (input, output)
        } else {
            (output, input)
        };
        Filter {
            direction,
            method: path.rsplit('/').next().unwrap_or(path).to_owned(),
            descriptor: named(mine),
            answers: named(other),
            held: None,
        }
    }

    /// What arrives instead of what passes.
    pub fn apply(&mut self, rules: &[Rule], passing: Passing) -> Vec<Passing> {
        let mut now = vec![passing];
        let direction = self.direction;
        for rule in rules.iter().filter(|rule| rule.on == direction) {
            now = now
                .into_iter()
                .flat_map(|passing| self.obey(rule, passing))
                .collect();
        }
        self.release(now)
    }

    /// A message that was held back comes after the next one, and before an end.
    fn release(&mut self, now: Vec<Passing>) -> Vec<Passing> {
        let mut out = Vec::new();
        for passing in now {
            match (&passing, self.held.take()) {
                (Passing::Message(_), Some(held)) => out.extend([passing, Passing::Message(held)]),
                (_, Some(held)) => out.extend([Passing::Message(held), passing]),
                (_, None) => out.push(passing),
            }
        }
        out
    }

    fn obey(&mut self, rule: &Rule, passing: Passing) -> Vec<Passing> {
        if !self.is_call(rule) || !self.matches(&rule.when, &passing) || !rule.is_due() {
            return vec![passing];
        }
        let before = passing.clone();
        let after = self.act(&rule.action, passing);
        if after != [before] {
            rule.has_fired();
        }
        after
    }

    fn act(&mut self, action: &RuleAction, passing: Passing) -> Vec<Passing> {
        match (action, passing) {
            (RuleAction::Drop, _) => Vec::new(),
            (RuleAction::Repeat, passing) => vec![passing.clone(), passing],
            (RuleAction::Reset, _) => vec![Passing::Reset],
            (RuleAction::End(code, text), _) => vec![Passing::End(*code, text.clone())],
            (RuleAction::ThenEnd(code, text), passing) => {
                vec![passing, Passing::End(*code, text.clone())]
            }
            (RuleAction::Bytes(bytes), _) => vec![Passing::Message(bytes.clone())],
            (RuleAction::Finish, passing) => vec![passing, Passing::HalfClose],
            (RuleAction::Before(node), passing) => self
                .built(node)
                .map(Passing::Message)
                .into_iter()
                .chain([passing])
                .collect(),
            (RuleAction::After(node), passing) => [passing]
                .into_iter()
                .chain(self.built(node).map(Passing::Message))
                .collect(),
            (RuleAction::Answer(node), passing) => {
                let answer = build(node, self.answers.as_ref());
                answer
                    .map(Passing::Back)
                    .into_iter()
                    .chain([passing])
                    .collect()
            }
            (RuleAction::Swap, Passing::Message(bytes)) => {
                // One at a time: what was held already has waited long enough.
                self.held
                    .replace(bytes)
                    .map(Passing::Message)
                    .into_iter()
                    .collect()
            }
            (RuleAction::Set(assignments), Passing::Message(bytes)) => {
                vec![Passing::Message(self.rewritten(bytes, assignments))]
            }
            (RuleAction::Swap | RuleAction::Set(_), passing) => vec![passing],
        }
    }

    fn is_call(&self, rule: &Rule) -> bool {
        rule.call.as_ref().is_none_or(|call| *call == self.method)
    }

    fn matches(&self, when: &When, passing: &Passing) -> bool {
        match (when, passing) {
            (When::HalfClose, Passing::HalfClose)
            | (When::End, Passing::End(..))
            | (When::Reset, Passing::Reset) => true,
            (When::Empty, Passing::Message(bytes)) => bytes.is_empty(),
            (When::Message(pattern), Passing::Message(bytes)) => self
                .decoded(bytes)
                .is_some_and(|message| covers(pattern, &message)),
            _ => false,
        }
    }

    fn decoded(&self, bytes: &Bytes) -> Option<DynamicMessage> {
        DynamicMessage::decode(self.descriptor.clone()?, bytes.clone()).ok()
    }

    fn built(&self, node: &Node) -> Option<Bytes> {
        build(node, self.descriptor.as_ref())
    }

    /// What isn't changed stays as it is, byte for byte.
    fn rewritten(&self, bytes: Bytes, assignments: &[Assignment]) -> Bytes {
        let Some(old) = self.decoded(&bytes) else {
            return bytes;
        };
        let mut new = old.clone();
        assignments
            .iter()
            .for_each(|one| one.path.set(&mut new, &one.value));
        if new == old {
            bytes
        } else {
            new.encode_to_vec().into()
        }
    }
}

fn build(node: &Node, descriptor: Option<&MessageDescriptor>) -> Option<Bytes> {
    let bindings = Bindings::new();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    let built = message::build(node, descriptor?, &scope).ok()?;
    Some(built.encode_to_vec().into())
}

/// Everything that is written is there. The world is open here: what isn't written doesn't matter.
fn covers(pattern: &Node, message: &DynamicMessage) -> bool {
    if matches!(pattern.operator(), Some(("$any", _))) {
        return true;
    }
    let entries = pattern.entries().unwrap_or_default();
    entries.iter().all(|(key, expected)| {
        let descriptor = message.descriptor();
        let field = descriptor
            .get_field_by_name(&key.text)
            .or_else(|| descriptor.get_field_by_json_name(&key.text));
        field.is_some_and(|field| has(&field, expected, message))
    })
}

fn has(field: &FieldDescriptor, expected: &Node, message: &DynamicMessage) -> bool {
    let there = message.has_field(field);
    match (expected.operator(), message.get_field(field).as_ref()) {
        (Some(("$absent", _)), _) => !there,
        (Some(("$any", _)), _) => there,
        (None, Field::Message(inner)) => there && within(expected, inner),
        _ => equals(field, expected, message),
    }
}

/// A message that is written by its fields, or by its type if it stands in an `Any`.
fn within(expected: &Node, inner: &DynamicMessage) -> bool {
    if inner.descriptor().full_name() != "google.protobuf.Any" {
        return covers(expected, inner);
    }
    let Some([(key, content)]) = expected.entries() else {
        return false;
    };
    match named(&key.text) {
        Some(descriptor) => {
            held(inner, &descriptor).is_some_and(|message| covers(content, &message))
        }
        None => false,
    }
}

/// A list or a single value, compared as a scenario would.
fn equals(field: &FieldDescriptor, expected: &Node, message: &DynamicMessage) -> bool {
    let mut only = DynamicMessage::new(message.descriptor());
    if message.has_field(field) {
        only.set_field(field, message.get_field(field).into_owned());
    }
    let pattern = Node::map(expected.span, [(field.name(), expected.clone())]);
    let bindings = Bindings::new();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    message::compare(&pattern, &message.descriptor(), &only, &scope).is_empty()
}
