//! From the notation back to a transcript.

use super::cursor::Cursor;
use super::{DEADLINE, NotationError, PHRASES, TICK, by_kit};
use crate::party::{Party, Role};
use crate::scenario::message::{self, Bindings, Scope};
use crate::transcript::decode::Decoder;
use crate::transcript::{Entry, Hop, StreamId, Transcript, What};
use crate::yaml::{Source, tree};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads what [`super::write()`] wrote. `package` is where short type names are looked up.
///
/// # Errors
/// The first place that isn't as it should be.
pub fn read(text: &str, package: &str) -> Result<Transcript, NotationError> {
    let mut lines = numbered(text).peekable();
    let (number, first) = lines.next().unwrap_or((1, ""));
    let mut cursor = Cursor::new(number, first);
    let scenario = cursor.text("the scenario's name")?;
    cursor.needs("(")?;
    let role = cursor.read("a role: sdk, proxy or stack", |word| {
        Role::ALL.into_iter().find(|role| role.to_string() == word)
    })?;
    cursor.needs(")")?;
    cursor.end()?;
    let mut bindings = BTreeMap::new();
    while let Some((number, line)) = lines.next_if(|(_, line)| line.trim_start().starts_with('$')) {
        let mut cursor = Cursor::new(number, line);
        cursor.needs("$")?;
        let name = cursor.text("a name")?;
        cursor.needs("=")?;
        bindings.insert(name, cursor.text("what the name stands for")?);
        cursor.end()?;
    }
    let names = bindings.clone().into_iter().collect();
    let entries = LineReader::new(role, package, &names).entries(lines)?;
    Ok(Transcript {
        scenario,
        role,
        bindings,
        entries,
    })
}

/// Reads lines of entries alone; `bindings` says what a `$name` in them stands for.
///
/// # Errors
/// The first place that isn't as it should be.
pub fn read_entries(
    text: &str,
    role: Role,
    package: &str,
    bindings: &Bindings,
) -> Result<Vec<Entry>, NotationError> {
    LineReader::new(role, package, bindings).entries(numbered(text))
}

/// The lines that say something, with their numbers.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let says = |line: &str| !(line.trim().is_empty() || line.trim_start().starts_with('#'));
    (1..).zip(text.lines()).filter(move |(_, line)| says(line))
}

struct LineReader<'a> {
    role: Role,
    bindings: &'a Bindings,
    /// Knows of each stream what its messages are.
    decoder: Decoder<'a>,
}

impl<'a> LineReader<'a> {
    fn new(role: Role, package: &'a str, bindings: &'a Bindings) -> LineReader<'a> {
        LineReader {
            role,
            bindings,
            decoder: Decoder::new(&[], package),
        }
    }

    fn entries<'l>(
        mut self,
        lines: impl Iterator<Item = (usize, &'l str)>,
    ) -> Result<Vec<Entry>, NotationError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (number, line) in lines {
            let expected = entries
                .last()
                .map_or(0, |last| last.at.saturating_add(TICK));
            let mut entry = self.entry(Cursor::new(number, line), expected)?;
            entry.seq = entries.len() as u64;
            self.decoder.learn(&entry);
            entries.push(entry);
        }
        Ok(entries)
    }

    fn entry(&self, mut cursor: Cursor<'_>, expected: u64) -> Result<Entry, NotationError> {
        let at = cursor.maybe(time).unwrap_or(expected);
        let marked = match (cursor.has("*"), cursor.has("~")) {
            (false, false) => None,
            (kit, _) => Some(kit),
        };
        let alone = cursor.word() == DEADLINE;
        let (hop, from) = if alone {
            (None, Party::Client)
        } else {
            parties(&mut cursor)?
        };
        let stream = if cursor.has("#") {
            let number = |word: &str| word.parse().ok();
            Some(StreamId(cursor.read("the number of a stream", number)?))
        } else {
            None
        };
        let mut entry = Entry {
            seq: 0,
            at,
            hop,
            stream,
            from,
            by_kit: false,
            what: What::HalfClose,
        };
        entry.what = self.what(&mut cursor, &entry)?;
        cursor.end()?;
        entry.by_kit = marked.unwrap_or_else(|| by_kit(from, self.role, &entry.what));
        Ok(entry)
    }

    fn what(&self, cursor: &mut Cursor<'_>, entry: &Entry) -> Result<What, NotationError> {
        if cursor.rest().starts_with('{') {
            let bytes = self.message(cursor, entry)?;
            return Ok(What::Message { bytes });
        }
        let word = cursor.word();
        match PHRASES.iter().find(|phrase| phrase.word == word) {
            Some(phrase) => {
                cursor.needs(word)?;
                (phrase.hear)(cursor)
            }
            None => {
                let words: Vec<&str> = PHRASES.iter().map(|phrase| phrase.word).collect();
                let what = format!("a message in braces or one of: {}", words.join(", "));
                Err(cursor.expected(&what))
            }
        }
    }

    /// The rest of the line as a message of the type that travels here.
    fn message(&self, cursor: &mut Cursor<'_>, entry: &Entry) -> Result<Bytes, NotationError> {
        let Some(descriptor) = self.decoder.descriptor(entry) else {
            let problem = "nothing says of which type this message is: no line above calls a known \
                           method on its stream; write `bytes` and hexadecimal digits";
            return Err(cursor.wrong_at(0, problem));
        };
        let scope = Scope {
            package: self.decoder.package,
            bindings: self.bindings,
        };
        let text = cursor.rest();
        let bytes = built(text, &descriptor, &scope)
            .map_err(|(at, problem)| cursor.wrong_at(at, problem))?;
        cursor.needs(text)?;
        Ok(bytes)
    }
}

/// A message from its tree; else where in the text it is wrong, and how.
pub(super) fn built(
    text: &str,
    descriptor: &MessageDescriptor,
    scope: &Scope<'_>,
) -> Result<Bytes, (usize, String)> {
    let source = Arc::new(Source {
        name: String::new(),
        text: text.to_owned(),
    });
    let node = tree::read(&source).map_err(|error| (error.span.start, error.message))?;
    let message = message::build(&node, descriptor, scope)
        .map_err(|error| (error.span.start, error.to_string()))?;
    Ok(message.encode_to_vec().into())
}

/// `12.345ms`, in microseconds.
fn time(word: &str) -> Option<u64> {
    let (whole, part) = word.strip_suffix("ms")?.split_once('.')?;
    let digits = part.len() == 3 && part.bytes().all(|c| c.is_ascii_digit());
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    digits.then_some(())?;
    whole.checked_mul(1_000)?.checked_add(part)
}

/// `client ▶ proxy`, or a party alone.
fn parties(cursor: &mut Cursor<'_>) -> Result<(Option<Hop>, Party), NotationError> {
    let party = |word: &str| {
        let mut all = Party::ALL.into_iter();
        all.find(|party| party.to_string() == word)
    };
    let one_of = "a party: client, proxy or function";
    let from = cursor.read(one_of, party)?;
    if !(cursor.has("▶") || cursor.has("->")) {
        return Ok((None, from));
    }
    let to = cursor.read(one_of, |word| {
        let hop = hop(from, party(word)?)?;
        Some(hop)
    })?;
    Ok((Some(to), from))
}

/// Between client and function nothing travels.
fn hop(from: Party, to: Party) -> Option<Hop> {
    match (from, to) {
        (Party::Client, Party::Proxy) | (Party::Proxy, Party::Client) => Some(Hop::Front),
        (Party::Function, Party::Proxy) | (Party::Proxy, Party::Function) => Some(Hop::Back),
        _ => None,
    }
}
