//! What an entity spec must be.

use crate::judge::evaluation::Evaluation;
use crate::requirement::{RequirementName, names};
use crate::services::{EVENT_SOURCED_CONFIGURED, SERVICES, Service, VALUE_ENTITY_CONFIGURED};
use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{Entity, EntitySpec};
use cloudstate_protocol::descriptors::{self, UnknownSyntax, check_syntax};
use cloudstate_protocol::names::{ACTION, ENTITY_TYPES, PROTOCOL_VERSION};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeSet;

/// Each requirement whose premise holds.
pub(in crate::judge) fn check(spec: &EntitySpec) -> Vec<Evaluation> {
    let checked = [
        (names::DISCOVERY_FUNCTION_ANNOUNCES_VERSION, version(spec)),
        (names::DISCOVERY_DESCRIPTORS_COMPLETE, imports(spec)),
        (names::DISCOVERY_ENTITY_TYPE_KNOWN, types(spec)),
        (names::DISCOVERY_PERSISTENCE_ID_STABLE, persistence(spec)),
        (names::DISCOVERY_SERVICES_DESCRIBED, services(spec)),
        (names::TCK_MODELS_PERSISTENCE_IDS, model_persistence(spec)),
        (names::TCK_MODELS_ENTITY_TYPES, model_types(spec)),
    ];
    let checked = checked
        .into_iter()
        .map(|(requirement, problem)| match problem {
            Some(text) => Evaluation::broken(requirement, text),
            None => Evaluation::kept(requirement),
        });
    let configured = CONFIGURED.into_iter();
    let configured = configured.filter_map(|(requirement, service)| {
        let mut served = spec.entities.iter();
        let entity = served.find(|entity| entity.service_name == service.name)?;
        Some(configured_timeout(requirement, entity))
    });
    checked.chain(configured).collect()
}

fn version(spec: &EntitySpec) -> Option<String> {
    let info = spec.service_info.clone().unwrap_or_default();
    let (major, minor) = (info.protocol_major_version, info.protocol_minor_version);
    let (known_major, known_minor) = PROTOCOL_VERSION;
    ((major, minor) != PROTOCOL_VERSION).then(|| {
        format!(
            "the announced protocol version is {major}.{minor}, not {known_major}.{known_minor}"
        )
    })
}

/// The files of the descriptor set that can't be read and that nothing needs. They are nobody's fault: the function
/// may serve more than the protocol knows of.
pub(crate) fn set_aside(spec: &EntitySpec) -> Vec<UnknownSyntax> {
    let set = FileDescriptorSet::decode(spec.proto.as_slice()).unwrap_or_default();
    let unknown = set.file.iter().filter_map(|file| {
        let unknown = check_syntax(file).err()?;
        (!needed(file, &set, spec)).then_some(unknown)
    });
    unknown.collect()
}

/// An announced service is in the file, or a file that can be read imports it.
fn needed(file: &FileDescriptorProto, set: &FileDescriptorSet, spec: &EntitySpec) -> bool {
    let described = described(file);
    let announced = |entity: &Entity| described.contains(&entity.service_name);
    let imports = |other: &FileDescriptorProto| {
        other.dependency.iter().any(|import| import == file.name()) && check_syntax(other).is_ok()
    };
    spec.entities.iter().any(announced) || set.file.iter().any(imports)
}

fn imports(spec: &EntitySpec) -> Option<String> {
    let aside = set_aside(spec);
    let read = |file: &FileDescriptorProto| aside.iter().all(|other| other.file != file.name());
    let read = descriptors::only(&spec.proto, read);
    let set = read.and_then(|bytes| Ok((FileDescriptorSet::decode(bytes.as_slice())?, bytes)));
    let (set, bytes) = match set {
        Ok(read) => read,
        Err(error) => return Some(format!("the descriptor set can't be parsed: {error}")),
    };
    let names: BTreeSet<&str> = set.file.iter().map(|file| file.name()).collect();
    let missing = set.file.iter().find_map(|file| {
        let import = file
            .dependency
            .iter()
            .find(|import| !names.contains(import.as_str()))?;
        Some(format!(
            "{} imports {import}, which is not in the descriptor set",
            file.name()
        ))
    });
    missing.or_else(|| {
        descriptors::link(&bytes)
            .err()
            .map(|error| format!("the descriptors don't link: {error}"))
    })
}

