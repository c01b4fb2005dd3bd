//! The services of the TCK models: their names, what they are to the protocol, and their descriptors.

use crate::protocol::EntityType;
use cloudstate_protocol::descriptors;
use cloudstate_protocol::names::tck;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};
use std::sync::LazyLock;

/// A service of the kit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its full name.
    pub name: &'static str,
    /// What it is to the protocol.
    pub entity_type: EntityType,
    /// Under which its state is kept; empty where there is none.
    pub persistence_id: &'static str,
    /// What it is for.
    pub part: Part,
}

/// What a service of the kit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Does what its requests say.
    Model,
    /// The same under another name, so that a proxy can be asked to passivate it soon.
    Brief,
    /// Where forwards and side effects go. It answers everything with an empty response.
    Two,
    /// Asks for a short passivation timeout, and answers as `Two` does.
    Configured,
    /// Tells entity keys apart, for a proxy under test alone. The first method is answered as `Two` does.
    Keys,
}

/// The event sourced model.
pub const EVENT_SOURCED_MODEL: Service = Service {
    name: tck::EVENT_SOURCED_MODEL,
    entity_type: EntityType::EventSourced,
    persistence_id: tck::EVENT_SOURCED_MODEL_ID,
    part: Part::Model,
};

/// Its copy.
pub const EVENT_SOURCED_BRIEF: Service = Service {
    name: "cloudstate.tck.model.EventSourcedTckModelBrief",
    persistence_id: "event-sourced-tck-model-brief",
    part: Part::Brief,
    ..EVENT_SOURCED_MODEL
};

/// What it calls.
pub const EVENT_SOURCED_TWO: Service = Service {
    name: tck::EVENT_SOURCED_TWO,
    persistence_id: tck::EVENT_SOURCED_TWO_ID,
    part: Part::Two,
    ..EVENT_SOURCED_MODEL
};

/// With a passivation timeout.
pub const EVENT_SOURCED_CONFIGURED: Service = Service {
    name: tck::EVENT_SOURCED_CONFIGURED,
    persistence_id: tck::EVENT_SOURCED_CONFIGURED_ID,
    part: Part::Configured,
    ..EVENT_SOURCED_MODEL
};

/// With keys of every kind.
pub const ENTITY_KEYS: Service = Service {
    name: "cloudstate.tck.model.entitykeys.EntityKeys",
    persistence_id: "entity-keys",
    part: Part::Keys,
    ..EVENT_SOURCED_MODEL
};

/// The value entity model.
pub const VALUE_ENTITY_MODEL: Service = Service {
    name: "cloudstate.tck.model.valueentity.ValueEntityTckModel",
    entity_type: EntityType::Value,
    persistence_id: "value-entity-tck-model",
    part: Part::Model,
};

/// Its copy.
pub const VALUE_ENTITY_BRIEF: Service = Service {
    name: "cloudstate.tck.model.valueentity.ValueEntityTckModelBrief",
    persistence_id: "value-entity-tck-model-brief",
    part: Part::Brief,
    ..VALUE_ENTITY_MODEL
};

/// What it calls.
pub const VALUE_ENTITY_TWO: Service = Service {
    name: "cloudstate.tck.model.valueentity.ValueEntityTwo",
    persistence_id: "value-entity-tck-model-two",
    part: Part::Two,
    ..VALUE_ENTITY_MODEL
};

/// With a passivation timeout.
pub const VALUE_ENTITY_CONFIGURED: Service = Service {
    name: "cloudstate.tck.model.valueentity.ValueEntityConfigured",
    persistence_id: "value-entity-configured",
    part: Part::Configured,
    ..VALUE_ENTITY_MODEL
};

/// The action model.
pub const ACTION_MODEL: Service = Service {
    name: "cloudstate.tck.model.action.ActionTckModel",
    entity_type: EntityType::Action,
    persistence_id: "",
    part: Part::Model,
};

/// What it calls.
pub const ACTION_TWO: Service = Service {
    name: "cloudstate.tck.model.action.ActionTwo",
    part: Part::Two,
    ..ACTION_MODEL
};

/// All services of the kit.
pub const SERVICES: [&Service; 11] = [
    &EVENT_SOURCED_MODEL,
    &EVENT_SOURCED_BRIEF,
    &EVENT_SOURCED_TWO,
    &EVENT_SOURCED_CONFIGURED,
    &ENTITY_KEYS,
    &VALUE_ENTITY_MODEL,
    &VALUE_ENTITY_BRIEF,
    &VALUE_ENTITY_TWO,
    &VALUE_ENTITY_CONFIGURED,
    &ACTION_MODEL,
    &ACTION_TWO,
];

