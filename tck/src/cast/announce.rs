//! What a chart announces instead of the kit's own entity spec.

use crate::scenario::message::{self, MessageError, Scope};
use crate::services::descriptor_pool;
use crate::yaml::{Node, Value};
use cloudstate_protocol::cloudstate::{Entity, EntitySpec};
use cloudstate_protocol::descriptors::descriptor_set_of;
use prost::DecodeError;
use std::fmt;

/// Why what a chart has as a spec can't be announced.
#[derive(Debug)]
pub enum SpecError {
    /// Nothing is written.
    Empty,
    /// It isn't written like an entity spec.
    Message(MessageError),
    /// The kit's descriptors have no such message.
    Unknown,
    /// It doesn't fit the message; the kit's descriptors and its types differ.
    Type(DecodeError),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::Empty => f.write_str("it is empty"),
            SpecError::Unknown => f.write_str("no such message"),
            SpecError::Message(error) => write!(f, "{error}"),
            SpecError::Type(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SpecError {}

/// A spec as written over the kit's: fields that it has replace the kit's, one by one at the top and in the service
/// info.
///
/// # Errors
/// It isn't an entity spec.
pub fn overlay(node: &Node, mut spec: EntitySpec) -> Result<EntitySpec, SpecError> {
    if matches!(&node.value, Value::Null) {
        return Err(SpecError::Empty);
    }
    let bindings = Default::default();
    let scope = Scope {
        package: "cloudstate",
        bindings: &bindings,
    };
    let descriptor = descriptor_pool()
        .get_message_by_name("cloudstate.EntitySpec")
        .ok_or(SpecError::Unknown)?;
    let written = message::build(node, &descriptor, &scope).map_err(SpecError::Message)?;
    let written: EntitySpec = written.transcode_to().map_err(SpecError::Type)?;
    let has = |node: &Node, key: &str| node.get(key).is_some();
    if has(node, "proto") {
        spec.proto = written.proto;
    }
    if has(node, "entities") {
        spec.entities = written.entities;
        if !has(node, "proto") {
            let described =
                |entity: &Entity| descriptor_pool().get_service_by_name(&entity.service_name);
            let files = spec.entities.iter().filter_map(described);
            spec.proto = descriptor_set_of(files.map(|service| service.parent_file()));
        }
    }
    if let (Some(info), Some(written)) = (node.get("service_info"), written.service_info) {
        let mine = spec.service_info.get_or_insert_default();
        if has(info, "protocol_major_version") {
            mine.protocol_major_version = written.protocol_major_version;
        }
        if has(info, "protocol_minor_version") {
            mine.protocol_minor_version = written.protocol_minor_version;
        }
    }
    Ok(spec)
}
