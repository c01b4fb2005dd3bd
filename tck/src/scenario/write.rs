//! (7) Writes scenarios as YAML that [`super::read`] reads back: counterexamples, and the scenario in a transcript.
//!
//! A scenario becomes a tree first. How the tree is laid out follows from the table of keys: steps stand one
//! below the other, messages on one line.

use super::keys::{self, KeyKind};
use super::message::{flow, quoted};
use super::{Answer, Call, Fault, Raw, Scenario, Step, StepKind, Stream, StreamLine, Verifies};
use crate::yaml::{Node, Span, Value};
use std::fmt::Write as _;

/// One file. `header` becomes comments at its top.
pub fn write(suite: &str, service: &str, scenarios: &[Scenario], header: &str) -> String {
    let mut out = String::new();
    for line in header.lines() {
        let _ = writeln!(out, "{}", format!("# {line}").trim_end());
    }
    let _ = writeln!(
        out,
        "suite: {}\nservice: {}\nscenarios:",
        quoted(suite),
        quoted(service)
    );
    for (index, scenario) in scenarios.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let node = Node::list(HERE, [tree(scenario, service)]);
        for line in lines(&node, Some(KeyKind::Scenarios)) {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

/// A tree of the writer's own stands in no file.
const HERE: Span = Span { start: 0, end: 0 };

// === Layout ===

/// What is laid out over several lines: everything with steps in it.
fn is_block(node: &Node, kind: Option<KeyKind>) -> bool {
    let block = matches!(
        kind,
        Some(
            KeyKind::Scenarios
                | KeyKind::Step
                | KeyKind::Steps
                | KeyKind::Branches
                | KeyKind::Nested
                | KeyKind::NestedList
                | KeyKind::Lines
        )
    );
    let empty =
        node.items().is_some_and(<[_]>::is_empty) || node.entries().is_some_and(<[_]>::is_empty);
    block && !empty && node.as_text().is_none()
}

fn lines(node: &Node, kind: Option<KeyKind>) -> Vec<String> {
    match &node.value {
        _ if !is_block(node, kind) => vec![flow(node)],
        Value::List(items) => {
            let item = |node: &Node| indented(lines(node, kind), "- ", "  ");
            items.iter().flat_map(item).collect()
        }
        Value::Map(entries) => entries
            .iter()
            .flat_map(|(key, value)| entry(&key.text, value))
            .collect(),
        _ => vec![flow(node)],
    }
}

fn entry(key: &str, value: &Node) -> Vec<String> {
    let kind = keys::kind_of(key);
    match value.as_text() {
        _ if is_block(value, kind) => {
            let inner = indented(lines(value, kind), "  ", "  ");
            std::iter::once(format!("{key}:")).chain(inner).collect()
        }
        Some(text) if key == "title" => vec![format!("title: {}", sentence(text))],
        _ => vec![format!("{key}: {}", flow(value))],
    }
}

fn indented(lines: Vec<String>, first: &str, rest: &str) -> Vec<String> {
    let mark = |(index, line)| format!("{}{line}", if index == 0 { first } else { rest });
    lines.into_iter().enumerate().map(mark).collect()
}

/// A text on a line of its own needs quotes less often than one in braces.
fn sentence(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " ,.'()-_/$".contains(c);
    let words = text.contains(' ') && !text.ends_with(' ');
    let reads_back = words && text.starts_with(char::is_alphabetic) && text.chars().all(plain);
    if reads_back {
        text.to_owned()
    } else {
        quoted(text)
    }
}

// === Trees ===

/// A map that is made key by key.
#[derive(Default)]
struct Map(Vec<(&'static str, Node)>);

impl Map {
    fn add(&mut self, key: &'static str, node: impl Into<Option<Node>>) {
        self.0.extend(node.into().map(|node| (key, node)));
    }

    fn text(&mut self, key: &'static str, text: &str) {
        self.add(key, Node::text(HERE, text));
    }

    fn flag(&mut self, key: &'static str, set: bool) {
        self.add(key, set.then(|| Node::new(HERE, Value::Bool(true))));
    }

    fn list(&mut self, key: &'static str, items: Vec<Node>) {
        self.add(key, (!items.is_empty()).then(|| Node::list(HERE, items)));
    }

    fn names<'n>(&mut self, key: &'static str, names: impl Iterator<Item = &'n String>) {
        self.list(key, names.map(|name| Node::text(HERE, name)).collect());
    }

    fn verifies(&mut self, verifies: &[Verifies]) {
        self.names("verifies", verifies.iter().map(|verifies| &verifies.name));
    }

    fn node(self) -> Node {
        Node::map(HERE, self.0)
    }
}

/// The tree of a scenario in a suite of this service. Every field is taken apart here, so that a new one can't
/// be forgotten.
fn tree(scenario: &Scenario, suite_service: &str) -> Node {
    let Scenario {
        source: _,
        span: _,
        service_span: _,
        suite: _,
        id,
        title,
        service,
        verifies,
        scripted,
        needs,
        ids,
        spec,
        chart,
    } = scenario;
    let mut map = Map::default();
    map.text("id", id);
    map.text("title", title);
    map.add(
        "service",
        (service != suite_service).then(|| Node::text(HERE, service)),
    );
    map.verifies(verifies);
    map.add(
        "scripted",
        scripted.map(|party| Node::text(HERE, party.to_string())),
    );
    map.names("needs", needs.iter());
    map.names("ids", ids.iter());
    map.add("spec", spec.clone());
    map.list("chart", steps(chart));
    map.node()
}

fn steps(all: &[Step]) -> Vec<Node> {
    all.iter().map(step).collect()
}

fn step(
    Step {
        span: _,
        verifies,
        kind,
    }: &Step,
) -> Node {
    let mut map = Map::default();
    match kind {
        StepKind::Passivate => return Node::text(HERE, "passivate"),
        StepKind::Fence => return Node::text(HERE, "fence"),
        StepKind::Returns => return Node::text(HERE, "returns"),
        StepKind::Call(this) => call(&mut map, "call", this),
        StepKind::Consume(this) => call(&mut map, "consume", this),
        StepKind::Streamed {
            call,
            answer: given,
            end,
        } => {
            map.text("streamed", call);
            answer(&mut map, given);
            map.flag("end", *end);
        }
        StepKind::Cancel {
            call,
            answer: given,
        } => {
            map.text("cancel", call);
            answer(&mut map, given);
        }
        StepKind::Replicate { delta, node } => {
            map.add("replicate", delta.clone());
            map.add("node", node.clone());
        }
        StepKind::None(inner) => map.add("none", Node::list(HERE, steps(inner))),
        StepKind::Concurrent { clients, each } => {
            map.add(
                "concurrent",
                Node::map(HERE, [("clients", Node::number(HERE, clients))]),
            );
            map.add("each", Node::list(HERE, steps(each)));
        }
        StepKind::Unordered(lists) => map.add("unordered", branches(lists)),
        StepKind::OneOf(lists) => map.add("one_of", branches(lists)),
        StepKind::Raw { party, what } => raw(&mut map, keys::PARTIES[*party as usize], what),
        StepKind::Kill(party) => map.text("kill", &party.to_string()),
        StepKind::Start(party) => map.text("start", &party.to_string()),
    }
    map.verifies(verifies);
    map.node()
}

fn branches(lists: &[Vec<Step>]) -> Node {
    Node::list(HERE, lists.iter().map(|list| Node::list(HERE, steps(list))))
}

fn call(map: &mut Map, head: &'static str, this: &Call) {
    let Call {
        span: _,
        target,
        alias,
        id,
        node,
        request,
        metadata,
        during,
        returns,
        replay,
        synchronous,
        answer: given,
        stream,
        then,
    } = this;
    map.text(head, target);
    map.add("as", alias.as_ref().map(|alias| Node::text(HERE, alias)));
    map.add("id", id.clone());
    map.add("node", node.clone());
    map.add("request", request.clone());
    map.add("metadata", metadata.clone());
    map.flag("synchronous", *synchronous);
    map.add("replay", replay.clone());
    map.list("during", steps(during));
    if let Some(Stream { lines, burst, ends }) = stream {
        map.add("stream", Node::list(HERE, lines.iter().map(line)));
        map.flag("burst", *burst);
        map.add("ends", ends.clone());
    }
    answer(map, given);
    map.add("then", then.as_deref().map(step));
    map.add("returns", returns.clone());
}

fn line(
    StreamLine {
        span: _,
        request,
        answer: given,
        step: raw,
    }: &StreamLine,
) -> Node {
    if let Some(raw) = raw {
        return step(raw);
    }
    let mut map = Map::default();
    map.add("request", request.clone());
    if let Some(given) = given {
        answer(&mut map, given);
    }
    map.node()
}

fn answer(map: &mut Map, this: &Answer) {
    let Answer {
        reply,
        forward,
        failure,
        nothing,
        metadata,
        state,
        effects,
        restart,
        unordered,
    } = this;
    map.add("reply", reply.clone());
    map.add("failure", failure.clone());
    map.flag("nothing", *nothing);
    map.add("restart", restart.clone());
    map.add("reply_metadata", metadata.clone());
    for (key, node) in state {
        map.add(key, Some(node.clone()));
    }
    map.list("effects", effects.iter().map(nested).collect());
    map.add("forward", forward.as_deref().map(nested));
    map.list("unordered", steps(unordered));
}

fn nested(this: &Call) -> Node {
    let mut map = Map::default();
    call(&mut map, "call", this);
    map.node()
}

fn raw(map: &mut Map, party: &'static str, what: &Raw) {
    let word = |word: &str| Node::text(HERE, word);
    let form = |key: &str, node: Node| Node::map(HERE, [(key, node)]);
    let default = |node: &Option<Node>| node.clone().unwrap_or_else(|| word("default"));
    let hex = |bytes: &[u8]| Node::text(HERE, super::message::hex(bytes));
    let sent = match what {
        Raw::Message(node) => node.clone(),
        Raw::Bytes(bytes) => form("bytes", hex(bytes)),
        Raw::Ends(None) => word("ends"),
        Raw::Ends(Some(status)) => form("ends", status.clone()),
        Raw::Resets => word("resets"),
        Raw::Fails => word("fails"),
        Raw::Refuses => word("refuses"),
        Raw::Fault(Fault::Frame(bytes)) => form("frame", hex(bytes)),
        Raw::Fault(Fault::NoTrailers) => word("vanishes"),
        Raw::Fault(Fault::Disconnects) => word("disconnects"),
        Raw::Fault(Fault::GoesAway) => word("goes-away"),
        Raw::Reported(_) => word("reported"),
        Raw::Discover(info) => form("discover", default(info)),
        Raw::Spec(spec) => form("spec", default(spec)),
        Raw::Call {
            target,
            request,
            bytes,
            frame,
            metadata,
            returns,
        } => {
            let mut call = Map::default();
            call.text("call", target);
            call.add("request", request.clone());
            call.add("bytes", bytes.as_deref().map(hex));
            call.add("frame", frame.as_deref().map(hex));
            call.add("metadata", metadata.clone());
            call.add("returns", returns.clone());
            call.node()
        }
    };
    map.add(party, sent);
    if let Raw::Reported(Some(text)) = what {
        map.add("text", text.clone());
    }
}