impl Service {
    /// The service of this full name and entity type.
    pub fn named(name: &str, entity_type: EntityType) -> Option<&'static Service> {
        SERVICES
            .into_iter()
            .find(|service| service.name == name && service.entity_type == entity_type)
    }

    /// The method; of several, the first one.
    pub fn method(&self) -> &'static str {
        match self.part {
            Part::Model if self.entity_type == EntityType::Action => "ProcessUnary",
            Part::Model | Part::Brief => "Process",
            Part::Two | Part::Configured | Part::Keys => "Call",
        }
    }

    /// It does what its requests say; the others answer every request with an empty response.
    pub fn is_model(&self) -> bool {
        matches!(self.part, Part::Model | Part::Brief)
    }
}

/// The full name of what a method returns; `None`: the kit knows no such method.
pub fn output(service: &str, method: &str) -> Option<String> {
    let service = descriptor_pool().get_service_by_name(service)?;
    let mut methods = service.methods();
    let method = methods.find(|known| known.name() == method)?;
    Some(method.output().full_name().to_owned())
}

/// The protocol's descriptors and those of the brief services.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let mut pool = descriptors::pool().clone();
        for (model, brief) in [
            (&EVENT_SOURCED_MODEL, &EVENT_SOURCED_BRIEF),
            (&VALUE_ENTITY_MODEL, &VALUE_ENTITY_BRIEF),
        ] {
            #[expect(clippy::expect_used, reason = "made of constants, and tested")]
            pool.get_service_by_name(model.name)
                .map(|model| pool.add_file_descriptor_proto(brief_file(&model, brief)))
                .and_then(Result::ok)
                .expect("a brief service fits its model");
        }
        pool
    });
    &POOL
}

/// The copy of a model: its methods without their HTTP rules, whose paths are taken.
fn brief_file(model: &ServiceDescriptor, brief: &Service) -> FileDescriptorProto {
    let file = model.parent_file();
    let method = |method: MethodDescriptor| MethodDescriptorProto {
        name: Some(method.name().to_owned()),
        input_type: Some(format!(".{}", method.input().full_name())),
        output_type: Some(format!(".{}", method.output().full_name())),
        ..Default::default()
    };
    let name = brief.name.rsplit('.').next().map(str::to_owned);
    FileDescriptorProto {
        name: Some(file.name().replace(".proto", "_brief.proto")),
        package: Some(file.package_name().to_owned()),
        dependency: vec![file.name().to_owned()],
        service: vec![ServiceDescriptorProto {
            name,
            method: model.methods().map(method).collect(),
            options: None,
        }],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

/// The full names of the message types of a method: what callers send, what the called sends.
pub fn message_types(path: &str) -> Option<(String, String)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let service = descriptor_pool().get_service_by_name(service)?;
    let method = service.methods().find(|m| m.name() == method)?;
    Some((
        method.input().full_name().to_owned(),
        method.output().full_name().to_owned(),
    ))
}

/// Services of the TCK models that the kit has no model of yet; charts with them can be read and drawn.
const UNSERVED: [(&str, EntityType); 12] = [
    ("cloudstate.tck.model.crdt.CrdtTckModel", EntityType::Crdt),
    ("cloudstate.tck.model.crdt.CrdtTwo", EntityType::Crdt),
    ("cloudstate.tck.model.crdt.CrdtConfigured", EntityType::Crdt),
    (
        "cloudstate.tck.model.eventlogeventing.EventLogSubscriberModel",
        EntityType::Action,
    ),
    (
        "cloudstate.tck.model.eventlogeventing.EventSourcedEntityOne",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.eventlogeventing.EventSourcedEntityTwo",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.RepeatedKey",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.MapKey",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.MessageKey",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.BytesKey",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.FloatKey",
        EntityType::EventSourced,
    ),
    (
        "cloudstate.tck.model.entitykeys.DoubleKey",
        EntityType::EventSourced,
    ),
];

/// The type of a service of the TCK models.
pub fn entity_type(service: &str) -> Option<EntityType> {
    let served = SERVICES.iter().find(|known| known.name == service);
    let unserved = UNSERVED.iter().find(|(name, _)| *name == service);
    served
        .map(|known| known.entity_type)
        .or(unserved.map(|(_, entity_type)| *entity_type))
}
