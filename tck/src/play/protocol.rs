//! What each entity type says on the wire: one file an entity type, one interface for all of them.
//!
//! A [`Protocol`] reads and writes the messages between proxy and function; the state machine above it
//! ([`super::Play`]), the invariants and the judge see [`FromProxy`] and [`FromFunction`] only.

mod action;
mod event_sourced;
mod value_entity;

pub use action::Kind;

use super::script::{CallPlan, Key, Script};
use crate::scenario::service::EntityType;
use crate::scenario::{Answer, Call, Node, Span, message};
use cloudstate_protocol::cloudstate as common;
use prost_types::Any;
use std::fmt::Debug;

/// What a proxy sends.
#[derive(Clone, Debug, PartialEq)]
pub enum FromProxy {
    /// The first message of a stateful entity's stream.
    Init {
        /// Full service name.
        service: String,
        /// Entity id.
        entity: String,
        /// The state to begin with, without what is replayed.
        state: Begin,
    },
    /// A replayed event.
    Event {
        /// Its sequence number.
        sequence: i64,
        /// The event.
        payload: Any,
    },
    /// A command. Of an action: the message that names service and command.
    Command(Command),
    /// A further request of an action's stream.
    Request(Command),
    /// No member of the oneof is set.
    Empty,
    /// Not a message of the stream's type.
    Garbage(String),
}

/// A command of any entity type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// Full service name; only an action's command has one.
    pub service: String,
    /// The entity; empty for actions.
    pub entity: String,
    /// Its number on the stream; 0 for actions.
    pub id: i64,
    /// Bare method name.
    pub name: String,
    /// The request.
    pub payload: Option<Any>,
    /// Request headers.
    pub metadata: Vec<common::MetadataEntry>,
}

/// What init says of the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Begin {
    /// A snapshot and the sequence number that it stands for.
    pub snapshot: Option<(i64, Any)>,
    /// A value entity's value.
    pub value: Option<Any>,
    /// A value entity's state is there, with or without a value.
    pub present: bool,
}

/// What a function sends.
#[derive(Clone, Debug, PartialEq)]
pub enum FromFunction {
    /// The answer to a command.
    Reply(Reply),
    /// The function gives the stream up.
    Failure(common::Failure),
    /// No member of the oneof is set.
    Empty,
    /// Not a message of the stream's type.
    Garbage(String),
}

/// A reply of any entity type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Of the command it answers; 0 for actions.
    pub command_id: i64,
    /// Reply, forward or failure.
    pub action: Option<common::client_action::Action>,
    /// Side effects in order.
    pub side_effects: Vec<common::SideEffect>,
    /// Events to persist.
    pub events: Vec<Any>,
    /// A snapshot.
    pub snapshot: Option<Any>,
    /// What becomes of a value entity's value.
    pub value: Option<Change>,
}

/// What a reply does to a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new value; `None`: the update has none.
    Update(Option<Any>),
    /// The value is removed.
    Delete,
    /// A state action with nothing set.
    Unset,
}

impl Reply {
    /// The failure, if that's what the client gets.
    pub fn failure(&self) -> Option<&common::Failure> {
        match &self.action {
            Some(common::client_action::Action::Failure(failure)) => Some(failure),
            _ => None,
        }
    }

    /// The failure asks for a restart.
    pub fn restarts(&self) -> bool {
        self.failure().is_some_and(|failure| failure.restart)
    }

    /// The same, as the answer to a command of this id.
    pub fn to_command(mut self, id: i64) -> Reply {
        self.command_id = id;
        if let Some(common::client_action::Action::Failure(failure)) = &mut self.action {
            failure.command_id = id;
        }
        self
    }

    /// It asks to store something.
    pub fn stores(&self) -> bool {
        !self.events.is_empty() || self.snapshot.is_some() || self.value.is_some()
    }
}

/// What is stored for an entity: enough to activate it again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The latest snapshot and the sequence number it stands for.
    pub snapshot: Option<(i64, Any)>,
    /// All events, from sequence number 1.
    pub events: Vec<Any>,
    /// A value entity's value.
    pub value: Option<Any>,
}

impl Stored {
    /// What init says of it.
    pub fn begin(&self) -> Begin {
        Begin {
            snapshot: self.snapshot.clone(),
            value: self.value.clone(),
            present: true,
        }
    }

    /// Keeps what a reply asks to keep. A failed command leaves nothing.
    pub fn keep(&mut self, reply: &Reply) {
        if reply.failure().is_some() {
            return;
        }
        self.events.extend(reply.events.iter().cloned());
        if let (Some(snapshot), false) = (&reply.snapshot, reply.events.is_empty()) {
            self.snapshot = Some((self.events.len() as i64, snapshot.clone()));
        }
        match &reply.value {
            Some(Change::Update(value)) => self.value.clone_from(value),
            Some(Change::Delete) => self.value = None,
            Some(Change::Unset) | None => {}
        }
    }

    /// Events after the snapshot, with their sequence numbers.
    pub fn replay(&self) -> impl Iterator<Item = (i64, &Any)> {
        let from = self.snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        (1..)
            .zip(&self.events)
            .skip(usize::try_from(from).unwrap_or(0))
    }
}

