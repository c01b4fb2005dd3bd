//! (2) Reads scenario files. All errors of a file are found at once, each with its place and what was allowed.

mod call;
mod kind;
mod raw;

use super::keys::{self, FormDoc, KeyDoc, KeyKind};
use super::{Scenario, Step, StepKind, Verifies};
use crate::yaml::node::NodeKey;
use crate::yaml::source::allowed;
use crate::yaml::{Cursor, Node, Source, SourceError, Span, Value, tree};
use kind::{bare_word, clients, form, head_span, list, misfit, party, text, truth};
use std::sync::Arc;

/// The scenarios of one file.
///
/// # Errors
/// Everything in the file that isn't the language.
pub fn read(source: &Arc<Source>) -> Result<Vec<Scenario>, Vec<SourceError>> {
    let root = tree::read_all(source)?;
    let mut reader = Reader {
        source,
        errors: Vec::new(),
    };
    let scenarios = reader.suite(&root);
    reader.errors.sort_by_key(|error| error.span.start);
    if reader.errors.is_empty() {
        Ok(scenarios)
    } else {
        Err(reader.errors)
    }
}

/// The scenarios that the kit brings.
///
/// # Errors
/// As [`read`]; a test keeps the kit's own files without one.
pub fn embedded() -> Result<Vec<Scenario>, Vec<SourceError>> {
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for (name, text) in crate::embedded::SCENARIOS {
        let name = format!("fixtures/scenarios/{name}");
        match read(&Arc::new(Source {
            name,
            text: (*text).to_owned(),
        })) {
            Ok(read) => scenarios.extend(read),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        Ok(scenarios)
    } else {
        Err(errors)
    }
}

/// Goes on after an error. What is under a key is checked once, by the key's kind; where that was wrong, the
/// rest takes a default and says nothing more.
struct Reader<'a> {
    source: &'a Arc<Source>,
    errors: Vec<SourceError>,
}

