//! What the life cycle of an entity type looks like on the wire: the one place to extend for another type.
//!
//! What is here reads and writes the messages of one entity type's stream; the state machine above it
//! ([`super::Play`]) is the same for all of them.

use super::script::{CallPlan, Key, Script};
use crate::model::event_sourced::{Action, Outcome};
use crate::scenario::{Answer, Call, Node, Span, message};
use cloudstate_protocol::{cloudstate as common, eventsourced, names};
use prost::Message as _;
use prost_types::Any;

/// What a proxy sends on an entity's stream.
#[derive(Clone, Debug, PartialEq)]
pub enum FromProxy {
    /// The first message.
    Init {
        /// Full service name.
        service: String,
        /// Entity id.
        entity: String,
        /// Snapshot and the sequence number it stands for.
        snapshot: Option<(i64, Any)>,
    },
    /// A replayed event.
    Event {
        /// Its sequence number.
        sequence: i64,
        /// The event.
        payload: Any,
    },
    /// A command.
    Command(common::Command),
    /// No member of the oneof is set.
    Empty,
    /// Not a message of the stream's type.
    Garbage(String),
}

/// What a function sends on an entity's stream.
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

/// The parts of a reply that every entity type has, and what it stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Of the command it answers.
    pub command_id: i64,
    /// Reply, forward or failure.
    pub action: Option<common::client_action::Action>,
    /// Side effects in order.
    pub side_effects: Vec<common::SideEffect>,
    /// Events to persist.
    pub events: Vec<Any>,
    /// A snapshot.
    pub snapshot: Option<Any>,
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
}

/// What is stored for an entity: enough to activate it again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The latest snapshot and the sequence number it stands for.
    pub snapshot: Option<(i64, Any)>,
    /// All events, from sequence number 1.
    pub events: Vec<Any>,
}