/// How an answer is written, before the entity type gives it its form.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Where it stands.
    pub span: Span,
    /// Of the command.
    pub command_id: i64,
    /// The name of the client action, and its message.
    pub action: Option<(&'static str, Node)>,
    /// The list of side effects.
    pub effects: Option<Node>,
    /// What it does to the state.
    pub answer: &'a Answer,
}

/// The messages of one entity type.
pub trait Protocol: Debug + Sync {
    /// Reads a message of the proxy.
    fn read_in(&self, bytes: &[u8]) -> FromProxy;
    /// Reads a message of the function.
    fn read_out(&self, bytes: &[u8]) -> FromFunction;
    /// The messages that activate an entity: init, and what is replayed.
    fn activation(&self, key: &Key, stored: &Stored) -> Vec<Vec<u8>>;
    /// A command as the proxy sends it. `None` as payload: the naming message of an action's stream.
    fn command(&self, call: &CallPlan, id: i64, payload: Option<Any>) -> Vec<u8>;
    /// An answer as a scenario would write the message.
    fn answer(&self, parts: Parts<'_>) -> Node;
    /// A reply as a message.
    fn reply(&self, reply: Reply) -> Vec<u8>;
}

/// The protocol of an entity type, if the kit plays it.
pub fn of(entity_type: EntityType) -> Option<&'static dyn Protocol> {
    match entity_type {
        EntityType::EventSourced => Some(&event_sourced::EventSourced),
        EntityType::Value => Some(&value_entity::ValueEntity),
        EntityType::Action => Some(&action::Actions),
        EntityType::Crdt => None,
    }
}

/// Reads a message of the proxy.
pub fn read_in(entity_type: EntityType, bytes: &[u8]) -> FromProxy {
    match of(entity_type) {
        Some(protocol) => protocol.read_in(bytes),
        None => FromProxy::Garbage("a message of an entity type that isn't played".to_owned()),
    }
}

/// Reads a message of the function.
pub fn read_out(entity_type: EntityType, bytes: &[u8]) -> FromFunction {
    match of(entity_type) {
        Some(protocol) => protocol.read_out(bytes),
        None => FromFunction::Garbage("a message of an entity type that isn't played".to_owned()),
    }
}

/// The path of discovery.
pub const DISCOVER: &str = "/cloudstate.EntityDiscovery/discover";
/// The path of error reports.
pub const REPORT_ERROR: &str = "/cloudstate.EntityDiscovery/reportError";
/// Prefix of the type URL of protobuf messages.
pub const PROTOBUF: &str = "type.googleapis.com/";

/// The full names of the message types of a method: what callers send, what the called sends.
pub fn message_types(path: &str) -> Option<(String, String)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let service = crate::model::spec::descriptor_pool().get_service_by_name(service)?;
    let method = service.methods().find(|m| m.name() == method)?;
    Some((
        method.input().full_name().to_owned(),
        method.output().full_name().to_owned(),
    ))
}

/// A request as the payload of a command.
pub fn payload(call: &CallPlan, value: &[u8]) -> Any {
    let input = call.input.as_ref().map_or("", |input| input.full_name());
    Any {
        type_url: format!("{PROTOBUF}{input}"),
        value: value.to_vec(),
    }
}

/// A further request of an action's stream.
pub fn further(payload: Any) -> Vec<u8> {
    action::request(payload)
}

/// A stateful entity's command on the wire.
fn wire_command(call: &CallPlan, id: i64, payload: Option<Any>) -> common::Command {
    let key = call.key.as_ref();
    common::Command {
        entity_id: key.map(|key| key.entity.clone()).unwrap_or_default(),
        id,
        name: call.method.clone(),
        payload,
        streamed: false,
        metadata: wire_metadata(call),
    }
}

/// The call's headers as metadata.
fn wire_metadata(call: &CallPlan) -> Option<common::Metadata> {
    let entry = |(key, value): &(String, String)| common::MetadataEntry {
        key: key.clone(),
        value: Some(common::metadata_entry::Value::StringValue(value.clone())),
    };
    let entries: Vec<_> = call.metadata.iter().map(entry).collect();
    (!entries.is_empty()).then_some(common::Metadata { entries })
}

fn wire_action(action: Option<common::client_action::Action>) -> Option<common::ClientAction> {
    action.map(|action| common::ClientAction {
        action: Some(action),
    })
}

fn read_command(command: common::Command) -> FromProxy {
    FromProxy::Command(Command {
        service: String::new(),
        entity: command.entity_id,
        id: command.id,
        name: command.name,
        payload: command.payload,
        metadata: command.metadata.unwrap_or_default().entries,
    })
}

/// The message of a stateful entity's stream that holds a reply: `reply: { command_id, client_action, … }`.
fn stateful_answer(parts: Parts<'_>, state: Vec<(&'static str, Node)>) -> Node {
    let span = parts.span;
    let mut reply = vec![("command_id", Node::number(span, parts.command_id))];
    let action = parts.action.map(|action| Node::map(span, [action]));
    reply.extend(action.map(|action| ("client_action", action)));
    reply.extend(parts.effects.map(|effects| ("side_effects", effects)));
    reply.extend(state);
    Node::map(span, [("reply", Node::map(span, reply))])
}

