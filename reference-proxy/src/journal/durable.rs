//! The journal on disk: what was acknowledged is there after the process was killed.
//!
//! Entities queue their writes; one thread, the [`Committer`], takes all that wait, checks them,
//! writes them as one transaction with one sync, and only then acknowledges each. The more entities
//! write at once, the more writes share a sync. Reads go past it.
//!
//! Two keyspaces: `events` maps an entity and a sequence number to an event, `snapshots` an entity
//! to its latest snapshot. An entity is written as its two ids, each after its length, so that no
//! entity's keys begin with those of another, and a history is one range of neighbouring keys.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prost::Message;
use prost_types::Any;
use tokio::sync::{mpsc, oneshot};

use super::{Journal, JournalError, JournalKey, Recovered};

/// How many writes share a transaction at most, and how many may wait for the next one.
const BATCH: usize = 1024;
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

/// The data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error(
        "the data directory {0} is in use by another process; \
         stop that one, or choose another with --data-dir"
    )]
    Locked(PathBuf),
    /// It can't be made, read or written, or it holds something else.
    #[error("the data directory {directory} can't be opened: {reason}")]
    Unusable {
        /// Which one.
        directory: PathBuf,
        /// What the system, or the engine, says.
        reason: String,
    },
}

/// Histories on disk.
pub struct DurableJournal {
    store: Store,
    /// Always there until dropped.
    writes: Option<mpsc::Sender<Write>>,
    committer: Option<JoinHandle<()>>,
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
        let unusable = |reason: String| OpenError::Unusable {
            directory: directory.to_owned(),
            reason,
        };
        let store = Store::open(directory).map_err(|error| match error {
            fjall::Error::Locked => OpenError::Locked(directory.to_owned()),
            fjall::Error::Io(error) => unusable(error.to_string()),
            other => unusable(other.to_string()),
        })?;
        let (writes, queue) = mpsc::channel(BATCH);
        let committer = Committer {
            store: store.clone(),
            last_sequences: HashMap::new(),
        };
        let committer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || committer.run(queue))
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            store,
            writes: Some(writes),
            committer: Some(committer),
        })
    }

    fn submit<T: Send + 'static>(
        &self,
        write: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Write,
    ) -> BoxFuture<'_, Result<T, JournalError>> {
        let (ack, acknowledged) = oneshot::channel();
        let write = write(ack);
        async move {
            let closed = || JournalError::Storage("it is closed".to_owned());
            let writes = self.writes.as_ref().ok_or_else(closed)?;
            writes.send(write).await.map_err(|_| closed())?;
            acknowledged.await.map_err(|_| closed())?
        }
        .boxed()
    }

    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Store) -> Result<T, JournalError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, JournalError>> {
        let store = self.store.clone();
        async move {
            tokio::task::spawn_blocking(move || query(&store))
                .await
                .map_err(|error| JournalError::Storage(error.to_string()))?
        }
        .boxed()
    }
}

impl Drop for DurableJournal {
    /// Waits until everything that was queued is written.
    fn drop(&mut self) {
        self.writes = None;
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the journal's thread had panicked");
        }
    }
}

