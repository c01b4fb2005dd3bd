use super::*;
use crate::protocol::EntityType;
use crate::services::{ACTION_MODEL, EVENT_SOURCED_MODEL, VALUE_ENTITY_MODEL};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_reflect::Value;
use std::collections::HashSet;

/// The descriptors as a proxy sees them.
fn parsed(spec: &EntitySpec) -> DescriptorPool {
    DescriptorPool::decode(spec.proto.as_slice()).unwrap()
}

#[test]
fn every_entity_is_a_described_service_with_an_entity_key() {
    let spec = entity_spec_with_brief(150);
    let pool = parsed(&spec);
    let key = pool.get_extension_by_name("cloudstate.entity_key").unwrap();
    for entity in &spec.entities {
        let service = SERVICES
            .iter()
            .find(|service| service.name == entity.service_name)
            .unwrap();
        assert_eq!(entity.entity_type, service.entity_type.name());
        assert_eq!(entity.persistence_id, service.persistence_id);
        let described = pool.get_service_by_name(service.name).unwrap();
        let methods: Vec<_> = described.methods().collect();
        assert_eq!(methods[0].name(), service.method());
        if service.entity_type == EntityType::Action {
            continue;
        }
        assert!(methods.len() == 1 || service.part == Part::Keys);
        let id = methods[0].input().get_field_by_name("id").unwrap();
        assert_eq!(
            id.options().get_extension(&key).as_ref(),
            &Value::Bool(true)
        );
    }
}

#[test]
fn persistence_ids_are_distinct() {
    let stateful = SERVICES
        .iter()
        .filter(|s| s.entity_type != EntityType::Action);
    let ids: HashSet<_> = stateful.map(|service| service.persistence_id).collect();
    assert_eq!(ids.len(), 9);
}

#[test]
fn imports_come_before_their_users_and_nothing_else_comes() {
    let spec = entity_spec();
    let files = prost_types::FileDescriptorSet::decode(spec.proto.as_slice())
        .unwrap()
        .file;
    let mut seen = HashSet::new();
    for file in &files {
        assert!(
            file.dependency
                .iter()
                .all(|import| seen.contains(import.as_str()))
        );
        seen.insert(file.name());
    }
    let services = files.iter().flat_map(|file| &file.service);
    let services: HashSet<_> = services.map(|service| service.name()).collect();
    let expected = [
        "ActionTckModel",
        "ActionTwo",
        "EventSourcedConfigured",
        "EventSourcedTckModel",
        "EventSourcedTwo",
        "ValueEntityConfigured",
        "ValueEntityTckModel",
        "ValueEntityTwo",
    ];
    assert_eq!(services, HashSet::from(expected));
}

#[test]
fn only_models_have_http_rules() {
    let pool = parsed(&entity_spec_with_brief(150));
    let rule = pool.get_extension_by_name("google.api.http").unwrap();
    let has_rule = |service: &Service| {
        let described = pool.get_service_by_name(service.name).unwrap();
        let method = described.methods().next().unwrap();
        method.options().has_extension(&rule)
    };
    let with_rule: Vec<_> = SERVICES.into_iter().filter(|s| has_rule(s)).collect();
    let models = [&EVENT_SOURCED_MODEL, &VALUE_ENTITY_MODEL, &ACTION_MODEL];
    assert_eq!(with_rule, models);
}

#[test]
fn timeouts_are_asked_for_where_they_matter() {
    let timeout = |entity: &Entity| match entity.passivation_strategy.as_ref()?.strategy.as_ref()? {
        Strategy::Timeout(timeout) => Some(timeout.timeout),
    };
    let spec = entity_spec_with_brief(150);
    let asked = spec.entities.iter().filter_map(|entity| {
        let name = entity.service_name.rsplit('.').next()?;
        Some((name, timeout(entity)?))
    });
    let expected = [
        ("EventSourcedTckModelBrief", 150),
        ("EventSourcedConfigured", 100),
        ("ValueEntityTckModelBrief", 150),
        ("ValueEntityConfigured", 100),
    ];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
}

#[test]
fn the_function_says_what_it_is() {
    let info = entity_spec().service_info.unwrap();
    assert_eq!(
        (info.protocol_major_version, info.protocol_minor_version),
        (0, 2)
    );
    assert_eq!(info.support_library_name, "cloudstate-tck");
}