impl Stored {
    /// Keeps what a reply asks to keep. A failed command leaves nothing.
    pub fn keep(&mut self, reply: &Reply) {
        if reply.failure().is_some() {
            return;
        }
        self.events.extend(reply.events.iter().cloned());
        if let (Some(snapshot), false) = (&reply.snapshot, reply.events.is_empty()) {
            self.snapshot = Some((self.events.len() as i64, snapshot.clone()));
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

/// The path of the event sourced protocol's one method.
pub const EVENT_SOURCED: &str = "/cloudstate.eventsourced.EventSourced/handle";
/// The path of discovery.
pub const DISCOVER: &str = "/cloudstate.EntityDiscovery/discover";
/// The path of error reports.
pub const REPORT_ERROR: &str = "/cloudstate.EntityDiscovery/reportError";

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

/// Reads a message of the proxy.
pub fn read_in(bytes: &[u8]) -> FromProxy {
    use eventsourced::event_sourced_stream_in::Message;
    match eventsourced::EventSourcedStreamIn::decode(bytes) {
        Err(error) => FromProxy::Garbage(error.to_string()),
        Ok(stream_in) => match stream_in.message {
            None => FromProxy::Empty,
            Some(Message::Init(init)) => FromProxy::Init {
                service: init.service_name,
                entity: init.entity_id,
                snapshot: init
                    .snapshot
                    .map(|s| (s.snapshot_sequence, s.snapshot.unwrap_or_default())),
            },
            Some(Message::Event(event)) => FromProxy::Event {
                sequence: event.sequence,
                payload: event.payload.unwrap_or_default(),
            },
            Some(Message::Command(command)) => FromProxy::Command(command),
        },
    }
}

/// Reads a message of the function.
pub fn read_out(bytes: &[u8]) -> FromFunction {
    use eventsourced::event_sourced_stream_out::Message;
    match eventsourced::EventSourcedStreamOut::decode(bytes) {
        Err(error) => FromFunction::Garbage(error.to_string()),
        Ok(stream_out) => match stream_out.message {
            None => FromFunction::Empty,
            Some(Message::Failure(failure)) => FromFunction::Failure(failure),
            Some(Message::Reply(reply)) => FromFunction::Reply(Reply {
                command_id: reply.command_id,
                action: reply.client_action.and_then(|action| action.action),
                side_effects: reply.side_effects,
                events: reply.events,
                snapshot: reply.snapshot,
            }),
        },
    }
}

fn stream_in(message: eventsourced::event_sourced_stream_in::Message) -> Vec<u8> {
    eventsourced::EventSourcedStreamIn {
        message: Some(message),
    }
    .encode_to_vec()
}

/// The messages that activate an entity: init, and what is replayed.
pub fn activation(key: &Key, stored: &Stored) -> Vec<Vec<u8>> {
    use eventsourced::event_sourced_stream_in::Message;
    let init = eventsourced::EventSourcedInit {
        service_name: key.service.clone(),
        entity_id: key.entity.clone(),
        snapshot: stored.snapshot.as_ref().map(|(sequence, snapshot)| {
            eventsourced::EventSourcedSnapshot {
                snapshot_sequence: *sequence,
                snapshot: Some(snapshot.clone()),
            }
        }),
    };
    let mut messages = vec![stream_in(Message::Init(init))];
    messages.extend(stored.replay().map(|(sequence, payload)| {
        let payload = Some(payload.clone());
        stream_in(Message::Event(eventsourced::EventSourcedEvent {
            sequence,
            payload,
        }))
    }));
    messages
}

/// A command as the proxy sends it.
pub fn command(call: &CallPlan, id: i64) -> Vec<u8> {
    use eventsourced::event_sourced_stream_in::Message;
    let input = call.input.as_ref().map_or("", |input| input.full_name());
    stream_in(Message::Command(common::Command {
        entity_id: call
            .key
            .as_ref()
            .map(|key| key.entity.clone())
            .unwrap_or_default(),
        id,
        name: call.method.clone(),
        payload: Some(Any {
            type_url: format!("{PROTOBUF}{input}"),
            value: call.payload.to_vec(),
        }),
        streamed: false,
        metadata: None,
    }))
}

/// Prefix of the type URL of protobuf messages.
pub const PROTOBUF: &str = "type.googleapis.com/";

/// The full name of the message type that a proxy sends on an entity's stream.
pub const IN: &str = "cloudstate.eventsourced.EventSourcedStreamIn";
/// The full name of the message type that a function sends on an entity's stream.
pub const OUT: &str = "cloudstate.eventsourced.EventSourcedStreamOut";
/// The entity type of this protocol.
pub const ENTITY_TYPE: &str = names::EVENT_SOURCED;

/// The model's answer as a message of the stream.
pub fn model_reply(outcome: Outcome, command_id: i64) -> Vec<u8> {
    use eventsourced::event_sourced_stream_out::Message;
    let message = Some(Message::Reply(outcome.into_reply(command_id)));
    eventsourced::EventSourcedStreamOut { message }.encode_to_vec()
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
    let mut reply = vec![("command_id", Node::number(span, command_id))];
    if let Some(action) = client_action(script, call, answer, command_id, choice, span) {
        reply.push(("client_action", action));
    }
    if !call.effects.is_empty() || !answer.effects.is_empty() {
        let effects = answer
            .effects
            .iter()
            .map(|effect| side_effect(script, effect));
        reply.push(("side_effects", Node::list(span, effects)));
    }
    if let Some(events) = &answer.events {
        reply.push(("events", events.clone()));
    }
    if let Some(snapshot) = &answer.snapshot {
        reply.push(("snapshot", snapshot.clone()));
    }
    Node::map(span, [("reply", Node::map(span, reply))])
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
) -> Option<Node> {
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
        return Some(Node::map(span, [("reply", Node::map(span, entries))]));
    }
    if let Some(text) = &answer.failure {
        let mut entries = vec![
            ("command_id", Node::number(span, command_id)),
            ("description", text.clone()),
        ];
        if let Some(restart) = &answer.restart {
            entries.push(("restart", chosen(restart, choice)));
        }
        return Some(Node::map(span, [("failure", Node::map(span, entries))]));
    }
    let forward = answer.forward.as_ref()?;
    Some(Node::map(span, [("forward", target(script, forward))]))
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

/// The model's answer as a scenario would write it.
pub fn answer_of(span: Span, outcome: &Outcome, package: &str) -> Answer {
    let node = |any: &Any| message::any_to_node(any, package, span);
    let payload = |any: &Any| message::payload_to_node(any, package, span);
    let call = |service: &str, method: &str, request: &Any, synchronous| Call {
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
    let mut answer = Answer {
        events: (!outcome.events.is_empty())
            .then(|| Node::list(span, outcome.events.iter().map(node))),
        snapshot: outcome.snapshot.as_ref().map(node),
        effects: outcome
            .effects
            .iter()
            .map(|e| {
                let empty = Any::default();
                let request = e.payload.as_ref().unwrap_or(&empty);
                call(&e.service_name, &e.command_name, request, e.synchronous)
            })
            .collect(),
        ..Answer::default()
    };
    match &outcome.action {
        Action::Reply(any) => answer.reply = Some(payload(any)),
        Action::Failure(text) => answer.failure = Some(Node::text(span, text)),
        Action::Forward {
            service,
            method,
            payload: request,
        } => {
            answer.forward = Some(Box::new(call(service, method, request, false)));
        }
    }
    answer
}