impl Journal for DurableJournal {
    fn recover(&self, key: &JournalKey) -> BoxFuture<'_, Result<Recovered, JournalError>> {
        let key = EntityKey::new(key);
        self.query(move |store| {
            let key = key?;
            // In this order: a snapshot is never later than the last event.
            let snapshot = store.snapshot(&key)?;
            let last_sequence = store.last_sequence(&key)?;
            Ok(Recovered {
                snapshot,
                last_sequence,
            })
        })
    }

    fn read(
        &self,
        key: &JournalKey,
        from: i64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(i64, Any)>, JournalError>> {
        let key = EntityKey::new(key);
        self.query(move |store| store.events(&key?, from, limit))
    }

    fn append(
        &self,
        key: &JournalKey,
        last: i64,
        events: Vec<Any>,
    ) -> BoxFuture<'_, Result<i64, JournalError>> {
        match EntityKey::new(key) {
            Ok(key) => self.submit(|ack| Write::Events(Append { key, last, events, ack })),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    fn save_snapshot(
        &self,
        key: &JournalKey,
        sequence: i64,
        snapshot: Any,
    ) -> BoxFuture<'_, Result<(), JournalError>> {
        match EntityKey::new(key) {
            Ok(key) => self.submit(|ack| {
                Write::Snapshot(SaveSnapshot { key, sequence, snapshot, ack })
            }),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}

/// An entity as the first part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EntityKey(Vec<u8>);

impl EntityKey {
    fn new(key: &JournalKey) -> Result<Self, JournalError> {
        let ids = [&key.persistence_id, &key.entity_id];
        let length = ids.iter().map(|id| 4 + id.len()).sum::<usize>();
        if length + size_of::<i64>() > MAX_KEY_BYTES {
            return Err(JournalError::Storage(format!(
                "the ids of the entity have {length} bytes, and can't have more than {MAX_KEY_BYTES}"
            )));
        }
        let mut bytes = Vec::with_capacity(length);
        for id in ids {
            // Can't be cut off: checked above.
            bytes.extend_from_slice(&(id.len() as u32).to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        Ok(Self(bytes))
    }

    /// The key of an event. Sequence numbers are positive, so their bytes have their order.
    fn event(&self, sequence: i64) -> Vec<u8> {
        [self.0.as_slice(), &sequence.to_be_bytes()].concat()
    }
}

/// What is on disk.
#[derive(Clone)]
struct Store {
    database: Database,
    events: Keyspace,
    snapshots: Keyspace,
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
            database,
        })
    }

    fn last_sequence(&self, key: &EntityKey) -> Result<i64, JournalError> {
        let Some(entry) = self.events.prefix(&key.0).next_back() else {
            return Ok(0);
        };
        sequence_of(&entry.key().map_err(storage)?)
    }

    fn events(
        &self,
        key: &EntityKey,
        from: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Any)>, JournalError> {
        let from = from.max(0).saturating_add(1);
        let range = key.event(from)..=key.event(i64::MAX);
        let entries = self.events.range(range).take(limit);
        let decode = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner().map_err(storage)?;
            Ok((sequence_of(&key)?, decode(&value)?))
        };
        entries.map(decode).collect()
    }

    fn snapshot(&self, key: &EntityKey) -> Result<Option<(i64, Any)>, JournalError> {
        let Some(value) = self.snapshots.get(&key.0).map_err(storage)? else {
            return Ok(None);
        };
        let (sequence, snapshot) = value.split_first_chunk().ok_or_else(damaged)?;
        Ok(Some((i64::from_be_bytes(*sequence), decode(snapshot)?)))
    }
}

fn sequence_of(key: &[u8]) -> Result<i64, JournalError> {
    let sequence = key.last_chunk().ok_or_else(damaged)?;
    Ok(i64::from_be_bytes(*sequence))
}

fn decode(bytes: &[u8]) -> Result<Any, JournalError> {
    Any::decode(bytes).map_err(|_| damaged())
}

fn damaged() -> JournalError {
    JournalError::Storage("an entry is damaged".to_owned())
}

fn storage(error: fjall::Error) -> JournalError {
    JournalError::Storage(error.to_string())
}

type Ack<T> = oneshot::Sender<Result<T, JournalError>>;

enum Write {
    Events(Append),
    Snapshot(SaveSnapshot),
}

struct Append {
    key: EntityKey,
    last: i64,
    events: Vec<Any>,
    ack: Ack<i64>,
}

struct SaveSnapshot {
    key: EntityKey,
    sequence: i64,
    snapshot: Any,
    ack: Ack<()>,
}

