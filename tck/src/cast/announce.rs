//! What a chart announces instead of the kit's own entity spec.

use crate::scenario::message::{self, Scope};
use crate::services::descriptor_pool;
use crate::yaml::{Node, Value};
use cloudstate_protocol::cloudstate::{Entity, EntitySpec};
use cloudstate_protocol::descriptors::descriptor_set_of;

/// A spec as written over the kit's: fields that it has replace the kit's, one by one at the top and in the service
/// info.
///
/// # Errors
/// It isn't an entity spec.
pub fn laid_over(node: &Node, mut spec: EntitySpec) -> Result<EntitySpec, String> {
    if matches!(&node.value, Value::Null) {
        return Err("it is empty".to_owned());
    }
    let bindings = Default::default();
    let scope = Scope {
        package: "cloudstate",
        bindings: &bindings,
    };
    let descriptor = descriptor_pool()
        .get_message_by_name("cloudstate.EntitySpec")
        .ok_or("no such message")?;
    let written = message::build(node, &descriptor, &scope).map_err(|error| error.to_string())?;
    let written: EntitySpec = written.transcode_to().map_err(|error| error.to_string())?;
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
