//! (2) What the names in a chart mean: services, methods, entity types, and the entity a request is for.

use super::message::{self, MessageError, Scope};
use super::node::Key;
use super::{Call, Node, Party, Scenario, Value};
use crate::model::spec::descriptor_pool;
use cloudstate_protocol::descriptors::entity_key_fields;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value as Field};

/// What a service is to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityType {
    /// State from events.
    EventSourced,
    /// State as a value.
    Value,
    /// State that nodes share.
    Crdt,
    /// No state.
    Action,
}

/// By what a service's full name starts with; the first that fits.
const TYPES: [(&str, EntityType); 6] = [
    ("cloudstate.tck.model.valueentity.", EntityType::Value),
    ("cloudstate.tck.model.crdt.", EntityType::Crdt),
    ("cloudstate.tck.model.action.", EntityType::Action),
    (
        "cloudstate.tck.model.eventlogeventing.EventLogSubscriberModel",
        EntityType::Action,
    ),
    (
        "cloudstate.tck.model.eventlogeventing.",
        EntityType::EventSourced,
    ),
    ("cloudstate.tck.model.", EntityType::EventSourced),
];

impl EntityType {
    /// All of them.
    pub const ALL: [EntityType; 4] = [
        EntityType::EventSourced,
        EntityType::Value,
        EntityType::Crdt,
        EntityType::Action,
    ];

    /// The type of a service of the TCK models.
    pub fn of(service: &str) -> Option<EntityType> {
        let found = TYPES.iter().find(|(start, _)| service.starts_with(start));
        found.map(|(_, entity_type)| *entity_type)
    }

    /// The full name of the protocol's service, by which the type is announced.
    pub fn name(self) -> &'static str {
        let path = self.path().trim_start_matches('/');
        path.split_once('/').map_or(path, |(name, _)| name)
    }

    /// The path of the protocol's call for entities of this type; actions have four.
    pub fn path(self) -> &'static str {
        match self {
            EntityType::EventSourced => "/cloudstate.eventsourced.EventSourced/handle",
            EntityType::Value => "/cloudstate.valueentity.ValueEntity/handle",
            EntityType::Crdt => "/cloudstate.crdt.Crdt/handle",
            EntityType::Action => "/cloudstate.action.ActionProtocol/",
        }
    }

    /// The type of the entities whose messages travel on a call of this path.
    pub fn of_path(path: &str) -> Option<EntityType> {
        EntityType::ALL
            .into_iter()
            .find(|entity_type| path.starts_with(entity_type.path()))
    }

    /// How it is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            EntityType::EventSourced => "an event sourced entity",
            EntityType::Value => "a value entity",
            EntityType::Crdt => "a CRDT",
            EntityType::Action => "an action",
        }
    }

    /// The type of the messages that a party sends on the stream with the other.
    pub fn message(self, sender: Party) -> &'static str {
        let proxy = sender == Party::Proxy;
        match self {
            EntityType::EventSourced if proxy => "cloudstate.eventsourced.EventSourcedStreamIn",
            EntityType::EventSourced => "cloudstate.eventsourced.EventSourcedStreamOut",
            EntityType::Value if proxy => "cloudstate.valueentity.ValueEntityStreamIn",
            EntityType::Value => "cloudstate.valueentity.ValueEntityStreamOut",
            EntityType::Crdt if proxy => "cloudstate.crdt.CrdtStreamIn",
            EntityType::Crdt => "cloudstate.crdt.CrdtStreamOut",
            EntityType::Action if proxy => "cloudstate.action.ActionCommand",
            EntityType::Action => "cloudstate.action.ActionResponse",
        }
    }

    /// The keys of an answer that change the state.
    pub fn state_keys(self) -> &'static [&'static str] {
        match self {
            EntityType::EventSourced => &["events", "snapshot"],
            EntityType::Value => &["state", "delete"],
            EntityType::Crdt => &["delta", "delete"],
            EntityType::Action => &[],
        }
    }

    /// The keys of a replay.
    pub fn replay_keys(self) -> &'static [&'static str] {
        match self {
            EntityType::EventSourced => &["snapshot", "events"],
            EntityType::Value => &["state"],
            EntityType::Crdt => &["delta"],
            EntityType::Action => &[],
        }
    }
}

impl Scenario {
    /// The package of its service: short names are looked up there.
    pub fn package(&self) -> &str {
        self.service
            .rsplit_once('.')
            .map_or("", |(package, _)| package)
    }

    /// The full name of the service and the name of the method that a call goes to: `Method`,
    /// `Service.Method` in the same package, or with the service's full name.
    pub fn target<'t>(&self, target: &'t str) -> (String, &'t str) {
        match target.rsplit_once('.') {
            None => (self.service.clone(), target),
            Some((service, method)) if service.contains('.') => (service.to_owned(), method),
            Some((service, method)) => (format!("{}.{service}", self.package()), method),
        }
    }

    /// The method that a call goes to, if there is one.
    pub fn method(&self, target: &str) -> Option<MethodDescriptor> {
        let (service, method) = self.target(target);
        let service = descriptor_pool().get_service_by_name(&service)?;
        service.methods().find(|found| found.name() == method)
    }
}

/// The request of a call with the entity's id in its key field, where that is left out.
pub fn request_node(call: &Call, input: &MessageDescriptor) -> Node {
    let mut node = call
        .request
        .clone()
        .unwrap_or_else(|| Node::map::<String>(call.span, []));
    let keys = entity_key_fields(input);
    if let (Value::Map(entries), [key]) = (&mut node.value, keys.as_slice())
        && !entries.iter().any(|(name, _)| name.text == key.name())
    {
        let name = Key {
            span: call.span,
            text: key.name().to_owned(),
        };
        let id = call
            .id
            .clone()
            .unwrap_or_else(|| Node::text(call.span, "$id"));
        entries.insert(0, (name, id));
    }
    node
}

/// The request of a call, and the id of the entity that it is for.
///
/// # Errors
/// A request that isn't one of the method.
pub fn request(
    call: &Call,
    input: &MessageDescriptor,
    scope: &Scope<'_>,
) -> Result<(DynamicMessage, String), MessageError> {
    let message = message::build(&request_node(call, input), input, scope)?;
    let keys = entity_key_fields(input);
    let id: Vec<String> = keys
        .iter()
        .map(|key| key_text(&key.kind(), &message.get_field(key)))
        .collect();
    Ok((message, id.join("-")))
}

/// A key field's part of the entity id.
fn key_text(kind: &Kind, value: &Field) -> String {
    match (value, kind) {
        (Field::String(text), _) => text.clone(),
        (Field::EnumNumber(number), Kind::Enum(names)) => names
            .get_value(*number)
            .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
        _ => value.to_string(),
    }
}
