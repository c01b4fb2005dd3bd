//! Reads a log of the engine (fjall, format 3) to find out where it ends, and why there.
//!
//! ```text
//! log     batch* zeros             room that was taken before it is needed
//! batch   01 count:4 number:8      entry × count      03 checksum:8 "FJL" 03
//! entry   02 type:1 compression:1 keyspace:8 key_len:2 value_len:4 stored_len:4 key stored
//!         04 keyspace:8
//! ```
//!
//! Numbers are little-endian, the checksum is XXH3 of the entries.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// What a batch ends with.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Where a log ends.
#[derive(Debug)]
pub struct LogEnd {
    /// Behind the last complete batch.
    pub offset: u64,
    /// How many bytes follow, without the zeros at the end.
    pub rest: u64,
    /// Why they aren't another batch; nothing if there are none.
    pub reason: Option<Unreadable>,
    /// Whether complete batches are among them.
    pub more: bool,
}

impl LogEnd {
    /// Why a log mustn't end so.
    pub fn damage(&self, is_last: bool) -> Option<String> {
        let (at, left) = (self.offset, self.rest);
        let reason = match &self.reason {
            None => return None,
            Some(Unreadable::Cut) if is_last && !self.more => return None,
            Some(Unreadable::Cut) => "a batch of writes has no end".to_owned(),
            Some(Unreadable::Wrong(what)) => format!("a batch of writes can't be read ({what})"),
            Some(Unreadable::Failed(error)) => format!("reading failed: {error}"),
        };
        let more = if self.more {
            ", with complete batches"
        } else {
            ""
        };
        Some(format!(
            "at byte {at} {reason}; {left} bytes are there from here on{more}"
        ))
    }
}

/// Why there is no batch.
#[derive(Debug)]
pub enum Unreadable {
    /// Its end is missing.
    Cut,
    /// It isn't one.
    Wrong(String),
    /// The system says why.
    Failed(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Failed(error),
        }
    }
}

/// Reads a log from the first to the last byte.
pub fn read(mut source: impl Read + Seek) -> io::Result<LogEnd> {
    let mut offset = 0;
    let mut reader = BufReader::new(&mut source);
    while batch(&mut reader).is_ok() {
        offset = reader.stream_position()?;
    }
    source.seek(SeekFrom::Start(offset))?;
    let rest = without_zeros(source)?;
    let reason = match rest.is_empty() {
        true => None,
        // Without the zeros, so that a batch that was cut off is seen to be.
        false => batch(&mut rest.as_slice()).err(),
    };
    let begins = |(at, byte): (usize, &u8)| *byte == START && batch(&mut &rest[at..]).is_ok();
    let ends = rest.ends_with(&TRAILER);
    Ok(LogEnd {
        offset,
        rest: rest.len() as u64,
        reason,
        more: ends || rest.iter().enumerate().any(begins),
    })
}

/// What is left to be read, without the zeros at its end, of which there may be many.
fn without_zeros(mut source: impl Read) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    let mut zeros = 0;
    let mut chunk = vec![0; 1 << 16];
    let all_zeros = vec![0; chunk.len()];
    loop {
        let length = source.read(&mut chunk)?;
        let chunk = &chunk[..length];
        if chunk.is_empty() {
            return Ok(rest);
        }
        // As a whole first, for most of a log is room that nobody took.
        if chunk == &all_zeros[..length] {
            zeros += length;
            continue;
        }
        let used = chunk
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        rest.resize(rest.len() + zeros, 0);
        rest.extend_from_slice(&chunk[..used]);
        zeros = length - used;
    }
}

/// Reads a batch.
fn batch(reader: &mut impl Read) -> Result<(), Unreadable> {
    let [tag] = bytes(reader)?;
    if tag != START {
        return Err(wrong("it begins with the tag", tag));
    }
    let count = u32::from_le_bytes(bytes(reader)?);
    let _number: [u8; 8] = bytes(reader)?;
    let mut checksum = Xxh3::new();
    for _ in 0..count {
        entry(reader, &mut checksum)?;
    }
    let [tag] = bytes(reader)?;
    if tag != END {
        return Err(wrong("where it should end is the tag", tag));
    }
    let stored = u64::from_le_bytes(bytes(reader)?);
    let trailer: [u8; 4] = bytes(reader)?;
    if trailer != TRAILER {
        return Err(Unreadable::Wrong("its last bytes are others".to_owned()));
    }
    if stored != checksum.digest() {
        return Err(Unreadable::Wrong("its checksum is another".to_owned()));
    }
    Ok(())
}

fn entry(reader: &mut impl Read, checksum: &mut Xxh3) -> Result<(), Unreadable> {
    let tag: [u8; 1] = bytes(reader)?;
    checksum.update(&tag);
    match tag[0] {
        ITEM => {
            let head: [u8; 20] = bytes(reader)?;
            checksum.update(&head);
            let [value_type, compression, ..] = head;
            if compression > 1 {
                return Err(wrong("an entry has the compression", compression));
            }
            if !matches!(value_type, 0 | 1 | 2 | 4) {
                return Err(wrong("an entry has the type", value_type));
            }
            let key = u16::from_le_bytes([head[10], head[11]]);
            let stored = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
            skip(reader, u64::from(key) + u64::from(stored), checksum)
        }
        CLEAR => {
            let keyspace: [u8; 8] = bytes(reader)?;
            checksum.update(&keyspace);
            Ok(())
        }
        tag => Err(wrong("an entry has the tag", tag)),
    }
}

fn wrong(what: &str, value: u8) -> Unreadable {
    Unreadable::Wrong(format!("{what} {value}"))
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads so many bytes for nothing but the checksum: what is damaged may say any length.
fn skip(reader: &mut impl Read, length: u64, checksum: &mut Xxh3) -> Result<(), Unreadable> {
    let mut left = length;
    let mut chunk = [0; 1 << 12];
    while left > 0 {
        let next = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        reader.read_exact(&mut chunk[..next])?;
        checksum.update(&chunk[..next]);
        left -= next as u64;
    }
    Ok(())
}
