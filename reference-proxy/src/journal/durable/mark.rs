//! The file in which a data directory says how many writes were acknowledged.
//!
//! It is written after each commit and synced by nobody, so that it costs next to nothing: after a
//! kill it is right, and after a loss of power it may be behind the log, and never before it. A log
//! that ends earlier has lost something.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::audit::Unfit;

const NAME: &str = "acknowledged";

/// The file, open.
#[derive(Debug)]
pub struct Mark(File);

impl Mark {
    /// What the file says, if there is one: there is none before the store was complete.
    pub fn read(directory: &Path) -> Result<Option<u64>, Unfit> {
        let file = path(directory);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(Unfit::unreadable(&file, error)),
        };
        let writes = text.split_whitespace().next_back();
        match writes.and_then(|writes| writes.parse().ok()) {
            // Written anew it must be the same: so a flipped bit is noticed.
            Some(writes) if text == line(writes) => Ok(Some(writes)),
            _ => {
                let what =
                    "it should say how many writes were acknowledged, and says nothing of ours";
                Err(Unfit::damaged(&file, what))
            }
        }
    }

    /// Opens the file, and makes it if need be.
    pub fn open(directory: &Path, writes: u64) -> io::Result<Self> {
        let path = path(directory);
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let mark = Self(
            options
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?,
        );
        mark.set(writes)?;
        if is_new {
            // That it is there has to last; what it says may be older.
            mark.0.sync_all()?;
            File::open(directory)?.sync_all()?;
        }
        Ok(mark)
    }

    /// Says that so many writes were acknowledged.
    pub fn set(&self, writes: u64) -> io::Result<()> {
        self.0.write_all_at(line(writes).as_bytes(), 0)
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// Always of the same length, and the number twice.
fn line(writes: u64) -> String {
    let check = u64::MAX - writes;
    format!("cloudstate journal, format 2, check {check:020}, writes {writes:020}\n")
}
