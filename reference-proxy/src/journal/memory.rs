//! A journal in memory: nothing survives the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;

use super::{Append, Chunk, EntityRef, History, Journal, JournalError, Snapshot, Stored};

/// How many events are in one chunk.
const CHUNK: usize = 256;

/// Histories in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    histories: Mutex<HashMap<EntityRef, Entry>>,
    values: Mutex<HashMap<EntityRef, Bytes>>,
}

#[derive(Debug, Default)]
struct Entry {
    events: Vec<Bytes>,
    snapshot: Option<Snapshot>,
}

impl Entry {
    fn chunk(&self, after: u64) -> Chunk {
        let start = usize::try_from(after).map_or(usize::MAX, |after| after);
        let later = self.events.get(start..).unwrap_or_default();
        Chunk {
            events: later.iter().take(CHUNK).cloned().collect(),
            more: later.len() > CHUNK,
        }
    }

    fn append(&mut self, entity: &EntityRef, after: u64, new: Append) -> Result<(), JournalError> {
        if self.events.len() as u64 != after {
            return Err(JournalError::Conflict {
                entity: entity.clone(),
                sequence: after + 1,
            });
        }
        self.events.extend(new.events.iter().map(own));
        if let Some(state) = new.snapshot {
            let (sequence, state) = (self.events.len() as u64, own(&state));
            self.snapshot = Some(Snapshot { sequence, state });
        }
        Ok(())
    }
}

/// A copy: the original is a part of what was received, and would keep the rest in memory.
fn own(received: &Bytes) -> Bytes {
    Bytes::copy_from_slice(received)
}

impl MemoryJournal {
    fn values(&self) -> MutexGuard<'_, HashMap<EntityRef, Bytes>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityRef, Entry>> {
        self.histories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Default>(&self, entity: &EntityRef, read: impl FnOnce(&Entry) -> T) -> T {
        self.lock().get(entity).map(read).unwrap_or_default()
    }
}

impl Journal for MemoryJournal {
    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        let history = self.read(entity, |entry| History {
            snapshot: entry.snapshot.clone(),
            events: entry.chunk(entry.snapshot.as_ref().map_or(0, |s| s.sequence)),
        });
        ready(Ok(history)).boxed()
    }

    fn events<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        let chunk = self.read(entity, |entry| entry.chunk(after));
        ready(Ok(chunk)).boxed()
    }

    fn append<'a>(&'a self, entity: &'a EntityRef, after: u64, append: Append) -> Stored<'a, ()> {
        let mut histories = self.lock();
        let entry = histories.entry(entity.clone()).or_default();
        ready(entry.append(entity, after, append)).boxed()
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Option<Bytes>> {
        ready(Ok(self.values().get(entity).cloned())).boxed()
    }

    fn put_value<'a>(&'a self, entity: &'a EntityRef, value: Option<Bytes>) -> Stored<'a, ()> {
        match value {
            Some(value) => self.values().insert(entity.clone(), own(&value)),
            None => self.values().remove(entity),
        };
        ready(Ok(())).boxed()
    }
}
