//! What is on disk, and how it is written there.
//!
//! Five keyspaces: `events` maps an entity and a sequence number to an event, `snapshots` an entity
//! to its latest snapshot, `values` an entity to its value, `order` a position to the events that
//! were written there, and `shards` a shard to its epoch and the position of its last write. An
//! entity is written as its two ids, each after its length, so that no entity's keys begin with
//! those of another, and a history is one range of neighbouring keys. Numbers are big-endian, so
//! that their order is that of the keys.

use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::super::claims::Heads;
use super::super::{
    Chunk, Content, EntityRef, Epoch, LogError, Position, Recorded, Shard, Snapshot, Tail,
    Versioned, Write,
};

/// When a chunk of a history is full.
const CHUNK_EVENTS: usize = 256;
/// The same by size; the last event may exceed it.
const CHUNK_BYTES: usize = 1 << 20;
/// Read cache; entities read their history once, so little is gained by more.
const CACHE_BYTES: u64 = 16 << 20;
/// What is kept in memory and replayed when opening: small, so that opening is fast.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// The smallest write-ahead log that the engine allows.
const LOG_BYTES: u64 = 64 << 20;
/// The longest key that the engine takes.
const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// An entity as the first part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityKey(Vec<u8>);

impl EntityKey {
    /// The key of an entity, if its ids aren't too long.
    pub fn new(entity: &EntityRef) -> Result<Self, LogError> {
        let mut bytes = Vec::new();
        for id in [&entity.persistence_id, &entity.id] {
            bytes.extend_from_slice(&(id.len() as u64).to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        let length = bytes.len() + size_of::<u64>();
        if length > MAX_KEY_BYTES {
            return Err(LogError::Failed(format!(
                "the key of the entity has {length} bytes, and can't have more than {MAX_KEY_BYTES}"
            )));
        }
        Ok(Self(bytes))
    }

    /// The key of an event.
    fn event(&self, sequence: u64) -> Vec<u8> {
        [self.0.as_slice(), &sequence.to_be_bytes()].concat()
    }

    /// The entity that the key is of.
    fn entity(&self) -> Result<EntityRef, LogError> {
        let mut rest = self.0.as_slice();
        let mut id = || {
            let length = usize::try_from(number(&mut rest)?).map_err(|_| damaged_entry())?;
            let (id, after) = rest.split_at_checked(length).ok_or_else(damaged_entry)?;
            rest = after;
            std::str::from_utf8(id)
                .map(Into::into)
                .map_err(|_| damaged_entry())
        };
        Ok(EntityRef {
            persistence_id: id()?,
            id: id()?,
        })
    }
}

/// The key of a position.
fn place(shard: Shard, position: u64) -> Vec<u8> {
    [&shard.0.to_be_bytes()[..], &position.to_be_bytes()].concat()
}

/// Takes a number off the beginning.
fn number(bytes: &mut &[u8]) -> Result<u64, LogError> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(damaged_entry)?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*number))
}

/// An open directory.
#[derive(Clone)]
pub struct Store {
    database: Database,
    events: Keyspace,
    snapshots: Keyspace,
    values: Keyspace,
    order: Keyspace,
    shards: Keyspace,
}

