//! Whether a specification can be served: each rule, and what its author reads who broke it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{Entity, EntitySpec};
use cloudstate_protocol::descriptors::{self, NotLinked};
use cloudstate_protocol::names::PROTOCOL_VERSION;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::FileDescriptorSet;

use crate::catalog::{Callee, Catalog, EntityType, Key, Kind, Method, Streams, UnusableKey};

/// Longer than any proxy runs, and short enough to be added to a point in time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why a specification is refused: the text that the user function's author reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error(
        "the user function announces protocol version {}.{} in EntitySpec.service_info, \
         but this proxy has version {}.{}; use a support library for that version",
        announced.0, announced.1, PROTOCOL_VERSION.0, PROTOCOL_VERSION.1
    )]
    Version { announced: (i32, i32) },
    #[error("EntitySpec.entities is empty; announce at least one entity")]
    NoEntities,
    #[error("EntitySpec.proto is no serialized FileDescriptorSet: {0}")]
    Undecodable(String),
    #[error("EntitySpec.proto lacks the file {import:?}, which {file:?} imports; include it")]
    MissingImport { file: String, import: String },
    #[error(
        "the file {file:?} of EntitySpec.proto has {language}, which this proxy can't read; \
         compile it with syntax = \"proto3\" or \"proto2\""
    )]
    Language { file: String, language: String },
    #[error("the files of EntitySpec.proto import each other in a circle: {0}")]
    Circle(String),
    #[error("the files of EntitySpec.proto can't be linked: {0}")]
    Unlinkable(String),
    #[error(
        "the entity of service {service} has type {entity_type:?}, which this proxy doesn't \
         support; it supports {}", supported().join(", ")
    )]
    UnsupportedType {
        service: String,
        entity_type: String,
    },
    #[error("the service {0:?} of an announced entity isn't in EntitySpec.proto; include its file")]
    UnknownService(String),
    #[error("the service {0:?} is announced by two entities; announce it once")]
    ServiceTwice(String),
    #[error(
        "the persistence id {0:?} is announced by two entities; \
         their state would be mixed up, so give each its own"
    )]
    PersistenceIdTwice(String),
    #[error("the entity of service {0} has no persistence id; announce one")]
    NoPersistenceId(String),
    #[error("the method {0} streams, but a command of an entity with state has one answer")]
    Streamed(String),
    #[error(
        "the input {input} of method {method} has no entity key; mark a field of it with \
         [(cloudstate.entity_key) = true]"
    )]
    NoKey { method: String, input: String },
    #[error(
        "the field {field} can't be part of the entity key of method {method}; a key field is a \
         single text, integer, bool or enum"
    )]
    KeyKind { method: String, field: String },
}

/// What the checks need to know besides the specification.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whether the announced version must be ours.
    pub check_version: bool,
    /// The passivation timeout of entities that announce none.
    pub passivation_timeout: Duration,
}

/// The types of entities that this proxy supports, by their names.
pub fn supported() -> Vec<String> {
    Kind::ALL.map(|kind| kind.entity_type().to_owned()).to_vec()
}

/// Makes a catalog of a specification, or tells what is wrong with it.
pub fn check(spec: &EntitySpec, terms: Terms) -> Result<Catalog, Refusal> {
    if terms.check_version {
        check_version(spec)?;
    }
    // spec: discovery.refuses-no-entities
    if spec.entities.is_empty() {
        return Err(Refusal::NoEntities);
    }
    let pool = link(&spec.proto)?;
    let (mut services, mut persistence_ids) = (HashSet::new(), HashSet::new());
    let mut methods = Vec::new();
    for entity in &spec.entities {
        if !services.insert(&entity.service_name) {
            return Err(Refusal::ServiceTwice(entity.service_name.clone()));
        }
        let kind = check_type(entity)?;
        methods.extend(check_entity(entity, kind, &pool, terms)?);
        let has_own = match kind {
            Kind::Entity(_) => persistence_ids.insert(&entity.persistence_id),
            // Nothing is kept under it.
            Kind::Action => true,
        };
        if !has_own {
            let id = entity.persistence_id.clone();
            return Err(Refusal::PersistenceIdTwice(id));
        }
    }
    Ok(methods.into_iter().collect())
}

fn check_version(spec: &EntitySpec) -> Result<(), Refusal> {
    // spec: discovery.version-check
    let announced = spec.service_info.as_ref().map_or((0, 0), |info| {
        (info.protocol_major_version, info.protocol_minor_version)
    });
    if announced != PROTOCOL_VERSION {
        return Err(Refusal::Version { announced });
    }
    Ok(())
}

