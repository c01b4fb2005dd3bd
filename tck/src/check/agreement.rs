//! The function's side of a chart against the model: what a chart says a function answers is what the model
//! answers, unless the chart says that the function departs from it.

use crate::finding::Mismatch;
use crate::model::oracle;
use crate::model::oracle::Entity;
use crate::party::Party;
use crate::protocol::EntityType;
use crate::protocol::Reply;
use crate::protocol::state_parts;
use crate::scenario::form::Form;
use crate::scenario::message;
use crate::scenario::message::{Bindings, Scope};
use crate::scenario::replay::replay_of;
use crate::scenario::service;
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind, Stream};
use crate::services;
use crate::services::descriptor_pool;
use crate::yaml::{Node, SourceError, Span};
use cloudstate_protocol::payload::protobuf_type_url;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use prost_types::Any;
use std::collections::{BTreeMap, VecDeque};

/// Where a chart and the model say different things. The scenario must have been checked otherwise.
pub fn agree_with_model(scenario: &Scenario) -> Vec<SourceError> {
    // A proxy that departs from the rules can bring a function into any state.
    if matches!(scenario.scripted, Some(Party::Function | Party::Proxy)) {
        return Vec::new();
    }
    let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
    let bindings = names
        .map(|name| (name.to_owned(), format!("${name}")))
        .collect();
    let mut agreement = Agreement {
        scenario,
        bindings,
        entities: BTreeMap::new(),
        errors: Vec::new(),
    };
    for step in &scenario.chart {
        if !agreement.step(step) {
            break;
        }
    }
    agreement.errors
}

struct Agreement<'a> {
    scenario: &'a Scenario,
    bindings: Bindings,
    /// By service and id. Passivation and restarts change nothing here.
    entities: BTreeMap<(String, String), Entity>,
    errors: Vec<SourceError>,
}

