//! The journal on disk: what was acknowledged is there after the process was killed.
//!
//! Entities queue what they write; one thread, the `Committer`, takes all that waits, checks it,
//! writes it as one transaction with one sync, and only then acknowledges each. The more entities
//! write at once, the more share a sync. Reads go past it.
//!
//! Four keyspaces: `events` maps an entity and a sequence number to an event, `snapshots` an
//! entity to its latest snapshot, `values` an entity to its value, and `meta` has the number of
//! writes. An entity is written as its two ids, each after its length, so that no entity's keys
//! begin with those of another, and a history is one range of neighbouring keys.
//!
//! A directory is audited before the engine opens it, and its number of writes is held against the
//! one that was acknowledged: what is damaged is refused, for the engine would go on without it.

mod audit;
mod log;
mod mark;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::{Append, Chunk, EntityRef, History, Journal, JournalError, Snapshot, Stored};
use audit::Unfit;
use mark::Mark;

/// How many writes share a transaction at most.
const BATCH: usize = 1024;
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
/// Of how many entities the committer remembers the last sequence number.
const REMEMBERED: usize = 100_000;
/// The longest key that the engine takes.
const MAX_KEY_BYTES: usize = u16::MAX as usize;
/// How many keyspaces there are.
const KEYSPACES: usize = 4;
/// Under what the number of writes is kept.
const WRITES: &str = "writes";
/// The engine's lock file.
const LOCK: &str = "lock";

/// The data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error(
        "the data directory {} is in use by another process; \
         stop that one, or choose another with --data-dir", .0.display()
    )]
    Locked(PathBuf),
    /// It can't be made, read or written.
    #[error("the data directory {} can't be opened: {reason}", directory.display())]
    Unusable {
        /// Which one.
        directory: PathBuf,
        /// What the system, or the engine, says.
        reason: String,
    },
    /// Something that was stored there is missing or can't be read.
    #[error(
        "the data directory {} is damaged: {reason}. \
         It isn't served, because writes that were acknowledged would be missing from then on. \
         Keep it as it is, and restore one that is whole", directory.display()
    )]
    Damaged {
        /// Which one.
        directory: PathBuf,
        /// What was found, and in which file.
        reason: String,
    },
}

impl OpenError {
    /// What the engine said about a directory, and whether there was something in it before.
    fn of(directory: &Path, error: fjall::Error, was_there: bool) -> Self {
        let directory = directory.to_owned();
        let unusable = |reason: String| Self::Unusable {
            directory: directory.clone(),
            reason,
        };
        match error {
            fjall::Error::Locked => Self::Locked(directory),
            fjall::Error::Io(error) if was_there => unusable(error.to_string()),
            fjall::Error::Io(error) => unusable(format!("{error}; choose another with --data-dir")),
            fjall::Error::InvalidVersion(version) => unusable(format!(
                "it is of another version of the storage engine's format ({version:?})"
            )),
            other => Self::Damaged {
                reason: other.to_string(),
                directory,
            },
        }
    }

    /// What the audit of a directory found.
    fn unfit(directory: &Path, unfit: Unfit) -> Self {
        let (directory, reason) = (directory.to_owned(), unfit.to_string());
        match unfit {
            Unfit::Damaged { .. } => Self::Damaged { directory, reason },
            Unfit::Unreadable { .. } => Self::Unusable { directory, reason },
        }
    }
}

/// Histories on disk.
pub struct DurableJournal {
    /// Nothing once it is closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    store: Store,
    /// Not bounded: an entity waits for one write before it begins another.
    writes: mpsc::UnboundedSender<Queued>,
    committer: JoinHandle<()>,
}

impl std::fmt::Debug for DurableJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableJournal").finish_non_exhaustive()
    }
}

