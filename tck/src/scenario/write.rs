//! Writes scenarios as YAML that [`super::read`] reads back: counterexamples, and the scenario in a transcript.

use super::message::{flow, quoted};
use super::{Answer, Call, Node, Raw, Scenario, Step, StepKind, Verifies};
use std::fmt::Write as _;

/// One file. `header` becomes comments at its top.
pub fn write(suite: &str, service: &str, scenarios: &[Scenario], header: &str) -> String {
    let mut out = String::new();
    for line in header.lines() {
        let _ = writeln!(out, "# {line}");
    }
    let _ = writeln!(out, "suite: {}\nservice: {}\nscenarios:", quoted(suite), quoted(service));
    for (index, scenario) in scenarios.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one(&mut out, scenario, service);
    }
    out
}

fn one(out: &mut String, scenario: &Scenario, service: &str) {
    let _ = writeln!(out, "  - id: {}\n    title: {}", quoted(&scenario.id), quoted(&scenario.title));
    if scenario.service != service {
        let _ = writeln!(out, "    service: {}", quoted(&scenario.service));
    }
    if let Some(names) = verifies(&scenario.verifies) {
        let _ = writeln!(out, "    {names}");
    }
    if let Some(party) = scenario.scripted {
        let _ = writeln!(out, "    scripted: {party}");
    }
    for (key, names) in [("needs", &scenario.needs), ("ids", &scenario.ids)] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            let _ = writeln!(out, "    {key}: [{}]", names.join(", "));
        }
    }
    if let Some(spec) = &scenario.spec {
        let _ = writeln!(out, "    spec: {}", flow(spec));
    }
    out.push_str("    chart:\n");
    for line in &scenario.chart {
        step(out, line, 6);
    }
}

fn verifies(names: &[Verifies]) -> Option<String> {
    let list: Vec<String> = names.iter().map(|v| quoted(&v.name)).collect();
    (!list.is_empty()).then(|| format!("verifies: [{}]", list.join(", ")))
}

/// A list item, its keys one below the other.
fn item(out: &mut String, indent: usize, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let mark = if index == 0 { "- " } else { "  " };
        let _ = writeln!(out, "{:indent$}{mark}{line}", "");
    }
}

fn steps(out: &mut String, all: &[Step], indent: usize) {
    all.iter().for_each(|line| step(out, line, indent));
}

fn step(out: &mut String, this: &Step, indent: usize) {
    let mut lines = match &this.kind {
        StepKind::Call(call) => return self::call(out, call, "call", &this.verifies, indent),
        StepKind::Consume(call) => return self::call(out, call, "consume", &this.verifies, indent),
        StepKind::Passivate => vec!["passivate".to_owned()],
        StepKind::Fence => vec!["fence".to_owned()],
        StepKind::Returns => vec!["returns".to_owned()],
        StepKind::Kill(party) => vec![format!("kill: {party}")],
        StepKind::Start(party) => vec![format!("start: {party}")],
        StepKind::Streamed { call, answer: given, end } => {
            let mut lines = vec![format!("streamed: {}", quoted(call))];
            lines.extend(answer(given));
            lines.extend(end.then(|| "end: true".to_owned()));
            lines
        }
        StepKind::Cancel { call, answer: given } => {
            let mut lines = vec![format!("cancel: {}", quoted(call))];
            lines.extend(answer(given));
            lines
        }
        StepKind::Replicate { delta, node } => {
            let mut lines = vec![format!("replicate: {}", flow(delta))];
            lines.extend(node.as_ref().map(|node| format!("node: {}", flow(node))));
            lines
        }
        StepKind::None(inner) => {
            item(out, indent, &["none:".to_owned()]);
            return steps(out, inner, indent + 4);
        }
        StepKind::Concurrent { clients, each } => {
            item(out, indent, &[format!("concurrent: {{ clients: {clients} }}"), "each:".to_owned()]);
            return steps(out, each, indent + 4);
        }
        StepKind::Unordered(lists) => return branches(out, "unordered", lists, indent),
        StepKind::OneOf(lists) => return branches(out, "one_of", lists, indent),
        StepKind::Raw { party, what } => raw(&party.to_string(), what),
    };
    lines.extend(verifies(&this.verifies));
    item(out, indent, &lines);
}

fn branches(out: &mut String, key: &str, lists: &[Vec<Step>], indent: usize) {
    item(out, indent, &[format!("{key}:")]);
    for list in lists {
        let mut inner = String::new();
        steps(&mut inner, list, indent + 6);
        // The first item of a nested list stands behind its own dash.
        let _ = writeln!(out, "{:1$}-", "", indent + 4);
        out.push_str(&inner);
    }
}

fn raw(party: &str, what: &Raw) -> Vec<String> {
    let one = |text: String| vec![format!("{party}: {text}")];
    match what {
        Raw::Message(node) => one(flow(node)),
        Raw::Bytes(bytes) => one(format!("{{ bytes: \"{}\" }}", hex(bytes))),
        Raw::Ends(None) => one("ends".to_owned()),
        Raw::Ends(Some(status)) => one(format!("{{ ends: {} }}", flow(status))),
        Raw::Resets => one("resets".to_owned()),
        Raw::Fails => one("fails".to_owned()),
        Raw::Refuses => one("refuses".to_owned()),
        Raw::Reported(None) => one("reported".to_owned()),
        Raw::Reported(Some(text)) => {
            vec![format!("{party}: reported"), format!("text: {}", flow(text))]
        }
        Raw::Discover(info) => one(format!("{{ discover: {} }}", default(info.as_ref()))),
        Raw::Spec(spec) => one(format!("{{ spec: {} }}", default(spec.as_ref()))),
        Raw::Call { target, request, bytes, metadata, returns } => {
            let mut entries = vec![format!("call: {}", quoted(target))];
            entries.extend(request.as_ref().map(|node| format!("request: {}", flow(node))));
            entries.extend(bytes.as_ref().map(|bytes| format!("bytes: \"{}\"", hex(bytes))));
            entries.extend(metadata.as_ref().map(|node| format!("metadata: {}", flow(node))));
            entries.extend(returns.as_ref().map(|node| format!("returns: {}", flow(node))));
            one(format!("{{ {} }}", entries.join(", ")))
        }
    }
}

