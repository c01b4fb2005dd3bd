//! (3) What the model function serves: its answer to `discover`, and the descriptors of it.

use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{
    Entity, EntityPassivationStrategy, EntitySpec, ServiceInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::names::tck;
use cloudstate_protocol::{descriptors, names};
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};
use std::sync::LazyLock;

/// A service of the kit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its full name.
    pub name: &'static str,
    /// What it is in [`Entity::entity_type`].
    pub entity_type: &'static str,
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
    entity_type: names::EVENT_SOURCED,
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
    entity_type: names::VALUE_ENTITY,
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
    entity_type: names::ACTION,
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
    pub fn named(name: &str, entity_type: &str) -> Option<&'static Service> {
        SERVICES
            .into_iter()
            .find(|service| service.name == name && service.entity_type == entity_type)
    }

    /// The method; of several, the first one.
    pub fn method(&self) -> &'static str {
        match self.part {
            Part::Model if self.entity_type == names::ACTION => "ProcessUnary",
            Part::Model | Part::Brief => "Process",
            Part::Two | Part::Configured | Part::Keys => "Call",
        }
    }

    /// It does what its requests say; the others answer every request with an empty response.
    pub fn is_model(&self) -> bool {
        matches!(self.part, Part::Model | Part::Brief)
    }

    fn entity(&self, brief_timeout: i64) -> Entity {
        let timeout = match self.part {
            Part::Model | Part::Two | Part::Keys => None,
            Part::Brief => Some(brief_timeout),
            Part::Configured => Some(tck::PASSIVATION_TIMEOUT_MILLIS),
        };
        Entity {
            entity_type: self.entity_type.to_owned(),
            service_name: self.name.to_owned(),
            persistence_id: self.persistence_id.to_owned(),
            passivation_strategy: timeout.map(|timeout| EntityPassivationStrategy {
                strategy: Some(Strategy::Timeout(TimeoutPassivationStrategy { timeout })),
            }),
        }
    }
}

/// What the model function answers to `discover`.
pub fn entity_spec() -> EntitySpec {
    spec_of(
        |service| !matches!(service.part, Part::Brief | Part::Keys),
        0,
    )
}

/// What the kit announces to a proxy under test: beside the models their copies, which are passivated after so many
/// idle milliseconds, and the service with keys of every kind.
pub fn entity_spec_with_brief(timeout_ms: i64) -> EntitySpec {
    spec_of(|_| true, timeout_ms)
}

fn spec_of(announced: impl Fn(&Service) -> bool, brief_timeout: i64) -> EntitySpec {
    let services: Vec<_> = SERVICES
        .into_iter()
        .filter(|service| announced(service))
        .collect();
    let described = services
        .iter()
        .filter_map(|service| descriptor_pool().get_service_by_name(service.name));
    EntitySpec {
        proto: descriptors::descriptor_set_of(described.map(|service| service.parent_file())),
        entities: services
            .iter()
            .map(|service| service.entity(brief_timeout))
            .collect(),
        service_info: Some(ServiceInfo {
            service_name: "cloudstate-tck-model".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            service_runtime: "rust".to_owned(),
            support_library_name: env!("CARGO_PKG_NAME").to_owned(),
            support_library_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_major_version: names::PROTOCOL_VERSION.0,
            protocol_minor_version: names::PROTOCOL_VERSION.1,
        }),
    }
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

#[cfg(test)]
mod tests;
