//! A message that came against the tree that says what should have come.

use super::any::{self, Content, Held};
use super::build::build_value;
use super::collections::{Order, order};
use super::show::{any_to_node, flow, map_key, resolved, shorten_both, value_node};
use super::{ANY, METADATA, MessageError, Scope, alternatives, is, repeated, unknown};
use crate::finding::Mismatch;
use crate::yaml::{Node, Span, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloudstate_protocol::cloudstate::{Metadata, metadata_entry};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Field,
};
use prost_types::Any;

/// Characters of an expected or received value that are shown.
const SHOWN: usize = 200;

/// Differences that are listed; who has so many has another problem.
const LISTED: usize = 20;

/// Where a message differs from what is written; empty: nowhere.
pub fn compare(
    node: &Node,
    descriptor: &MessageDescriptor,
    actual: &DynamicMessage,
    scope: &Scope<'_>,
) -> Vec<Mismatch> {
    differences(scope, |comparison| {
        comparison.message("", node, descriptor, actual)
    })
}

/// Where an `Any` differs from what is written.
pub fn compare_any(node: &Node, actual: &Any, scope: &Scope<'_>) -> Vec<Mismatch> {
    differences(scope, |comparison| comparison.any("", node, actual))
}

/// What a text should have been; `None`: it is.
pub fn compare_text(node: &Node, actual: &str, scope: &Scope<'_>) -> Option<String> {
    let actual = Field::String(actual.to_owned());
    let found = differences(scope, |comparison| {
        comparison.value("", node, &Kind::String, &actual)
    });
    found.into_iter().next().map(|mismatch| mismatch.expected)
}

fn differences(scope: &Scope<'_>, compare: impl FnOnce(&mut Comparison<'_>)) -> Vec<Mismatch> {
    let mut comparison = Comparison {
        scope,
        found: Vec::new(),
    };
    compare(&mut comparison);
    comparison.found
}

struct Comparison<'a> {
    scope: &'a Scope<'a>,
    found: Vec<Mismatch>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What is expected or received where the other side has something.
pub const NOTHING: &str = "nothing";