/// The answer of a call as a scenario would write the message of the stream. `choice` picks an alternative for
/// the kit to send; without it, every alternative may come.
pub fn answer_node(
    script: &Script,
    call: &CallPlan,
    answer: &Answer,
    command_id: i64,
    choice: Option<usize>,
) -> Node {
    let span = call_span(script, answer);
    let effects = answer.effects.iter();
    let parts = Parts {
        span,
        command_id,
        action: client_action(script, call, answer, command_id, choice, span),
        effects: (!answer.effects.is_empty())
            .then(|| Node::list(span, effects.map(|effect| side_effect(script, effect)))),
        answer,
    };
    match call.entity_type.and_then(of) {
        Some(protocol) => protocol.answer(parts),
        None => Node::map::<String>(span, []),
    }
}

fn call_span(script: &Script, answer: &Answer) -> Span {
    let of = |node: &Option<Node>| node.as_ref().map(|n| n.span);
    of(&answer.reply)
        .or(of(&answer.failure))
        .unwrap_or(script.scenario.span)
}

fn client_action(
    script: &Script,
    call: &CallPlan,
    answer: &Answer,
    command_id: i64,
    choice: Option<usize>,
    span: Span,
) -> Option<(&'static str, Node)> {
    if let Some(reply) = &answer.reply {
        let output = call
            .output
            .as_ref()
            .map_or("", |o| o.full_name())
            .to_owned();
        let mut entries = vec![("payload", any(reply.span, output, reply.clone()))];
        entries.extend(
            answer
                .metadata
                .clone()
                .map(|metadata| ("metadata", metadata)),
        );
        return Some(("reply", Node::map(span, entries)));
    }
    if let Some(text) = &answer.failure {
        let mut entries = vec![("description", text.clone())];
        // An action's command has no id, and what is not written must not be there.
        if command_id != 0 {
            entries.insert(0, ("command_id", Node::number(span, command_id)));
        }
        if let Some(restart) = &answer.restart {
            entries.push(("restart", chosen(restart, choice)));
        }
        return Some(("failure", Node::map(span, entries)));
    }
    let forward = answer.forward.as_ref()?;
    Some(("forward", target(script, forward)))
}

/// One alternative of an `$either`, if the kit has to choose.
fn chosen(node: &Node, choice: Option<usize>) -> Node {
    match (node.operator(), choice) {
        (Some(("$either", Some(options))), Some(choice)) => {
            let options = options.items().unwrap_or_default();
            options
                .get(choice)
                .or(options.last())
                .unwrap_or(node)
                .clone()
        }
        _ => node.clone(),
    }
}

fn side_effect(script: &Script, effect: &Call) -> Node {
    let mut node = target(script, effect);
    if let crate::scenario::Value::Map(entries) = &mut node.value
        && effect.synchronous
    {
        let key = crate::scenario::node::Key {
            span: effect.span,
            text: "synchronous".to_owned(),
        };
        entries.push((
            key,
            Node::new(effect.span, crate::scenario::Value::Bool(true)),
        ));
    }
    node
}

/// Service, command and payload of a side effect or forward.
fn target(script: &Script, call: &Call) -> Node {
    let span = call.span;
    let (service, method) = match call.target.rsplit_once('.') {
        None => (script.scenario.service.clone(), call.target.as_str()),
        Some((service, method)) if service.contains('.') => (service.to_owned(), method),
        Some((service, method)) => (format!("{}.{service}", script.package), method),
    };
    let request = call
        .request
        .clone()
        .unwrap_or_else(|| Node::map::<String>(span, []));
    let input = crate::model::spec::descriptor_pool()
        .get_service_by_name(&service)
        .and_then(|s| s.methods().find(|m| m.name() == method))
        .map(|m| m.input().full_name().to_owned())
        .unwrap_or_default();
    let mut entries = vec![
        ("service_name", Node::text(span, service)),
        ("command_name", Node::text(span, method)),
        ("payload", any(span, input, request)),
    ];
    entries.extend(call.metadata.clone().map(|metadata| ("metadata", metadata)));
    Node::map(span, entries)
}

fn any(span: Span, full_name: String, value: Node) -> Node {
    Node::map(span, [(full_name, value)])
}

/// A reply as a scenario would write it.
pub fn answer_of(span: Span, reply: &Reply, package: &str) -> Answer {
    use common::client_action::Action;
    let node = |any: &Any| message::any_to_node(any, package, span);
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
        events: (!reply.events.is_empty()).then(|| Node::list(span, reply.events.iter().map(node))),
        snapshot: reply.snapshot.as_ref().map(node),
        effects: reply.side_effects.iter().map(effect).collect(),
        ..Answer::default()
    };
    match &reply.value {
        Some(Change::Update(value)) => answer.state = value.as_ref().map(node),
        Some(Change::Delete) => answer.delete = true,
        Some(Change::Unset) | None => {}
    }
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
