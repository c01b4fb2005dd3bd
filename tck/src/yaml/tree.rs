//! (2) YAML as a tree that knows where everything stands.

use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Source, SourceError, Span, Value};
use granit_parser::{Event, Parser, ScalarStyle};
use std::sync::Arc;

/// Deeper nesting is an error, so that no file can exhaust the stack.
const DEPTH: usize = 64;

/// Reads the one document of a source.
///
/// # Errors
/// The first of [`read_all`].
pub fn read(source: &Arc<Source>) -> Result<Node, SourceError> {
    read_all(source).map_err(|mut errors| errors.swap_remove(0))
}

/// Reads the one document of a source.
///
/// # Errors
/// Every place that uses what the language leaves out: anchors, aliases, tags, keys that aren't single words,
/// keys that stand twice, several documents, too much, nothing; and the first that isn't YAML.
pub fn read_all(source: &Arc<Source>) -> Result<Node, Vec<SourceError>> {
    if source.is_too_large() {
        return Err(vec![Source::too_large(source.name.clone())]);
    }
    let mut builder = TreeBuilder {
        source,
        stack: Vec::new(),
        root: None,
        errors: Vec::new(),
    };
    for event in Parser::new_from_str(&source.text) {
        match event {
            Ok((event, span)) => {
                let start = span.start.byte_offset().unwrap_or(0);
                builder.event(
                    event,
                    Span {
                        start,
                        end: span.end.byte_offset().unwrap_or(start),
                    },
                );
            }
            Err(error) => {
                let start = error
                    .marker()
                    .byte_offset()
                    .unwrap_or(0)
                    .min(source.text.len());
                match tab(&source.text, start) {
                    Some(span) => {
                        let help = Some("indent with spaces");
                        builder.error(span, "this is not YAML: a tab can't indent", help);
                    }
                    None => {
                        let text = format!("this is not YAML: {}", error.info());
                        builder.error(Span { start, end: start }, text, None);
                    }
                }
                break;
            }
        }
        if builder.stack.len() > DEPTH {
            break;
        }
    }
    match builder.root {
        _ if !builder.errors.is_empty() => Err(builder.errors),
        Some(root) => Ok(root),
        None => {
            builder.error(Span::default(), "there is nothing in this file", None);
            Err(builder.errors)
        }
    }
}

/// A tab in the indentation of the line where the parser gave up, or of the next: it stops before what it can't take.
fn tab(text: &str, at: usize) -> Option<Span> {
    let begin = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let mut start = begin;
    for line in text.get(begin..)?.split_inclusive('\n').take(2) {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line.get(..indentation)?.find('\t') {
            let start = start + tab;
            return Some(Span {
                start,
                end: start + 1,
            });
        }
        start += line.len();
    }
    None
}

enum Open {
    List(Span, Vec<Node>),
    Map(Span, Vec<(NodeKey, Node)>, Option<NodeKey>),
}

struct TreeBuilder<'a> {
    source: &'a Arc<Source>,
    stack: Vec<Open>,
    root: Option<Node>,
    errors: Vec<SourceError>,
}

impl TreeBuilder<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<&str>) {
        let (source, help) = (self.source.clone(), help.map(str::to_owned));
        self.errors.push(SourceError {
            source,
            span,
            message: message.into(),
            help,
        });
    }

    fn event(&mut self, event: Event<'_>, span: Span) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span);
                self.add(Node::new(span, scalar(&text, style)), &text);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span);
                self.open(Open::List(span, Vec::new()), span);
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span);
                self.open(Open::Map(span, Vec::new(), None), span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let help = Some("write the value out");
                self.error(span, "aliases are not part of the language", help);
                self.add(Node::new(span, Value::Null), "");
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                self.error(span, "a file has one document", None);
            }
            _ => {}
        }
    }

    fn plain(&mut self, anchor: usize, tag: bool, span: Span) {
        if anchor != 0 || tag {
            let help = Some("write the value without & or !");
            self.error(span, "anchors and tags are not part of the language", help);
        }
    }

    fn open(&mut self, open: Open, span: Span) {
        if self.stack.len() == DEPTH {
            self.error(span, format!("more than {DEPTH} levels deep"), None);
        }
        self.stack.push(open);
    }

    fn add(&mut self, node: Node, text: &str) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key @ Some(_))) => {
                entries.extend(key.take().map(|key| (key, node)));
            }
            Some(Open::Map(_, entries, key)) => {
                let twice = entries.iter().any(|(other, _)| other.text == text);
                let word = !matches!(node.value, Value::List(_) | Value::Map(_));
                *key = Some(NodeKey {
                    span: node.span,
                    text: text.to_owned(),
                });
                if !word {
                    self.error(
                        node.span,
                        "a key is a single word, not a list or a map",
                        None,
                    );
                } else if twice {
                    self.error(node.span, format!("the key {text} stands here twice"), None);
                }
            }
        }
    }

    fn close(&mut self, end: Span) {
        let until = |span: Span| Span {
            start: span.start,
            end: end.end.max(span.end),
        };
        let node = match self.stack.pop() {
            Some(Open::List(span, items)) => Node::new(until(span), Value::List(items)),
            Some(Open::Map(span, entries, _)) => Node::new(until(span), Value::Map(entries)),
            None => return,
        };
        self.add(node, "");
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
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "-.eE+".contains(c))
        && text.parse::<f64>().is_ok()
}