impl Store {
    /// Opens a directory, which is made if need be; nothing if it has entries, but those of the
    /// format before. That one is only looked for where the directory isn't `known` to be of this.
    pub fn open(directory: &Path, known: bool) -> fjall::Result<Option<Self>> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(LOG_BYTES)
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let open = |name| database.keyspace(name, options);
        let (events, snapshots, values) = (open("events")?, open("snapshots")?, open("values")?);
        let is_empty = events.is_empty()? && values.is_empty()?;
        if !known && !is_empty {
            return Ok(None);
        }
        Ok(Some(Self {
            order: open("order")?,
            shards: open("shards")?,
            events,
            snapshots,
            values,
            database,
        }))
    }

    /// How often a shard was claimed, and where its last write is.
    pub fn shard(&self, shard: Shard) -> Result<(Epoch, Position), LogError> {
        let Some(row) = self.shards.get(shard.0.to_be_bytes()).map_err(storage)? else {
            return Ok((Epoch(0), Position(0)));
        };
        let mut row = &*row;
        Ok((Epoch(number(&mut row)?), Position(number(&mut row)?)))
    }

    /// Some events of an entity, after the one with this number.
    pub fn events(&self, key: &EntityKey, after: u64) -> Result<Chunk, LogError> {
        let range = key.event(after.saturating_add(1))..=key.event(u64::MAX);
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        for entry in self.events.range(range) {
            if chunk.events.len() == CHUNK_EVENTS || bytes >= CHUNK_BYTES {
                chunk.more = true;
                break;
            }
            let event = entry.value().map_err(storage)?;
            bytes += event.len();
            chunk.events.push(Bytes::copy_from_slice(&event));
        }
        Ok(chunk)
    }

    /// The latest snapshot of an entity.
    pub fn snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, LogError> {
        let Some(value) = self.snapshots.get(&key.0).map_err(storage)? else {
            return Ok(None);
        };
        let mut state = &*value;
        Ok(Some(Snapshot {
            sequence: number(&mut state)?,
            state: Bytes::copy_from_slice(state),
        }))
    }

    /// The value of an entity.
    pub fn value(&self, key: &EntityKey) -> Result<Versioned, LogError> {
        let Some(stored) = self.values.get(&key.0).map_err(storage)? else {
            return Ok(Versioned::default());
        };
        let mut value = &*stored;
        Ok(Versioned {
            version: Position(number(&mut value)?),
            value: Some(Bytes::copy_from_slice(value)),
        })
    }

    /// Some writes of a shard, after the one at this position.
    pub fn tail(&self, shard: Shard, after: Position) -> Result<Tail, LogError> {
        let range = place(shard, after.0.saturating_add(1))..=place(shard, u64::MAX);
        let mut tail = Tail::default();
        let (mut events, mut bytes) = (0, 0);
        for entry in self.order.range(range) {
            if events >= CHUNK_EVENTS || bytes >= CHUNK_BYTES {
                tail.more = true;
                break;
            }
            let (key, value) = entry.into_inner().map_err(storage)?;
            let position = key.last_chunk().ok_or_else(damaged_entry)?;
            let position = Position(u64::from_be_bytes(*position));
            let write = self.recorded(position, &value)?;
            events += write.events.len();
            bytes += write.events.iter().map(Bytes::len).sum::<usize>();
            tail.writes.push(write);
        }
        Ok(tail)
    }

    fn recorded(&self, position: Position, mut place: &[u8]) -> Result<Recorded, LogError> {
        let (sequence, last) = (number(&mut place)?, number(&mut place)?);
        let key = EntityKey(place.to_vec());
        let read = |entry: fjall::Guard| {
            let event = entry.value().map_err(storage)?;
            Ok(Bytes::copy_from_slice(&event))
        };
        let range = key.event(sequence)..=key.event(last);
        Ok(Recorded {
            position,
            entity: key.entity()?,
            sequence,
            events: self
                .events
                .range(range)
                .map(read)
                .collect::<Result<_, LogError>>()?,
        })
    }

    /// A transaction that is on disk when it is committed.
    pub fn transaction(&self) -> OwnedWriteBatch {
        self.database
            .batch()
            .durability(Some(PersistMode::SyncData))
    }

    /// Puts a write into a transaction, and its position.
    pub fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        shard: Shard,
        position: Position,
        write: &Write,
    ) -> Result<(), LogError> {
        let key = EntityKey::new(&write.entity)?;
        let (after, append) = match &write.content {
            Content::Events { after, append } => (*after, append),
            Content::Value {
                value: Some(value), ..
            } => {
                let value = [&position.0.to_be_bytes(), &**value].concat();
                batch.insert(&self.values, key.0, value);
                return Ok(());
            }
            Content::Value { value: None, .. } => {
                batch.remove(&self.values, key.0);
                return Ok(());
            }
        };
        let last = after + append.events.len() as u64;
        for (sequence, event) in (after + 1..).zip(&append.events) {
            batch.insert(&self.events, key.event(sequence), &**event);
        }
        if let Some(state) = &append.snapshot {
            let value = [&last.to_be_bytes(), &**state].concat();
            batch.insert(&self.snapshots, &*key.0, value);
        }
        let range = [&(after + 1).to_be_bytes()[..], &last.to_be_bytes(), &key.0].concat();
        batch.insert(&self.order, place(shard, position.0), range);
        Ok(())
    }

    /// Puts what is known of a shard into a transaction.
    pub fn put_shard(
        &self,
        batch: &mut OwnedWriteBatch,
        shard: Shard,
        epoch: Epoch,
        head: Position,
    ) {
        let row = [epoch.0.to_be_bytes(), head.0.to_be_bytes()].concat();
        batch.insert(&self.shards, shard.0.to_be_bytes(), row);
    }
}

impl Heads for Store {
    fn last(&self, entity: &EntityRef) -> Result<u64, LogError> {
        let Some(last) = self.events.prefix(&EntityKey::new(entity)?.0).next_back() else {
            return Ok(0);
        };
        let key = last.key().map_err(storage)?;
        let sequence = key.last_chunk().ok_or_else(damaged_entry)?;
        Ok(u64::from_be_bytes(*sequence))
    }

    fn version(&self, entity: &EntityRef) -> Result<Position, LogError> {
        Ok(self.value(&EntityKey::new(entity)?)?.version)
    }
}

fn damaged_entry() -> LogError {
    LogError::Failed("an entry is damaged".to_owned())
}

/// Reading failed, which changes nothing.
fn storage(error: fjall::Error) -> LogError {
    LogError::Failed(error.to_string())
}
