//! What should happen, as rows: every step of a chart, with the hops that a role has.
//!
//! In the `sdk` role the kit is the proxy and whoever stands behind it, so nothing crosses the client's hop; what
//! an answer asks for (side effects, a forward) is judged there and not carried out.

use super::words::{hex, named, parts, request, returned};
use super::{DrawnRow, Line};
use crate::party::{Party, Role};
use crate::scenario::message::flow;
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind, Stream};
use crate::text::cut;
use crate::yaml::Node;
use Party::{Client, Function, Proxy};

/// Characters of one paragraph; scenarios may send megabytes.
const PARAGRAPH: usize = 400;

pub(super) fn rows(scenario: &Scenario, role: Role) -> Vec<DrawnRow> {
    let mut chart = ChartRows {
        role,
        rows: Vec::new(),
        held: false,
    };
    chart.steps(&scenario.chart);
    chart.rows
}

/// Where a call comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DrawnOrigin {
    Client,
    EventLog,
    Effect,
    Forward,
}

struct ChartRows {
    role: Role,
    rows: Vec<DrawnRow>,
    /// Inside `during`: the function has a command and hasn't answered it.
    held: bool,
}

impl ChartRows {
    fn arrow(&mut self, from: Party, to: Party, line: Line, text: Vec<String>) {
        let text = text
            .iter()
            .map(|paragraph| cut(paragraph, PARAGRAPH))
            .collect();
        self.rows.push(DrawnRow::Arrow {
            from,
            to,
            line,
            text,
        });
    }

    fn send(&mut self, from: Party, to: Party, text: impl Into<String>) {
        self.arrow(from, to, Line::Solid, vec![text.into()]);
    }

    fn signal(&mut self, from: Party, to: Party, text: impl Into<String>) {
        self.arrow(from, to, Line::Dashed, vec![text.into()]);
    }

    fn note(&mut self, at: Option<Party>, text: impl Into<String>) {
        let text = vec![cut(&text.into(), PARAGRAPH)];
        self.rows.push(DrawnRow::Note { at, text });
    }

    /// Rows with a frame around them.
    fn framed(&mut self, title: impl Into<String>, inside: impl FnOnce(&mut ChartRows)) {
        self.rows.push(DrawnRow::Open {
            title: title.into(),
        });
        inside(self);
        self.rows.push(DrawnRow::Close);
    }

    fn front(&self) -> bool {
        self.role != Role::Sdk
    }