fn default(node: Option<&Node>) -> String {
    node.map_or_else(|| "default".to_owned(), flow)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn call(out: &mut String, this: &Call, key: &str, names: &[Verifies], indent: usize) {
    let mut lines = head(this, key);
    lines.extend(verifies(names));
    lines.extend(answer(&this.answer));
    lines.extend(this.returns.as_ref().map(|node| format!("returns: {}", flow(node))));
    lines.extend(this.then.as_ref().map(|then| format!("then: {{ {} }}", one_line(then))));
    item(out, indent, &lines);
    if !this.during.is_empty() {
        let _ = writeln!(out, "{:indent$}  during:", "");
        steps(out, &this.during, indent + 4);
    }
    if !this.answer.unordered.is_empty() {
        let _ = writeln!(out, "{:indent$}  unordered:", "");
        steps(out, &this.answer.unordered, indent + 4);
    }
    if let Some(stream) = &this.stream {
        let empty = if stream.lines.is_empty() { " []" } else { "" };
        let _ = writeln!(out, "{:indent$}  stream:{empty}", "");
        for line in &stream.lines {
            let mut lines: Vec<String> =
                line.request.iter().map(|node| format!("request: {}", flow(node))).collect();
            lines.extend(line.answer.iter().flat_map(answer));
            item(out, indent + 4, &lines);
        }
        if stream.burst {
            let _ = writeln!(out, "{:indent$}  burst: true", "");
        }
        if let Some(ends) = &stream.ends {
            let _ = writeln!(out, "{:indent$}  ends: {}", "", flow(ends));
        }
    }
}

fn head(this: &Call, key: &str) -> Vec<String> {
    let mut lines = vec![format!("{key}: {}", quoted(&this.target))];
    lines.extend(this.alias.as_ref().map(|alias| format!("as: {}", quoted(alias))));
    let nodes = [
        ("id", &this.id),
        ("node", &this.node),
        ("request", &this.request),
        ("metadata", &this.metadata),
        ("replay", &this.replay),
    ];
    for (key, node) in nodes {
        lines.extend(node.as_ref().map(|node| format!("{key}: {}", flow(node))));
    }
    lines.extend(this.synchronous.then(|| "synchronous: true".to_owned()));
    lines
}

fn answer(this: &Answer) -> Vec<String> {
    let nodes = [
        ("reply", &this.reply),
        ("failure", &this.failure),
        ("reply_metadata", &this.metadata),
        ("events", &this.events),
        ("snapshot", &this.snapshot),
        ("state", &this.state),
        ("delta", &this.delta),
        ("restart", &this.restart),
    ];
    let mut lines: Vec<String> = nodes
        .into_iter()
        .filter_map(|(key, node)| node.as_ref().map(|node| format!("{key}: {}", flow(node))))
        .collect();
    lines.extend(this.nothing.then(|| "nothing: true".to_owned()));
    lines.extend(this.delete.then(|| "delete: true".to_owned()));
    if !this.effects.is_empty() {
        let effects: Vec<String> = this.effects.iter().map(inline).collect();
        lines.push(format!("effects: [ {} ]", effects.join(", ")));
    }
    lines.extend(this.forward.as_ref().map(|forward| format!("forward: {}", inline(forward))));
    lines
}

/// A call inside another, on one line.
fn inline(this: &Call) -> String {
    let mut parts = head(this, "call");
    if !this.during.is_empty() {
        let during: Vec<String> = this.during.iter().map(|step| braced(&one_line(step))).collect();
        parts.push(format!("during: [ {} ]", during.join(", ")));
    }
    parts.extend(answer(&this.answer));
    format!("{{ {} }}", parts.join(", "))
}

/// A word stays a word, everything else is a map.
fn braced(step: &str) -> String {
    if step.contains(':') { format!("{{ {step} }}") } else { step.to_owned() }
}

fn one_line(this: &Step) -> String {
    let mut parts = match &this.kind {
        StepKind::Call(call) => {
            let mut parts = head(call, "call");
            parts.extend(answer(&call.answer));
            parts
        }
        StepKind::Passivate => vec!["passivate".to_owned()],
        StepKind::Fence => vec!["fence".to_owned()],
        StepKind::Returns => vec!["returns".to_owned()],
        StepKind::Kill(party) => vec![format!("kill: {party}")],
        StepKind::Start(party) => vec![format!("start: {party}")],
        StepKind::None(inner) => {
            let inner: Vec<String> = inner.iter().map(|step| braced(&one_line(step))).collect();
            vec![format!("none: [ {} ]", inner.join(", "))]
        }
        StepKind::Raw { party, what } => raw(&party.to_string(), what),
        _ => Vec::new(),
    };
    parts.extend(verifies(&this.verifies));
    parts.join(", ")
}
