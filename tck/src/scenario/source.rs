//! Positions in source files, and errors that point there.

use std::fmt;
use std::sync::Arc;

/// A file that was read: its name as the user knows it, and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Path or other name, printed in errors.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A range of bytes in a source.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Source {
    /// Line and column of a byte, both from 1; columns count characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// What is wrong in a file, where, and what was allowed.
#[derive(Clone, Debug)]
pub struct SourceError {
    /// The file.
    pub source: Arc<Source>,
    /// The culprit.
    pub span: Span,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What would have been allowed, or what to do.
    pub help: Option<String>,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.source.position(self.span.start);
        writeln!(f, "{}:{line}:{column}: {}", self.source.name, self.message)?;
        if let Some(text) = self.source.text.lines().nth(line - 1) {
            let width = self
                .source
                .text
                .get(self.span.start..self.span.end)
                .map_or(1, |t| {
                    t.lines().next().map_or(1, |l| l.chars().count().max(1))
                });
            writeln!(f, "  {line:>4} | {text}")?;
            write!(
                f,
                "       | {}{}",
                " ".repeat(column - 1),
                "^".repeat(width)
            )?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}

/// What would have been allowed in place of a word, the likeliest first.
pub fn allowed<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.collect();
    let list = format!("allowed: {}", known.join(", "));
    match closest(word, known.into_iter()) {
        Some(near) => format!("did you mean {near}? {list}"),
        None => list,
    }
}

/// The word that was probably meant; `None`: none is like it.
pub fn closest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(name, word);
    // Two slips of the finger, but not all of the word.
    known
        .min_by_key(distance)
        .filter(|name| distance(name) <= 2 && distance(name) < word.chars().count())
}