impl DurableJournal {
    /// Opens the journal in this directory, which is made if need be. It takes as long as the disk
    /// does, so not on a thread that others wait for.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let was_there = audit::has_store(directory);
        let acknowledged = audited(directory)?;
        let failed = |error| OpenError::of(directory, error, was_there);
        let store = Store::open(directory).map_err(failed)?;
        let writes = store.writes().map_err(failed)?;
        if writes < acknowledged {
            return Err(OpenError::Damaged {
                directory: directory.to_owned(),
                reason: format!(
                    "{acknowledged} writes were acknowledged, and the last that is there is \
                     number {writes}: a log was cut off, or is one of before"
                ),
            });
        }
        let mark = Mark::open(directory, writes).map_err(|error| failed(error.into()))?;
        let (sender, queue) = mpsc::unbounded_channel();
        let committer = Committer {
            store: store.clone(),
            last_sequences: HashMap::new(),
            writes,
            mark,
        };
        let committer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || committer.run(queue))
            .map_err(|error| failed(error.into()))?;
        let open = Open {
            store,
            writes: sender,
            committer,
        };
        Ok(Self {
            open: Mutex::new(Some(open)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(
        &self,
        entity: &EntityRef,
        write: Write,
    ) -> Result<oneshot::Receiver<Result<(), JournalError>>, JournalError> {
        let (ack, acknowledged) = oneshot::channel();
        let queued = Queued {
            key: EntityKey::new(entity)?,
            entity: entity.clone(),
            write,
            ack,
        };
        let open = self.lock();
        let writes = &open.as_ref().ok_or_else(closed)?.writes;
        writes.send(queued).map_err(|_| closed())?;
        Ok(acknowledged)
    }

    fn write(&self, entity: &EntityRef, write: Write) -> Stored<'_, ()> {
        let submitted = self.submit(entity, write);
        async move { submitted?.await.map_err(|_| closed())? }.boxed()
    }

    fn query<T: Send + 'static>(
        &self,
        entity: &EntityRef,
        query: impl FnOnce(&Store, &EntityKey) -> Result<T, JournalError> + Send + 'static,
    ) -> Stored<'_, T> {
        let prepared = EntityKey::new(entity).and_then(|key| {
            let open = self.lock();
            Ok((key, open.as_ref().ok_or_else(closed)?.store.clone()))
        });
        async move {
            let (key, store) = prepared?;
            tokio::task::spawn_blocking(move || query(&store, &key))
                .await
                .map_err(|error| JournalError::Storage(error.to_string()))?
        }
        .boxed()
    }
}

impl Journal for DurableJournal {
    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        self.query(entity, |store, key| {
            let snapshot = store.snapshot(key)?;
            let sequence = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
            let events = store.events(key, sequence)?;
            Ok(History { snapshot, events })
        })
    }

    fn events<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        self.query(entity, move |store, key| store.events(key, after))
    }

    fn append<'a>(&'a self, entity: &'a EntityRef, after: u64, append: Append) -> Stored<'a, ()> {
        self.write(entity, Write::Append { after, append })
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Option<Bytes>> {
        self.query(entity, |store, key| store.value(key))
    }

    fn put_value<'a>(&'a self, entity: &'a EntityRef, value: Option<Bytes>) -> Stored<'a, ()> {
        self.write(entity, Write::Value(value))
    }

    /// Returns when everything that was queued is written.
    fn close(&self) {
        let Some(open) = self.lock().take() else {
            return;
        };
        drop(open.writes);
        if open.committer.join().is_err() {
            tracing::error!("the journal's thread had panicked");
        }
    }
}

impl Drop for DurableJournal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Audits a directory, and says how many of its writes were acknowledged.
fn audited(directory: &Path) -> Result<u64, OpenError> {
    let unfit = |unfit| OpenError::unfit(directory, unfit);
    let acknowledged = Mark::read(directory).map_err(unfit)?;
    if acknowledged.is_none() && !audit::has_store(directory) {
        return Ok(0);
    }
    // Somebody who writes meanwhile would look like damage.
    let lock = File::open(directory.join(LOCK));
    if let Ok(Err(TryLockError::WouldBlock)) = lock.as_ref().map(File::try_lock) {
        return Err(OpenError::Locked(directory.to_owned()));
    }
    if acknowledged.is_some() {
        audit::check_complete(directory, KEYSPACES).map_err(unfit)?;
    }
    audit::check_logs(directory).map_err(unfit)?;
    Ok(acknowledged.unwrap_or(0))
}

/// An entity as the first part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EntityKey(Vec<u8>);

