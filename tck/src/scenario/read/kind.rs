//! What stands where: the first look at a value, before it is read.

use super::super::keys::{self, FormDoc, KeyKind};
use super::super::message;
use crate::party::Party;
use crate::yaml::source::allowed;
use crate::yaml::{Node, Span, Value};

pub(super) type Misfit = (&'static str, Option<String>);

/// What is wrong with what stands under a key of this kind, at first sight.
pub(super) fn misfit(node: &Node, kind: KeyKind) -> Option<Misfit> {
    let expected = |fits: bool, what| (!fits).then_some((what, None));
    let scalar = node.as_text().is_some();
    let word = |words: &[&str]| node.as_text().is_some_and(|text| words.contains(&text));
    let map = matches!(node.value, Value::Map(_));
    let is_list = matches!(node.value, Value::List(_));
    match kind {
        KeyKind::Text => expected(scalar, "a text"),
        KeyKind::Word(words) => {
            let help = Some(allowed(
                node.as_text().unwrap_or_default(),
                words.iter().copied(),
            ));
            (!word(words)).then_some(("one of a few words", help))
        }
        KeyKind::Truth => expected(matches!(node.value, Value::Bool(_)), "true or false"),
        KeyKind::Pattern => expected(scalar || node.operator().is_some(), "a text or an operator"),
        KeyKind::Hex => {
            let fits = node.as_text().and_then(message::hex_bytes).is_some();
            expected(fits, "an even number of hexadecimal digits")
        }
        KeyKind::Names => {
            let all = node
                .items()
                .is_some_and(|items| items.iter().all(|item| item.as_text().is_some()));
            expected(scalar || all, "a name or a list of names")
        }
        KeyKind::NamesOf(names) => {
            let alone = std::slice::from_ref(node);
            let wrong = node
                .items()
                .unwrap_or(alone)
                .iter()
                .find(|item| item.as_text().is_none_or(|text| !names.contains(&text)))?;
            let help = allowed(wrong.as_text().unwrap_or_default(), names.iter().copied());
            Some(("some of a few names", Some(help)))
        }
        KeyKind::Message(words) => {
            expected(map || word(words) || node.operator().is_some(), "a message")
        }
        KeyKind::Messages => expected(is_list || node.operator().is_some(), "a list of messages"),
        KeyKind::Metadata => expected(map, "a map of names and values"),
        KeyKind::Scenarios | KeyKind::Steps | KeyKind::Branches | KeyKind::NestedList => {
            expected(is_list, "a list")
        }
        KeyKind::Lines => expected(is_list || node.operator().is_some(), "a list"),
        KeyKind::Step => expected(map || matches!(node.value, Value::Text(_)), "a step"),
        KeyKind::Nested => expected(map, "a call"),
        KeyKind::Raw => {
            let words = allowed("", keys::RAW.iter().map(|(word, _)| *word));
            let fits = map || matches!(node.value, Value::Text(_));
            (!fits).then_some(("a message as a map, or a word", Some(words)))
        }
        KeyKind::Clients => expected(
            clients(node).is_some(),
            "{ clients: 8 } with 1 to 1000 of them",
        ),
    }
}

/// `{ clients: 8 }`
pub(super) fn clients(node: &Node) -> Option<usize> {
    let [(key, count)] = node.entries()? else {
        return None;
    };
    let count = count.as_text()?.parse().ok()?;
    (key.text == "clients" && (1..=1000).contains(&count)).then_some(count)
}

pub(super) fn form<'f>(node: &Node, forms: &'f [FormDoc]) -> Option<&'f FormDoc> {
    forms.iter().find(|form| node.get(form.head.key).is_some())
}

/// A step that is one word; in braces it is a key without a value.
pub(super) fn bare_word(node: &Node) -> Option<(Span, &str)> {
    match &node.value {
        Value::Text(word) => Some((node.span, word)),
        Value::Map(entries) => match entries.as_slice() {
            [
                (
                    key,
                    Node {
                        value: Value::Null, ..
                    },
                ),
            ] if keys::WORDS.iter().any(|(word, _)| *word == key.text) => {
                Some((key.span, &key.text))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A line of `unordered` without the key of a step is a part of the answer itself.
pub(super) fn is_answer(node: &Node) -> bool {
    node.entries().is_some_and(|entries| !entries.is_empty())
        && bare_word(node).is_none()
        && form(node, keys::STEPS).is_none()
}

pub(super) fn list(node: Option<&Node>) -> &[Node] {
    node.and_then(Node::items).unwrap_or_default()
}

pub(super) fn text(node: &Node, key: &str) -> String {
    node.get(key)
        .and_then(Node::as_text)
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn truth(node: &Node, key: &str) -> bool {
    node.get(key)
        .is_some_and(|node| node.value == Value::Bool(true))
}

pub(super) fn party(node: &Node) -> Party {
    match node.as_text() {
        Some("proxy") => Party::Proxy,
        Some("function") => Party::Function,
        _ => Party::Client,
    }
}

/// The first key of a map with its value, if that is short: where errors about a step point.
pub(super) fn head_span(node: &Node) -> Span {
    match node.entries().and_then(<[_]>::first) {
        Some((key, value))
            if matches!(value.value, Value::Map(_) | Value::List(_) | Value::Null) =>
        {
            key.span
        }
        Some((key, value)) => Span {
            start: key.span.start,
            end: value.span.end,
        },
        None => node.span,
    }
}
