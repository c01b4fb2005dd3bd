//! The one that writes: takes all that waits, and makes one transaction of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjall::OwnedWriteBatch;
use tokio::sync::{mpsc, oneshot};

use super::super::claims::{Claims, Heads, Staged};
use super::super::{EntityRef, Epoch, LogError, Owner, Position, Shard, Write};
use super::mark::Mark;
use super::store::Store;

/// How many appends share a transaction at most.
const BATCH: usize = 1024;
/// Of how many entities it is remembered what their last write was.
const REMEMBERED: usize = 100_000;

/// What becomes of a job.
pub type Done<T> = oneshot::Sender<Result<T, LogError>>;

/// Something that is to be on disk.
pub enum Job {
    /// Writes, under this epoch.
    Append(Shard, Epoch, Vec<Write>, Done<Vec<Position>>),
    /// An epoch for this owner.
    Claim(Shard, Owner, Done<Epoch>),
}

/// Whom to tell when the transaction is on disk, and what.
enum Promise {
    Positions(Done<Vec<Position>>, Vec<Position>),
    Epoch(Done<Epoch>, Epoch),
}

impl Promise {
    fn keep(self, committed: Result<(), LogError>) {
        // Who has gone meanwhile doesn't need to know.
        match self {
            Self::Positions(done, positions) => drop(done.send(committed.map(|()| positions))),
            Self::Epoch(done, epoch) => drop(done.send(committed.map(|()| epoch))),
        }
    }
}

/// What everybody may know of the shard.
pub struct ShardState {
    /// Who has it.
    pub claims: Claims,
    /// Where the last write is that was acknowledged.
    pub head: Position,
}

/// The state of the shard, shared.
#[derive(Clone)]
pub struct SharedState(Arc<Mutex<ShardState>>);

impl SharedState {
    /// After so many claims and writes, and with no owner.
    pub fn new(epoch: Epoch, head: Position) -> Self {
        let claims = Claims::after(epoch.0);
        Self(Arc::new(Mutex::new(ShardState { claims, head })))
    }

    /// Looks at it, or changes it.
    pub fn lock(&self) -> MutexGuard<'_, ShardState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes.
pub struct Committer {
    store: Store,
    state: SharedState,
    mark: Mark,
    epoch: Epoch,
    /// Of the last write, those of the transaction under way included.
    head: Position,
    /// The same by entity; read from disk where it is missing.
    known: Known,
}

/// What is known of entities without reading.
struct Known {
    store: Store,
    heads: Staged,
}

impl Heads for Known {
    fn last(&self, entity: &EntityRef) -> Result<u64, LogError> {
        match self.heads.lasts.get(entity) {
            Some(last) => Ok(*last),
            None => self.store.last(entity),
        }
    }

    fn version(&self, entity: &EntityRef) -> Result<Position, LogError> {
        match self.heads.versions.get(entity) {
            Some(version) => Ok(*version),
            None => self.store.version(entity),
        }
    }
}

impl Known {
    fn learn(&mut self, staged: Staged) {
        self.heads.lasts.extend(staged.lasts);
        self.heads.versions.extend(staged.versions);
    }

    fn len(&self) -> usize {
        self.heads.lasts.len() + self.heads.versions.len()
    }
}

impl Committer {
    /// A committer that goes on where the store ends.
    pub fn new(store: Store, state: SharedState, mark: Mark, epoch: Epoch, head: Position) -> Self {
        let known = Known {
            store: store.clone(),
            heads: Staged::default(),
        };
        Self {
            store,
            state,
            mark,
            epoch,
            head,
            known,
        }
    }

    /// Works until nobody can give it anything more.
    pub fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
            self.commit(waiting.drain(..));
        }
    }

    fn commit(&mut self, waiting: impl Iterator<Item = Job>) {
        let mut batch = self.store.transaction();
        let before = self.head;
        let mut promises = Vec::new();
        for job in waiting {
            match job {
                Job::Append(shard, epoch, writes, done) => {
                    match self.stage(&mut batch, shard, epoch, &writes) {
                        Ok(positions) => promises.push(Promise::Positions(done, positions)),
                        Err(error) => drop(done.send(Err(error))),
                    }
                }
                Job::Claim(shard, owner, done) => match self.claim(shard, owner) {
                    Ok(epoch) => promises.push(Promise::Epoch(done, epoch)),
                    Err(error) => drop(done.send(Err(error))),
                },
            }
        }
        if promises.is_empty() {
            return;
        }
        self.store
            .put_shard(&mut batch, Shard::ONLY, self.epoch, self.head);
        let committed = batch.commit().map_err(uncertain);
        match &committed {
            Ok(()) => self.acknowledge(),
            Err(_) => self.head = before,
        }
        if committed.is_err() || self.known.len() > REMEMBERED {
            self.known.heads = Staged::default();
        }
        for promise in promises {
            promise.keep(committed.clone());
        }
    }

    /// Puts writes into the transaction, all or none.
    fn stage(
        &mut self,
        batch: &mut OwnedWriteBatch,
        shard: Shard,
        epoch: Epoch,
        writes: &[Write],
    ) -> Result<Vec<Position>, LogError> {
        self.state.lock().claims.check(shard, epoch)?;
        let mut staged = Staged::default();
        let mut positions = Vec::with_capacity(writes.len());
        for (position, write) in (self.head.0 + 1..).map(Position).zip(writes) {
            staged.take(write, position, &self.known)?;
            positions.push(position);
        }
        for (position, write) in positions.iter().zip(writes) {
            self.store.put(batch, shard, *position, write)?;
            self.head = *position;
        }
        self.known.learn(staged);
        Ok(positions)
    }

    /// From here on the epoch before is over, also for what waits in the same transaction.
    fn claim(&mut self, shard: Shard, owner: Owner) -> Result<Epoch, LogError> {
        let claims = &mut self.state.lock().claims;
        let epoch = claims.next(shard, owner)?;
        claims.begin(epoch, owner);
        self.epoch = epoch;
        Ok(epoch)
    }

    fn acknowledge(&mut self) {
        self.state.lock().head = self.head;
        if let Err(error) = self.mark.set(self.head.0) {
            // What is stored is stored. It would only not be missed.
            tracing::warn!("the number of acknowledged writes could not be noted: {error}");
        }
    }
}

/// A commit failed: in the log the transaction may be there all the same.
fn uncertain(error: fjall::Error) -> LogError {
    match error {
        // It failed before; this time nothing was tried.
        fjall::Error::Poisoned => LogError::Failed(error.to_string()),
        error => LogError::Unknown(error.to_string()),
    }
}
