//! What is looked at before the engine opens a data directory, and nothing is changed by it.
//!
//! The engine takes whatever it can't read in its log for the end of it, cuts the log off there,
//! and makes anew what is missing: a damaged directory would be served without the writes that
//! were in it. Here only what a process leaves that was killed while it wrote is let pass: one
//! batch, the last, of which the end is missing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::log;

/// The file with the version of the engine's format, which is written when all else is there.
const VERSION: &str = "version";
/// The directory with a directory for each keyspace.
const KEYSPACES: &str = "keyspaces";
/// The file in each of them that says which tables it consists of.
const CURRENT: &str = "current";

/// Why a data directory isn't opened.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Something is missing, or isn't what was written.
    #[error("{}: {what}", file.display())]
    Damaged {
        /// The file or directory.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system doesn't let us look.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// The file or directory.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Unfit {
    /// A file with which something is wrong.
    pub fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            what: what.into(),
        }
    }

    /// A file that can't be read.
    pub fn unreadable(file: &Path, error: io::Error) -> Self {
        Self::Unreadable {
            file: file.to_owned(),
            error,
        }
    }
}

/// Whether the engine has a store here.
pub fn has_store(directory: &Path) -> bool {
    directory.join(VERSION).exists()
}

/// The numbers of the keyspaces that are there.
pub fn keyspaces(directory: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in directory.join(KEYSPACES).read_dir()? {
        let name = entry?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Looks for what has to be there once a store with these keyspaces was made.
pub fn check_complete(directory: &Path, keyspaces: &[u64]) -> Result<(), Unfit> {
    let currents = keyspaces.iter().map(|id| {
        let keyspace = directory.join(KEYSPACES).join(id.to_string());
        (keyspace.join(CURRENT), "the tables of a keyspace")
    });
    let version = (directory.join(VERSION), "the version of the format");
    for (file, holds) in std::iter::once(version).chain(currents) {
        if !file.is_file() {
            return Err(Unfit::damaged(
                &file,
                format!("it is missing; it says {holds}"),
            ));
        }
    }
    if logs(directory)?.is_empty() {
        let what = "there is no log (a file *.jnl); it has the latest writes";
        return Err(Unfit::damaged(directory, what));
    }
    Ok(())
}

/// Reads the logs from the first to the last byte.
pub fn check_logs(directory: &Path) -> Result<(), Unfit> {
    let logs = logs(directory)?;
    for pair in logs.windows(2) {
        let next = pair[0].0 + 1;
        if pair[1].0 != next {
            let file = directory.join(format!("{next}.jnl"));
            return Err(Unfit::damaged(
                &file,
                "it is missing, and later logs are there",
            ));
        }
    }
    for (position, (_, file)) in logs.iter().enumerate() {
        let is_last = position + 1 == logs.len();
        let read = File::open(file).and_then(log::read);
        let end = read.map_err(|error| Unfit::unreadable(file, error))?;
        if let Some(reason) = end.damage(is_last) {
            return Err(Unfit::damaged(file, reason));
        }
    }
    Ok(())
}

/// The logs, by their numbers.
fn logs(directory: &Path) -> Result<Vec<(u64, PathBuf)>, Unfit> {
    let unreadable = |error| Unfit::unreadable(directory, error);
    let mut logs = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            let number = file
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            let number = number.ok_or_else(|| Unfit::damaged(&file, "a log's name is a number"))?;
            logs.push((number, file));
        }
    }
    logs.sort();
    Ok(logs)
}
