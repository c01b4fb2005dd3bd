//! (2) Checks a scenario without a subject: names against descriptors and requirements, messages against their
//! types, the function's side against the model; and in which roles it can be played.

mod agreement;
mod answer;
mod raw;
mod roles;

pub use agreement::agree_with_model;
pub use roles::{needs, roles};

use crate::model::oracle;
use crate::party::Party;
use crate::requirement::Requirements;
use crate::scenario::message;
use crate::scenario::message::{Bindings, MessageError, Scope};
use crate::scenario::{Call, Scenario, Step, StepKind, Stream, Verifies};
use crate::services::descriptor_pool;
use crate::yaml::source::allowed;
use crate::yaml::{Node, SourceError, Span};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is wrong with these scenarios, each file's in the order of its lines.
pub fn check(scenarios: &[Scenario], requirements: &Requirements) -> Vec<SourceError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    // What the suite says wrong, each of its scenarios has.
    let mut told = BTreeSet::new();
    for scenario in scenarios {
        let mut checker = Checker::new(scenario, requirements);
        if !names.insert(scenario.name()) {
            checker.error(
                scenario.span,
                format!("another scenario is called {}", scenario.name()),
                None,
            );
        }
        checker.scenario();
        let mut found = checker.errors;
        if found.is_empty() {
            found = agree_with_model(scenario);
        }
        found.retain(|error| {
            let place = (error.source.name.clone(), error.span.start);
            told.insert((place, error.message.clone()))
        });
        found.sort_by_key(|error| error.span.start);
        errors.extend(found);
    }
    errors
}

struct Checker<'a> {
    scenario: &'a Scenario,
    requirements: &'a Requirements,
    bindings: Bindings,
    /// Open calls.
    aliases: BTreeMap<String, Option<MethodDescriptor>>,
    errors: Vec<SourceError>,
}

impl<'a> Checker<'a> {
    fn new(scenario: &'a Scenario, requirements: &'a Requirements) -> Checker<'a> {
        // A number, so that a name can stand wherever its value could.
        let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
        let bindings = names
            .map(|name| (name.to_owned(), "1".to_owned()))
            .collect();
        Checker {
            scenario,
            requirements,
            bindings,
            aliases: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        let source = self.scenario.source.clone();
        self.errors.push(SourceError {
            source,
            span,
            message: message.into(),
            help,
        });
    }

    fn scenario(&mut self) {
        let scenario = self.scenario;
        self.verifies(&scenario.verifies);
        if descriptor_pool()
            .get_service_by_name(&scenario.service)
            .is_none()
        {
            return self.no_service(scenario.service_span, &scenario.service);
        }
        if let Some(spec) = &scenario.spec {
            self.message(spec, "cloudstate.EntitySpec");
        }
        self.steps(&scenario.chart);
        let reasons: Vec<String> = roles(scenario)
            .into_iter()
            .filter_map(|(role, playable)| playable.err().map(|reason| format!("{role}: {reason}")))
            .collect();
        if reasons.len() == roles(scenario).len() {
            self.error(
                scenario.span,
                "no role can play this chart",
                Some(reasons.join("; ")),
            );
        }
    }

    fn verifies(&mut self, all: &[Verifies]) {
        for Verifies { name, span } in all {
            let Some(requirement) = self.requirements.get(name) else {
                let help = self.requirements.meant(name);
                self.error(
                    *span,
                    format!("no requirement is called {name}"),
                    Some(help),
                );
                continue;
            };
            if let Some(reason) = &requirement.untestable {
                let text = format!("{name} can't be tested");
                self.error(*span, text, Some(reason.clone()));
            } else if self.scenario.scripted == Some(requirement.party) {
                let party = requirement.party;
                let text = format!("{name} binds the {party}, which is scripted here");
                let help = "name what the other party must do".to_owned();
                self.error(*span, text, Some(help));
            }
        }
    }

