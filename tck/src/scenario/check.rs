//! Checks a scenario without a subject: names against descriptors and requirements, messages against their
//! types, the function's side against the model; and in which roles it can be played.

use super::message::{self, Bindings, MessageError, Scope};
use super::{Answer, Call, Node, Party, Raw, Role, Scenario, SourceError, Span, Step, StepKind};
use crate::model::spec::descriptor_pool;
use crate::play::protocol;
use crate::requirement::Requirements;
use prost::Message as _;
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use std::collections::{BTreeMap, BTreeSet};

/// Features that a scenario can need.
pub const FEATURES: [&str; 7] =
    ["managed", "durable", "replication", "eventing", "http", "single-node", "two-nodes"];

/// Everything that is wrong with these scenarios.
pub fn check(scenarios: &[Scenario], requirements: &Requirements) -> Vec<SourceError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for scenario in scenarios {
        let mut checker = Checker::new(scenario, requirements);
        if !names.insert(scenario.name()) {
            checker.error(scenario.span, format!("{} stands twice", scenario.name()), None);
        }
        checker.scenario();
        let mut found = checker.errors;
        if found.is_empty() {
            found = agree_with_model(scenario);
        }
        errors.extend(found);
    }
    errors
}

/// In which roles a chart can be played, or why it can't.
pub fn roles(scenario: &Scenario) -> Vec<(Role, Result<(), String>)> {
    Role::ALL.into_iter().map(|role| (role, playable(scenario, role))).collect()
}

