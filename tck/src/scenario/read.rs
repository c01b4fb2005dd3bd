//! (2) Reads scenario files. All errors of a file are found at once, each with its place and what was allowed.

use super::keys::{self, FormDoc, KeyDoc, Kind};
use super::node::Key;
use super::source::allowed;
use super::{
    Answer, Call, Node, Party, Raw, Scenario, Source, SourceError, Span, Step, StepKind, Stream,
    StreamLine, Value, Verifies, message, tree,
};
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
        let Some(entries) = node.entries() else {
            self.error(node.span, format!("{what} is written as a map"), None);
            return false;
        };
        for (key, value) in entries {
            match docs().find(|doc| doc.key == key.text) {
                Some(doc) => self.kind(key, value, doc.kind),
                None => {
                    let help = allowed(&key.text, docs().map(|doc| doc.key));
                    self.error(key.span, format!("{what} has no key {}", key.text), help);
                }
            }
        }
        let missing: Vec<&str> = docs()
            .filter(|doc| doc.required && node.get(doc.key).is_none())
            .map(|doc| doc.key)
            .collect();
        if !missing.is_empty() {
            let keys = if missing.len() == 1 { "key" } else { "keys" };
            self.error(
                head_span(node),
                format!("{what} needs the {keys} {}", missing.join(", ")),
                None,
            );
        }
        missing.is_empty()
    }

    fn kind(&mut self, key: &Key, node: &Node, kind: Kind) {
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

    fn raw(&mut self, node: &Node, value: &Node) -> Option<Raw> {
        let raw = match &value.value {
            Value::Text(word) => self.raw_word(node, value.span, word)?,
            Value::Map(_) => self.raw_map(node, value)?,
            _ => return None,
        };
        let belongs = [
            ("text", matches!(raw, Raw::Reported(_))),
            ("returns", matches!(raw, Raw::Call { .. })),
        ];
        for (key, value) in node.entries().unwrap_or_default() {
            if belongs.contains(&(key.text.as_str(), false)) {
                self.error(
                    key.span,
                    format!("{} says nothing beside this", key.text),
                    None,
                );
            } else if key.text == "text"
                && value.value != Value::Null
                && matches!(raw, Raw::Reported(None))
            {
                self.error(key.span, "the text of the report stands here twice", None);
            }
        }
        Some(raw)
    }

    fn raw_word(&mut self, node: &Node, span: Span, word: &str) -> Option<Raw> {
        Some(match word {
            "ends" => Raw::Ends(None),
            "resets" => Raw::Resets,
            "fails" => Raw::Fails,
            "refuses" => Raw::Refuses,
            "reported" => Raw::Reported(node.get("text").cloned()),
            _ => {
                let help = allowed(word, keys::RAW.iter().map(|(word, _)| *word));
                self.error(
                    span,
                    format!("no party does {word}"),
                    format!("{help}, or a message as a map"),
                );
                return None;
            }
        })
    }

    fn raw_map(&mut self, node: &Node, value: &Node) -> Option<Raw> {
        let Some(form) = form(value, keys::RAW_FORMS) else {
            return Some(Raw::Message(value.clone()));
        };
        self.form(value, form);
        let content = value.get(form.head.key)?;
        let default = |node: &Node| (node.as_text() != Some("default")).then(|| node.clone());
        let hex = |node: &Node| node.as_text().and_then(message::hex_bytes);
        Some(match form.head.key {
            "bytes" => Raw::Bytes(hex(content)?),
            "ends" => Raw::Ends(Some(content.clone())),
            "reported" => {
                Raw::Reported(Some(content.clone()).filter(|text| text.value != Value::Bool(true)))
            }
            "report_error" => Raw::Reported(content.get("message").cloned()),
            "discover" => Raw::Discover(default(content)),
            "spec" => Raw::Spec(default(content)),
            _ => {
                if let (Some(_), Some(bytes)) = (value.get("request"), value.get("bytes")) {
                    self.error(bytes.span, "a call has a request or bytes, not both", None);
                }
                Raw::Call {
                    target: content.as_text().unwrap_or_default().to_owned(),
                    request: value.get("request").cloned(),
                    bytes: value.get("bytes").and_then(hex),
                    metadata: value.get("metadata").cloned(),
                    returns: value.get("returns").or(node.get("returns")).cloned(),
                }
            }
        })
    }

    // === Calls ===

    fn call(&mut self, node: &Node, target: &Node) -> Call {
        let stream = self.stream(node);
        for key in ["burst", "ends"] {
            if let (None, Some(value)) = (&stream, node.get(key)) {
                self.error(
                    value.span,
                    format!("{key} belongs to a stream, and there is none"),
                    None,
                );
            }
        }
        Call {
            span: head_span(node),
            target: target.as_text().unwrap_or_default().to_owned(),
            alias: node.get("as").and_then(Node::as_text).map(str::to_owned),
            id: node.get("id").cloned(),
            node: node.get("node").cloned(),
            request: node.get("request").cloned(),
            metadata: node.get("metadata").cloned(),
            during: self.steps(node.get("during")),
            returns: node.get("returns").cloned(),
            replay: node.get("replay").cloned(),
            synchronous: truth(node, "synchronous"),
            answer: self.answer(node),
            stream,
            then: node
                .get("then")
                .and_then(|step| self.step(step))
                .map(Box::new),
        }
    }

    fn stream(&mut self, node: &Node) -> Option<Stream> {
        let lines = list(Some(node.get("stream")?))
            .iter()
            .map(|line| self.line(line))
            .collect();
        Some(Stream {
            lines,
            burst: truth(node, "burst"),
            ends: node.get("ends").cloned(),
        })
    }

    fn line(&mut self, node: &Node) -> StreamLine {
        self.keys(node, "a line of a stream", &[keys::LINE, keys::ANSWER]);
        let answer = self.answer(node);
        let request = node.get("request").cloned();
        if request.is_some() != answer.is_unwritten() {
            self.error(
                head_span(node),
                "a line of a stream is a request or an answer",
                None,
            );
        }
        StreamLine {
            span: head_span(node),
            request,
            answer: (!answer.is_unwritten()).then_some(answer),
        }
    }

    /// The answer in a map that has other keys too.
    fn answer(&mut self, node: &Node) -> Answer {
        let mut parts: Vec<(Key, Node)> = Vec::new();
        let mut unordered = Vec::new();
        self.parts(node, &mut parts);
        for line in list(node.get("unordered")) {
            if is_answer(line) {
                self.keys(line, "a part of an answer", &[keys::ANSWER]);
                self.parts(line, &mut parts);
            } else {
                unordered.extend(self.step(line));
            }
        }
        let node = Node::new(head_span(node), Value::Map(parts));
        let answer = Answer {
            reply: node.get("reply").cloned(),
            forward: node
                .get("forward")
                .and_then(|call| self.nested(call))
                .map(Box::new),
            failure: node.get("failure").cloned(),
            nothing: truth(&node, "nothing"),
            metadata: node.get("reply_metadata").cloned(),
            events: node.get("events").cloned(),
            snapshot: node.get("snapshot").cloned(),
            state: node.get("state").cloned(),
            delta: node.get("delta").cloned(),
            delete: truth(&node, "delete"),
            effects: list(node.get("effects"))
                .iter()
                .filter_map(|call| self.nested(call))
                .collect(),
            restart: node.get("restart").cloned(),
            unordered,
        };
        self.one_thing(&node, &answer);
        answer
    }

    fn parts(&mut self, node: &Node, parts: &mut Vec<(Key, Node)>) {
        for (key, value) in node.entries().unwrap_or_default() {
            if key.text == "unordered" || !keys::ANSWER.iter().any(|doc| doc.key == key.text) {
                continue;
            }
            if parts.iter().any(|(other, _)| other.text == key.text) {
                self.error(
                    key.span,
                    format!("{} stands twice in this answer", key.text),
                    None,
                );
            }
            parts.push((key.clone(), value.clone()));
        }
    }

    fn one_thing(&mut self, node: &Node, answer: &Answer) {
        let given = [
            ("reply", answer.reply.is_some()),
            ("forward", answer.forward.is_some()),
            ("failure", answer.failure.is_some()),
            ("nothing", answer.nothing),
        ];
        let given: Vec<&str> = given
            .iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| *key)
            .collect();
        if given.len() > 1 {
            let text = format!("an answer is one of {}", given.join(" and "));
            self.error(
                node.span,
                text,
                "reply, forward, failure or nothing".to_owned(),
            );
        }
        if let (None, Some(restart)) = (&answer.failure, &answer.restart) {
            self.error(restart.span, "only a failure asks for a restart", None);
        }
    }

    fn nested(&mut self, node: &Node) -> Option<Call> {
        self.keys(
            node,
            "a side effect or forward",
            &[keys::NESTED, keys::ANSWER],
        );
        Some(self.call(node, node.get("call")?))
    }
}

