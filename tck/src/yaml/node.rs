//! A tree of YAML with the span of every key and value.

use crate::yaml::Span;

/// One value of the source, or one made up by the kit (with the span of what it was made from).
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`, written plain.
    Bool(bool),
    /// A number, written plain; its text, so that 64-bit integers keep all digits.
    Number(String),
    /// Any other scalar, and every quoted one.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the source.
    Map(Vec<(NodeKey, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeKey {
    /// Where it stands.
    pub span: Span,
    /// Its text.
    pub text: String,
}

impl Node {
    /// A node of the kit's own making.
    pub fn new(span: Span, value: Value) -> Node {
        Node { span, value }
    }

    /// A text.
    pub fn text(span: Span, text: impl Into<String>) -> Node {
        Node::new(span, Value::Text(text.into()))
    }

    /// A number.
    pub fn number(span: Span, number: impl ToString) -> Node {
        Node::new(span, Value::Number(number.to_string()))
    }

    /// A map with the node's span for its keys.
    pub fn map<K: Into<String>>(span: Span, entries: impl IntoIterator<Item = (K, Node)>) -> Node {
        let entries = entries.into_iter().map(|(k, v)| {
            (
                NodeKey {
                    span,
                    text: k.into(),
                },
                v,
            )
        });
        Node::new(span, Value::Map(entries.collect()))
    }

    /// A list.
    pub fn list(span: Span, items: impl IntoIterator<Item = Node>) -> Node {
        Node::new(span, Value::List(items.into_iter().collect()))
    }

    /// The value under a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(_, v)| v)
    }

    /// The entries, if this is a map.
    pub fn entries(&self) -> Option<&[(NodeKey, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text of any scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            _ => None,
        }
    }

    /// The operator and its operand, if this is one: `$any`, `{ $either: [..] }`.
    pub fn operator(&self) -> Option<(&str, Option<&Node>)> {
        match &self.value {
            Value::Text(text) if OPERATORS.contains(&text.as_str()) => Some((text, None)),
            Value::Map(entries) => match entries.as_slice() {
                [(key, operand)] if OPERATORS.contains(&key.text.as_str()) => {
                    Some((&key.text, Some(operand)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// `$any`: whatever, present; `$absent`; `$contains: text`; `$either: [choices]`; `$repeat: { times, item }`
/// stands for a list of equal items, or for a text repeated.
pub const OPERATORS: [&str; 5] = ["$any", "$absent", "$contains", "$either", "$repeat"];
