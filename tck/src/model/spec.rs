//! (3) What the model function serves: its answer to `discover`, and the descriptors of it.

use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{
    Entity, EntityPassivationStrategy, EntitySpec, ServiceInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::names::tck;
use cloudstate_protocol::{descriptors, names};
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};
use std::sync::LazyLock;

/// The event sourced services of the kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Does what its requests say.
    TckModel,
    /// The same under another name, so that a proxy can be asked to passivate it soon.
    TckModelBrief,
    /// Where forwards and side effects go.
    Two,
    /// Asks for a short passivation timeout.
    Configured,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 4] = [
        Service::TckModel,
        Service::TckModelBrief,
        Service::Two,
        Service::Configured,
    ];

    /// The service of a full name.
    pub fn named(name: &str) -> Option<Service> {
        Service::ALL
            .into_iter()
            .find(|service| service.name() == name)
    }

    /// The full name.
    pub fn name(self) -> &'static str {
        match self {
            Service::TckModel => tck::EVENT_SOURCED_MODEL,
            Service::TckModelBrief => "cloudstate.tck.model.EventSourcedTckModelBrief",
            Service::Two => tck::EVENT_SOURCED_TWO,
            Service::Configured => tck::EVENT_SOURCED_CONFIGURED,
        }
    }

    /// The one method.
    pub fn method(self) -> &'static str {
        match self {
            Service::TckModel | Service::TckModelBrief => "Process",
            Service::Two | Service::Configured => "Call",
        }
    }

    /// Under which its journals are kept.
    pub fn persistence_id(self) -> &'static str {
        match self {
            Service::TckModel => tck::EVENT_SOURCED_MODEL_ID,
            Service::TckModelBrief => "event-sourced-tck-model-brief",
            Service::Two => tck::EVENT_SOURCED_TWO_ID,
            Service::Configured => tck::EVENT_SOURCED_CONFIGURED_ID,
        }
    }

    /// It emits events; the others answer every request with an empty response.
    pub fn persists(self) -> bool {
        matches!(self, Service::TckModel | Service::TckModelBrief)
    }

    fn entity(self, timeout: Option<i64>) -> Entity {
        Entity {
            entity_type: names::EVENT_SOURCED.to_owned(),
            service_name: self.name().to_owned(),
            persistence_id: self.persistence_id().to_owned(),
            passivation_strategy: timeout.map(|timeout| EntityPassivationStrategy {
                strategy: Some(Strategy::Timeout(TimeoutPassivationStrategy { timeout })),
            }),
        }
    }
}

/// What the model function answers to `discover`.
pub fn entity_spec() -> EntitySpec {
    spec_of(
        Service::TckModel,
        vec![
            Service::TckModel.entity(None),
            Service::Two.entity(None),
            Service::Configured.entity(Some(tck::PASSIVATION_TIMEOUT_MILLIS)),
        ],
    )
}

/// The same, with `EventSourcedTckModelBrief`, passivated after so many idle milliseconds.
pub fn entity_spec_with_brief(timeout_ms: i64) -> EntitySpec {
    let mut entities = entity_spec().entities;
    entities.push(Service::TckModelBrief.entity(Some(timeout_ms)));
    // Its file imports the one of all the others.
    spec_of(Service::TckModelBrief, entities)
}

fn spec_of(described: Service, entities: Vec<Entity>) -> EntitySpec {
    let file = descriptor_pool()
        .get_service_by_name(described.name())
        .map(|s| s.parent_file());
    EntitySpec {
        proto: descriptors::descriptor_set_of(file),
        entities,
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
        #[expect(clippy::expect_used, reason = "made of constants, and tested")]
        pool.add_file_descriptor_proto(brief_file(&pool))
            .expect("the brief service fits its model");
        pool
    });
    &POOL
}

/// `EventSourcedTckModelBrief`: the model's method without its HTTP rule, whose path is taken.
fn brief_file(pool: &DescriptorPool) -> FileDescriptorProto {
    let model = pool.get_service_by_name(Service::TckModel.name());
    let imported = model.map(|service| service.parent_file().name().to_owned());
    let method = MethodDescriptorProto {
        name: Some(Service::TckModelBrief.method().to_owned()),
        input_type: Some(".cloudstate.tck.model.Request".to_owned()),
        output_type: Some(".cloudstate.tck.model.Response".to_owned()),
        ..Default::default()
    };
    FileDescriptorProto {
        name: Some("cloudstate/tck/model/brief.proto".to_owned()),
        package: Some("cloudstate.tck.model".to_owned()),
        dependency: Vec::from_iter(imported),
        service: vec![ServiceDescriptorProto {
            name: Some("EventSourcedTckModelBrief".to_owned()),
            method: vec![method],
            options: None,
        }],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
