//! Where a chart leaves the kit a choice, it is played once for each alternative.
//!
//! Instance n takes alternative n of every `$either` in what the kit sends, and the last of one that has fewer. What
//! others send stays as it is: any alternative may come.

use crate::party::{Party, Role};
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind};
use crate::yaml::{Node, Value};

/// Which alternatives the kit takes in one instance of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Of each choice this one, from 0.
    pub alternative: usize,
    /// What the instance is called: by the field and what is chosen there, if only one field has choices; nothing, if
    /// there is one instance only.
    pub name: Option<String>,
}

/// The instances in which the chart is played in this role.
pub fn instances(scenario: &Scenario, role: Role) -> Vec<Instance> {
    let mut found: Vec<(&'static str, Vec<Node>)> = Vec::new();
    let mut chart = scenario.clone();
    sent(&mut chart, role, &mut |field, node| {
        each_choice(node, &mut |options| found.push((field, options.to_vec())));
    });
    let most = found.iter().map(|(_, options)| options.len()).max();
    let most = most.unwrap_or(1);
    let name = |alternative| (most > 1).then(|| name(&found, alternative));
    (0..most)
        .map(|alternative| Instance {
            alternative,
            name: name(alternative),
        })
        .collect()
}

/// `restart=true`, `reply=2`, or `2` where several fields have choices.
fn name(found: &[(&'static str, Vec<Node>)], alternative: usize) -> String {
    let number = alternative + 1;
    let Some((field, _)) = found.first() else {
        return number.to_string();
    };
    if found.iter().any(|(other, _)| other != field) {
        return number.to_string();
    }
    let taken = found
        .iter()
        .find_map(|(_, options)| options.get(alternative));
    match taken.map(|node| &node.value) {
        Some(Value::Bool(value)) => format!("{field}={value}"),
        _ => format!("{field}={number}"),
    }
}

/// The scenario in which the kit has taken this alternative of each choice of its own.
pub(super) fn taken(scenario: &Scenario, role: Role, alternative: usize) -> Scenario {
    let mut taken = scenario.clone();
    sent(&mut taken, role, &mut |_, node| take(node, alternative));
    taken
}

/// The alternatives of an `$either`.
fn options(node: &Node) -> Option<&[Node]> {
    match node.operator() {
        Some(("$either", Some(options))) => options.items().filter(|options| !options.is_empty()),
        _ => None,
    }
}

fn each_choice(node: &Node, see: &mut impl FnMut(&[Node])) {
    if let Some(options) = options(node) {
        see(options);
    }
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| each_choice(item, see)),
        Value::Map(entries) => entries
            .iter()
            .for_each(|(_, value)| each_choice(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn take(node: &mut Node, alternative: usize) {
    while let Some(options) = options(node) {
        let last = options.len() - 1;
        let Some(option) = options.get(alternative.min(last)).cloned() else {
            return;
        };
        *node = option;
    }
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| take(item, alternative)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| take(value, alternative)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// Everything that the kit sends in this role, by the key under which it stands.
fn sent(scenario: &mut Scenario, role: Role, see: &mut impl FnMut(&'static str, &mut Node)) {
    let mut sent = Sent { role, see };
    let spec = scenario.spec.as_mut();
    sent.by(Party::Function, spec.map(|spec| ("spec", spec)));
    sent.steps(&mut scenario.chart);
}

struct Sent<'a, F> {
    role: Role,
    see: &'a mut F,
}

impl<F: FnMut(&'static str, &mut Node)> Sent<'_, F> {
    /// What this party sends.
    fn by<'n>(
        &mut self,
        party: Party,
        fields: impl IntoIterator<Item = (&'static str, &'n mut Node)>,
    ) {
        if self.role.kit_plays(party) {
            for (field, node) in fields {
                (self.see)(field, node);
            }
        }
    }

    fn steps(&mut self, steps: &mut [Step]) {
        steps.iter_mut().for_each(|step| self.step(step));
    }

    fn step(&mut self, step: &mut Step) {
        match &mut step.kind {
            StepKind::Call(call) | StepKind::Consume(call) => self.call(call, Party::Client),
            StepKind::Streamed { answer, .. } | StepKind::Cancel { answer, .. } => {
                self.answer(answer);
            }
            StepKind::Replicate { delta, .. } => self.by(Party::Proxy, [("replicate", delta)]),
            StepKind::Concurrent { each, .. } => self.steps(each),
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter_mut().for_each(|list| self.steps(list));
            }
            StepKind::Raw { party, what } => self.raw(*party, what),
            // What may not have happened, nobody sends.
            StepKind::None(_)
            | StepKind::Passivate
            | StepKind::Returns
            | StepKind::Fence
            | StepKind::Kill(_)
            | StepKind::Start(_) => {}
        }
    }

    fn call(&mut self, call: &mut Call, caller: Party) {
        let Call {
            id,
            node,
            request,
            metadata,
            replay,
            during,
            answer,
            stream,
            then,
            // What the client gets, comes from the proxy; the others have no choices.
            returns: _,
            span: _,
            target: _,
            alias: _,
            synchronous: _,
        } = call;
        let fields = [
            ("id", id),
            ("node", node),
            ("request", request),
            ("metadata", metadata),
        ];
        self.by(caller, fields.into_iter().filter_map(written));
        self.by(Party::Proxy, written(("replay", replay)));
        self.steps(during);
        for line in stream.iter_mut().flat_map(|stream| &mut stream.lines) {
            self.by(caller, written(("request", &mut line.request)));
            line.answer
                .iter_mut()
                .for_each(|answer| self.answer(answer));
            line.step.iter_mut().for_each(|step| self.step(step));
        }
        self.answer(answer);
        then.iter_mut().for_each(|step| self.step(step));
    }

    fn answer(&mut self, answer: &mut Answer) {
        let Answer {
            reply,
            failure,
            metadata,
            restart,
            state,
            effects,
            forward,
            unordered,
            nothing: _,
        } = answer;
        let fields = [
            ("reply", reply),
            ("failure", failure),
            ("reply_metadata", metadata),
            ("restart", restart),
        ];
        self.by(Party::Function, fields.into_iter().filter_map(written));
        let state = state.iter_mut().map(|(key, node)| (*key, node));
        self.by(Party::Function, state);
        for call in effects.iter_mut().chain(forward.as_deref_mut()) {
            self.call(call, Party::Function);
        }
        self.steps(unordered);
    }

    fn raw(&mut self, party: Party, what: &mut Raw) {
        match what {
            Raw::Message(node) => {
                let field = match party {
                    Party::Client => "client",
                    Party::Proxy => "proxy",
                    Party::Function => "function",
                };
                self.by(party, [(field, node)]);
            }
            Raw::Ends(status) => self.by(party, written(("ends", status))),
            Raw::Reported(text) => self.by(Party::Proxy, written(("text", text))),
            Raw::Discover(info) => self.by(Party::Proxy, written(("discover", info))),
            Raw::Spec(spec) => self.by(Party::Function, written(("spec", spec))),
            Raw::Call {
                request, metadata, ..
            } => {
                let fields = [("request", request), ("metadata", metadata)];
                self.by(Party::Client, fields.into_iter().filter_map(written));
            }
            Raw::Bytes(_) | Raw::Resets | Raw::Fails | Raw::Refuses | Raw::Fault(_) => {}
        }
    }
}

/// A field, if it is there.
fn written<'n>(
    (field, node): (&'static str, &'n mut Option<Node>),
) -> Option<(&'static str, &'n mut Node)> {
    node.as_mut().map(|node| (field, node))
}
