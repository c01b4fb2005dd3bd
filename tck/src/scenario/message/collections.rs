//! Which repeated fields are sets and which are keyed: their order means nothing.
//!
//! A CRDT's delta lists elements in whatever order its set has them. The lists in the TCK models' replies are
//! not here: the models say that they are sorted.

use prost_reflect::FieldDescriptor;

/// How the items of a repeated field are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By where they stand.
    List,
    /// By what they are.
    Set,
    /// By this field of theirs.
    Keyed(&'static str),
}

const ORDERS: [(&str, Order); 8] = [
    ("cloudstate.ProxyInfo.supported_entity_types", Order::Set),
    (
        "cloudstate.EntitySpec.entities",
        Order::Keyed("service_name"),
    ),
    ("cloudstate.crdt.GSetDelta.added", Order::Set),
    ("cloudstate.crdt.ORSetDelta.removed", Order::Set),
    ("cloudstate.crdt.ORSetDelta.added", Order::Set),
    ("cloudstate.crdt.ORMapDelta.removed", Order::Set),
    ("cloudstate.crdt.ORMapDelta.updated", Order::Keyed("key")),
    ("cloudstate.crdt.ORMapDelta.added", Order::Keyed("key")),
];

/// How the items of this field are told apart.
pub(super) fn order(field: &FieldDescriptor) -> Order {
    let known = ORDERS.iter().find(|(name, _)| *name == field.full_name());
    known.map_or(Order::List, |(_, order)| *order)
}