// === What stands where ===

/// What would have been expected, and what helps.
type Misfit = (&'static str, Option<String>);

/// What is wrong with what stands under a key of this kind, at first sight.
fn misfit(node: &Node, kind: Kind) -> Option<Misfit> {
    let expected = |fits: bool, what| (!fits).then_some((what, None));
    let scalar = node.as_text().is_some();
    let word = |words: &[&str]| node.as_text().is_some_and(|text| words.contains(&text));
    let map = matches!(node.value, Value::Map(_));
    let is_list = matches!(node.value, Value::List(_));
    match kind {
        Kind::Text => expected(scalar, "a text"),
        Kind::Word(words) => {
            let help = Some(allowed(
                node.as_text().unwrap_or_default(),
                words.iter().copied(),
            ));
            (!word(words)).then_some(("one of a few words", help))
        }
        Kind::Truth => expected(matches!(node.value, Value::Bool(_)), "true or false"),
        Kind::Pattern => expected(scalar || node.operator().is_some(), "a text or an operator"),
        Kind::Hex => {
            let fits = node.as_text().and_then(message::hex_bytes).is_some();
            expected(fits, "an even number of hexadecimal digits")
        }
        Kind::Names => {
            let all = node
                .items()
                .is_some_and(|items| items.iter().all(|item| item.as_text().is_some()));
            expected(scalar || all, "a name or a list of names")
        }
        Kind::NamesOf(names) => {
            let alone = std::slice::from_ref(node);
            let wrong = node
                .items()
                .unwrap_or(alone)
                .iter()
                .find(|item| item.as_text().is_none_or(|text| !names.contains(&text)))?;
            let help = allowed(wrong.as_text().unwrap_or_default(), names.iter().copied());
            Some(("some of a few names", Some(help)))
        }
        Kind::Message(words) => {
            expected(map || word(words) || node.operator().is_some(), "a message")
        }
        Kind::Messages => expected(is_list || node.operator().is_some(), "a list of messages"),
        Kind::Metadata => expected(map, "a map of names and values"),
        Kind::Scenarios | Kind::Steps | Kind::Branches | Kind::NestedList | Kind::Lines => {
            expected(is_list, "a list")
        }
        Kind::Step => expected(map || matches!(node.value, Value::Text(_)), "a step"),
        Kind::Nested => expected(map, "a call"),
        Kind::Raw => {
            let words = allowed("", keys::RAW.iter().map(|(word, _)| *word));
            let fits = map || matches!(node.value, Value::Text(_));
            (!fits).then_some(("a message as a map, or a word", Some(words)))
        }
        Kind::Clients => expected(
            clients(node).is_some(),
            "{ clients: 8 } with 1 to 1000 of them",
        ),
    }
}

/// `{ clients: 8 }`
fn clients(node: &Node) -> Option<usize> {
    let [(key, count)] = node.entries()? else {
        return None;
    };
    let count = count.as_text()?.parse().ok()?;
    (key.text == "clients" && (1..=1000).contains(&count)).then_some(count)
}

fn form<'f>(node: &Node, forms: &'f [FormDoc]) -> Option<&'f FormDoc> {
    forms.iter().find(|form| node.get(form.head.key).is_some())
}

/// A step that is one word; in braces it is a key without a value.
fn bare_word(node: &Node) -> Option<(Span, &str)> {
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
fn is_answer(node: &Node) -> bool {
    node.entries().is_some_and(|entries| !entries.is_empty())
        && bare_word(node).is_none()
        && form(node, keys::STEPS).is_none()
}

fn list(node: Option<&Node>) -> &[Node] {
    node.and_then(Node::items).unwrap_or_default()
}

fn text(node: &Node, key: &str) -> String {
    node.get(key)
        .and_then(Node::as_text)
        .unwrap_or_default()
        .to_owned()
}

fn truth(node: &Node, key: &str) -> bool {
    node.get(key)
        .is_some_and(|node| node.value == Value::Bool(true))
}

fn party(node: &Node) -> Party {
    match node.as_text() {
        Some("proxy") => Party::Proxy,
        Some("function") => Party::Function,
        _ => Party::Client,
    }
}

/// The first key of a map with its value, if that is short: where errors about a step point.
fn head_span(node: &Node) -> Span {
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