fn playable(scenario: &Scenario, role: Role) -> Result<(), String> {
    if let Some(party) = scenario.scripted
        && !role.kit_plays(party)
    {
        return Err(format!("the {party} departs from the protocol on purpose, and here it is under test"));
    }
    if scenario.spec.is_some() && role != Role::Proxy {
        return Err("the kit announces an entity spec of its own only to a proxy under test".to_owned());
    }
    let discovers = |what: &Raw| matches!(what, Raw::Discover(_) | Raw::Spec(_));
    for step in &scenario.chart {
        match &step.kind {
            StepKind::Kill(party) | StepKind::Start(party) if role.kit_plays(*party) => {
                return Err(format!("the chart kills or starts the {party}, which the kit plays"));
            }
            StepKind::Raw { party: Party::Client, .. } | StepKind::Concurrent { .. } if role == Role::Sdk => {
                return Err("without a proxy there is no client".to_owned());
            }
            StepKind::Raw { what, .. } if discovers(what) && scenario.spec.is_none() && role != Role::Sdk => {
                return Err("the function's side of discovery is judged in the role sdk".to_owned());
            }
            StepKind::Call(call) if call.then.is_some() && role == Role::Sdk => {
                return Err("the chart does something to a proxy, which the kit plays".to_owned());
            }
            // A replay that no call before it made can be played only by a proxy of the kit's.
            StepKind::Call(call)
                if call.replay.as_ref().is_some_and(|replay| replay.get("events").is_some())
                    && first_call(scenario, call)
                    && role != Role::Sdk =>
            {
                return Err("the history that is replayed was never made".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

fn first_call(scenario: &Scenario, call: &Call) -> bool {
    let first = scenario.chart.iter().find_map(|step| match &step.kind {
        StepKind::Call(call) => Some(call.span),
        _ => None,
    });
    first == Some(call.span)
}

struct Checker<'a> {
    scenario: &'a Scenario,
    requirements: &'a Requirements,
    package: String,
    bindings: Bindings,
    aliases: BTreeSet<String>,
    errors: Vec<SourceError>,
}

impl<'a> Checker<'a> {
    fn new(scenario: &'a Scenario, requirements: &'a Requirements) -> Checker<'a> {
        let package = scenario.service.rsplit_once('.').map_or("", |(package, _)| package).to_owned();
        let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
        let bindings = names.map(|name| (name.to_owned(), format!("<{name}>"))).collect();
        let (aliases, errors) = (BTreeSet::new(), Vec::new());
        Checker { scenario, requirements, package, bindings, aliases, errors }
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        let source = self.scenario.source.clone();
        self.errors.push(SourceError { source, span, message: message.into(), help });
    }

    fn message_error(&mut self, error: MessageError) {
        self.error(error.span, error.message, error.help);
    }

    fn scenario(&mut self) {
        let scenario = self.scenario;
        if descriptor_pool().get_service_by_name(&scenario.service).is_none() {
            let known: Vec<String> = descriptor_pool()
                .services()
                .map(|service| service.full_name().to_owned())
                .filter(|name| name.starts_with("cloudstate.tck.model."))
                .collect();
            let help = Some(format!("known: {}", known.join(", ")));
            self.error(scenario.span, format!("no service is called {}", scenario.service), help);
            return;
        }
        for need in &scenario.needs {
            if !FEATURES.contains(&need.as_str()) {
                let help = Some(format!("features: {}", FEATURES.join(", ")));
                self.error(scenario.span, format!("no feature is called {need}"), help);
            }
        }
        self.verifies(&scenario.verifies);
        if let Some(spec) = &scenario.spec {
            self.message(spec, "cloudstate.EntitySpec");
        }
        if scenario.chart.is_empty() {
            self.error(scenario.span, "the chart is empty", None);
        }
        self.steps(&scenario.chart);
        if roles(scenario).iter().all(|(_, playable)| playable.is_err()) {
            let reasons: Vec<String> = roles(scenario)
                .into_iter()
                .filter_map(|(role, playable)| playable.err().map(|reason| format!("{role}: {reason}")))
                .collect();
            self.error(scenario.span, "no role can play this chart", Some(reasons.join("; ")));
        }
    }

    fn verifies(&mut self, all: &[super::Verifies]) {
        for verifies in all {
            if self.requirements.get(&verifies.name).is_none() {
                let near = self.requirements.closest(&verifies.name);
                let help = near.map(|name| format!("did you mean {name}?"));
                self.error(verifies.span, format!("no requirement is called {}", verifies.name), help);
            }
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.verifies(&step.verifies);
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match &step.kind {
            StepKind::Call(call) | StepKind::Consume(call) => self.call(call),
            StepKind::Streamed { call, answer, .. } | StepKind::Cancel { call, answer } => {
                if !self.aliases.contains(call) {
                    let known: Vec<&str> = self.aliases.iter().map(String::as_str).collect();
                    let help = Some(format!("open calls: {}", known.join(", ")));
                    self.error(step.span, format!("no call is open as {call}"), help);
                }
                let method = self.scenario_method();
                self.answer(answer, method.as_ref());
            }
            StepKind::Replicate { delta, .. } => self.message(delta, "cloudstate.crdt.CrdtDelta"),
            StepKind::None(steps) => self.none(steps),
            StepKind::Concurrent { each, .. } => {
                self.bindings.insert("client".to_owned(), "<client>".to_owned());
                self.steps(each);
                self.bindings.remove("client");
            }
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter().for_each(|list| self.steps(list));
            }
            StepKind::Raw { party, what } => self.raw(step.span, *party, what),
            StepKind::Returns => self.error(step.span, "returns stands only in none", None),
            StepKind::Passivate | StepKind::Fence | StepKind::Kill(_) | StepKind::Start(_) => {}
        }
    }

    fn none(&mut self, steps: &[Step]) {
        for step in steps {
            if !matches!(step.kind, StepKind::Returns) {
                self.step(step);
            }
        }
    }

    fn scenario_method(&self) -> Option<MethodDescriptor> {
        descriptor_pool().get_service_by_name(&self.scenario.service)?.methods().next()
    }

    fn method(&mut self, span: Span, target: &str) -> Option<MethodDescriptor> {
        let (service, method) = match target.rsplit_once('.') {
            None => (self.scenario.service.clone(), target),
            Some((service, method)) if service.contains('.') => (service.to_owned(), method),
            Some((service, method)) => (format!("{}.{service}", self.package), method),
        };
        let Some(descriptor) = descriptor_pool().get_service_by_name(&service) else {
            self.error(span, format!("no service is called {service}"), None);
            return None;
        };
        let found = descriptor.methods().find(|m| m.name() == method);
        if found.is_none() {
            let known: Vec<String> = descriptor.methods().map(|m| m.name().to_owned()).collect();
            let help = Some(format!("methods: {}", known.join(", ")));
            self.error(span, format!("{service} has no method {method}"), help);
        }
        found
    }

    fn call(&mut self, call: &Call) {
        let method = self.method(call.span, &call.target);
        if let Some(alias) = &call.alias {
            self.aliases.insert(alias.clone());
        }
        if let (Some(request), Some(method)) = (&call.request, &method) {
            self.typed(request, &method.input());
        }
        self.steps(&call.during);
        self.answer(&call.answer, method.as_ref());
        if let (Some(returns), Some(method)) = (&call.returns, &method) {
            self.returns(returns, &method.output());
        }
        if let Some(replay) = &call.replay {
            self.replay(replay);
        }
        for line in call.stream.iter().flat_map(|stream| &stream.lines) {
            if let (Some(request), Some(method)) = (&line.request, &method) {
                self.typed(request, &method.input());
            }
            if let Some(answer) = &line.answer {
                self.answer(answer, method.as_ref());
            }
        }
        if let Some(then) = &call.then {
            self.step(then);
        }
    }

    fn answer(&mut self, answer: &Answer, method: Option<&MethodDescriptor>) {
        if let (Some(reply), Some(method)) = (&answer.reply, method) {
            self.typed(reply, &method.output());
        }
        for any in answer.events.iter().flat_map(message::items).take(1) {
            self.any(&any);
        }
        for any in answer.events.iter().flat_map(|events| events.items().unwrap_or_default()) {
            if any.operator().is_none() {
                self.any(any);
            }
        }
        for any in answer.snapshot.iter().chain(&answer.state) {
            self.any(any);
        }
        if let Some(delta) = &answer.delta {
            self.message(delta, "cloudstate.crdt.CrdtDelta");
        }
        for call in answer.effects.iter().chain(answer.forward.as_deref()) {
            self.call(call);
        }
        self.steps(&answer.unordered);
    }

    fn replay(&mut self, replay: &Node) {
        if replay.as_text() == Some("nothing") || replay.operator().is_some() {
            return;
        }
        for (key, _) in replay.entries().unwrap_or_default() {
            if !["snapshot", "events", "state"].contains(&key.text.as_str()) {
                let help = Some("nothing, $any, or a map with snapshot, events or state".to_owned());
                self.error(key.span, format!("a replay has no {}", key.text), help);
            }
        }
        let scope_errors = {
            let scope = Scope { package: &self.package, bindings: &self.bindings };
            replay
                .get("events")
                .map(message::items)
                .unwrap_or_default()
                .iter()
                .take(100)
                .filter_map(|event| message::build_any(event, &scope).err())
                .collect::<Vec<_>>()
        };
        scope_errors.into_iter().for_each(|error| self.message_error(error));
    }

    fn any(&mut self, node: &Node) {
        let scope = Scope { package: &self.package, bindings: &self.bindings };
        if let Err(error) = message::build_any(node, &scope) {
            self.message_error(error);
        }
    }

    fn typed(&mut self, node: &Node, descriptor: &MessageDescriptor) {
        let scope = Scope { package: &self.package, bindings: &self.bindings };
        if let Err(error) = message::build(node, descriptor, &scope) {
            self.message_error(error);
        }
    }

    fn message(&mut self, node: &Node, name: &str) {
        if let Some(descriptor) = descriptor_pool().get_message_by_name(name) {
            self.typed(node, &descriptor);
        }
    }

    fn returns(&mut self, node: &Node, output: &MessageDescriptor) {
        if let Some(("$either", Some(options))) = node.operator() {
            return options.items().unwrap_or_default().iter().for_each(|node| self.returns(node, output));
        }
        if node.operator().is_some() || node.as_text() == Some("nothing") {
            return;
        }
        let Some(status) = node.get("status") else { return self.typed(node, output) };
        let names = match status.operator() {
            Some((_, Some(options))) => options.items().unwrap_or_default().to_vec(),
            Some(_) => Vec::new(),
            None => vec![status.clone()],
        };
        for name in names {
            let known = name.as_text().is_some_and(|name| crate::play::expand::STATUS.contains(&name));
            if !known {
                let help = Some(format!("one of {}", crate::play::expand::STATUS.join(", ")));
                self.error(name.span, "this is no gRPC status", help);
            }
        }
    }

    /// The message types of the entity's stream, by the prefix of its service.
    fn stream_type(&self, party: Party) -> &'static str {
        let proxy = party == Party::Proxy;
        match self.package.as_str() {
            "cloudstate.tck.model.crdt" if proxy => "cloudstate.crdt.CrdtStreamIn",
            "cloudstate.tck.model.crdt" => "cloudstate.crdt.CrdtStreamOut",
            "cloudstate.tck.model.valueentity" if proxy => "cloudstate.valueentity.ValueEntityStreamIn",
            "cloudstate.tck.model.valueentity" => "cloudstate.valueentity.ValueEntityStreamOut",
            _ if proxy => protocol::IN,
            _ => protocol::OUT,
        }
    }

    fn raw(&mut self, span: Span, party: Party, what: &Raw) {
        match what {
            Raw::Message(node) if party == Party::Client => {
                let help = Some("write { call: Method, request: … }".to_owned());
                self.error(node.span, "a client sends calls, not messages", help);
            }
            Raw::Message(node) => self.message(node, self.stream_type(party)),
            Raw::Discover(Some(node)) => self.message(node, "cloudstate.ProxyInfo"),
            Raw::Spec(Some(node)) => self.message(node, "cloudstate.EntitySpec"),
            Raw::Call { target, request, returns, .. } if !target.starts_with('/') => {
                let method = self.method(span, target);
                if let (Some(request), Some(method)) = (request, &method) {
                    self.typed(request, &method.input());
                }
                if let (Some(returns), Some(method)) = (returns, &method) {
                    self.returns(returns, &method.output());
                }
            }
            _ => {}
        }
    }
}

/// The function's side of a chart that isn't scripted must be what the model answers.
pub fn agree_with_model(scenario: &Scenario) -> Vec<SourceError> {
    if scenario.scripted.is_some() {
        return Vec::new();
    }
    let mut agreement = Agreement { scenario, models: BTreeMap::new(), errors: Vec::new() };
    let package = scenario.service.rsplit_once('.').map_or("", |(package, _)| package);
    for step in &scenario.chart {
        match &step.kind {
            StepKind::Call(call) => agreement.call(call, package),
            StepKind::Concurrent { .. } => return agreement.errors,
            _ => {}
        }
    }
    agreement.errors
}

struct Agreement<'a> {
    scenario: &'a Scenario,
    models: BTreeMap<(String, String), crate::model::event_sourced::Entity>,
    errors: Vec<SourceError>,
}

impl Agreement<'_> {
    fn call(&mut self, call: &Call, package: &str) {
        let names = self.scenario.ids.iter().map(String::as_str).chain(["id"]);
        let bindings: Bindings = names.map(|name| (name.to_owned(), format!("<{name}>"))).collect();
        let Some(answered) = crate::play::expand::model_answer(self.scenario, call, &bindings, &mut self.models)
        else {
            return;
        };
        let written = &call.answer;
        if !written.is_unwritten() {
            for (what, expected, found) in differences(written, &answered, package, &bindings) {
                self.errors.push(SourceError {
                    source: self.scenario.source.clone(),
                    span: call.span,
                    message: format!("the model's {what} is {found}, not {expected}"),
                    help: Some("mark the scenario `scripted: function` if it departs from the model".to_owned()),
                });
            }
        }
        for (effect, _) in written.effects.iter().zip(&answered.effects) {
            self.call(effect, package);
        }
        if let (Some(forward), Some(_)) = (&written.forward, &answered.forward) {
            self.call(forward, package);
        }
    }
}

