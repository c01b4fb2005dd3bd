//! Reads values of a file: maps with the keys that they may and must have, lists, texts. An error points at the key or
//! value that is wrong, and says what was allowed.

use super::node::NodeKey;
use super::source::allowed;
use super::{Node, Source, SourceError, Span};
use std::str::FromStr;
use std::sync::Arc;

/// A value under reading, and the file that errors about it point into.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// The file.
    pub source: &'a Arc<Source>,
    /// The value.
    pub node: &'a Node,
}

impl<'a> Cursor<'a> {
    /// At a value of a file.
    pub fn new(source: &'a Arc<Source>, node: &'a Node) -> Cursor<'a> {
        Cursor { source, node }
    }

    /// At another value of the same file.
    pub fn on(self, node: &'a Node) -> Cursor<'a> {
        Cursor::new(self.source, node)
    }

    /// An error at a place of this file.
    pub fn failed(
        self,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) -> SourceError {
        SourceError {
            source: self.source.clone(),
            span,
            message: message.into(),
            help,
        }
    }

    /// An error about the whole value.
    ///
    /// # Errors
    /// Always.
    pub fn error<T>(
        self,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> Result<T, SourceError> {
        Err(self.failed(self.node.span, message, help.map(str::to_owned)))
    }

    /// Where the value begins: the place of what is missing in it.
    pub fn beginning(self) -> Span {
        Span {
            start: self.node.span.start,
            end: self.node.span.start + 1,
        }
    }

    // === Maps ===

    /// The entries of a map.
    ///
    /// # Errors
    /// It isn't one.
    pub fn entries(self, what: &str) -> Result<&'a [(NodeKey, Node)], SourceError> {
        match self.node.entries() {
            Some(entries) => Ok(entries),
            None => self.error(format!("{what} is written as a map"), None),
        }
    }

    /// What is wrong with the keys of a map: one error for each that isn't among these.
    pub fn unknown(self, what: &str, known: &[&str]) -> Vec<SourceError> {
        let entries = self.node.entries().unwrap_or_default();
        entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.text.as_str()))
            .map(|(key, _)| {
                let help = allowed(&key.text, known.iter().copied());
                self.failed(
                    key.span,
                    format!("{what} has no key {}", key.text),
                    Some(help),
                )
            })
            .collect()
    }

    /// The error that keys of a map are missing; `span` is its place.
    pub fn missing(self, span: Span, what: &str, keys: &[&str]) -> SourceError {
        let word = if keys.len() == 1 { "key" } else { "keys" };
        let message = format!("{what} needs the {word} {}", keys.join(", "));
        self.failed(span, message, None)
    }

    /// This is a map with no other keys.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn keys(self, what: &str, known: &[&str]) -> Result<(), SourceError> {
        self.entries(what).map_err(|error| SourceError {
            help: Some(allowed("", known.iter().copied())),
            ..error
        })?;
        self.unknown(what, known)
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    /// What stands under a key that must be there.
    ///
    /// # Errors
    /// It isn't there.
    pub fn need(self, key: &str, what: &str) -> Result<Cursor<'a>, SourceError> {
        match self.node.get(key) {
            Some(node) => Ok(self.on(node)),
            None => Err(self.missing(self.beginning(), what, &[key])),
        }
    }

    /// What stands under a key, if it is there.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn optional<T>(
        self,
        key: &str,
        read: impl FnOnce(Cursor<'a>) -> Result<T, SourceError>,
    ) -> Result<Option<T>, SourceError> {
        self.node
            .get(key)
            .map(|node| read(self.on(node)))
            .transpose()
    }

    // === Lists and single values ===

    /// The items of a list.
    ///
    /// # Errors
    /// It isn't one; the first of `read`.
    pub fn list<T>(
        self,
        read: impl Fn(Cursor<'a>) -> Result<T, SourceError>,
    ) -> Result<Vec<T>, SourceError> {
        match self.node.items() {
            Some(items) => items.iter().map(|item| read(self.on(item))).collect(),
            None => self.error("a list is expected here", Some("for example [one, two]")),
        }
    }

    /// A text that says something.
    ///
    /// # Errors
    /// It isn't one.
    pub fn text(self) -> Result<String, SourceError> {
        match self.node.as_text() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => self.error("a text is expected here", None),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    /// It isn't one.
    pub fn texts(self) -> Result<Vec<String>, SourceError> {
        self.list(Cursor::text)
    }

    /// A value of a type that reads itself.
    ///
    /// # Errors
    /// It doesn't: `what` is expected.
    pub fn parsed<T: FromStr>(self, what: &str) -> Result<T, SourceError> {
        let parsed = self.node.as_text().and_then(|text| text.parse().ok());
        parsed.map_or_else(|| self.error(format!("{what} is expected here"), None), Ok)
    }
}