impl Reader<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        let (source, message, help) = (self.source.clone(), message.into(), help.into());
        self.errors.push(SourceError {
            source,
            span,
            message,
            help,
        });
    }

    // === Keys and kinds ===

    /// Checks the keys of a map against the tables, and what stands under them.
    fn keys(&mut self, node: &Node, what: &str, tables: &[&[KeyDoc]]) -> bool {
        let docs = || tables.iter().flat_map(|table| table.iter());
        let map = Cursor::new(self.source, node);
        let entries = match map.entries(what) {
            Ok(entries) => entries,
            Err(error) => {
                self.errors.push(error);
                return false;
            }
        };
        let known: Vec<&str> = docs().map(|doc| doc.key).collect();
        self.errors.extend(map.unknown(what, &known));
        for (key, value) in entries {
            if let Some(doc) = docs().find(|doc| doc.key == key.text) {
                self.kind(key, value, doc.kind);
            }
        }
        let missing: Vec<&str> = docs()
            .filter(|doc| doc.required && node.get(doc.key).is_none())
            .map(|doc| doc.key)
            .collect();
        if !missing.is_empty() {
            self.errors
                .push(map.missing(head_span(node), what, &missing));
        }
        missing.is_empty()
    }

    fn kind(&mut self, key: &NodeKey, node: &Node, kind: KeyKind) {
        let Some((expected, help)) = misfit(node, kind) else {
            return;
        };
        // What isn't there has no place of its own.
        let span = if node.value == Value::Null {
            key.span
        } else {
            node.span
        };
        self.error(
            span,
            format!("under {} {expected} is expected", key.text),
            help,
        );
    }

    fn names(&mut self, node: Option<&Node>) -> Vec<(String, Span)> {
        let one = |node: &Node| node.as_text().map(|text| (text.to_owned(), node.span));
        match node {
            Some(Node {
                value: Value::List(items),
                ..
            }) => items.iter().filter_map(one).collect(),
            node => node.and_then(one).into_iter().collect(),
        }
    }

    fn verifies(&mut self, node: &Node) -> Vec<Verifies> {
        let names = self.names(node.get("verifies"));
        names
            .into_iter()
            .map(|(name, span)| Verifies { name, span })
            .collect()
    }

    // === Files and scenarios ===

    fn suite(&mut self, root: &Node) -> Vec<Scenario> {
        self.keys(root, "a scenario file", &[keys::SUITE]);
        let suite = text(root, "suite");
        if let Some(node) = root.get("suite") {
            self.kebab(node, "a suite's name");
        }
        let mut scenarios: Vec<Scenario> = Vec::new();
        for node in list(root.get("scenarios")) {
            let scenario = self.scenario(node, &suite, root.get("service"));
            if let Some(first) = scenarios
                .iter()
                .find(|other| other.id == scenario.id && !other.id.is_empty())
            {
                let (line, _) = self.source.position(first.span.start);
                self.error(
                    scenario.span,
                    format!("the id {} stands in line {line} already", scenario.id),
                    None,
                );
            }
            scenarios.push(scenario);
        }
        if root
            .get("scenarios")
            .and_then(Node::items)
            .is_some_and(<[Node]>::is_empty)
        {
            self.error(root.span, "a scenario file without a scenario", None);
        }
        scenarios
    }

    fn scenario(&mut self, node: &Node, suite: &str, service: Option<&Node>) -> Scenario {
        self.keys(node, "a scenario", &[keys::SCENARIO]);
        if let Some(id) = node.get("id") {
            self.kebab(id, "an id");
        }
        if let Some(title) = node
            .get("title")
            .filter(|title| title.as_text().is_some_and(str::is_empty))
        {
            self.error(title.span, "a title says what the scenario is about", None);
        }
        if node
            .get("chart")
            .and_then(Node::items)
            .is_some_and(<[Node]>::is_empty)
        {
            self.error(head_span(node), "the chart is empty", None);
        }
        let service = node.get("service").or(service);
        if service.is_none() {
            self.error(
                head_span(node),
                "neither the suite nor the scenario names a service",
                None,
            );
        }
        Scenario {
            source: self.source.clone(),
            span: node.get("id").map_or(head_span(node), |id| id.span),
            suite: suite.to_owned(),
            id: text(node, "id"),
            title: text(node, "title"),
            service: service
                .and_then(Node::as_text)
                .unwrap_or_default()
                .to_owned(),
            service_span: service.map_or(head_span(node), |service| service.span),
            verifies: self.verifies(node),
            scripted: node.get("scripted").map(party),
            needs: self
                .names(node.get("needs"))
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            ids: self.ids(node.get("ids")),
            spec: node.get("spec").cloned(),
            chart: self.steps(node.get("chart")),
        }
    }

    fn kebab(&mut self, node: &Node, what: &str) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if node
            .as_text()
            .is_some_and(|text| text.is_empty() || !text.chars().all(fits))
        {
            self.error(
                node.span,
                format!("{what} is made of lower-case words joined by -"),
                None,
            );
        }
    }

    fn ids(&mut self, node: Option<&Node>) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for (name, span) in self.names(node) {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if ids.contains(&name) || ["id", "client"].contains(&name.as_str()) {
                self.error(span, format!("${name} is bound already"), None);
            } else if name.is_empty() || !name.chars().all(fits) {
                let help = "lower-case letters, digits and _, without the $".to_owned();
                self.error(span, format!("{name:?} can't be used as a name"), help);
            }
            ids.push(name);
        }
        ids
    }

    // === Steps ===

    fn steps(&mut self, node: Option<&Node>) -> Vec<Step> {
        list(node)
            .iter()
            .filter_map(|step| self.step(step))
            .collect()
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        let kind = match (&node.value, bare_word(node)) {
            (_, Some((span, word))) => self.word(span, word)?,
            (Value::Map(_), _) => self.keyed(node)?,
            _ => {
                let words = keys::WORDS.iter().map(|(word, _)| *word);
                self.error(node.span, "a step is a map or a word", allowed("", words));
                return None;
            }
        };
        Some(Step {
            span: head_span(node),
            verifies: self.verifies(node),
            kind,
        })
    }

    fn word(&mut self, span: Span, word: &str) -> Option<StepKind> {
        match word {
            "passivate" => Some(StepKind::Passivate),
            "fence" => Some(StepKind::Fence),
            "returns" => Some(StepKind::Returns),
            _ => {
                let help = allowed(word, keys::WORDS.iter().map(|(word, _)| *word));
                self.error(span, format!("no step is called {word}"), help);
                None
            }
        }
    }

    fn keyed(&mut self, node: &Node) -> Option<StepKind> {
        let Some(form) = form(node, keys::STEPS) else {
            let first = node
                .entries()
                .and_then(<[_]>::first)
                .map_or("", |(key, _)| key.text.as_str());
            let help = allowed(first, keys::STEPS.iter().map(|form| form.head.key));
            self.error(head_span(node), "none of these keys makes a step", help);
            return None;
        };
        self.form(node, form);
        let value = node.get(form.head.key)?;
        let named = || value.as_text().unwrap_or_default().to_owned();
        Some(match form.head.key {
            "call" => StepKind::Call(Box::new(self.call(node, value))),
            "consume" => StepKind::Consume(Box::new(self.call(node, value))),
            "streamed" => {
                let answer = Box::new(self.answer(node));
                StepKind::Streamed {
                    call: named(),
                    answer,
                    end: truth(node, "end"),
                }
            }
            "cancel" => StepKind::Cancel {
                call: named(),
                answer: Box::new(self.answer(node)),
            },
            "replicate" => StepKind::Replicate {
                delta: value.clone(),
                node: node.get("node").cloned(),
            },
            "none" => StepKind::None(self.steps(Some(value))),
            "concurrent" => StepKind::Concurrent {
                clients: clients(value).unwrap_or(1),
                each: self.steps(node.get("each")),
            },
            "unordered" => StepKind::Unordered(self.branches(value)),
            "one_of" => StepKind::OneOf(self.branches(value)),
            "kill" => StepKind::Kill(party(value)),
            "start" => StepKind::Start(party(value)),
            _ => {
                let party = party(&Node::text(value.span, form.head.key));
                StepKind::Raw {
                    party,
                    what: self.raw(node, value)?,
                }
            }
        })
    }

    fn form(&mut self, node: &Node, form: &FormDoc) {
        let head = [form.head];
        let tables: Vec<&[KeyDoc]> = std::iter::once(&head[..])
            .chain(form.beside.iter().copied())
            .collect();
        self.keys(node, form.what, &tables);
    }

    fn branches(&mut self, node: &Node) -> Vec<Vec<Step>> {
        let branch = |item: &Node| match item.value {
            Value::List(_) => self.steps(Some(item)),
            _ => self.step(item).into_iter().collect(),
        };
        list(Some(node)).iter().map(branch).collect()
    }
}
