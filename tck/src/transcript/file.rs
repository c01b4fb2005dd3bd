//! A transcript as a file: JSON lines, first a header that says what was played, then one entry a line.
//!
//! The header may carry the scenario as YAML, so that the file can be judged again by itself. It says how many
//! entries follow: a file that was cut off is told from one that is complete.

use super::{Entry, Transcript};
use crate::party::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the header says the file is.
const FORMAT: &str = "cloudstate-tck transcript";
/// The version of the form; a reader refuses any other.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    scenario: String,
    role: Role,
    bindings: BTreeMap<String, String>,
    entries: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    yaml: Option<String>,
}

/// A transcript that was read, and its scenario if the file has it.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What was seen.
    pub transcript: Transcript,
    /// The scenario file, as YAML.
    pub yaml: Option<String>,
}

/// Why a text is no transcript.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The first line isn't a header.
    #[error("not the header of a transcript: {0}")]
    Header(serde_json::Error),
    /// The header is that of something else.
    #[error("the format is {0:?} and should be {FORMAT:?}")]
    Format(String),
    /// Written by a kit with another form.
    #[error("the transcript has version {0}, this kit reads version {VERSION}")]
    Version(u32),
    /// A line isn't an entry.
    #[error("not an entry: {0}")]
    Entry(serde_json::Error),
    /// An entry is missing or out of order.
    #[error("entry {found} stands where entry {expected} should")]
    Order {
        /// Its number.
        found: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// The file ends early, or goes on.
    #[error("{found} entries, the header says {expected}: the file is not complete")]
    Count {
        /// Entries in the file.
        found: usize,
        /// Entries the header promises.
        expected: usize,
    },
}

/// The text of a file.
pub fn write(transcript: &Transcript, yaml: Option<&str>) -> String {
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        scenario: transcript.scenario.clone(),
        role: transcript.role,
        bindings: transcript.bindings.clone(),
        entries: transcript.entries.len(),
        yaml: yaml.map(str::to_owned),
    };
    let mut text = json(&header);
    for entry in &transcript.entries {
        text.push('\n');
        text.push_str(&json(entry));
    }
    text.push('\n');
    text
}

/// Strings, numbers and lists of them: JSON can say it all.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// The first line that isn't as it should be.
pub fn read(text: &str) -> Result<Saved, ReadError> {
    let at = |line, problem| ReadError { line, problem };
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().unwrap_or((1, ""));
    let header = read_header(first).map_err(|problem| at(1, problem))?;
    let mut entries: Vec<Entry> = Vec::new();
    for (line, text) in lines {
        let entry: Entry = serde_json::from_str(text).map_err(|e| at(line, Problem::Entry(e)))?;
        let expected = entries.len() as u64;
        if entry.seq != expected {
            return Err(at(
                line,
                Problem::Order {
                    found: entry.seq,
                    expected,
                },
            ));
        }
        entries.push(entry);
    }
    let (found, expected) = (entries.len(), header.entries);
    if found != expected {
        return Err(at(found + 1, Problem::Count { found, expected }));
    }
    let Header {
        scenario,
        role,
        bindings,
        yaml,
        ..
    } = header;
    Ok(Saved {
        transcript: Transcript {
            scenario,
            role,
            bindings,
            entries,
        },
        yaml,
    })
}

fn read_header(line: &str) -> Result<Header, Problem> {
    // Format and version first: a header of another version need not have the fields of this one.
    #[derive(Deserialize)]
    struct Kind {
        format: String,
        version: u32,
    }
    let kind: Kind = serde_json::from_str(line).map_err(Problem::Header)?;
    if kind.format != FORMAT {
        return Err(Problem::Format(kind.format));
    }
    if kind.version != VERSION {
        return Err(Problem::Version(kind.version));
    }
    serde_json::from_str(line).map_err(Problem::Header)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_kind_of_entry_is_read_as_it_was_written() {
        let transcript = samples::one_of_each();
        let saved = read(&write(&transcript, Some("suite: a\n"))).unwrap();
        assert_eq!(saved.transcript.entries, transcript.entries);
        assert_eq!(saved.transcript.bindings, transcript.bindings);
        assert_eq!(saved.transcript.scenario, transcript.scenario);
        assert_eq!(saved.yaml.as_deref(), Some("suite: a\n"));
    }

    #[test]
    fn a_file_without_entries_is_one() {
        let mut transcript = samples::one_of_each();
        transcript.entries.clear();
        assert!(
            read(&write(&transcript, None))
                .unwrap()
                .transcript
                .entries
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let text = write(&samples::one_of_each(), None);
        let lines: Vec<&str> = text.lines().collect();
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("").starts_with("line 1: not the header of a transcript"));
        assert!(
            error("{\"format\":\"x\",\"version\":1}").starts_with("line 1: the format is \"x\"")
        );
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(
            error(&newer),
            "line 1: the transcript has version 2, this kit reads version 1"
        );
        let cut = lines[..3].join("\n");
        assert_eq!(
            error(&cut),
            format!(
                "line 3: 2 entries, the header says {}: the file is not complete",
                lines.len() - 1
            )
        );
        let mut without = lines.clone();
        without.remove(1);
        assert_eq!(
            error(&without.join("\n")),
            "line 2: entry 1 stands where entry 0 should"
        );
        let half = &text[..text.len() - 20];
        assert!(error(half).starts_with(&format!("line {}: not an entry", lines.len())));
        let hex = text.replacen("0a0142", "0a014", 1);
        assert!(
            error(&hex).contains("even number of hexadecimal digits"),
            "{}",
            error(&hex)
        );
    }
}
