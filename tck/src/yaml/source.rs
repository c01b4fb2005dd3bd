//! Positions in source files, and errors that point there.

use crate::text::cut;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Larger sources are an error: what is long is written with `$repeat`.
const SIZE: usize = 4 << 20;

/// Characters of a line that an error shows.
const EXCERPT: usize = 160;

/// Characters of a sentence of an error: names in it come from the file.
const SENTENCE: usize = 2000;

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
    /// A file that the user named.
    ///
    /// # Errors
    /// It can't be read, is too large, or isn't text: that with the place.
    pub fn read(path: &Path) -> Result<Source, SourceError> {
        let named = |text: String| Source {
            name: path.display().to_string(),
            text,
        };
        let failed = |source: Source, start: usize, message: String| SourceError {
            source: Arc::new(source),
            span: Span { start, end: start },
            message,
            help: None,
        };
        // One byte more is enough to know that it is too large.
        let bytes = read_at_most(path, SIZE + 1).map_err(|error| {
            let message = format!("this file can't be read: {error}");
            failed(named(String::new()), 0, message)
        })?;
        if bytes.len() > SIZE {
            return Err(Source::too_large(path.display().to_string()));
        }
        String::from_utf8(bytes).map(named).map_err(|error| {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let start = error.utf8_error().valid_up_to();
            let message = "this is not UTF-8; save the file in that encoding".to_owned();
            failed(named(text), start, message)
        })
    }

    /// There is too much in it.
    pub(super) fn is_too_large(&self) -> bool {
        self.text.len() > SIZE
    }

    /// What is said of such a source; its text would help nobody.
    pub(super) fn too_large(name: String) -> SourceError {
        let text = String::new();
        SourceError {
            source: Arc::new(Source { name, text }),
            span: Span::default(),
            message: format!("the file is larger than {SIZE} bytes"),
            help: Some("split the file; write what is long with $repeat".to_owned()),
        }
    }

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
        let message = cut(&self.message, SENTENCE);
        writeln!(f, "{}:{line}:{column}: {message}", self.source.name)?;
        if let Some(text) = self.source.text.lines().nth(line - 1) {
            let width = self
                .source
                .text
                .get(self.span.start..self.span.end)
                .map_or(1, |t| {
                    t.lines().next().map_or(1, |l| l.chars().count().max(1))
                });
            let (text, column, width) = excerpt(text, column, width);
            writeln!(f, "  {line:>4} | {text}")?;
            write!(
                f,
                "       | {}{}",
                " ".repeat(column - 1),
                "^".repeat(width)
            )?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", cut(help, SENTENCE))?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}

/// A file's bytes, and no more of them than this, whatever the file is.
pub(crate) fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What of a line is shown around a column: the text, and column and width in it. Every character takes one column.
fn excerpt(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let skipped = match line.chars().nth(EXCERPT) {
        None => 0,
        Some(_) => column.saturating_sub(EXCERPT / 2),
    };
    let mut rest = line.chars().map(plain).skip(skipped);
    let mut text: String = rest.by_ref().take(EXCERPT).collect();
    let (mut column, shown) = (column - skipped, text.chars().count());
    let width = width.min((shown + 1).saturating_sub(column).max(1));
    if rest.next().is_some() {
        text.push('…');
    }
    if skipped > 0 {
        text.insert(0, '…');
        column += 1;
    }
    (text, column, width)
}

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
    let length = word.chars().count();
    // Two slips of the finger, but not all of the word. A word of another length isn't worth the comparison, which
    // takes long if the word is.
    known
        .filter(|name| name.chars().count().abs_diff(length) <= 2)
        .min_by_key(distance)
        .filter(|name| distance(name) <= 2 && distance(name) < length)
}

#[cfg(test)]
mod tests {
    use crate::yaml::source::*;

    fn said(text: String, span: Span) -> String {
        let error = SourceError {
            source: Arc::new(Source {
                name: "a.yaml".to_owned(),
                text,
            }),
            span,
            message: "no".to_owned(),
            help: None,
        };
        error.to_string()
    }

    #[test]
    fn of_a_long_line_only_the_surroundings_are_shown() {
        let text = format!("{}HERE{}", "é".repeat(5000), "b".repeat(5000));
        let start = 2 * 5000;
        let told = said(
            text.clone(),
            Span {
                start,
                end: start + 4,
            },
        );
        assert!(told.starts_with("a.yaml:1:5001: no"), "{told}");
        let lines: Vec<&str> = told.lines().collect();
        let [_, shown, caret] = lines[..] else {
            panic!("{told}");
        };
        assert!(shown.chars().count() < 200, "{told}");
        let column = |line: &str, c| line.chars().position(|found| found == c);
        assert_eq!(column(shown, 'H'), column(caret, '^'), "{told}");
        assert!(caret.ends_with(" ^^^^"), "{told}");
        let all = said(
            text,
            Span {
                start: 0,
                end: 10_004,
            },
        );
        assert!(all.chars().count() < 500, "{all}");
        let end = said(
            "x".repeat(500),
            Span {
                start: 500,
                end: 500,
            },
        );
        assert!(end.ends_with(" ^"), "{end}");
    }

    #[test]
    fn a_tab_takes_one_column() {
        let told = said("\ta: b".to_owned(), Span { start: 1, end: 2 });
        assert!(told.ends_with("1 |  a: b\n       |  ^"), "{told}");
    }

    #[test]
    fn what_cant_be_read_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let told = Source::read(&path).unwrap_err().to_string();
            told.replace(folder.path().to_str().unwrap(), "FOLDER")
        };
        let latin = told("latin.yaml", b"suite: a\ntitle: caf\xe9 here\n");
        assert!(
            latin.starts_with("FOLDER/latin.yaml:2:11: this is not UTF-8"),
            "{latin}"
        );
        let large = told("large.yaml", &vec![b'a'; 5 << 20]);
        assert!(large.contains("larger than 4194304 bytes"), "{large}");
        assert!(large.len() < 300, "{large}");
        let endless = Source::read(Path::new("/dev/zero"))
            .unwrap_err()
            .to_string();
        assert!(endless.contains("larger than"), "{endless}");
    }
}