    // === Steps ===

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let before = self.rows.len();
        self.kind(&step.kind);
        if !step.verifies.is_empty() {
            let names: Vec<&str> = step.verifies.iter().map(|v| v.name.as_str()).collect();
            self.beside(before, format!("verifies {}", names.join(", ")));
        }
    }

    /// One more paragraph beside the last row with text from `since` on.
    fn beside(&mut self, since: usize, paragraph: String) {
        let with_text = self
            .rows
            .iter_mut()
            .skip(since)
            .rev()
            .find_map(|row| match row {
                DrawnRow::Arrow { text, .. } | DrawnRow::Note { text, .. } => Some(text),
                _ => None,
            });
        match with_text {
            Some(text) => text.push(paragraph),
            None => self.note(None, paragraph),
        }
    }

    fn kind(&mut self, kind: &StepKind) {
        match kind {
            StepKind::Call(call) => self.call(call, DrawnOrigin::Client),
            StepKind::Consume(call) => self.call(call, DrawnOrigin::EventLog),
            StepKind::Passivate => {
                self.signal(Proxy, Function, "passivate: the idle entity's stream ends");
                self.signal(Function, Proxy, "ends its side too");
            }
            StepKind::Streamed { call, answer, end } => {
                let end = if *end { " and ends it" } else { "" };
                self.answer(answer, &format!("streamed on {call}{end}: "));
                self.carried_out(answer);
                if self.front() {
                    let text = returned(answer).unwrap_or_else(|| "what was streamed".to_owned());
                    self.send(Proxy, Client, format!("on {call}{end}: {text}"));
                }
            }
            StepKind::Cancel { call, answer } => {
                if self.front() {
                    self.signal(Client, Proxy, format!("cancels {call}"));
                }
                self.send(Proxy, Function, format!("{call} is cancelled"));
                match answer.is_unwritten() {
                    true => self.send(Function, Proxy, "no change"),
                    false => self.answer(answer, ""),
                }
                self.carried_out(answer);
            }
            StepKind::Replicate { delta, node } => self.replicate(delta, node.as_ref()),
            StepKind::None(steps) => {
                self.framed("none of these may have happened yet", |chart| {
                    chart.absent(steps);
                });
            }
            StepKind::Returns => self.send(Proxy, Client, "the call returns"),
            StepKind::Fence => self.note(None, "fence: what hasn't come by now wasn't sent"),
            StepKind::Concurrent { clients, each } => {
                let title = format!("{clients} clients at the same time, each of them:");
                self.framed(title, |chart| chart.steps(each));
            }
            StepKind::Unordered(lists) => self.alternatives("all of these, in any order", lists),
            StepKind::OneOf(lists) => self.alternatives("one of these", lists),
            StepKind::Raw { party, what } => self.raw(*party, what),
            StepKind::Kill(party) => self.note(Some(*party), format!("the {party} is killed")),
            StepKind::Start(party) => self.note(Some(*party), format!("the {party} is started")),
        }
    }

    /// Of a call that must not have happened, nothing but its arrival is meant.
    fn absent(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.kind {
                StepKind::Call(call) => self.arrow(Proxy, Function, Line::Solid, request(call)),
                _ => self.step(step),
            }
        }
    }

    fn alternatives(&mut self, title: &str, lists: &[Vec<Step>]) {
        self.framed(title, |chart| {
            for (index, steps) in lists.iter().enumerate() {
                if index > 0 {
                    chart.rows.push(DrawnRow::Divide);
                }
                chart.steps(steps);
            }
        });
    }

    /// While the function has the turn, a change from elsewhere only reaches the proxy.
    fn replicate(&mut self, delta: &Node, node: Option<&Node>) {
        let place = node.map_or("another node".to_owned(), |node| {
            format!("node {}", flow(node))
        });
        let text = format!("changed on {place}: {}", flow(delta));
        if self.held || self.front() {
            self.note(Some(Proxy), text.clone());
        }
        if !self.held {
            self.send(
                Proxy,
                Function,
                if self.front() {
                    "the change".to_owned()
                } else {
                    text
                },
            );
        }
    }

    // === Calls ===

    fn call(&mut self, call: &Call, origin: DrawnOrigin) {
        self.asked(call, origin);
        if let Some(stream) = &call.stream {
            self.stream(call, stream, origin);
            return;
        }
        if !call.during.is_empty() {
            let held = std::mem::replace(&mut self.held, true);
            self.framed("before the function answers", |chart| {
                chart.steps(&call.during)
            });
            self.held = held;
        }
        self.answered(call);
        if origin == DrawnOrigin::Client && self.front() {
            let returns = match (&call.returns, returned(&call.answer)) {
                (Some(node), _) => flow(node),
                (None, Some(text)) => text,
                (None, None) => "the reply".to_owned(),
            };
            self.send(Proxy, Client, format!("returns {returns}"));
        }
    }

    /// The command on its way to the function.
    fn asked(&mut self, call: &Call, origin: DrawnOrigin) {
        let text = request(call);
        let line = if call.stream.is_some() {
            Line::Dashed
        } else {
            Line::Solid
        };
        let kind = match origin {
            DrawnOrigin::Client if self.front() => {
                self.arrow(Client, Proxy, line, text);
                self.replayed(call);
                self.arrow(
                    Proxy,
                    Function,
                    line,
                    vec![format!("command {}", call.target)],
                );
                return;
            }
            DrawnOrigin::Client => "",
            DrawnOrigin::EventLog => {
                self.note(Some(Proxy), "the event log has an event");
                "consume "
            }
            DrawnOrigin::Effect if call.synchronous => "synchronous effect ",
            DrawnOrigin::Effect => "effect ",
            DrawnOrigin::Forward => "forward ",
        };
        self.replayed(call);
        let mut text = text;
        if let Some(first) = text.first_mut() {
            first.insert_str(0, kind);
        }
        self.arrow(Proxy, Function, line, text);
    }

    fn replayed(&mut self, call: &Call) {
        if let Some(replay) = &call.replay {
            self.note(
                Some(Proxy),
                format!(
                    "if the entity is activated now, it replays {}",
                    flow(replay)
                ),
            );
        }
    }

    /// The function's answer and what the proxy carries out for it.
    fn answered(&mut self, call: &Call) {
        if call.answer.unordered.is_empty() {
            self.answer(&call.answer, "");
        } else {
            self.framed("in any order", |chart| {
                chart.answer(&call.answer, "");
                chart.rows.push(DrawnRow::Divide);
                chart.steps(&call.answer.unordered);
            });
        }
        if let Some(then) = &call.then {
            self.step(then);
        }
        self.carried_out(&call.answer);
    }

    fn answer(&mut self, answer: &Answer, prefix: &str) {
        let mut text = parts(answer);
        if let Some(first) = text.first_mut() {
            first.insert_str(0, prefix);
        }
        self.arrow(Function, Proxy, Line::Solid, text);
    }

    fn carried_out(&mut self, answer: &Answer) {
        if !self.front() {
            return;
        }
        for effect in &answer.effects {
            self.call(effect, DrawnOrigin::Effect);
        }
        if let Some(forward) = &answer.forward {
            self.call(forward, DrawnOrigin::Forward);
        }
    }

    fn stream(&mut self, call: &Call, stream: &Stream, origin: DrawnOrigin) {
        let front = self.front() && origin == DrawnOrigin::Client;
        if stream.burst {
            self.framed("nobody waits for anybody", |chart| {
                chart.lines(stream, front);
            });
        } else {
            self.lines(stream, front);
        }
        let written = !call.answer.is_unwritten() || stream.lines.is_empty();
        if written && !is_given_up(stream) {
            if stream.lines.iter().all(|line| line.request.is_none()) {
                self.half_close(stream, front);
            }
            self.answered(call);
            if front {
                let text = call
                    .returns
                    .as_ref()
                    .map(flow)
                    .or_else(|| returned(&call.answer));
                let text = text.unwrap_or("the reply".to_owned());
                self.send(Proxy, Client, format!("returns {text}"));
            }
        }
        if let Some(ends) = &stream.ends {
            let (from, to) = if front {
                (Proxy, Client)
            } else {
                (Function, Proxy)
            };
            self.signal(from, to, format!("ends {}", flow(ends)));
        }
    }

    /// The lines of a stream in their order, and the half-close behind the last request.
    fn lines(&mut self, stream: &Stream, front: bool) {
        let last = stream.lines.iter().rposition(|line| line.request.is_some());
        for (at, line) in stream.lines.iter().enumerate() {
            if let Some(request) = &line.request {
                let text = flow(request);
                if front {
                    self.send(Client, Proxy, text.clone());
                }
                let passed = if front { "the same".to_owned() } else { text };
                self.send(Proxy, Function, passed);
                if last == Some(at) {
                    self.half_close(stream, front);
                }
            }
            if let Some(step) = &line.step {
                self.step(step);
            }
            if let Some(answer) = &line.answer {
                self.answer(answer, "");
                self.carried_out(answer);
                if let (true, Some(text)) = (front, returned(answer)) {
                    self.send(Proxy, Client, text);
                }
            }
        }
    }

    /// No more requests, unless somebody says so by hand.
    fn half_close(&mut self, stream: &Stream, front: bool) {
        let by_hand = raw_lines(stream)
            .any(|(party, what)| party != Function && matches!(what, Raw::Ends(_) | Raw::Resets));
        if by_hand {
            return;
        }
        if front {
            self.signal(Client, Proxy, "half-close");
        }
        self.signal(Proxy, Function, "half-close");
    }

    // === Raw steps ===

    fn raw(&mut self, party: Party, what: &Raw) {
        let to = opposite(party);
        match what {
            Raw::Message(node) => self.send(party, to, flow(node)),
            Raw::Bytes(bytes) => self.send(party, to, hex(bytes)),
            Raw::Ends(None) => self.signal(party, to, "ends the stream"),
            Raw::Ends(Some(status)) => {
                self.signal(party, to, format!("ends the stream: {}", flow(status)))
            }
            Raw::Resets => self.signal(party, to, "resets the stream"),
            Raw::Fails => self.signal(party, to, "gives the stream up"),
            Raw::Fault(fault) => self.signal(party, to, fault.to_string()),
            Raw::Refuses => self.signal(party, to, "fails the command, or gives the stream up"),
            Raw::Reported(text) => self.send(Proxy, Function, named("reportError", text.as_ref())),
            Raw::Discover(info) => self.send(Proxy, Function, named("discover", info.as_ref())),
            Raw::Spec(None) => self.send(Function, Proxy, "its entity spec"),
            Raw::Spec(Some(spec)) => {
                self.send(Function, Proxy, named("its entity spec", Some(spec)))
            }
            Raw::Call {
                target,
                request,
                bytes,
                frame,
                metadata,
                returns,
            } => {
                let mut text = vec![named(target, request.as_ref())];
                text.extend(bytes.as_deref().or(frame.as_deref()).map(hex));
                text.extend(metadata.as_ref().map(|m| named("metadata", Some(m))));
                self.arrow(Client, Proxy, Line::Solid, text);
                self.send(Proxy, Client, named("returns", returns.as_ref()));
            }
        }
    }
}

/// The raw steps between the messages of a stream.
fn raw_lines(stream: &Stream) -> impl Iterator<Item = (Party, &Raw)> {
    let steps = stream.lines.iter().filter_map(|line| line.step.as_deref());
    steps.filter_map(|step| match &step.kind {
        StepKind::Raw { party, what } => Some((*party, what)),
        _ => None,
    })
}

/// Somebody ends the call by hand, so that its one answer doesn't come.
fn is_given_up(stream: &Stream) -> bool {
    raw_lines(stream).any(|(party, what)| match what {
        Raw::Resets => true,
        Raw::Ends(_) | Raw::Fails | Raw::Fault(_) => party == Function,
        _ => false,
    })
}

/// Whom a party talks to on the entity's stream; a client only ever talks to the proxy.
fn opposite(party: Party) -> Party {
    match party {
        Client | Function => Proxy,
        Proxy => Function,
    }
}