/// What is written against what the model says: what, written, the model's.
fn differences(
    written: &Answer,
    model: &Answer,
    package: &str,
    bindings: &Bindings,
) -> Vec<(&'static str, String, String)> {
    let scope = Scope { package, bindings };
    let mut found = Vec::new();
    let show = |node: Option<&Node>| {
        node.map_or_else(|| "nothing".to_owned(), |node| message::shorten(&message::flow(node), 120))
    };
    let anys = |node: Option<&Node>| -> Vec<prost_types::Any> {
        node.map(message::items)
            .unwrap_or_default()
            .iter()
            .map(|item| message::build_any(item, &scope).unwrap_or_default())
            .collect()
    };
    let one = |node: Option<&Node>| node.map(|node| message::build_any(node, &scope).unwrap_or_default());
    if anys(written.events.as_ref()) != anys(model.events.as_ref()) {
        found.push(("list of events", show(written.events.as_ref()), show(model.events.as_ref())));
    }
    if one(written.snapshot.as_ref()) != one(model.snapshot.as_ref()) {
        found.push(("snapshot", show(written.snapshot.as_ref()), show(model.snapshot.as_ref())));
    }
    let text = |node: Option<&Node>| {
        node.and_then(Node::as_text).map(|text| message::substitute(text, bindings).unwrap_or_default())
    };
    if text(written.failure.as_ref()) != text(model.failure.as_ref()) {
        found.push(("failure", show(written.failure.as_ref()), show(model.failure.as_ref())));
    }
    let reply = |node: Option<&Node>| {
        let descriptor = descriptor_pool().get_message_by_name(&format!("{package}.Response"))?;
        Some(message::build(node?, &descriptor, &scope).ok()?.encode_to_vec())
    };
    let any = written.reply.as_ref().is_some_and(|reply| message::flow(reply).contains("$any"));
    if !any && reply(written.reply.as_ref()) != reply(model.reply.as_ref()) {
        found.push(("reply", show(written.reply.as_ref()), show(model.reply.as_ref())));
    }
    let targets = |answer: &Answer| -> Vec<(String, bool)> {
        let short = |call: &Call| call.target.trim_start_matches(&format!("{package}.")).to_owned();
        answer.effects.iter().map(|effect| (short(effect), effect.synchronous)).collect()
    };
    if targets(written) != targets(model) {
        let text = |answer: &Answer| format!("{:?}", targets(answer));
        found.push(("list of side effects", text(written), text(model)));
    }
    if written.forward.is_some() != model.forward.is_some() {
        let text = |answer: &Answer| if answer.forward.is_some() { "a forward" } else { "no forward" }.to_owned();
        found.push(("answer", text(written), text(model)));
    }
    found
}
