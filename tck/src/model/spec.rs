//! (3) What the model function serves: its answer to `discover`, and the descriptors of it.

use crate::services::{Part, SERVICES, Service, descriptor_pool};
use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{
    Entity, EntityPassivationStrategy, EntitySpec, ServiceInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::names::tck;
use cloudstate_protocol::{descriptors, names};

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
            .map(|service| entity(service, brief_timeout))
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

fn entity(service: &Service, brief_timeout: i64) -> Entity {
    let timeout = match service.part {
        Part::Model | Part::Two | Part::Keys => None,
        Part::Brief => Some(brief_timeout),
        Part::Configured => Some(tck::PASSIVATION_TIMEOUT_MILLIS),
    };
    Entity {
        entity_type: service.entity_type.name().to_owned(),
        service_name: service.name.to_owned(),
        persistence_id: service.persistence_id.to_owned(),
        passivation_strategy: timeout.map(|timeout| EntityPassivationStrategy {
            strategy: Some(Strategy::Timeout(TimeoutPassivationStrategy { timeout })),
        }),
    }
}

#[cfg(test)]
mod tests;
