//! A log in memory: nothing survives the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;

use super::claims::{Claims, Heads, Staged, only};
use super::{
    Append, Chunk, Content, EntityRef, Epoch, History, LogError, Owner, Position, Recorded, Shard,
    ShardLog, Snapshot, Stored, Tail, Versioned, Write,
};

/// How many events are in one chunk.
const CHUNK: usize = 256;

/// A log with one shard, in memory.
#[derive(Debug, Default)]
pub struct MemoryLog {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    claims: Claims,
    head: Position,
    histories: HashMap<EntityRef, EntityHistory>,
    values: HashMap<EntityRef, Versioned>,
    /// The writes of events, in their order.
    order: Vec<Place>,
}

/// Where events are that were written together.
#[derive(Debug)]
struct Place {
    position: Position,
    entity: EntityRef,
    sequence: u64,
    count: usize,
}

#[derive(Debug, Default)]
struct EntityHistory {
    events: Vec<Bytes>,
    snapshot: Option<Snapshot>,
}

impl EntityHistory {
    fn chunk(&self, after: u64) -> Chunk {
        let start = usize::try_from(after).map_or(usize::MAX, |after| after);
        let later = self.events.get(start..).unwrap_or_default();
        Chunk {
            events: later.iter().take(CHUNK).cloned().collect(),
            more: later.len() > CHUNK,
        }
    }

    fn append(&mut self, new: &Append) {
        self.events.extend(new.events.iter().map(own));
        if let Some(state) = &new.snapshot {
            let (sequence, state) = (self.events.len() as u64, own(state));
            self.snapshot = Some(Snapshot { sequence, state });
        }
    }
}

/// A copy: the original is a part of what was received, and would keep the rest in memory.
fn own(received: &Bytes) -> Bytes {
    Bytes::copy_from_slice(received)
}

impl Contents {
    fn append(
        &mut self,
        shard: Shard,
        epoch: Epoch,
        writes: Vec<Write>,
    ) -> Result<Vec<Position>, LogError> {
        self.claims.check(shard, epoch)?;
        let mut staged = Staged::default();
        let mut positions = Vec::with_capacity(writes.len());
        for (position, write) in (self.head.0 + 1..).map(Position).zip(&writes) {
            staged.take(write, position, self)?;
            positions.push(position);
        }
        for (position, write) in positions.iter().zip(writes) {
            self.store(*position, write);
        }
        Ok(positions)
    }

    fn store(&mut self, position: Position, write: Write) {
        self.head = position;
        let entity = write.entity;
        match write.content {
            Content::Events { after, append } => {
                self.histories
                    .entry(entity.clone())
                    .or_default()
                    .append(&append);
                self.order.push(Place {
                    position,
                    entity,
                    sequence: after + 1,
                    count: append.events.len(),
                });
            }
            Content::Value {
                value: Some(value), ..
            } => {
                let value = Some(own(&value));
                let version = position;
                self.values.insert(entity, Versioned { version, value });
            }
            Content::Value { value: None, .. } => drop(self.values.remove(&entity)),
        }
    }

    fn recorded(&self, place: &Place) -> Recorded {
        let history = self.histories.get(&place.entity);
        let before = usize::try_from(place.sequence - 1).unwrap_or(usize::MAX);
        let events = history.and_then(|history| history.events.get(before..));
        Recorded {
            position: place.position,
            entity: place.entity.clone(),
            sequence: place.sequence,
            events: events
                .unwrap_or_default()
                .iter()
                .take(place.count)
                .cloned()
                .collect(),
        }
    }

    fn tail(&self, after: Position) -> Tail {
        let start = self.order.partition_point(|place| place.position <= after);
        let later = &self.order[start..];
        Tail {
            writes: later
                .iter()
                .take(CHUNK)
                .map(|place| self.recorded(place))
                .collect(),
            more: later.len() > CHUNK,
        }
    }
}

impl Heads for Contents {
    fn last(&self, entity: &EntityRef) -> Result<u64, LogError> {
        let history = self.histories.get(entity);
        Ok(history.map_or(0, |entry| entry.events.len() as u64))
    }

    fn version(&self, entity: &EntityRef) -> Result<Position, LogError> {
        let value = self.values.get(entity);
        Ok(value.map_or(Position(0), |value| value.version))
    }
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Default>(&self, entity: &EntityRef, read: impl FnOnce(&EntityHistory) -> T) -> T {
        self.lock()
            .histories
            .get(entity)
            .map(read)
            .unwrap_or_default()
    }
}

/// What is known at once.
fn now<'a, T: Send + 'a>(answer: Result<T, LogError>) -> Stored<'a, T> {
    ready(answer).boxed()
}

impl ShardLog for MemoryLog {
    fn claim(&self, shard: Shard, owner: Owner) -> Stored<'_, Epoch> {
        let claims = &mut self.lock().claims;
        let epoch = claims.next(shard, owner);
        now(epoch.inspect(|epoch| claims.begin(*epoch, owner)))
    }

    fn renew(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        now(self.lock().claims.check(shard, epoch))
    }

    fn release(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        now(self.lock().claims.release(shard, epoch))
    }

    fn head(&self, shard: Shard, epoch: Epoch) -> Stored<'_, Position> {
        let contents = self.lock();
        now(contents.claims.check(shard, epoch).map(|()| contents.head))
    }

    fn append(&self, shard: Shard, epoch: Epoch, writes: Vec<Write>) -> Stored<'_, Vec<Position>> {
        now(self.lock().append(shard, epoch, writes))
    }

    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        now(Ok(self.read(entity, |entry| History {
            snapshot: entry.snapshot.clone(),
            events: entry.chunk(entry.snapshot.as_ref().map_or(0, |s| s.sequence)),
        })))
    }

    fn replay<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        now(Ok(self.read(entity, |entry| entry.chunk(after))))
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Versioned> {
        now(Ok(self
            .lock()
            .values
            .get(entity)
            .cloned()
            .unwrap_or_default()))
    }

    fn tail(&self, shard: Shard, after: Position) -> Stored<'_, Tail> {
        now(only(shard).map(|()| self.lock().tail(after)))
    }
}