impl Comparison<'_> {
    fn differs(&mut self, path: &str, expected: impl Into<String>, received: impl Into<String>) {
        if self.found.len() < LISTED {
            let (expected, received) = shorten_both(&expected.into(), &received.into(), SHOWN);
            self.found.push(Mismatch {
                path: path.to_owned(),
                expected,
                received,
            });
        }
    }

    fn unwritable(&mut self, path: &str, error: &MessageError, received: String) {
        self.differs(path, error.to_string(), received);
    }

    /// As the scenario writes it, with the values of its names.
    fn written(&self, node: &Node) -> String {
        flow(&resolved(node, self.scope.bindings))
    }

    fn shown(&self, value: &Field, kind: &Kind) -> String {
        flow(&value_node(
            value,
            kind,
            self.scope.package,
            Span::default(),
        ))
    }

    fn tried(&self, compare: impl FnOnce(&mut Comparison<'_>)) -> Vec<Mismatch> {
        differences(self.scope, compare)
    }

    /// The alternative that fits; if none does, what is wrong with the nearest. True: the node is a choice.
    fn either(&mut self, node: &Node, mut compare: impl FnMut(&mut Comparison<'_>, &Node)) -> bool {
        let Some(options) = alternatives(node) else {
            return false;
        };
        let tried: Vec<_> = options
            .iter()
            .map(|option| self.tried(|c| compare(c, option)))
            .collect();
        if tried.iter().any(Vec::is_empty) {
            return true;
        }
        let paths =
            |found: &Vec<Mismatch>| found.iter().map(|m| m.path.clone()).collect::<Vec<_>>();
        let Some(mut nearest) = tried.iter().min_by_key(|found| found.len()).cloned() else {
            return true;
        };
        if nearest.len() == 1 && tried.iter().all(|found| paths(found) == paths(&nearest)) {
            let all: Vec<_> = tried
                .iter()
                .map(|found| found[0].expected.clone())
                .collect();
            nearest[0].expected = all.join(" or ");
        }
        let room = LISTED.saturating_sub(self.found.len());
        self.found.extend(nearest.into_iter().take(room));
        true
    }

    fn message(
        &mut self,
        path: &str,
        node: &Node,
        descriptor: &MessageDescriptor,
        actual: &DynamicMessage,
    ) {
        if is(node, "$any")
            || self.either(node, |c, option| {
                c.message(path, option, descriptor, actual)
            })
        {
            return;
        }
        if descriptor.full_name() == ANY {
            return self.any(path, node, &any::from_message(actual));
        }
        if descriptor.full_name() == METADATA && node.get("entries").is_none() {
            return self.metadata(path, node, actual);
        }
        for field in descriptor.fields() {
            self.field(
                &join(path, field.name()),
                node.get(field.name()),
                &field,
                actual,
            );
        }
        self.unknown(path, node, actual);
    }

    /// Fields without a name. In a message of the protocol itself those that nobody wrote are no deviation: that is how
    /// the protocol can grow (discovery.proxy-ignores-unknown-fields).
    fn unknown(&mut self, path: &str, node: &Node, actual: &DynamicMessage) {
        let grows = is_of_the_protocol(&actual.descriptor());
        let mut received: Vec<(String, Vec<Node>)> = Vec::new();
        for field in actual.unknown_fields() {
            let key = format!("?{}", field.number());
            let value = unknown::to_node(field, node.span);
            match received.iter_mut().find(|(other, _)| *other == key) {
                Some((_, values)) => values.push(value),
                None => received.push((key, vec![value])),
            }
        }
        let show = |values: &[Node]| match values {
            [one] => flow(one),
            many => flow(&Node::list(node.span, many.iter().cloned())),
        };
        for (key, values) in &received {
            let written = node.get(key).map(flow);
            if written.is_none() && grows {
                continue;
            }
            if written.as_ref() != Some(&show(values)) {
                let expected = written.unwrap_or_else(|| "no field of this number".to_owned());
                self.differs(&join(path, key), expected, show(values));
            }
        }
        for (key, value) in node.entries().unwrap_or_default() {
            if unknown::number(key).is_some()
                && !received.iter().any(|(other, _)| *other == key.text)
            {
                self.differs(&join(path, &key.text), flow(value), NOTHING);
            }
        }
    }

    fn field(
        &mut self,
        path: &str,
        expected: Option<&Node>,
        field: &FieldDescriptor,
        actual: &DynamicMessage,
    ) {
        let has = actual.has_field(field);
        let Some(expected) = expected.filter(|node| !is(node, "$absent")) else {
            // Metadata is a subset where it is written, so all of it may be there where it isn't.
            let metadata = matches!(field.kind(), Kind::Message(m) if m.full_name() == METADATA);
            if has && (!metadata || expected.is_some()) {
                let shown = self.shown(&actual.get_field(field), &field.kind());
                self.differs(path, NOTHING, shown);
            }
            return;
        };
        if self.either(expected, |c, option| {
            c.field(path, Some(option), field, actual)
        }) {
            return;
        }
        if field.supports_presence() && !has {
            return self.differs(path, self.written(expected), NOTHING);
        }
        match (actual.get_field(field).as_ref(), field.kind()) {
            (Field::List(list), kind) => self.list(path, expected, &kind, order(field), list),
            (Field::Map(_), Kind::Message(entry)) => {
                self.map(path, expected, &entry, field, actual)
            }
            (value, kind) => self.value(path, expected, &kind, value),
        }
    }

    fn map(
        &mut self,
        path: &str,
        node: &Node,
        entry: &MessageDescriptor,
        field: &FieldDescriptor,
        actual: &DynamicMessage,
    ) {
        let held = actual.get_field(field);
        let Some(held) = held.as_map().filter(|_| !is(node, "$any")) else {
            return;
        };
        let kind = entry.map_entry_value_field().kind();
        let mut rest: Vec<(String, &Field)> = held
            .iter()
            .map(|(key, value)| (map_key(key), value))
            .collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, expected) in node.entries().unwrap_or_default() {
            let path = join(path, &key.text);
            match rest.iter().position(|(name, _)| *name == key.text) {
                Some(at) => self.value(&path, expected, &kind, rest.remove(at).1),
                None => self.differs(&path, self.written(expected), NOTHING),
            }
        }
        for (key, value) in rest {
            let shown = self.shown(value, &kind);
            self.differs(&join(path, &key), NOTHING, shown);
        }
    }

    fn list(&mut self, path: &str, node: &Node, kind: &Kind, order: Order, actual: &[Field]) {
        match node.operator() {
            Some(("$any", _)) => return,
            Some(("$contains", Some(item))) => {
                let fits =
                    |value: &Field| self.tried(|c| c.value(path, item, kind, value)).is_empty();
                if !actual.iter().any(fits) {
                    let expected = format!("an item {}", self.written(item));
                    let received = self.shown(&Field::List(actual.to_vec()), kind);
                    self.differs(path, expected, received);
                }
                return;
            }
            _ => {}
        }
        let expected = references(node);
        match order {
            Order::List => self.one_by_one(path, &expected, kind, actual),
            Order::Set => self.pairs(path, expected, kind, actual, |_, _| false),
            Order::Keyed(key) => {
                self.pairs(path, expected, kind, actual, |c, (node, value)| {
                    c.same_key(key, node, value)
                });
            }
        }
    }

    fn one_by_one(&mut self, path: &str, expected: &[&Node], kind: &Kind, actual: &[Field]) {
        for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            self.value(&format!("{path}[{index}]"), expected, kind, actual);
            if self.found.len() >= LISTED {
                return;
            }
        }
        for (index, missing) in expected.iter().enumerate().skip(actual.len()).take(LISTED) {
            self.differs(&format!("{path}[{index}]"), self.written(missing), NOTHING);
        }
        for (index, extra) in actual.iter().enumerate().skip(expected.len()).take(LISTED) {
            let shown = self.shown(extra, kind);
            self.differs(&format!("{path}[{index}]"), NOTHING, shown);
        }
    }

    /// Items that fit each other whatever their order; of those that don't, the ones that belong together.
    fn pairs(
        &mut self,
        path: &str,
        expected: Vec<&Node>,
        kind: &Kind,
        actual: &[Field],
        belong: impl Fn(&Comparison<'_>, (&Node, &Field)) -> bool,
    ) {
        let mut rest: Vec<(usize, &Field)> = actual.iter().enumerate().collect();
        let mut missing = Vec::new();
        for node in expected {
            let fits = |(_, value): &(usize, &Field)| {
                self.tried(|c| c.value(path, node, kind, value)).is_empty()
            };
            match rest.iter().position(fits) {
                Some(at) => drop(rest.remove(at)),
                None => missing.push(node),
            }
        }
        for node in missing {
            match rest
                .iter()
                .position(|(_, value)| belong(self, (node, value)))
            {
                Some(at) => {
                    let (index, value) = rest.remove(at);
                    self.value(&format!("{path}[{index}]"), node, kind, value);
                }
                None => self.differs(path, format!("an item {}", self.written(node)), NOTHING),
            }
        }
        for (index, extra) in rest {
            let shown = self.shown(extra, kind);
            self.differs(&format!("{path}[{index}]"), NOTHING, shown);
        }
    }

    fn same_key(&self, key: &str, node: &Node, value: &Field) -> bool {
        let (Some(node), Field::Message(actual)) = (node.get(key), value) else {
            return false;
        };
        let field = actual.descriptor().get_field_by_name(key);
        field.is_some_and(|field| {
            self.tried(|c| c.field(key, Some(node), &field, actual))
                .is_empty()
        })
    }

    fn value(&mut self, path: &str, node: &Node, kind: &Kind, actual: &Field) {
        if let (Kind::Message(descriptor), Field::Message(actual)) = (kind, actual) {
            return self.message(path, node, descriptor, actual);
        }
        if is(node, "$any") || self.either(node, |c, option| c.value(path, option, kind, actual)) {
            return;
        }
        if let Some(("$contains", Some(part))) = node.operator() {
            return self.part(path, part, kind, actual);
        }
        match build_value(node, kind, self.scope) {
            Ok(expected) if same(&expected, actual) => {}
            Ok(expected) => {
                self.differs(path, self.shown(&expected, kind), self.shown(actual, kind))
            }
            Err(error) => self.unwritable(path, &error, self.shown(actual, kind)),
        }
    }

    fn part(&mut self, path: &str, part: &Node, kind: &Kind, actual: &Field) {
        match build_value(part, &Kind::String, self.scope) {
            Ok(Field::String(wanted))
                if actual.as_str().is_some_and(|text| text.contains(&wanted)) => {}
            Ok(_) => {
                let expected = format!("a text that contains {}", self.written(part));
                self.differs(path, expected, self.shown(actual, kind));
            }
            Err(error) => self.unwritable(path, &error, self.shown(actual, kind)),
        }
    }

    fn any(&mut self, path: &str, node: &Node, actual: &Any) {
        if is(node, "$any") || self.either(node, |c, option| c.any(path, option, actual)) {
            return;
        }
        let received = |c: &Self| flow(&any_to_node(actual, c.scope.package, node.span));
        let written = match any::read(node, self.scope.package) {
            Ok(written) => written,
            Err(error) => return self.unwritable(path, &error, received(self)),
        };
        let expected = |c: &Self| match (
            any::short_name(&written.url, c.scope.package),
            &written.content,
        ) {
            (Some(name), Content::Primitive(_, inner) | Content::Message(_, inner)) => {
                c.written(&Node::map(node.span, [(name, inner.clone())]))
            }
            _ => c.written(node),
        };
        if written.url != actual.type_url {
            return self.differs(path, expected(self), received(self));
        }
        match (&written.content, any::held(actual)) {
            (Content::Empty, _) if actual.value.is_empty() => {}
            (Content::Bytes(bytes), _) if *bytes == actual.value => {}
            (Content::Primitive(kind, node), Held::Primitive(_, value)) => {
                self.value(path, node, kind, &value);
            }
            (Content::Message(descriptor, node), Held::Message(message)) => {
                self.message(path, node, descriptor, &message);
            }
            _ => self.differs(path, expected(self), received(self)),
        }
    }

    /// A subset, names without case.
    fn metadata(&mut self, path: &str, node: &Node, actual: &DynamicMessage) {
        let actual: Metadata = actual.transcode_to().unwrap_or_default();
        for (key, expected) in node.entries().unwrap_or_default() {
            let values: Vec<String> = actual
                .entries
                .iter()
                .filter(|entry| entry.key.eq_ignore_ascii_case(&key.text))
                .filter_map(|entry| match &entry.value {
                    Some(metadata_entry::Value::StringValue(text)) => Some(text.clone()),
                    Some(metadata_entry::Value::BytesValue(bytes)) => Some(BASE64.encode(bytes)),
                    None => None,
                })
                .collect();
            let fits = |text: &String| super::compare_text(expected, text, self.scope).is_none();
            let found = match (is(expected, "$absent"), expected.items()) {
                (true, _) => values.is_empty(),
                // All of them, in this order.
                (false, Some(all)) => {
                    let fits = |(expected, text): (&Node, &String)| {
                        super::compare_text(expected, text, self.scope).is_none()
                    };
                    all.len() == values.len() && all.iter().zip(&values).all(fits)
                }
                (false, None) => values.iter().any(fits),
            };
            if !found {
                let received = if values.is_empty() {
                    NOTHING.to_owned()
                } else {
                    values.join(", ")
                };
                self.differs(&join(path, &key.text), self.written(expected), received);
            }
        }
    }
}

/// Equal, and a NaN is equal to itself.
fn same(expected: &Field, actual: &Field) -> bool {
    match (expected, actual) {
        (Field::F64(a), Field::F64(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Field::F32(a), Field::F32(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => expected == actual,
    }
}

/// The items of a list with repeats written out.
fn references(node: &Node) -> Vec<&Node> {
    let one = |node| repeated(node).map(|(times, item)| vec![item; times]);
    match &node.value {
        _ if is(node, "$repeat") => one(node).unwrap_or_default(),
        Value::List(list) => list
            .iter()
            .flat_map(|item| one(item).unwrap_or_else(|| vec![item]))
            .collect(),
        _ => Vec::new(),
    }
}

/// Not one of a model's or of an application's.
fn is_of_the_protocol(descriptor: &MessageDescriptor) -> bool {
    let name = descriptor.full_name();
    name.starts_with("cloudstate.") && !name.starts_with("cloudstate.tck.")
}
