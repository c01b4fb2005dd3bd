//! (2) An answer as the message that a function sends for it, still in the notation of a scenario: one form for
//! each entity type.

use super::service::request_node;
use super::{Answer, Call, Scenario};
use crate::protocol::Change;
use crate::protocol::{EntityType, Reply, StateContent, StatePart};
use crate::scenario::message;
use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Span, Value};
use cloudstate_protocol::cloudstate as common;
use prost_reflect::MessageDescriptor;
use prost_types::Any;

/// An answer, and what its message depends on.
#[derive(Debug)]
pub struct Form<'a> {
    /// Where names are looked up.
    pub scenario: &'a Scenario,
    /// Whose message it is.
    pub entity_type: EntityType,
    /// The type of the reply's payload.
    pub output: Option<&'a MessageDescriptor>,
    /// What is answered.
    pub answer: &'a Answer,
    /// Of the command; 0 for actions.
    pub command_id: i64,
}

impl Form<'_> {
    /// The message of the function's stream.
    pub fn message(&self) -> Node {
        let (answer, span) = (self.answer, self.span());
        let mut action = self.action();
        let effects = answer.effects.iter().map(|effect| self.effect(effect));
        let effects =
            (!answer.effects.is_empty()).then(|| ("side_effects", Node::list(span, effects)));
        if !self.entity_type.has_entities() {
            return Node::map(span, action.into_iter().chain(effects));
        }
        let mut reply = vec![("command_id", Node::number(span, self.command_id))];
        let action = action.take().map(|action| Node::map(span, [action]));
        reply.extend(action.map(|action| ("client_action", action)));
        reply.extend(effects);
        reply.extend(self.state());
        Node::map(span, [("reply", Node::map(span, reply))])
    }

    fn span(&self) -> Span {
        let of = |node: &Option<Node>| node.as_ref().map(|node| node.span);
        of(&self.answer.reply)
            .or(of(&self.answer.failure))
            .unwrap_or(self.scenario.span)
    }

    /// What it says of the state, each in its field of the reply.
    fn state(&self) -> Vec<(&'static str, Node)> {
        let span = self.span();
        let field = |part: &StatePart| {
            let (_, node) = self.answer.state.iter().find(|(key, _)| *key == part.key)?;
            let value = match part.content {
                StateContent::Flag => Node::map::<&str>(span, []),
                StateContent::Any | StateContent::Anys(_) | StateContent::Message(_) => {
                    node.clone()
                }
            };
            let (outer, inner) = part.path.split_first()?;
            let nest = |node, name: &&'static str| Node::map(span, [(*name, node)]);
            Some((*outer, inner.iter().rev().fold(value, nest)))
        };
        let parts = self.entity_type.state_parts();
        parts.iter().filter_map(field).collect()
    }

    /// Reply, forward or failure.
    fn action(&self) -> Option<(&'static str, Node)> {
        let (answer, span) = (self.answer, self.span());
        if let Some(reply) = &answer.reply {
            let output = self.output.map_or("", |output| output.full_name());
            let payload = Node::map(reply.span, [(output, reply.clone())]);
            let metadata = answer
                .metadata
                .clone()
                .map(|metadata| ("metadata", metadata));
            let entries = std::iter::once(("payload", payload)).chain(metadata);
            return Some(("reply", Node::map(span, entries)));
        }
        if let Some(text) = &answer.failure {
            // An action's command has no id, and what is not written must not be there.
            let id = (self.command_id != 0).then(|| Node::number(span, self.command_id));
            let restart = answer.restart.clone();
            let entries = id.map(|id| ("command_id", id)).into_iter();
            let entries = entries.chain([("description", text.clone())]);
            let entries = entries.chain(restart.map(|restart| ("restart", restart)));
            return Some(("failure", Node::map(span, entries)));
        }
        let forward = answer.forward.as_ref()?;
        Some(("forward", self.target(forward)))
    }

    fn effect(&self, effect: &Call) -> Node {
        let mut node = self.target(effect);
        if let (Value::Map(entries), true) = (&mut node.value, effect.synchronous) {
            let key = NodeKey {
                span: effect.span,
                text: "synchronous".to_owned(),
            };
            entries.push((key, Node::new(effect.span, Value::Bool(true))));
        }
        node
    }

    /// Service, command and payload of a side effect or forward.
    fn target(&self, call: &Call) -> Node {
        let span = call.span;
        let (service, command) = self.scenario.target(&call.target);
        let input = self
            .scenario
            .method(&call.target)
            .map(|method| method.input());
        let payload = input.map(|input| {
            let request = request_node(call, &input);
            ("payload", Node::map(span, [(input.full_name(), request)]))
        });
        let metadata = call.metadata.clone().map(|metadata| ("metadata", metadata));
        let names = [
            ("service_name", Node::text(span, service)),
            ("command_name", Node::text(span, command)),
        ];
        Node::map(span, names.into_iter().chain(payload).chain(metadata))
    }
}

/// A reply as a scenario would write it.
pub fn answer_of(span: Span, reply: &Reply, package: &str) -> Answer {
    use cloudstate_protocol::cloudstate::client_action::Action;
    let payload = |any: &Option<Any>| {
        message::payload_to_node(any.as_ref().unwrap_or(&Any::default()), package, span)
    };
    let call = |service: &str, method: &str, request: &Option<Any>, synchronous| Call {
        span,
        target: format!("{service}.{method}"),
        alias: None,
        id: None,
        node: None,
        request: Some(payload(request)),
        metadata: None,
        during: Vec::new(),
        returns: None,
        replay: None,
        synchronous,
        answer: Answer::default(),
        stream: None,
        then: None,
    };
    let effect = |effect: &common::SideEffect| {
        let (service, command) = (&effect.service_name, &effect.command_name);
        call(service, command, &effect.payload, effect.synchronous)
    };
    let mut answer = Answer {
        state: written_state(reply, span, package),
        effects: reply.side_effects.iter().map(effect).collect(),
        ..Answer::default()
    };
    match &reply.action {
        Some(Action::Reply(reply)) => answer.reply = Some(payload(&reply.payload)),
        Some(Action::Failure(failure)) => {
            answer.failure = Some(Node::text(span, &failure.description));
        }
        Some(Action::Forward(to)) => {
            let forward = call(&to.service_name, &to.command_name, &to.payload, false);
            answer.forward = Some(Box::new(forward));
        }
        None => answer.nothing = true,
    }
    answer
}

/// What a reply says of the state, as a scenario would write it.
fn written_state(reply: &Reply, span: Span, package: &str) -> Vec<(&'static str, Node)> {
    let node = |any: &Any| message::any_to_node(any, package, span);
    let mut state = Vec::new();
    if !reply.events.is_empty() {
        state.push(("events", Node::list(span, reply.events.iter().map(node))));
    }
    state.extend(reply.snapshot.as_ref().map(|any| ("snapshot", node(any))));
    match &reply.value {
        Some(Change::Update(value)) => state.extend(value.as_ref().map(|any| ("state", node(any)))),
        Some(Change::Delete) => state.push(("delete", Node::new(span, Value::Bool(true)))),
        Some(Change::Unset) | None => {}
    }
    state
}