impl Agreement<'_> {
    /// False: from here on the state isn't known.
    fn step(&mut self, step: &Step) -> bool {
        match &step.kind {
            StepKind::Call(call) => {
                self.call(call);
                // Commands that came meanwhile waited, or were for others.
                call.during.iter().all(|step| self.step(step))
            }
            // In which order, depends on whoever is under test.
            StepKind::Concurrent { .. } | StepKind::Unordered(_) | StepKind::OneOf(_) => false,
            // By hand a proxy can replay or command anything.
            StepKind::Raw {
                party: Party::Proxy,
                what: Raw::Message(_) | Raw::Bytes(_),
            } => false,
            _ => true,
        }
    }

    fn call(&mut self, call: &Call) {
        let Some(method) = self.scenario.method(&call.target) else {
            return;
        };
        match &call.stream {
            Some(stream) if method.is_server_streaming() => {
                self.stream(call, stream, &method);
            }
            _ => {
                if let Some(reply) = self.reply(call, &method)
                    && !call.answer.is_unwritten()
                {
                    self.compare(call.span, &call.answer, &method, reply);
                }
            }
        }
        let lines = call.stream.iter().flat_map(|stream| &stream.lines);
        let answers = lines.filter_map(|line| line.answer.as_ref());
        for answer in std::iter::once(&call.answer).chain(answers) {
            let forward = answer.forward.as_deref();
            answer
                .effects
                .iter()
                .chain(forward)
                .for_each(|nested| self.call(nested));
        }
    }

    /// The answers of a stream, against those of the model to the requests before them.
    fn stream(&mut self, call: &Call, stream: &Stream, method: &MethodDescriptor) {
        let service = method.parent_service().full_name().to_owned();
        let written = stream.lines.iter().any(|line| line.answer.is_some());
        let mut waiting = VecDeque::new();
        if !method.is_client_streaming() {
            let Ok((request, _)) = service::request(call, &method.input(), &self.scope()) else {
                return;
            };
            let payload = any(method, request.encode_to_vec());
            match oracle::respond(&service, method.name(), &payload) {
                Some(replies) => waiting.extend(replies),
                None => return,
            }
        }
        for line in &stream.lines {
            if let Some(request) = &line.request {
                let Some(payload) = self.payload(request, method) else {
                    return;
                };
                match oracle::respond(&service, method.name(), &payload) {
                    Some(replies) => waiting.extend(replies),
                    None => return,
                }
            }
            if let Some(answer) = &line.answer {
                match waiting.pop_front() {
                    Some(reply) => self.compare(line.span, answer, method, reply),
                    None => self.error(
                        line.span,
                        "the model has no more answers here",
                        Some(DEPARTS.to_owned()),
                    ),
                }
            }
        }
        if written && !waiting.is_empty() {
            let text = format!("the model has {} more answers", waiting.len());
            self.error(call.span, text, Some(DEPARTS.to_owned()));
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            package: self.scenario.package(),
            bindings: &self.bindings,
        }
    }

    /// What the model answers; `None`: there is no model of the service.
    fn reply(&mut self, call: &Call, method: &MethodDescriptor) -> Option<Reply> {
        let name = method.parent_service().full_name().to_owned();
        let (request, id) = service::request(call, &method.input(), &self.scope()).ok()?;
        let payload = any(method, request.encode_to_vec());
        if services::entity_type(&name) == Some(EntityType::Action) {
            return oracle::answer(&name, method.name(), &self.requests(call, method, payload)?);
        }
        let fresh = Entity::new(&name)?;
        let key = (name, id);
        let mut entity = match self.entities.remove(&key) {
            Some(entity) => entity,
            None => self.begin(fresh, call)?,
        };
        let reply = entity.handle(method.name(), &payload);
        self.entities.insert(key, entity);
        if reply.is_none() {
            self.error(call.span, "the model has no answer to this", None);
        }
        reply
    }

    /// All requests of a call.
    fn requests(&self, call: &Call, method: &MethodDescriptor, one: Any) -> Option<Vec<Any>> {
        let Some(stream) = &call.stream else {
            return Some(vec![one]);
        };
        let written = stream.lines.iter().filter_map(|line| line.request.as_ref());
        written.map(|node| self.payload(node, method)).collect()
    }

    fn payload(&self, request: &Node, method: &MethodDescriptor) -> Option<Any> {
        let message = message::build(request, &method.input(), &self.scope()).ok()?;
        Some(any(method, message.encode_to_vec()))
    }

    /// Where the chart gives the history instead of making it.
    fn begin(&mut self, mut entity: Entity, call: &Call) -> Option<Entity> {
        let stored = match &call.replay {
            None => None,
            Some(replay) => match replay_of(replay, &self.scope()) {
                Ok(stored) => stored,
                Err(text) => {
                    self.error(replay.span, text, None);
                    return None;
                }
            },
        };
        if let Some(stored) = stored {
            entity.begin(&stored.begin());
            for (sequence, event) in stored.replay() {
                entity.apply(sequence, event);
            }
        }
        Some(entity)
    }

    /// A written answer against the model's.
    fn compare(&mut self, span: Span, answer: &Answer, method: &MethodDescriptor, reply: Reply) {
        let service = method.parent_service().full_name().to_owned();
        let Some(entity_type) = services::entity_type(&service) else {
            return;
        };
        let id = i64::from(entity_type.has_entities());
        let name = entity_type.message(Party::Function);
        let Some(descriptor) = descriptor_pool().get_message_by_name(name) else {
            return;
        };
        let bytes = entity_type.protocol().reply(reply.to_command(id));
        let Ok(actual) = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()) else {
            return;
        };
        let expected = Form {
            scenario: self.scenario,
            entity_type,
            output: Some(&method.output()),
            answer,
            command_id: id,
            choice: None,
        };
        let found = message::compare(&expected.message(), &descriptor, &actual, &self.scope());
        for mismatch in found {
            self.differs(span, answer, &mismatch);
        }
    }

    fn differs(&mut self, span: Span, answer: &Answer, mismatch: &Mismatch) {
        let Mismatch {
            path,
            expected,
            received,
        } = mismatch;
        let span = place(span, answer, path);
        let text = format!("the model says otherwise about {path}: {received}, not {expected}");
        // Here a name stands for itself, which a message writes with two dollars.
        let text = text.replace("$$", "$");
        self.error(span, text, Some(DEPARTS.to_owned()));
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
}

const DEPARTS: &str = "mark the scenario `scripted: function` if it departs from the model";

fn any(method: &MethodDescriptor, value: Vec<u8>) -> Any {
    Any {
        type_url: protobuf_type_url(method.input().full_name()),
        value,
    }
}

/// The part of the chart that a path in the reply is about.
fn place(span: Span, answer: &Answer, path: &str) -> Span {
    let path = path.strip_prefix("reply.").unwrap_or(path);
    let outer = |key: &str| {
        let part = state_parts().into_iter().find(|part| part.key == key);
        part.and_then(|part| part.path.first().copied())
    };
    let state = answer.state.iter();
    let state = state.filter_map(|(key, node)| Some((outer(key)?, Some(node))));
    let mut parts = [
        ("client_action.reply", answer.reply.as_ref()),
        ("client_action.failure.restart", answer.restart.as_ref()),
        ("client_action.failure", answer.failure.as_ref()),
    ]
    .into_iter()
    .chain(state);
    let part = parts
        .find(|(prefix, _)| path.starts_with(prefix))
        .and_then(|(_, node)| node);
    let nested = match path
        .strip_prefix("side_effects[")
        .and_then(|rest| rest.split(']').next())
    {
        Some(index) => index
            .parse()
            .ok()
            .and_then(|index: usize| answer.effects.get(index)),
        None => answer
            .forward
            .as_deref()
            .filter(|_| path.starts_with("client_action.forward")),
    };
    part.map(|node| node.span)
        .or(nested.map(|call| call.span))
        .unwrap_or(span)
}
