//! The log on disk: what was acknowledged is there after the process was killed.
//!
//! Entities queue what they write; one thread, the committer, takes all that waits, checks it,
//! writes it as one transaction with one sync, and only then acknowledges each. The more entities
//! write at once, the more share a sync. Reads go past it.
//!
//! A directory is audited before the engine opens it, and the position of its last write is held
//! against the one that was acknowledged: what is damaged is refused, for the engine would go on
//! without it.

mod audit;
mod committer;
mod log;
mod mark;
mod store;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::claims::only;
use super::{
    Chunk, EntityRef, Epoch, History, LogError, Owner, Position, Shard, ShardLog, Stored, Tail,
    Versioned, Write,
};
use audit::Unfit;
use committer::{Committer, Done, Job, SharedState};
use mark::{Mark, Marked};
use store::{EntityKey, Store};

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
    /// What is in it is of an older format.
    #[error(
        "the data directory {} has events or values in format 1; this proxy has format 2, which \
         keeps their order as well, and can't convert them. Serve it with the proxy that wrote it, \
         or begin with an empty directory", .0.display()
    )]
    Format(PathBuf),
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

/// A log with one shard, on disk.
pub struct DurableLog {
    state: SharedState,
    /// Nothing once it is closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    store: Store,
    /// Not bounded: an entity waits for one write before it begins another.
    jobs: mpsc::UnboundedSender<Job>,
    committer: JoinHandle<()>,
    /// Closed when the committer has come to an end.
    alive: watch::Receiver<()>,
}

impl std::fmt::Debug for DurableLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableLog").finish_non_exhaustive()
    }
}

impl DurableLog {
    /// Opens the log in this directory, which is made if need be. It takes as long as the disk
    /// does, so not on a thread that others wait for.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let was_there = audit::has_store(directory);
        let failed = |error| OpenError::of(directory, error, was_there);
        let marked = audited(directory)?;
        let store = Store::open(directory, marked.is_some()).map_err(failed)?;
        let store = store.ok_or_else(|| OpenError::Format(directory.to_owned()))?;
        let acknowledged = marked.as_ref().map_or(0, |marked| marked.writes);
        let (epoch, head) = whole(directory, &store, acknowledged)?;
        let mark = mark(directory, marked).map_err(|error| failed(error.into()))?;
        let state = SharedState::new(epoch, head);
        let (jobs, queue) = mpsc::unbounded_channel();
        let committer = Committer::new(store.clone(), state.clone(), mark, epoch, head);
        let (lives, alive) = watch::channel(());
        let committer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                committer.run(queue);
                drop(lives);
            })
            .map_err(|error| failed(error.into()))?;
        let open = Open {
            store,
            jobs,
            committer,
            alive,
        };
        Ok(Self {
            state,
            open: Mutex::new(Some(open)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit<T: Send + 'static>(&self, job: impl FnOnce(Done<T>) -> Job) -> Stored<'_, T> {
        let (done, answer) = oneshot::channel();
        let jobs = self.lock().as_ref().map(|open| open.jobs.clone());
        let submitted = jobs.is_some_and(|jobs| jobs.send(job(done)).is_ok());
        async move {
            if !submitted {
                return Err(closed());
            }
            let cut_off = |_| LogError::Unknown("the journal's thread was cut off".to_owned());
            answer.await.map_err(cut_off)?
        }
        .boxed()
    }

    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
    ) -> Stored<'_, T> {
        let store = self.lock().as_ref().map(|open| open.store.clone());
        async move {
            let store = store.ok_or_else(closed)?;
            tokio::task::spawn_blocking(move || query(&store))
                .await
                .map_err(|error| LogError::Failed(error.to_string()))?
        }
        .boxed()
    }

    fn query_entity<T: Send + 'static>(
        &self,
        entity: &EntityRef,
        query: impl FnOnce(&Store, &EntityKey) -> Result<T, LogError> + Send + 'static,
    ) -> Stored<'_, T> {
        let key = EntityKey::new(entity);
        self.query(move |store| query(store, &key?))
    }

    /// What is in memory, as long as there is something behind it.
    fn known<T: Send + 'static>(&self, known: Result<T, LogError>) -> Stored<'_, T> {
        let is_open = self.lock().is_some();
        let known = if is_open { known } else { Err(closed()) };
        std::future::ready(known).boxed()
    }
}

