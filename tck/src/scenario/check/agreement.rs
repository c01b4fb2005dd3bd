//! The function's side of a chart against the model: what a chart says a function answers is what the model
//! answers, unless the chart says that the function departs from it.

use super::super::message::{self, Bindings, Scope};
use super::super::service::{self, request_node};
use super::super::{
    Answer, Call, Node, Party, Raw, Scenario, SourceError, Span, Step, StepKind, Value,
};
use crate::judge::Mismatch;
use crate::model::event_sourced::{Entity, Outcome};
use crate::model::spec::descriptor_pool;
use cloudstate_protocol::eventsourced::EventSourcedReply;
use cloudstate_protocol::payload::protobuf_type_url;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use prost_types::Any;
use std::collections::BTreeMap;

const REPLY: &str = "cloudstate.eventsourced.EventSourcedReply";

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
        let Some(outcome) = self.outcome(call) else {
            return;
        };
        if !call.answer.is_unwritten() {
            for mismatch in self.differences(call, outcome) {
                self.differs(call, &mismatch);
            }
        }
        for nested in call
            .answer
            .effects
            .iter()
            .chain(call.answer.forward.as_deref())
        {
            self.call(nested);
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            package: self.scenario.package(),
            bindings: &self.bindings,
        }
    }

    /// `None`: there is no model of the service.
    fn outcome(&mut self, call: &Call) -> Option<Outcome> {
        let method = self.scenario.method(&call.target)?;
        let name = method.parent_service().full_name().to_owned();
        let fresh = Entity::new(&name)?;
        let (request, id) = service::request(call, &method.input(), &self.scope()).ok()?;
        let begun = match self.entities.remove(&(name.clone(), id.clone())) {
            Some(entity) => Ok(entity),
            None => self.begin(fresh, call.replay.as_ref()),
        };
        let type_url = protobuf_type_url(method.input().full_name());
        let payload = Any {
            type_url,
            value: request.encode_to_vec(),
        };
        let handled = begun.and_then(|mut entity| {
            let outcome = entity
                .handle(method.name(), &payload)
                .map_err(|error| error.to_string())?;
            Ok((entity, outcome))
        });
        match handled {
            Ok((entity, outcome)) => {
                self.entities.insert((name, id), entity);
                Some(outcome)
            }
            Err(error) => {
                self.error(
                    call.span,
                    format!("the model can't answer this: {error}"),
                    None,
                );
                None
            }
        }
    }

    /// Where the chart gives the history instead of making it.
    fn begin(&self, mut entity: Entity, replay: Option<&Node>) -> Result<Entity, String> {
        let build =
            |node: &Node| message::build_any(node, &self.scope()).map_err(|e| e.to_string());
        let Some(replay) = replay else {
            return Ok(entity);
        };
        if let Some(snapshot) = replay.get("snapshot") {
            let sequence = snapshot
                .get("sequence")
                .and_then(Node::as_text)
                .and_then(|t| t.parse().ok());
            if let (Some(sequence), Some(value)) = (sequence, snapshot.get("value")) {
                entity
                    .restore(sequence, &build(value)?)
                    .map_err(|error| error.to_string())?;
            }
        }
        for event in replay.get("events").map(message::items).unwrap_or_default() {
            entity
                .apply(entity.sequence() + 1, &build(&event)?)
                .map_err(|error| error.to_string())?;
        }
        Ok(entity)
    }

    fn differences(&self, call: &Call, outcome: Outcome) -> Vec<Mismatch> {
        let reply: EventSourcedReply = outcome.into_reply(1);
        let Some(descriptor) = descriptor_pool().get_message_by_name(REPLY) else {
            return Vec::new();
        };
        let Ok(actual) =
            DynamicMessage::decode(descriptor.clone(), reply.encode_to_vec().as_slice())
        else {
            return Vec::new();
        };
        let expected = self.reply_node(call);
        message::compare(&expected, &descriptor, &actual, &self.scope())
    }

    fn differs(&mut self, call: &Call, mismatch: &Mismatch) {
        let Mismatch {
            path,
            expected,
            received,
        } = mismatch;
        let span = place(call, path);
        let text = format!("the model says otherwise about {path}: {received}, not {expected}");
        // Here a name stands for itself, which a message writes with two dollars.
        let text = text.replace("$$", "$");
        let help = "mark the scenario `scripted: function` if it departs from the model";
        self.error(span, text, Some(help.to_owned()));
    }

    fn error(&mut self, span: Span, message: String, help: Option<String>) {
        let source = self.scenario.source.clone();
        self.errors.push(SourceError {
            source,
            span,
            message,
            help,
        });
    }

    /// The answer as the message that a function sends.
    fn reply_node(&self, call: &Call) -> Node {
        let (answer, span) = (&call.answer, call.span);
        let output = self
            .scenario
            .method(&call.target)
            .map(|method| method.output());
        let mut entries = vec![("command_id", Node::number(span, 1))];
        if let Some(action) = self.action(call, output.as_ref()) {
            entries.push(("client_action", action));
        }
        if !answer.effects.is_empty() {
            let effects = answer.effects.iter().map(|effect| {
                let mut node = self.command(effect);
                if let (Value::Map(entries), true) = (&mut node.value, effect.synchronous) {
                    let synchronous =
                        Node::map(span, [("synchronous", Node::new(span, Value::Bool(true)))]);
                    entries.extend(synchronous.entries().unwrap_or_default().iter().cloned());
                }
                node
            });
            entries.push(("side_effects", Node::list(span, effects)));
        }
        entries.extend(answer.events.clone().map(|events| ("events", events)));
        entries.extend(
            answer
                .snapshot
                .clone()
                .map(|snapshot| ("snapshot", snapshot)),
        );
        Node::map(span, entries)
    }

    fn action(&self, call: &Call, output: Option<&MessageDescriptor>) -> Option<Node> {
        let Answer {
            reply,
            forward,
            failure,
            restart,
            metadata,
            ..
        } = &call.answer;
        let span = call.span;
        let (key, node) = if let (Some(reply), Some(output)) = (reply, output) {
            let mut entries = vec![(
                "payload",
                Node::map(span, [(output.full_name(), reply.clone())]),
            )];
            entries.extend(metadata.clone().map(|metadata| ("metadata", metadata)));
            ("reply", Node::map(span, entries))
        } else if let Some(forward) = forward {
            ("forward", self.command(forward))
        } else if let Some(failure) = failure {
            let mut entries = vec![
                ("command_id", Node::number(span, 1)),
                ("description", failure.clone()),
            ];
            entries.extend(restart.clone().map(|restart| ("restart", restart)));
            ("failure", Node::map(span, entries))
        } else {
            return None;
        };
        Some(Node::map(span, [(key, node)]))
    }

    /// Service, command and payload of a side effect or forward.
    fn command(&self, call: &Call) -> Node {
        let span = call.span;
        let (service, command) = self.scenario.target(&call.target);
        let mut entries = vec![
            ("service_name", Node::text(span, service)),
            ("command_name", Node::text(span, command)),
        ];
        if let Some(input) = self
            .scenario
            .method(&call.target)
            .map(|method| method.input())
        {
            let payload = Node::map(span, [(input.full_name(), request_node(call, &input))]);
            entries.push(("payload", payload));
        }
        entries.extend(call.metadata.clone().map(|metadata| ("metadata", metadata)));
        Node::map(span, entries)
    }
}

/// The part of the chart that a path in the reply is about.
fn place(call: &Call, path: &str) -> Span {
    let answer = &call.answer;
    let parts = [
        ("client_action.reply", answer.reply.as_ref()),
        ("client_action.failure.restart", answer.restart.as_ref()),
        ("client_action.failure", answer.failure.as_ref()),
        ("events", answer.events.as_ref()),
        ("snapshot", answer.snapshot.as_ref()),
    ];
    let part = parts
        .iter()
        .find(|(prefix, _)| path.starts_with(prefix))
        .and_then(|(_, node)| *node);
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
        .unwrap_or(call.span)
}
