//! Names and numbers that are part of the protocol: what the parties compare, spelled once.

/// The protocol's version, major and minor: what proxy and user function announce.
pub const PROTOCOL_VERSION: (i32, i32) = (0, 2);

/// The service of discovery.
pub const ENTITY_DISCOVERY: &str = "cloudstate.EntityDiscovery";

/// The entity type of event sourced entities: the service that they are run by.
pub const EVENT_SOURCED: &str = "cloudstate.eventsourced.EventSourced";
/// The entity type of value entities: the service that they are run by.
pub const VALUE_ENTITY: &str = "cloudstate.valueentity.ValueEntity";
/// The entity type of CRDTs: the service that they are run by.
pub const CRDT: &str = "cloudstate.crdt.Crdt";
/// The entity type of actions: the service that they are run by.
pub const ACTION: &str = "cloudstate.action.ActionProtocol";

/// All entity types.
pub const ENTITY_TYPES: [&str; 4] = [EVENT_SOURCED, VALUE_ENTITY, CRDT, ACTION];

/// The option that makes a field part of the entity id.
pub const ENTITY_KEY: &str = "cloudstate.entity_key";
/// The field number of [`ENTITY_KEY`] in `google.protobuf.FieldOptions`.
pub const ENTITY_KEY_NUMBER: u32 = 1080;
/// The option that [`ENTITY_KEY`] was before.
pub const LEGACY_ENTITY_KEY: &str = "cloudstate.legacy.legacy_entity_key";
/// The field number of [`LEGACY_ENTITY_KEY`] in `google.protobuf.FieldOptions`.
pub const LEGACY_ENTITY_KEY_NUMBER: u32 = 50002;
/// The option that connects a method to events.
pub const EVENTING: &str = "cloudstate.eventing";
/// The option that maps a method to HTTP.
pub const HTTP: &str = "google.api.http";

/// The TCK models: what a user function under test serves, and under which persistence ids.
pub mod tck {
    /// The event sourced model.
    pub const EVENT_SOURCED_MODEL: &str = "cloudstate.tck.model.EventSourcedTckModel";
    /// The persistence id of [`EVENT_SOURCED_MODEL`].
    pub const EVENT_SOURCED_MODEL_ID: &str = "event-sourced-tck-model";
    /// Where the forwards and side effects of [`EVENT_SOURCED_MODEL`] go.
    pub const EVENT_SOURCED_TWO: &str = "cloudstate.tck.model.EventSourcedTwo";
    /// The persistence id of [`EVENT_SOURCED_TWO`].
    pub const EVENT_SOURCED_TWO_ID: &str = "event-sourced-two";
    /// The event sourced model with a passivation timeout.
    pub const EVENT_SOURCED_CONFIGURED: &str = "cloudstate.tck.model.EventSourcedConfigured";
    /// The persistence id of [`EVENT_SOURCED_CONFIGURED`].
    pub const EVENT_SOURCED_CONFIGURED_ID: &str = "event-sourced-configured";
    /// The passivation timeout that the models with a strategy of their own announce, in
    /// milliseconds.
    pub const PASSIVATION_TIMEOUT_MILLIS: i64 = 100;
}
