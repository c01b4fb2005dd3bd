//! Reads scenario files. All errors of a file are found at once, each with its place and what was allowed.

use super::keys::{self, KeyDoc};
use super::node::Key;
use super::{
    Answer, Call, Node, Party, Raw, Scenario, Source, SourceError, Span, Step, StepKind, Stream, StreamLine,
    Value, Verifies, message, tree,
};
use std::sync::Arc;

/// The scenarios of one file.
///
/// # Errors
/// Everything in the file that isn't the language.
pub fn read(source: &Arc<Source>) -> Result<Vec<Scenario>, Vec<SourceError>> {
    let root = tree::read(source).map_err(|error| vec![error])?;
    let mut reader = Reader { source, errors: Vec::new() };
    let scenarios = reader.suite(&root);
    if reader.errors.is_empty() { Ok(scenarios) } else { Err(reader.errors) }
}

/// The scenarios that the kit brings.
///
/// # Errors
/// As [`read`]; a test keeps the kit's own files without one.
pub fn embedded() -> Result<Vec<Scenario>, Vec<SourceError>> {
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for (name, text) in crate::embedded::SCENARIOS {
        let name = format!("fixtures/scenarios/{name}");
        match read(&Arc::new(Source { name, text: (*text).to_owned() })) {
            Ok(read) => scenarios.extend(read),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(scenarios) } else { Err(errors) }
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    errors: Vec<SourceError>,
}

impl Reader<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        let (source, message, help) = (self.source.clone(), message.into(), help.into());
        self.errors.push(SourceError { source, span, message, help });
    }

    /// The entries of a map whose keys are all in the tables.
    fn map<'n>(&mut self, node: &'n Node, what: &str, tables: &[&[KeyDoc]]) -> &'n [(Key, Node)] {
        let Some(entries) = node.entries() else {
            self.error(node.span, format!("{what} is written as a map"), None);
            return &[];
        };
        for (key, _) in entries {
            let known = || tables.iter().flat_map(|table| table.iter()).map(|doc| doc.key);
            if !known().any(|name| name == key.text) {
                let help = allowed(&key.text, known());
                self.error(key.span, format!("{what} has no key {}", key.text), help);
            }
        }
        entries
    }

    fn required<'n>(&mut self, node: &'n Node, key: &str, what: &str) -> Option<&'n Node> {
        let found = node.get(key);
        if found.is_none() {
            let end = Span { start: node.span.start, end: node.span.start + 1 };
            self.error(end, format!("{what} needs the key {key}"), None);
        }
        found
    }

    fn text(&mut self, node: &Node) -> String {
        match node.as_text() {
            Some(text) => text.to_owned(),
            None => {
                self.error(node.span, "a text is expected here", None);
                String::new()
            }
        }
    }

    fn truth(&mut self, node: Option<&Node>) -> bool {
        match node.map(|node| (&node.value, node.span)) {
            None => false,
            Some((Value::Bool(truth), _)) => *truth,
            Some((_, span)) => {
                self.error(span, "true or false is expected here", None);
                false
            }
        }
    }

    fn party(&mut self, node: &Node) -> Party {
        match node.as_text() {
            Some("client") => Party::Client,
            Some("proxy") => Party::Proxy,
            Some("function") => Party::Function,
            _ => {
                self.error(node.span, "a party is expected here", format!("one of {}", keys::PARTIES.join(", ")));
                Party::Client
            }
        }
    }

    fn names(&mut self, node: Option<&Node>) -> Vec<(String, Span)> {
        let Some(node) = node else { return Vec::new() };
        match &node.value {
            Value::List(items) => items.iter().map(|item| (self.text(item), item.span)).collect(),
            _ => vec![(self.text(node), node.span)],
        }
    }

    fn verifies(&mut self, node: &Node) -> Vec<Verifies> {
        let names = self.names(node.get("verifies"));
        names.into_iter().map(|(name, span)| Verifies { name, span }).collect()
    }

    fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        let items = node.items();
        if items.is_none() {
            self.error(node.span, format!("{what} is written as a list"), None);
        }
        items.unwrap_or_default()
    }

    // === Files and scenarios ===

    fn suite(&mut self, root: &Node) -> Vec<Scenario> {
        self.map(root, "a scenario file", &[keys::SUITE]);
        let suite = self.required(root, "suite", "a scenario file").map(|node| self.text(node));
        let service = root.get("service").map(|node| self.text(node));
        let Some(list) = self.required(root, "scenarios", "a scenario file") else { return Vec::new() };
        let suite = suite.unwrap_or_default();
        let mut scenarios: Vec<Scenario> = Vec::new();
        for node in self.list(list, "scenarios") {
            let Some(scenario) = self.scenario(node, &suite, service.as_deref()) else { continue };
            if scenarios.iter().any(|other| other.id == scenario.id) {
                self.error(scenario.span, format!("the id {} stands here twice", scenario.id), None);
            }
            scenarios.push(scenario);
        }
        scenarios
    }

    fn scenario(&mut self, node: &Node, suite: &str, service: Option<&str>) -> Option<Scenario> {
        self.map(node, "a scenario", &[keys::SCENARIO]);
        let id = self.required(node, "id", "a scenario")?;
        let span = id.span;
        let id = self.text(id);
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(kebab) {
            self.error(span, "an id is made of lower-case words joined by -", None);
        }
        let title = self.required(node, "title", "a scenario").map(|node| self.text(node));
        let service = node.get("service").map(|node| self.text(node)).or(service.map(str::to_owned));
        if service.is_none() {
            self.error(span, "neither the suite nor the scenario names a service", None);
        }
        let chart = self.required(node, "chart", "a scenario").map(|node| self.steps(node));
        Some(Scenario {
            source: self.source.clone(),
            span,
            suite: suite.to_owned(),
            id,
            title: title.unwrap_or_default(),
            service: service.unwrap_or_default(),
            verifies: self.verifies(node),
            scripted: node.get("scripted").map(|node| self.party(node)),
            needs: self.names(node.get("needs")).into_iter().map(|(name, _)| name).collect(),
            ids: self.names(node.get("ids")).into_iter().map(|(name, _)| name).collect(),
            spec: node.get("spec").cloned(),
            chart: chart.unwrap_or_default(),
        })
    }

    // === Steps ===

    fn steps(&mut self, node: &Node) -> Vec<Step> {
        self.list(node, "a chart").iter().filter_map(|step| self.step(step)).collect()
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        let kind = match &node.value {
            Value::Text(word) => self.word(node.span, word)?,
            Value::Map(_) => self.keyed(node)?,
            _ => {
                self.error(node.span, "a step is a word or a map", format!("words: {}", keys::WORDS.join(", ")));
                return None;
            }
        };
        let verifies = self.verifies(node);
        Some(Step { span: head_span(node), verifies, kind })
    }

    fn word(&mut self, span: Span, word: &str) -> Option<StepKind> {
        match word {
            "passivate" => Some(StepKind::Passivate),
            "fence" => Some(StepKind::Fence),
            "returns" => Some(StepKind::Returns),
            _ => {
                let help = allowed(word, keys::WORDS.iter().copied());
                self.error(span, format!("no step is called {word}"), help);
                None
            }
        }
    }

    fn keyed(&mut self, node: &Node) -> Option<StepKind> {
        if node.get("call").is_some() {
            return self.call(node).map(|call| StepKind::Call(Box::new(call)));
        }
        let entries = node.entries().unwrap_or_default();
        let head = entries.iter().find(|(key, _)| keys::STEP.iter().any(|doc| doc.key == key.text));
        let Some((head, value)) = head else {
            let known = keys::STEP.iter().map(|doc| doc.key).chain(["call"]);
            let first = entries.first().map_or("", |(key, _)| key.text.as_str());
            let help = allowed(first, known);
            self.error(head_span(node), "none of these keys makes a step", help);
            return None;
        };
        if head.text == "consume" {
            return self.call(node).map(|call| StepKind::Consume(Box::new(call)));
        }
        let answers: &[KeyDoc] =
            if matches!(head.text.as_str(), "streamed" | "cancel") { keys::ANSWER } else { &[] };
        self.map(node, "a step", &[keys::STEP, keys::BESIDE, answers]);
        Some(match head.text.as_str() {
            "streamed" => StepKind::Streamed {
                call: self.text(value),
                answer: Box::new(self.answer(node)),
                end: self.truth(node.get("end")),
            },
            "cancel" => {
                StepKind::Cancel { call: self.text(value), answer: Box::new(self.answer(node)) }
            }
            "replicate" => {
                StepKind::Replicate { delta: value.clone(), node: node.get("node").cloned() }
            }
            "none" => StepKind::None(self.steps(value)),
            "concurrent" => self.concurrent(node, value)?,
            "unordered" => StepKind::Unordered(self.branches(value)),
            "one_of" => StepKind::OneOf(self.branches(value)),
            "kill" => StepKind::Kill(self.party(value)),
            "start" => StepKind::Start(self.party(value)),
            party => {
                let party = match party {
                    "client" => Party::Client,
                    "proxy" => Party::Proxy,
                    _ => Party::Function,
                };
                StepKind::Raw { party, what: self.raw(node, value)? }
            }
        })
    }

    fn concurrent(&mut self, node: &Node, value: &Node) -> Option<StepKind> {
        let clients = value.get("clients").and_then(Node::as_text).and_then(|text| text.parse().ok());
        let Some(clients) = clients.filter(|clients| (1..=1000).contains(clients)) else {
            self.error(value.span, "concurrent is written as { clients: 8 }", "1 to 1000 clients".to_owned());
            return None;
        };
        let each = self.required(node, "each", "concurrent").map(|node| self.steps(node));
        Some(StepKind::Concurrent { clients, each: each.unwrap_or_default() })
    }

    fn branches(&mut self, node: &Node) -> Vec<Vec<Step>> {
        let branch = |reader: &mut Self, item: &Node| match item.value {
            Value::List(_) => reader.steps(item),
            _ => reader.step(item).into_iter().collect(),
        };
        self.list(node, "this").iter().map(|item| branch(self, item)).collect()
    }

    fn raw(&mut self, node: &Node, value: &Node) -> Option<Raw> {
        if let Value::Text(word) = &value.value {
            return match word.as_str() {
                "ends" => Some(Raw::Ends(None)),
                "resets" => Some(Raw::Resets),
                "fails" => Some(Raw::Fails),
                "refuses" => Some(Raw::Refuses),
                "reported" => Some(Raw::Reported(node.get("text").cloned())),
                _ => {
                    let help = format!("{}, or a message as a map", keys::RAW.join(", "));
                    self.error(value.span, format!("no party does {word}"), help);
                    None
                }
            };
        }
        let Some(entries) = value.entries() else {
            self.error(value.span, "a raw step is a word or a map", format!("words: {}", keys::RAW.join(", ")));
            return None;
        };
        let default = |node: &Node| (node.as_text() != Some("default")).then(|| node.clone());
        let Some((key, content)) = entries.first() else { return Some(Raw::Message(value.clone())) };
        Some(match key.text.as_str() {
            "ends" => Raw::Ends(Some(content.clone())),
            "bytes" => match content.as_text().and_then(message::hex_bytes) {
                Some(bytes) => Raw::Bytes(bytes),
                None => {
                    self.error(content.span, "bytes are written as pairs of hexadecimal digits", None);
                    return None;
                }
            },
            "reported" => Raw::Reported(Some(content.clone())),
            "report_error" => Raw::Reported(content.get("message").cloned()),
            "discover" => Raw::Discover(default(content)),
            "spec" => Raw::Spec(default(content)),
            "call" => self.raw_call(node, value, content)?,
            _ => Raw::Message(value.clone()),
        })
    }

    fn raw_call(&mut self, node: &Node, value: &Node, target: &Node) -> Option<Raw> {
        let known = ["call", "request", "bytes", "metadata", "returns"];
        for (key, _) in value.entries().unwrap_or_default() {
            if !known.contains(&key.text.as_str()) {
                let help = allowed(&key.text, known.into_iter());
                self.error(key.span, format!("a raw call has no key {}", key.text), help);
            }
        }
        let bytes = value.get("bytes").map(|node| (node.as_text().and_then(message::hex_bytes), node.span));
        if let Some((None, span)) = bytes {
            self.error(span, "bytes are written as pairs of hexadecimal digits", None);
        }
        Some(Raw::Call {
            target: self.text(target),
            request: value.get("request").cloned(),
            bytes: bytes.and_then(|(bytes, _)| bytes),
            metadata: value.get("metadata").cloned(),
            returns: value.get("returns").or(node.get("returns")).cloned(),
        })
    }

    // === Calls ===

    fn call(&mut self, node: &Node) -> Option<Call> {
        let consume: &[KeyDoc] = if node.get("consume").is_some() { keys::STEP } else { &[] };
        self.map(node, "a call", &[keys::CALL, keys::ANSWER, consume]);
        let target = node.get("call").or(node.get("consume"))?;
        let text = |reader: &mut Self, key: &str| node.get(key).map(|value| reader.text(value));
        let during = node.get("during").map(|steps| self.steps(steps)).unwrap_or_default();
        let then = node.get("then").and_then(|step| self.step(step)).map(Box::new);
        Some(Call {
            span: head_span(node),
            target: self.text(target),
            alias: text(self, "as"),
            id: node.get("id").cloned(),
            node: node.get("node").cloned(),
            request: node.get("request").cloned(),
            metadata: node.get("metadata").cloned(),
            during,
            returns: node.get("returns").cloned(),
            replay: node.get("replay").cloned(),
            synchronous: self.truth(node.get("synchronous")),
            answer: self.answer(node),
            stream: self.stream(node),
            then,
        })
    }

    fn stream(&mut self, node: &Node) -> Option<Stream> {
        let lines = self.list(node.get("stream")?, "stream").iter().map(|line| {
            self.map(line, "a line of a stream", &[keys::CALL, keys::ANSWER]);
            let answer = self.answer(line);
            StreamLine {
                span: head_span(line),
                request: line.get("request").cloned(),
                answer: (!answer.is_unwritten()).then_some(answer),
            }
        });
        let lines = lines.collect();
        let burst = self.truth(node.get("burst"));
        Some(Stream { lines, burst, ends: node.get("ends").cloned() })
    }

    fn answer(&mut self, node: &Node) -> Answer {
        let forward = node.get("forward").and_then(|call| self.nested(call)).map(Box::new);
        let effects = node.get("effects").map(|list| {
            let calls: Vec<_> = self.list(list, "effects").iter().collect();
            calls.into_iter().filter_map(|call| self.nested(call)).collect()
        });
        let mut answer = Answer {
            reply: node.get("reply").cloned(),
            forward,
            failure: node.get("failure").cloned(),
            nothing: self.truth(node.get("nothing")),
            metadata: node.get("reply_metadata").cloned(),
            events: node.get("events").cloned(),
            snapshot: node.get("snapshot").cloned(),
            state: node.get("state").cloned(),
            delta: node.get("delta").cloned(),
            delete: self.truth(node.get("delete")),
            effects: effects.unwrap_or_default(),
            restart: node.get("restart").cloned(),
            unordered: Vec::new(),
        };
        if let Some(unordered) = node.get("unordered") {
            self.unordered(unordered, &mut answer);
        }
        let given = [answer.reply.is_some(), answer.forward.is_some(), answer.failure.is_some(), answer.nothing];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let help = "reply, forward, failure or nothing".to_owned();
            self.error(head_span(node), "an answer is one thing", help);
        }
        answer
    }

    /// A line without a step's key belongs to the answer itself.
    fn unordered(&mut self, node: &Node, answer: &mut Answer) {
        for line in self.list(node, "unordered") {
            let own = line.entries().is_some_and(|entries| {
                entries.iter().all(|(key, _)| keys::ANSWER.iter().any(|doc| doc.key == key.text))
            });
            if own {
                let part = self.answer(line);
                answer.reply = part.reply.or(answer.reply.take());
                answer.events = part.events.or(answer.events.take());
                answer.state = part.state.or(answer.state.take());
                answer.delta = part.delta.or(answer.delta.take());
                answer.delete |= part.delete;
            } else if let Some(step) = self.step(line) {
                answer.unordered.push(step);
            }
        }
    }

    fn nested(&mut self, node: &Node) -> Option<Call> {
        self.required(node, "call", "a side effect or forward")?;
        self.call(node)
    }
}

/// The first key of a map, or the whole of anything else: where errors about a step point.
fn head_span(node: &Node) -> Span {
    match node.entries().and_then(<[_]>::first) {
        Some((key, value)) if matches!(value.value, Value::Map(_) | Value::List(_)) => key.span,
        Some((key, value)) => Span { start: key.span.start, end: value.span.end },
        None => node.span,
    }
}

/// What would have been allowed, the likeliest first.
fn allowed<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let mut known: Vec<&str> = known.collect();
    known.dedup();
    let closest = known.iter().min_by_key(|name| strsim::damerau_levenshtein(name, word)).copied();
    let near = closest.filter(|name| strsim::damerau_levenshtein(name, word) <= 2);
    let list = format!("allowed: {}", known.join(", "));
    Some(near.map_or(list.clone(), |name| format!("did you mean {name}? {list}")))
}