/// A write that is in the transaction, and whom to tell when that is on disk.
enum Staged {
    Events(Ack<i64>, i64),
    Snapshot(Ack<()>),
}

/// The one that writes.
struct Committer {
    store: Store,
    /// With those of the transaction under way; read from disk when missing.
    last_sequences: HashMap<EntityKey, i64>,
}

impl Committer {
    fn run(mut self, mut queue: mpsc::Receiver<Write>) {
        let mut writes = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut writes, BATCH) > 0 {
            self.commit(writes.drain(..));
        }
    }

    fn commit(&mut self, writes: impl Iterator<Item = Write>) {
        let mut transaction = Transaction {
            batch: self
                .store
                .database
                .batch()
                .durability(Some(PersistMode::SyncData)),
            snapshots: HashMap::new(),
        };
        let mut staged = Vec::new();
        for write in writes {
            match write {
                Write::Events(write) => match self.stage_events(&mut transaction, &write) {
                    Ok(last) => staged.push(Staged::Events(write.ack, last)),
                    Err(error) => drop(write.ack.send(Err(error))),
                },
                Write::Snapshot(write) => match self.stage_snapshot(&mut transaction, &write) {
                    Ok(()) => staged.push(Staged::Snapshot(write.ack)),
                    Err(error) => drop(write.ack.send(Err(error))),
                },
            }
        }
        let outcome = transaction.batch.commit().map_err(storage);
        if outcome.is_err() || self.last_sequences.len() > REMEMBERED {
            self.last_sequences.clear();
        }
        for write in staged {
            // An entity that has gone meanwhile doesn't need to know.
            match write {
                Staged::Events(ack, last) => drop(ack.send(outcome.clone().map(|()| last))),
                Staged::Snapshot(ack) => drop(ack.send(outcome.clone())),
            }
        }
    }

    fn stage_events(
        &mut self,
        transaction: &mut Transaction,
        write: &Append,
    ) -> Result<i64, JournalError> {
        let actual = self.last_sequence(&write.key)?;
        if actual != write.last {
            return Err(JournalError::Conflict {
                expected: write.last,
                actual,
            });
        }
        let mut last = actual;
        for event in &write.events {
            last += 1;
            let entry = (write.key.event(last), event.encode_to_vec());
            transaction.batch.insert(&self.store.events, entry.0, entry.1);
        }
        self.last_sequences.insert(write.key.clone(), last);
        Ok(last)
    }

    fn stage_snapshot(
        &mut self,
        transaction: &mut Transaction,
        write: &SaveSnapshot,
    ) -> Result<(), JournalError> {
        let actual = self.last_sequence(&write.key)?;
        if write.sequence > actual {
            return Err(JournalError::Conflict {
                expected: write.sequence,
                actual,
            });
        }
        let newest = match transaction.snapshots.get(&write.key) {
            Some(sequence) => Some(*sequence),
            None => self.store.snapshot(&write.key)?.map(|(sequence, _)| sequence),
        };
        if newest.is_none_or(|newest| newest <= write.sequence) {
            let mut value = write.sequence.to_be_bytes().to_vec();
            value.extend(write.snapshot.encode_to_vec());
            let keyspace = &self.store.snapshots;
            transaction.batch.insert(keyspace, write.key.0.clone(), value);
            transaction.snapshots.insert(write.key.clone(), write.sequence);
        }
        Ok(())
    }

    fn last_sequence(&mut self, key: &EntityKey) -> Result<i64, JournalError> {
        if let Some(last) = self.last_sequences.get(key) {
            return Ok(*last);
        }
        let last = self.store.last_sequence(key)?;
        self.last_sequences.insert(key.clone(), last);
        Ok(last)
    }
}

/// What is going to be on disk together.
struct Transaction {
    batch: fjall::OwnedWriteBatch,
    /// The snapshots in it, by their sequence numbers.
    snapshots: HashMap<EntityKey, i64>,
}