fn check_type(entity: &Entity) -> Result<Kind, Refusal> {
    // spec: discovery.refuses-unsupported-type
    let mut kinds = Kind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.entity_type() == entity.entity_type);
    kind.ok_or_else(|| Refusal::UnsupportedType {
        service: entity.service_name.clone(),
        entity_type: entity.entity_type.clone(),
    })
}

fn check_entity(
    entity: &Entity,
    kind: Kind,
    pool: &DescriptorPool,
    terms: Terms,
) -> Result<Vec<Method>, Refusal> {
    // spec: discovery.refuses-unknown-service
    let service = pool
        .get_service_by_name(&entity.service_name)
        .ok_or_else(|| Refusal::UnknownService(entity.service_name.clone()))?;
    match kind {
        // spec: discovery.persistence-id-stable
        Kind::Entity(_) if entity.persistence_id.is_empty() => {
            return Err(Refusal::NoPersistenceId(entity.service_name.clone()));
        }
        Kind::Entity(_) | Kind::Action => {}
    }
    let announced = announced_timeout(entity);
    let entity = Arc::new(EntityType {
        kind,
        service_name: entity.service_name.as_str().into(),
        persistence_id: entity.persistence_id.as_str().into(),
        passivation_timeout: announced.unwrap_or(terms.passivation_timeout),
    });
    let checked = |method| check_method(&method, &entity);
    service.methods().map(checked).collect()
}

fn announced_timeout(entity: &Entity) -> Option<Duration> {
    // spec: passivation.strategy-honoured
    let Strategy::Timeout(strategy) = entity.passivation_strategy?.strategy?;
    let millis = u64::try_from(strategy.timeout).ok()?;
    (millis > 0).then(|| Duration::from_millis(millis).min(LONGEST_TIMEOUT))
}

fn check_method(method: &MethodDescriptor, entity: &Arc<EntityType>) -> Result<Method, Refusal> {
    let streams = Streams {
        input: method.is_client_streaming(),
        output: method.is_server_streaming(),
    };
    let callee = match entity.kind {
        Kind::Action => Callee::Action(streams),
        // spec: discovery.refuses-streamed-method
        Kind::Entity(_) if streams != Streams::default() => {
            return Err(Refusal::Streamed(method.full_name().to_owned()));
        }
        Kind::Entity(state_model) => Callee::Entity {
            state_model,
            key: check_key(method)?,
        },
    };
    let (input, output) = (method.input(), method.output());
    let (input, output) = (input.full_name(), output.full_name());
    Ok(Method::new(entity, method.name(), input, output, callee))
}

fn check_key(method: &MethodDescriptor) -> Result<Key, Refusal> {
    let input = method.input();
    let name = method.full_name().to_owned();
    Key::of(&input).map_err(|unusable| match unusable {
        // spec: discovery.refuses-missing-key
        UnusableKey::None => Refusal::NoKey {
            method: name,
            input: input.full_name().to_owned(),
        },
        UnusableKey::Kind(field) => Refusal::KeyKind {
            method: name,
            field,
        },
    })
}

fn link(descriptor_set: &[u8]) -> Result<DescriptorPool, Refusal> {
    // spec: discovery.refuses-bad-descriptors
    let files = FileDescriptorSet::decode(descriptor_set)
        .map_err(|error| Refusal::Undecodable(error.to_string()))?;
    check_imports(&files)?;
    descriptors::link(descriptor_set).map_err(|error| match error {
        NotLinked::Undecodable(reason) => Refusal::Undecodable(reason),
        NotLinked::Language { file, language } => Refusal::Language { file, language },
        NotLinked::Unlinkable(reason) => Refusal::Unlinkable(reason),
    })
}

/// Removes files whose imports are all there until none is left; what can't be removed imports a
/// file that is missing, or itself.
fn check_imports(set: &FileDescriptorSet) -> Result<(), Refusal> {
    let mut open: BTreeMap<&str, &[String]> = BTreeMap::new();
    for file in &set.file {
        open.insert(file.name(), &file.dependency);
    }
    for (file, imports) in &open {
        if let Some(import) = imports.iter().find(|i| !open.contains_key(i.as_str())) {
            return Err(Refusal::MissingImport {
                file: (*file).to_owned(),
                import: import.clone(),
            });
        }
    }
    loop {
        let before = open.len();
        let left: HashSet<&str> = open.keys().copied().collect();
        open.retain(|_, imports| imports.iter().any(|i| left.contains(i.as_str())));
        if open.is_empty() {
            return Ok(());
        }
        if open.len() == before {
            let files: Vec<_> = open.into_keys().collect();
            return Err(Refusal::Circle(files.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests;