    // === Steps ===

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
                let method = self.open_call(step.span, call);
                self.answer(step.span, answer, method.as_ref());
            }
            StepKind::Replicate { delta, node } => {
                self.message(delta, "cloudstate.crdt.CrdtDelta");
                self.text(node.as_ref());
            }
            StepKind::None(steps) => self.none(steps),
            StepKind::Concurrent { each, .. } => {
                self.bindings.insert("client".to_owned(), "1".to_owned());
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

    /// The method of a call that a later step names.
    fn open_call(&mut self, span: Span, alias: &str) -> Option<MethodDescriptor> {
        if !self.aliases.contains_key(alias) {
            let help = if self.aliases.is_empty() {
                "give a call above a name with `as`".to_owned()
            } else {
                allowed(alias, self.aliases.keys().map(String::as_str))
            };
            self.error(span, format!("no call is open as {alias}"), Some(help));
        }
        self.aliases.get(alias).cloned().flatten()
    }

    /// What must not have happened: nothing is answered in there.
    fn none(&mut self, steps: &[Step]) {
        for step in steps {
            self.verifies(&step.verifies);
            match &step.kind {
                StepKind::Returns => {}
                StepKind::Call(call) if call.answer.is_unwritten() => {
                    let method = self.method(call.span, &call.target);
                    self.request(call, method.as_ref());
                }
                StepKind::Raw { party, what } => self.raw(step.span, *party, what),
                _ => {
                    let help = "a call without an answer, a raw step, or returns".to_owned();
                    self.error(step.span, "this can't stand in none", Some(help));
                }
            }
        }
    }

    // === Calls ===

    fn no_service(&mut self, span: Span, name: &str) {
        let services: Vec<_> = descriptor_pool().services().collect();
        let models = services.iter().map(|service| service.full_name());
        let help = allowed(
            name,
            models.filter(|name| name.starts_with("cloudstate.tck.model.")),
        );
        self.error(span, format!("no service is called {name}"), Some(help));
    }

    fn method(&mut self, span: Span, target: &str) -> Option<MethodDescriptor> {
        let (service, method) = self.scenario.target(target);
        let Some(descriptor) = descriptor_pool().get_service_by_name(&service) else {
            self.no_service(span, &service);
            return None;
        };
        let methods: Vec<MethodDescriptor> = descriptor.methods().collect();
        let found = methods.iter().find(|found| found.name() == method).cloned();
        if found.is_none() {
            let help = allowed(method, methods.iter().map(MethodDescriptor::name));
            self.error(
                span,
                format!("{service} has no method {method}"),
                Some(help),
            );
        }
        found
    }

    fn call(&mut self, call: &Call) {
        let method = self.method(call.span, &call.target);
        if let Some(alias) = &call.alias
            && self.aliases.insert(alias.clone(), method.clone()).is_some()
        {
            self.error(call.span, format!("another call is open as {alias}"), None);
        }
        self.request(call, method.as_ref());
        self.steps(&call.during);
        self.answered(call, method.as_ref());
        self.answer(call.span, &call.answer, method.as_ref());
        if let (Some(replay), Some(method)) = (&call.replay, &method) {
            self.replay(replay, method);
        }
        if let (Some(stream), Some(method)) = (&call.stream, &method) {
            self.stream(call, stream, method);
        }
        if let (Some(returns), Some(method)) = (&call.returns, &method) {
            self.returns(returns, Some(&method.output()));
        }
        self.steps(
            call.then
                .as_deref()
                .map(std::slice::from_ref)
                .unwrap_or_default(),
        );
    }

    fn request(&mut self, call: &Call, method: Option<&MethodDescriptor>) {
        self.text(call.id.as_ref());
        self.text(call.node.as_ref());
        if let (Some(request), Some(method)) = (&call.request, method) {
            self.typed(request, &method.input());
        }
        if let Some(metadata) = &call.metadata {
            self.message(metadata, "cloudstate.Metadata");
        }
    }

    /// An answer that isn't written is the model's, or none on purpose.
    fn answered(&mut self, call: &Call, method: Option<&MethodDescriptor>) {
        let Some(method) = method else { return };
        let service = method.parent_service().full_name().to_owned();
        let silent = self.scenario.scripted == Some(Party::Function);
        if call.answer.is_unwritten()
            && call.stream.is_none()
            && !silent
            && !oracle::knows(&service, method.name())
        {
            let text = format!(
                "nothing is written about the answer, and the kit has no model of {service}"
            );
            self.error(
                call.span,
                text,
                Some("write what the function answers".to_owned()),
            );
        }
    }

    fn stream(&mut self, call: &Call, stream: &Stream, method: &MethodDescriptor) {
        let (requests, answers) = (method.is_client_streaming(), method.is_server_streaming());
        if !requests && !answers {
            self.error(
                call.span,
                format!("{} is no streamed method", method.name()),
                None,
            );
        }
        for line in &stream.lines {
            if line.request.is_some() && !requests {
                let text = format!(
                    "{} takes one request: write it beside the call",
                    method.name()
                );
                self.error(line.span, text, None);
            }
            if line.answer.is_some() && !answers {
                let text = format!("{} has one answer: write it beside the call", method.name());
                self.error(line.span, text, None);
            }
            if let Some(request) = &line.request {
                self.typed(request, &method.input());
            }
            if let Some(answer) = &line.answer {
                self.answer(line.span, answer, Some(method));
            }
            if let Some(step) = &line.step {
                self.verifies(&step.verifies);
                self.step(step);
            }
        }
        if let Some(ends) = &stream.ends {
            self.status(ends);
        }
    }

    // === Messages ===

    fn message_errors(&mut self, errors: Vec<MessageError>) {
        for MessageError {
            span,
            message,
            help,
        } in errors
        {
            self.error(span, message, help);
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            package: self.scenario.package(),
            bindings: &self.bindings,
        }
    }

    fn typed(&mut self, node: &Node, descriptor: &MessageDescriptor) {
        let errors = message::verify(node, descriptor, &self.scope());
        self.message_errors(errors);
    }

    fn message(&mut self, node: &Node, name: &str) {
        if let Some(descriptor) = descriptor_pool().get_message_by_name(name) {
            self.typed(node, &descriptor);
        }
    }

    fn optional(&mut self, node: Option<&Node>, name: &str) {
        if let Some(node) = node {
            self.message(node, name);
        }
    }

    fn any(&mut self, node: &Node) {
        let errors = message::verify_any(node, &self.scope());
        self.message_errors(errors);
    }

    fn text(&mut self, node: Option<&Node>) {
        let errors = node
            .map(|node| message::verify_text(node, &self.scope()))
            .unwrap_or_default();
        self.message_errors(errors);
    }
}
