//! (2) What the names in a chart mean: services, methods, entity types, and the entity a request is for.

use super::message::{self, MessageError, Scope};
use super::{Call, Scenario};
use crate::services::descriptor_pool;
use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Value};
use cloudstate_protocol::descriptors::entity_key_fields;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value as Field};

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
        let name = NodeKey {
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
