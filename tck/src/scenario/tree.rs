//! YAML as a tree that knows where everything stands.

use super::node::Key;
use super::{Node, Source, SourceError, Span, Value};
use granit_parser::{Event, Parser, ScalarStyle};
use std::sync::Arc;

/// Deeper nesting is an error, so that no file can exhaust the stack.
const DEPTH: usize = 64;

/// Reads the one document of a source.
///
/// # Errors
/// The first place that isn't YAML, or that uses what the language leaves out: anchors, aliases, tags, keys
/// that aren't plain, keys that stand twice, several documents.
pub fn read(source: &Arc<Source>) -> Result<Node, SourceError> {
    let mut builder = Builder { source, stack: Vec::new(), root: None };
    for event in Parser::new_from_str(&source.text) {
        match event {
            Ok((event, span)) => builder.event(event, &span)?,
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                let text = format!("this is not YAML: {error}");
                return Err(builder.error(Span { start: at, end: at + 1 }, text, None));
            }
        }
    }
    let empty = Node::new(Span::default(), Value::Null);
    Ok(builder.root.unwrap_or(empty))
}

enum Open {
    List(Span, Vec<Node>),
    Map(Span, Vec<(Key, Node)>, Option<Key>),
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    stack: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn error(&self, span: Span, message: impl Into<String>, help: Option<&str>) -> SourceError {
        let help = help.map(str::to_owned);
        SourceError { source: self.source.clone(), span, message: message.into(), help }
    }

    fn event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Result<(), SourceError> {
        let span = Span {
            start: at.start.byte_offset().unwrap_or(0),
            end: at.end.byte_offset().unwrap_or(0),
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                let value = scalar(&text, style);
                self.add(Node::new(span, value), &text)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                self.open(Open::List(span, Vec::new()), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                self.open(Open::Map(span, Vec::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                Err(self.error(span, "aliases are not part of the language", Some("write the value out")))
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.error(span, "a file has one document", None))
            }
            _ => Ok(()),
        }
    }

    fn plain(&self, anchor: usize, tag: bool, span: Span) -> Result<(), SourceError> {
        if anchor != 0 || tag {
            let help = Some("write the value without & or !");
            return Err(self.error(span, "anchors and tags are not part of the language", help));
        }
        Ok(())
    }

    fn open(&mut self, open: Open, span: Span) -> Result<(), SourceError> {
        if let Some(Open::Map(_, _, None)) = self.stack.last() {
            return Err(self.error(span, "a key is a single word, not a list or a map", None));
        }
        if self.stack.len() >= DEPTH {
            return Err(self.error(span, format!("more than {DEPTH} levels deep"), None));
        }
        self.stack.push(open);
        Ok(())
    }

    fn add(&mut self, node: Node, text: &str) -> Result<(), SourceError> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key @ None)) => {
                let twice = entries.iter().any(|(other, _)| other.text == text);
                let span = node.span;
                *key = Some(Key { span, text: text.to_owned() });
                if twice {
                    return Err(self.error(span, format!("the key {text} stands here twice"), None));
                }
            }
            Some(Open::Map(_, entries, key)) => entries.extend(key.take().map(|key| (key, node))),
        }
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), SourceError> {
        let node = match self.stack.pop() {
            Some(Open::List(span, items)) => {
                Node::new(Span { start: span.start, end: end.end.max(span.end) }, Value::List(items))
            }
            Some(Open::Map(span, entries, _)) => {
                Node::new(Span { start: span.start, end: end.end.max(span.end) }, Value::Map(entries))
            }
            None => return Ok(()),
        };
        self.add(node, "")
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if !matches!(style, ScalarStyle::Plain) {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

/// A number that reads back as it is written: `007` and `1_000` are texts.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    !leading_zero
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "-.eE+".contains(c))
        && text.parse::<f64>().is_ok()
}
