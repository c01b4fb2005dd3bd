//! Events, snapshots and values at rest: the log of a shard, whatever engine keeps it.
//!
//! A shard is a part of all entities. It has one owner at a time, who has claimed it: each claim
//! begins an [`Epoch`], and whatever is appended with an older one is refused. So of two proxies
//! that both believe that they own a shard one can't write, and it is the one that is wrong. All
//! writes of a shard have one order, their [`Position`]s, in which it can be read from the
//! [`tail`](ShardLog::tail).
//!
//! An event is stored as the bytes of its `google.protobuf.Any`, and so are snapshots and values:
//! what comes out is what went in. Events are numbered by their place in their entity's history,
//! beginning with 1. A value has the position of the write that stored it for its version, so that
//! no version ever comes twice.
//!
//! An engine is a module, or a crate, that implements [`ShardLog`]; `journal/tests.rs` says what
//! each of them does. The proxy has its log [`Claimed`].

mod claimed;
mod claims;
pub mod durable;
pub mod memory;

pub use claimed::Claimed;

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

/// A part of all entities, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(pub u32);

impl Shard {
    /// The one of a log that isn't divided.
    pub const ONLY: Self = Self(0);
}

/// Who can own a shard: a number that no other incarnation of a proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(pub u128);

/// How often a shard had been claimed, this time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The place of a write among those of its shard, beginning with 1; 0 is before all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

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

/// A value, or none, and by which write it is what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versioned {
    /// The position of the write that stored the value; 0 where there is none.
    pub version: Position,
    /// The value.
    pub value: Option<Bytes>,
}

/// Something to be written for one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// For which.
    pub entity: EntityRef,
    /// What.
    pub content: Content,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Events, at least one, if the entity's last event so far has this sequence number.
    Events {
        /// That of the last event so far.
        after: u64,
        /// The events, and the state after the last of them.
        append: Append,
    },
    /// A value in place of the one before, or its removal.
    Value {
        /// The version that is replaced, where it matters.
        replaces: Option<Position>,
        /// The value.
        value: Option<Bytes>,
    },
}

/// Events, and maybe the state after them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Append {
    /// The events; at least one.
    pub events: Vec<Bytes>,
    /// The state after the last of them.
    pub snapshot: Option<Bytes>,
}

/// A write of events, as it is read from the tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place.
    pub position: Position,
    /// Whose events they are.
    pub entity: EntityRef,
    /// The sequence number of the first of them.
    pub sequence: u64,
    /// The events.
    pub events: Vec<Bytes>,
}

/// Some writes that follow one another; those of values are left out, but have their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The writes.
    pub writes: Vec<Recorded>,
    /// Whether there may be more after them.
    pub more: bool,
}

/// Why a log didn't do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Somebody else has the shard.
    #[error("{shard:?} is claimed by another proxy, {owner:?}; stop that one, or wait for its end")]
    Held {
        /// Which shard.
        shard: Shard,
        /// Who has it.
        owner: Owner,
    },
    /// Somebody else has claimed the shard since. Nothing was written.
    #[error("{shard:?} is no longer that of {epoch:?}; another proxy has claimed it")]
    Fenced {
        /// Which shard.
        shard: Shard,
        /// The epoch that is over.
        epoch: Epoch,
    },
    /// Somebody else wrote for the same entity. Nothing was written.
    #[error("{0}; another writer has stored it")]
    Conflict(Conflict),
    /// It may have been written, and it may be there when the log is read anew.
    #[error("whether it was stored isn't known: {0}")]
    Unknown(String),
    /// The storage failed. Nothing was written.
    #[error("the journal's storage failed: {0}")]
    Failed(String),
}

/// What was there already, or not there, when something was to be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Events are numbered otherwise.
    #[error("event {sequence} of entity {entity:?} is there already, or the one before it isn't")]
    Event {
        /// Whose history it is.
        entity: EntityRef,
        /// The event that was to be stored.
        sequence: u64,
    },
    /// A value was replaced meanwhile.
    #[error("the value of entity {entity:?} has {actual:?} and not {expected:?}")]
    Value {
        /// Whose value it is.
        entity: EntityRef,
        /// The version that was to be replaced.
        expected: Position,
        /// The one that is there.
        actual: Position,
    },
}

/// What a log answers, later.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, LogError>>;

/// The logs of all shards of a store.
pub trait ShardLog: Send + Sync + 'static {
    /// Begins an epoch, if nobody else has the shard. A claim of one's own is renewed by it, and
    /// its epoch is over.
    fn claim(&self, shard: Shard, owner: Owner) -> Stored<'_, Epoch>;

    /// Keeps a claim from running out, where claims do.
    fn renew(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()>;

    /// Gives up a claim, so that another proxy needn't wait.
    fn release(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()>;

    /// The position of the last write, if this epoch is the shard's: who has read before, and hears
    /// this now, has read what nobody replaced since.
    fn head(&self, shard: Shard, epoch: Epoch) -> Stored<'_, Position>;

    /// Stores all of this or nothing, durably, one after the other; each write gets a position.
    fn append(&self, shard: Shard, epoch: Epoch, writes: Vec<Write>) -> Stored<'_, Vec<Position>>;

    /// The beginning of an entity's replay.
    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History>;

    /// Events after the one with this sequence number, as many as fit into memory with ease.
    fn replay<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk>;

    /// The value of an entity.
    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Versioned>;

    /// Writes after the one at this position, in their order, as many as fit into memory with ease.
    fn tail(&self, shard: Shard, after: Position) -> Stored<'_, Tail>;

    /// Resolves when nothing can be written any more, by a fault of the log's own.
    fn failed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Finishes what was begun and lets go of the storage. Nothing is asked of it afterwards.
    fn close(&self) {}
}

#[cfg(test)]
mod tests;