impl ShardLog for DurableLog {
    fn claim(&self, shard: Shard, owner: Owner) -> Stored<'_, Epoch> {
        self.submit(|done| Job::Claim(shard, owner, done))
    }

    fn renew(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        let checked = self.state.lock().claims.check(shard, epoch);
        self.known(checked)
    }

    fn release(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        let released = self.state.lock().claims.release(shard, epoch);
        self.known(released)
    }

    fn head(&self, shard: Shard, epoch: Epoch) -> Stored<'_, Position> {
        let state = self.state.lock();
        let head = state.claims.check(shard, epoch).map(|()| state.head);
        self.known(head)
    }

    fn append(&self, shard: Shard, epoch: Epoch, writes: Vec<Write>) -> Stored<'_, Vec<Position>> {
        self.submit(|done| Job::Append(shard, epoch, writes, done))
    }

    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        self.query_entity(entity, |store, key| {
            let snapshot = store.snapshot(key)?;
            let sequence = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
            let events = store.events(key, sequence)?;
            Ok(History { snapshot, events })
        })
    }

    fn replay<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        self.query_entity(entity, move |store, key| store.events(key, after))
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Versioned> {
        self.query_entity(entity, Store::value)
    }

    fn tail(&self, shard: Shard, after: Position) -> Stored<'_, Tail> {
        self.query(move |store| {
            only(shard)?;
            store.tail(shard, after)
        })
    }

    fn failed(&self) -> BoxFuture<'_, ()> {
        let alive = self.lock().as_ref().map(|open| open.alive.clone());
        async move {
            match alive {
                // Nothing is ever said on it.
                Some(mut alive) => while alive.changed().await.is_ok() {},
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// Returns when everything that was queued is written.
    fn close(&self) {
        let Some(open) = self.lock().take() else {
            return;
        };
        drop(open.jobs);
        if open.committer.join().is_err() {
            tracing::error!("the journal's thread had panicked");
        }
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn closed() -> LogError {
    LogError::Failed("it is closed".to_owned())
}

/// How often the shard was claimed and where its last write is, which is no earlier than it was
/// acknowledged.
fn whole(
    directory: &Path,
    store: &Store,
    acknowledged: u64,
) -> Result<(Epoch, Position), OpenError> {
    let damaged = |reason: String| OpenError::Damaged {
        directory: directory.to_owned(),
        reason,
    };
    let (epoch, head) = store
        .shard(Shard::ONLY)
        .map_err(|error| damaged(error.to_string()))?;
    if acknowledged > head.0 {
        return Err(damaged(format!(
            "{acknowledged} writes were acknowledged, and the last that is there is number {}: \
             a log was cut off, or is one of before",
            head.0
        )));
    }
    Ok((epoch, head))
}

/// The file that says what is in a directory; it is made when all of that is there.
fn mark(directory: &Path, marked: Option<Marked>) -> std::io::Result<Mark> {
    let marked = match marked {
        Some(marked) => marked,
        None => {
            let marked = Marked {
                keyspaces: audit::keyspaces(directory)?,
                writes: 0,
            };
            marked.make(directory)?;
            marked
        }
    };
    marked.open(directory)
}

/// Audits a directory, and tells what it says of itself; nothing where it isn't complete, or of
/// the format before.
fn audited(directory: &Path) -> Result<Option<Marked>, OpenError> {
    let unfit = |unfit| OpenError::unfit(directory, unfit);
    let marked = Marked::read(directory).map_err(unfit)?;
    if marked.is_none() && !audit::has_store(directory) {
        return Ok(None);
    }
    // Somebody who writes meanwhile would look like damage.
    let lock = File::open(directory.join(LOCK));
    if let Ok(Err(TryLockError::WouldBlock)) = lock.as_ref().map(File::try_lock) {
        return Err(OpenError::Locked(directory.to_owned()));
    }
    if let Some(marked) = &marked {
        audit::check_complete(directory, &marked.keyspaces).map_err(unfit)?;
    }
    audit::check_logs(directory).map_err(unfit)?;
    Ok(marked)
}

#[cfg(test)]
mod tests;
