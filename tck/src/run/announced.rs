//! What the subjects of a role say of themselves, and what follows from that.

use crate::judge::invariants::discovery::set_aside;
use crate::script::{NotPlayable, Script};
use crate::services::SERVICES;
use cloudstate_protocol::cloudstate::{Entity, EntitySpec, ProxyInfo};
use std::collections::BTreeSet;

/// What was announced, as far as the role has somebody who announces.
#[derive(Debug)]
pub(super) struct Announced<'a> {
    /// By the function.
    pub spec: Option<&'a EntitySpec>,
    /// By the proxy.
    pub info: Option<ProxyInfo>,
}

impl Announced<'_> {
    /// The function announces nothing that any scenario is about: why nothing that is played shows anything of it.
    pub fn unserved(&self) -> Option<String> {
        let spec = self.spec?;
        let known = |entity: &Entity| SERVICES.iter().any(|s| s.name == entity.service_name);
        (!spec.entities.iter().any(known)).then(|| {
            let names = spec.entities.iter().map(|e| e.service_name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            format!("the function announces no entity that the kit has scenarios for ({names})")
        })
    }

    /// Do both have what a script is about?
    ///
    /// # Errors
    /// What the first of them doesn't have.
    pub fn offers(&self, script: &Script) -> Result<(), NotPlayable> {
        if let Some(name) = self.unsupported(script) {
            return Err(NotPlayable::Unsupported(name));
        }
        let Some(spec) = self.spec else {
            return Ok(());
        };
        let announced = |service: &str| spec.entities.iter().any(|e| e.service_name == service);
        services(script)
            .into_iter()
            .find(|service| !announced(service))
            .map_or(Ok(()), |service| Err(NotPlayable::NotAnnounced(service)))
    }

    /// The name of an entity type that a script needs and the proxy doesn't have.
    fn unsupported(&self, script: &Script) -> Option<String> {
        let info = self.info.as_ref()?;
        let types = script.calls.iter().filter_map(|call| call.entity_type);
        let mut names = types.map(|entity_type| entity_type.name().to_owned());
        names.find(|name| !info.supported_entity_types.contains(name))
    }

    /// What a report has of the function: field and value.
    pub fn service_info(&self) -> Option<Vec<(String, String)>> {
        let info = self.spec?.service_info.clone().unwrap_or_default();
        let version = version(info.protocol_major_version, info.protocol_minor_version);
        Some(named([
            ("service", info.service_name),
            ("service version", info.service_version),
            ("runtime", info.service_runtime),
            ("library", info.support_library_name),
            ("library version", info.support_library_version),
            ("protocol version", version),
            ("descriptors left unread", self.left_unread()),
        ]))
    }

    /// Descriptors that can't be read and need not be.
    fn left_unread(&self) -> String {
        let files = self.spec.into_iter().flat_map(set_aside);
        let words = files.map(|unknown| format!("{} (syntax {:?})", unknown.file, unknown.syntax));
        words.collect::<Vec<_>>().join(", ")
    }

    /// What a report has of the proxy: field and value.
    pub fn proxy_info(&self) -> Option<Vec<(String, String)>> {
        let info = self.info.clone()?;
        let version = version(info.protocol_major_version, info.protocol_minor_version);
        Some(named([
            ("proxy", info.proxy_name),
            ("proxy version", info.proxy_version),
            ("protocol version", version),
            ("entity types", info.supported_entity_types.join(", ")),
        ]))
    }
}

fn version(major: i32, minor: i32) -> String {
    format!("{major}.{minor}")
}

fn named<const N: usize>(fields: [(&str, String); N]) -> Vec<(String, String)> {
    let told = fields.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The services that the function must announce for this to be about it.
fn services(script: &Script) -> BTreeSet<String> {
    let calls = script.calls.iter();
    let called = calls
        .filter(|call| call.entity_type.is_some())
        .map(|call| call.service().to_owned());
    let raw = script.moves.iter().filter_map(|step| step.kind.entity());
    let raw = raw.map(|key| key.service.clone());
    // A scenario that names a service for itself is about that, even where it calls nobody.
    let scenario = &script.scenario;
    let own = scenario.service_span.start > scenario.span.start;
    let own = own.then(|| scenario.service.clone());
    called.chain(raw).chain(own).collect()
}
