//! Discovery: its paths, and what the kit says of itself.

use cloudstate_protocol::cloudstate::ProxyInfo;

/// What the kit says of itself when it plays the proxy.
pub fn proxy_info() -> ProxyInfo {
    ProxyInfo {
        protocol_major_version: 0,
        protocol_minor_version: 2,
        proxy_name: "cloudstate-tck".to_owned(),
        proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
        supported_entity_types: [
            "cloudstate.eventsourced.EventSourced",
            "cloudstate.valueentity.ValueEntity",
            "cloudstate.crdt.Crdt",
            "cloudstate.action.ActionProtocol",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}
