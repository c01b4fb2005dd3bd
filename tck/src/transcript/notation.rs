//! A transcript in a notation that people write and the kit reads back: one line an entry, nothing left out.
//!
//! ```text
//! made/up (proxy)
//! $id = a1
//! client ▶ proxy #1 calls /tck.Model/Process { x-key: "1" }
//! client ▶ proxy #1 { id: $id }
//! client ▶ proxy #1 half-close
//! # what begins like this is a comment
//! proxy ▶ client #1 ends UNKNOWN "no"
//! deadline "the proxy to come back"
//! ```
//!
//! The first line names scenario and role, then come the `$names`, then the entries. A message is written as in a
//! scenario, by the type that its stream's `calls` line gives it, or as `bytes 0a0141`. What goes without saying isn't
//! written: who is played by the kit (`*` before the sender: the kit did it, though the role doesn't say so; `~`: it
//! didn't), and the time (`12.345ms` at the beginning of a line; else a millisecond after the line before).
//! An arrow may be written `->`.
//!
//! What [`super::text`] prints is for the eye, and cut; what [`super::file`] writes is for machines.

mod cursor;
mod read;
mod write;

pub use read::{read, read_entries};
pub use write::write;

use super::{Lost, What};
use crate::party::{Party, Role};
use crate::scenario::message;
use crate::status::{status_code, status_name};
use cursor::Cursor;

/// Microseconds from one line to the next, where no time is written.
const TICK: u64 = 1_000;

/// Why a text is no transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct NotationError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What was expected there, and what stands there.
    pub problem: String,
}

/// One kind of entry: the word that it is told by, and what follows the word.
struct Phrase {
    word: &'static str,
    /// `None`: an entry of another kind.
    say: fn(&What) -> Option<String>,
    hear: fn(&mut Cursor<'_>) -> Result<What, NotationError>,
}

/// Every kind of entry. A message that can be read as one is written as its tree instead of its bytes.
const PHRASES: [Phrase; 10] = [
    Phrase {
        word: "calls",
        say: |what| match what {
            What::Open { path, metadata } => {
                Some(format!("{}{}", message::quoted(path), fields(metadata)))
            }
            _ => None,
        },
        hear: |cursor| {
            Ok(What::Open {
                path: cursor.text("a path")?,
                metadata: cursor.fields()?,
            })
        },
    },
    Phrase {
        word: "headers",
        say: |what| match what {
            What::Headers { metadata } => Some(fields(metadata).trim_start().to_owned()),
            _ => None,
        },
        hear: |cursor| {
            let metadata = cursor.fields()?;
            Ok(What::Headers { metadata })
        },
    },
    Phrase {
        word: "bytes",
        say: |what| match what {
            What::Message { bytes } => Some(message::hex(bytes)),
            _ => None,
        },
        hear: |cursor| {
            let bytes = cursor.bytes()?;
            Ok(What::Message { bytes })
        },
    },
    Phrase {
        word: "half-close",
        say: |what| matches!(what, What::HalfClose).then(String::new),
        hear: |_| Ok(What::HalfClose),
    },
    Phrase {
        word: "ends",
        say: |what| match what {
            What::End {
                code,
                message,
                trailers,
            } => {
                let text = match message.as_str() {
                    "" => String::new(),
                    text => format!(" {}", in_quotes(text)),
                };
                let broken = if *trailers { "" } else { " without trailers" };
                Some(format!("{}{text}{broken}", status_name(*code)))
            }
            _ => None,
        },
        hear: |cursor| {
            Ok(What::End {
                code: cursor.read("a status", |word| {
                    status_code(word).or_else(|| word.parse().ok())
                })?,
                message: cursor.quotation()?.unwrap_or_default(),
                trailers: !cursor.has("without trailers"),
            })
        },
    },
    Phrase {
        word: "cancels",
        say: |what| matches!(what, What::Cancel).then(String::new),
        hear: |_| Ok(What::Cancel),
    },
    Phrase {
        word: "breaks",
        say: |what| match what {
            What::Fault { what_broke, lost } => {
                Some(format!("{}{}", in_quotes(what_broke), losing(*lost)))
            }
            _ => None,
        },
        hear: |cursor| {
            let what_broke = cursor.text("what is broken")?;
            let all = [Lost::Stream, Lost::Connection];
            let lost = all
                .into_iter()
                .find(|lost| cursor.has(losing(*lost).trim()));
            let lost = lost.unwrap_or_default();
            Ok(What::Fault { what_broke, lost })
        },
    },
    Phrase {
        word: "killed",
        say: |what| matches!(what, What::Killed).then(String::new),
        hear: |_| Ok(What::Killed),
    },
    Phrase {
        word: "started",
        say: |what| matches!(what, What::Started).then(String::new),
        hear: |_| Ok(What::Started),
    },
    Phrase {
        word: DEADLINE,
        say: |what| match what {
            What::Deadline { waited_for } => Some(in_quotes(waited_for)),
            _ => None,
        },
        hear: |cursor| {
            let waited_for = cursor.text("what was waited for")?;
            Ok(What::Deadline { waited_for })
        },
    },
];

/// It stands without a sender: it happens at no party.
const DEADLINE: &str = "deadline";

/// What goes without saying: the parties that the role has the kit play, and what only the kit does.
fn by_kit(from: Party, role: Role, what: &What) -> bool {
    let kit_only = matches!(
        what,
        What::Killed | What::Started | What::Deadline { .. } | What::Fault { .. }
    );
    kit_only || role.kit_plays(from)
}

fn losing(lost: Lost) -> &'static str {
    match lost {
        Lost::Nothing => "",
        Lost::Stream => " losing the stream",
        Lost::Connection => " losing the connection",
    }
}

fn fields(all: &[(String, String)]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let one = |(name, value): &(String, String)| {
        format!("{}: {}", message::quoted(name), message::quoted(value))
    };
    let all: Vec<String> = all.iter().map(one).collect();
    format!(" {{ {} }}", all.join(", "))
}

/// A text that can't be taken for a word.
fn in_quotes(text: &str) -> String {
    match message::quoted(text) {
        quoted if quoted.starts_with('"') => quoted,
        plain => format!("\"{plain}\""),
    }
}

#[cfg(test)]
mod tests;
