//! Events, snapshots and values at rest: what a journal offers to the entities.
//!
//! An event is stored as the bytes of its `google.protobuf.Any`, and so are snapshots and values:
//! what comes out is what went in. Events are numbered by their place, beginning with 1.

pub mod durable;
pub mod memory;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Whose history it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntityRef {
    /// The set of entities.
    pub persistence_id: Arc<str>,
    /// The entity in it.
    pub id: Arc<str>,
}

impl fmt::Debug for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.id, self.persistence_id)
    }
}

/// The state of an entity after one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The sequence number of that event.
    pub sequence: u64,
    /// The state.
    pub state: Bytes,
}

/// The beginning of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The events that follow it.
    pub events: Chunk,
}

/// Some events that follow one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The events.
    pub events: Vec<Bytes>,
    /// Whether there may be more after them.
    pub more: bool,
}

/// What is stored together, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Append {
    /// The events; at least one.
    pub events: Vec<Bytes>,
    /// The state after the last of them.
    pub snapshot: Option<Bytes>,
}

/// Why the journal didn't do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Somebody else wrote to the same history.
    #[error("event {sequence} of entity {entity:?} is there already; another writer has stored it")]
    Conflict {
        /// Whose history it is.
        entity: EntityRef,
        /// The event that was to be stored.
        sequence: u64,
    },
    /// The storage failed.
    #[error("the journal's storage failed: {0}")]
    Storage(String),
}

/// What a journal answers, later.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, JournalError>>;

/// Histories of events, each with its latest snapshot; and values.
pub trait Journal: Send + Sync + 'static {
    /// The beginning of an entity's replay.
    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History>;

    /// Events after the one with this sequence number, as many as fit into memory with ease.
    fn events<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk>;

    /// Stores all of this or nothing, durably, if the entity's last event has this sequence number.
    fn append<'a>(&'a self, entity: &'a EntityRef, after: u64, append: Append) -> Stored<'a, ()>;

    /// The value of an entity.
    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Option<Bytes>>;

    /// Stores a value durably in place of the one before, or removes it.
    fn put_value<'a>(&'a self, entity: &'a EntityRef, value: Option<Bytes>) -> Stored<'a, ()>;

    /// Finishes what was begun and lets go of the storage. Nothing is asked of it afterwards.
    fn close(&self) {}
}

#[cfg(test)]
mod tests;
