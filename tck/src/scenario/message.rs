//! (2) Messages written as trees: to send ([`build`]), to compare with what came ([`compare`]), and the reverse
//! for people ([`to_node`], [`summary`]).
//!
//! The world is closed: what isn't written must not be there, metadata apart. An `Any` is written by its type,
//! `{ Persisted: { value: A } }` or `{ string: x }`. `"?99": "0801"` is a field that the descriptors don't have.
//! `$name` inside a text stands for its value, `$$` for a dollar, and the operators of [`crate::yaml::node::OPERATORS`]
//! for more than one message. [`verify`] finds everything that is wrong with a tree before anything is sent.

mod any;
mod build;
mod collections;
mod compare;
mod scalar;
mod show;
mod unknown;

pub use build::{build, build_any, verify, verify_any, verify_text};
pub use compare::{NOTHING, compare, compare_any, compare_text};
pub use show::{any_to_node, flow, payload_to_node, quoted, resolved, shorten, summary, to_node};
pub use unknown::{hex, hex_bytes};

use crate::yaml::node::OPERATORS;
use crate::yaml::{Node, Span, Value};
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
        self.help
            .as_ref()
            .map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for MessageError {}

type Result<T> = std::result::Result<T, MessageError>;

fn error<T>(span: Span, message: impl Into<String>, help: Option<String>) -> Result<T> {
    Err(MessageError {
        span,
        message: message.into(),
        help,
    })
}

const ANY: &str = "google.protobuf.Any";
const METADATA: &str = "cloudstate.Metadata";

/// Replaces `$name` by its value, and `$$` by a dollar.
///
/// # Errors
/// A name that nothing binds; empty for a dollar that stands alone.
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
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        result.push_str(bindings.get(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

/// The text of a scalar, with its names replaced.
fn text_of(node: &Node, scope: &Scope<'_>) -> Result<String> {
    let Some(text) = node.as_text() else {
        return match node.value {
            Value::Null => nothing_written(node.span),
            _ => {
                let help = format!("operators: {}", OPERATORS.join(", "));
                let meant = node
                    .entries()
                    .and_then(<[_]>::first)
                    .filter(|(key, _)| key.text.starts_with('$'));
                error(
                    node.span,
                    "a single value is expected here",
                    meant.map(|_| help),
                )
            }
        };
    };
    substitute(text, scope.bindings).or_else(|name| {
        if name.is_empty() {
            let help = "write $$ for a dollar".to_owned();
            return error(node.span, "a $ that is followed by no name", Some(help));
        }
        let known: Vec<String> = scope.bindings.keys().map(|key| format!("${key}")).collect();
        let help = format!("known: {}; write $$ for a dollar", known.join(", "));
        error(node.span, format!("nothing binds ${name}"), Some(help))
    })
}

fn nothing_written<T>(span: Span) -> Result<T> {
    let help = "leave the key out, or write what is meant: {}, \"\", 0".to_owned();
    error(span, "nothing is written here", Some(help))
}

/// The items of a list, `$repeat` written out; of a map with numbers for keys, its values.
pub fn items(node: &Node) -> Vec<Node> {
    if let Some((times, item)) = repeated(node) {
        return vec![item.clone(); times];
    }
    match &node.value {
        Value::List(list) => list
            .iter()
            .flat_map(|item| match repeated(item) {
                Some((times, item)) => vec![item.clone(); times],
                None => vec![item.clone()],
            })
            .collect(),
        // The long form of a replay: sequence number and event.
        Value::Map(entries) => entries.iter().map(|(_, event)| event.clone()).collect(),
        _ => Vec::new(),
    }
}

/// More of anything than this is a slip of the finger, and would not fit into memory.
const MOST: usize = 64 << 20;

/// Times and item of a `$repeat`.
fn repeated(node: &Node) -> Option<(usize, &Node)> {
    let Some(("$repeat", Some(repeat))) = node.operator() else {
        return None;
    };
    let times = repeat
        .get("times")?
        .as_text()?
        .parse()
        .ok()
        .filter(|times| *times <= MOST)?;
    Some((times, repeat.get("item")?))
}

/// The alternatives of an `$either`.
fn alternatives(node: &Node) -> Option<&[Node]> {
    match node.operator() {
        Some(("$either", Some(options))) => options.items().filter(|options| !options.is_empty()),
        _ => None,
    }
}

fn is(node: &Node, operator: &str) -> bool {
    matches!(node.operator(), Some((name, _)) if name == operator)
}

#[cfg(test)]
mod tests;
