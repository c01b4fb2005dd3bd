//! The file in which a data directory says what has to be in it: which keyspaces, and how many
//! writes were acknowledged.
//!
//! It is made when the store is complete. The number is written after each commit and synced by
//! nobody, so that it costs next to nothing: after a kill it is right, and after a loss of power it
//! may be behind the log, and never before it. A log that ends earlier has lost something.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::audit::Unfit;

const NAME: &str = "acknowledged";
/// Under which name the file is made.
const NEW: &str = "acknowledged.new";
/// What it begins with; the numbers of the keyspaces follow.
const BEGIN: &str = "cloudstate journal, format 2, keyspaces";

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Marked {
    /// The numbers of the keyspaces.
    pub keyspaces: Vec<u64>,
    /// How many writes were acknowledged.
    pub writes: u64,
}

impl Marked {
    /// What the file of a directory says, if there is one.
    pub fn read(directory: &Path) -> Result<Option<Self>, Unfit> {
        let file = directory.join(NAME);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(Unfit::unreadable(&file, error)),
        };
        let marked = Self::parse(&text).ok_or_else(|| {
            let what = "it should say how many writes were acknowledged, and says nothing of ours";
            Unfit::damaged(&file, what)
        })?;
        Ok(Some(marked))
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('\n')?;
        let keyspaces = first.strip_prefix(BEGIN)?.split_whitespace();
        let marked = Self {
            keyspaces: keyspaces.map(|id| id.parse().ok()).collect::<Option<_>>()?,
            writes: second.split_whitespace().next_back()?.parse().ok()?,
        };
        // Written anew it must be the same: so a flipped bit is noticed.
        (marked.text() == text).then_some(marked)
    }

    fn first_line(&self) -> String {
        let keyspaces: Vec<String> = self.keyspaces.iter().map(u64::to_string).collect();
        format!("{BEGIN} {}\n", keyspaces.join(" "))
    }

    fn text(&self) -> String {
        self.first_line() + &second_line(self.writes)
    }

    /// Makes the file, all of it or nothing.
    pub fn make(&self, directory: &Path) -> io::Result<()> {
        let (new, path) = (directory.join(NEW), directory.join(NAME));
        let mut file = File::create(&new)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(new, path)?;
        File::open(directory)?.sync_all()
    }

    /// Opens the file, to keep the number right.
    pub fn open(&self, directory: &Path) -> io::Result<Mark> {
        let file = OpenOptions::new().write(true).open(directory.join(NAME))?;
        let offset = self.first_line().len() as u64;
        Ok(Mark { file, offset })
    }
}

/// The file, open.
#[derive(Debug)]
pub struct Mark {
    file: File,
    offset: u64,
}

impl Mark {
    /// Says that so many writes were acknowledged.
    pub fn set(&self, writes: u64) -> io::Result<()> {
        self.file
            .write_all_at(second_line(writes).as_bytes(), self.offset)
    }
}

/// Always of the same length, and the number twice.
fn second_line(writes: u64) -> String {
    let check = u64::MAX - writes;
    format!("check {check:020}, writes {writes:020}\n")
}