fn types(spec: &EntitySpec) -> Option<String> {
    let unknown = spec
        .entities
        .iter()
        .find(|entity| !ENTITY_TYPES.contains(&entity.entity_type.as_str()))?;
    Some(format!(
        "{} has the unknown entity type {:?}",
        unknown.service_name, unknown.entity_type
    ))
}

fn persistence(spec: &EntitySpec) -> Option<String> {
    let stateful = spec
        .entities
        .iter()
        .filter(|entity| entity.entity_type != ACTION);
    let empty = stateful
        .into_iter()
        .find(|entity| entity.persistence_id.is_empty())?;
    Some(format!("{} has no persistence id", empty.service_name))
}

/// Not through a pool: a set with a missing import still tells which services it has.
fn services(spec: &EntitySpec) -> Option<String> {
    let set = FileDescriptorSet::decode(spec.proto.as_slice()).unwrap_or_default();
    let described: BTreeSet<String> = set.file.iter().flat_map(described).collect();
    let missing = spec
        .entities
        .iter()
        .find(|entity| !described.contains(&entity.service_name))?;
    Some(format!(
        "the service {} is not in the descriptor set",
        missing.service_name
    ))
}

/// The full names of the services in a file.
fn described(file: &FileDescriptorProto) -> Vec<String> {
    let prefix = match file.package() {
        "" => String::new(),
        package => format!("{package}."),
    };
    let services = file.service.iter();
    services
        .map(|service| format!("{prefix}{}", service.name()))
        .collect()
}

/// What is announced as one of the kit's services, with that service.
fn models(spec: &EntitySpec) -> impl Iterator<Item = (&Entity, &'static Service)> {
    spec.entities.iter().filter_map(|entity| {
        let mut all = SERVICES.into_iter();
        let service = all.find(|service| service.name == entity.service_name)?;
        Some((entity, service))
    })
}

fn model_persistence(spec: &EntitySpec) -> Option<String> {
    let mut stateful = models(spec).filter(|(_, model)| !model.persistence_id.is_empty());
    let (entity, model) =
        stateful.find(|(entity, model)| entity.persistence_id != model.persistence_id)?;
    Some(format!(
        "{} has the persistence id {:?}, not {:?}",
        entity.service_name, entity.persistence_id, model.persistence_id
    ))
}

fn model_types(spec: &EntitySpec) -> Option<String> {
    let (entity, model) =
        models(spec).find(|(entity, model)| entity.entity_type != model.entity_type.name())?;
    Some(format!(
        "{} has the entity type {:?}, not {:?}",
        entity.service_name,
        entity.entity_type,
        model.entity_type.name()
    ))
}

/// The models that ask for a short passivation timeout.
const CONFIGURED: [(RequirementName, Service); 2] = [
    (
        names::TCK_MODELS_CONFIGURED_PASSIVATION,
        EVENT_SOURCED_CONFIGURED,
    ),
    (
        names::TCK_MODELS_VALUE_ENTITY_CONFIGURED_PASSIVATION,
        VALUE_ENTITY_CONFIGURED,
    ),
];

/// How long that is, in milliseconds.
const CONFIGURED_TIMEOUT: i64 = 100;

fn configured_timeout(requirement: RequirementName, entity: &Entity) -> Evaluation {
    let strategy = entity.passivation_strategy.as_ref();
    let strategy = strategy.and_then(|strategy| strategy.strategy.as_ref());
    let announced = strategy.map(|Strategy::Timeout(timeout)| timeout.timeout);
    let shown = announced.map_or("none".to_owned(), |ms| format!("{ms} ms"));
    let text = format!("the announced passivation timeout is {shown}, not {CONFIGURED_TIMEOUT} ms");
    let holds = announced == Some(CONFIGURED_TIMEOUT);
    Evaluation::new(requirement, holds, text)
}