impl EntityKey {
    fn new(entity: &EntityRef) -> Result<Self, JournalError> {
        let mut bytes = Vec::new();
        for id in [&entity.persistence_id, &entity.id] {
            bytes.extend_from_slice(&(id.len() as u64).to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        let length = bytes.len() + size_of::<u64>();
        if length > MAX_KEY_BYTES {
            return Err(JournalError::Storage(format!(
                "the key of the entity has {length} bytes, and can't have more than {MAX_KEY_BYTES}"
            )));
        }
        Ok(Self(bytes))
    }

    /// The key of an event.
    fn event(&self, sequence: u64) -> Vec<u8> {
        [self.0.as_slice(), &sequence.to_be_bytes()].concat()
    }
}

/// What is on disk.
#[derive(Clone)]
struct Store {
    database: Database,
    events: Keyspace,
    snapshots: Keyspace,
    values: Keyspace,
    meta: Keyspace,
}

impl Store {
    fn open(directory: &Path) -> fjall::Result<Self> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(LOG_BYTES)
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        Ok(Self {
            events: database.keyspace("events", options)?,
            snapshots: database.keyspace("snapshots", options)?,
            values: database.keyspace("values", options)?,
            meta: database.keyspace("meta", options)?,
            database,
        })
    }

    /// How many writes there were.
    fn writes(&self) -> fjall::Result<u64> {
        let writes = self.meta.get(WRITES)?;
        let writes = writes.and_then(|writes| Some(u64::from_be_bytes(*writes.first_chunk()?)));
        Ok(writes.unwrap_or(0))
    }

    fn last_sequence(&self, key: &EntityKey) -> Result<u64, JournalError> {
        let Some(last) = self.events.prefix(&key.0).next_back() else {
            return Ok(0);
        };
        let key = last.key().map_err(storage)?;
        let sequence = key.last_chunk().ok_or_else(damaged_entry)?;
        Ok(u64::from_be_bytes(*sequence))
    }

    fn events(&self, key: &EntityKey, after: u64) -> Result<Chunk, JournalError> {
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

    fn snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, JournalError> {
        let Some(value) = self.snapshots.get(&key.0).map_err(storage)? else {
            return Ok(None);
        };
        let (sequence, state) = value.split_first_chunk().ok_or_else(damaged_entry)?;
        Ok(Some(Snapshot {
            sequence: u64::from_be_bytes(*sequence),
            state: Bytes::copy_from_slice(state),
        }))
    }

    fn value(&self, key: &EntityKey) -> Result<Option<Bytes>, JournalError> {
        let value = self.values.get(&key.0).map_err(storage)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }
}

fn closed() -> JournalError {
    JournalError::Storage("it is closed".to_owned())
}

fn damaged_entry() -> JournalError {
    JournalError::Storage("an entry is damaged".to_owned())
}

fn storage(error: fjall::Error) -> JournalError {
    JournalError::Storage(error.to_string())
}

/// What is to be written.
enum Write {
    /// Events, after the one with this sequence number.
    Append { after: u64, append: Append },
    /// A value, or that there is none.
    Value(Option<Bytes>),
}

/// A write that waits, and whom to tell.
struct Queued {
    key: EntityKey,
    entity: EntityRef,
    write: Write,
    ack: oneshot::Sender<Result<(), JournalError>>,
}

/// The one that writes.
struct Committer {
    store: Store,
    /// With the appends of the transaction under way; read from disk when missing.
    last_sequences: HashMap<EntityKey, u64>,
    /// How many writes there were.
    writes: u64,
    mark: Mark,
}

impl Committer {
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Queued>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
            self.commit(waiting.drain(..));
        }
    }

    fn commit(&mut self, waiting: impl Iterator<Item = Queued>) {
        let batch = self.store.database.batch();
        let mut batch = batch.durability(Some(PersistMode::SyncData));
        let mut acks = Vec::new();
        for queued in waiting {
            match self.stage(&mut batch, &queued) {
                Ok(()) => acks.push(queued.ack),
                // An entity that has gone meanwhile doesn't need to know; so below.
                Err(error) => drop(queued.ack.send(Err(error))),
            }
        }
        let writes = self.writes + acks.len() as u64;
        if writes > self.writes {
            batch.insert(&self.store.meta, WRITES, writes.to_be_bytes());
        }
        let outcome = batch.commit().map_err(storage);
        if outcome.is_ok() {
            self.acknowledge(writes);
        }
        if outcome.is_err() || self.last_sequences.len() > REMEMBERED {
            self.last_sequences.clear();
        }
        for ack in acks {
            drop(ack.send(outcome.clone()));
        }
    }

    fn acknowledge(&mut self, writes: u64) {
        self.writes = writes;
        if let Err(error) = self.mark.set(writes) {
            // What is stored is stored. It would only not be missed.
            tracing::warn!("the number of acknowledged writes could not be noted: {error}");
        }
    }

    fn stage(&mut self, batch: &mut OwnedWriteBatch, queued: &Queued) -> Result<(), JournalError> {
        let key = &queued.key;
        let (after, append) = match &queued.write {
            Write::Append { after, append } => (*after, append),
            Write::Value(Some(value)) => {
                batch.insert(&self.store.values, &*key.0, &**value);
                return Ok(());
            }
            Write::Value(None) => {
                batch.remove(&self.store.values, &*key.0);
                return Ok(());
            }
        };
        let mut last = self.last_sequence(key)?;
        if last != after {
            return Err(JournalError::Conflict {
                entity: queued.entity.clone(),
                sequence: after + 1,
            });
        }
        for event in &append.events {
            last += 1;
            batch.insert(&self.store.events, key.event(last), &**event);
        }
        if let Some(state) = &append.snapshot {
            let value = [&last.to_be_bytes(), &**state].concat();
            batch.insert(&self.store.snapshots, &*key.0, value);
        }
        self.last_sequences.insert(key.clone(), last);
        Ok(())
    }

    fn last_sequence(&self, key: &EntityKey) -> Result<u64, JournalError> {
        match self.last_sequences.get(key) {
            Some(last) => Ok(*last),
            None => self.store.last_sequence(key),
        }
    }
}

#[cfg(test)]
mod tests;
