//! (4) What was seen: ordered entries on the two hops, all that the judge knows of a run.
//!
//! A send is stamped before its bytes leave, a receive after it is read, in one sequence; [`Recorder`] is the
//! only writer.

pub mod decode;
pub mod file;
#[cfg(test)]
pub(crate) mod notation;
#[cfg(test)]
pub(crate) mod samples;
pub mod text;

use crate::party::{Party, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

/// A stream (one gRPC call) in one transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u32);

/// The two hops of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// client – proxy.
    Front,
    /// proxy – function.
    Back,
}

/// One thing that was sent, received or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the transcript, from 0.
    pub seq: u64,
    /// Microseconds since the scenario began.
    pub at: u64,
    /// On which hop; absent for what the kit does to a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
    /// On which stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// Who sent or did it.
    pub from: Party,
    /// The kit sent it itself (else it was received, or seen passing).
    pub by_kit: bool,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// How much a fault takes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// Nothing: the stream goes on.
    #[default]
    Nothing,
    /// The stream.
    Stream,
    /// The connection, with every stream on it.
    Connection,
}

impl Lost {
    fn is_nothing(&self) -> bool {
        *self == Lost::Nothing
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A call begins: its path and metadata.
    Open {
        /// `/package.Service/Method`.
        path: String,
        /// Request headers that are not the transport's own, names in lower case.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metadata: Vec<(String, String)>,
    },
    /// Response headers.
    Headers {
        /// Headers that are not the transport's own, names in lower case.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metadata: Vec<(String, String)>,
    },
    /// One gRPC message.
    Message {
        /// The bytes, hexadecimal in the file.
        #[serde(with = "hex_bytes")]
        bytes: bytes::Bytes,
    },
    /// The caller's side is complete.
    HalfClose,
    /// The call is over, with a status (the called side's), and whether it came as gRPC trailers or was made up
    /// from a broken transport.
    End {
        /// gRPC status code.
        code: i32,
        /// Status message.
        #[serde(default)]
        message: String,
        /// `false`: the transport broke (reset, connection lost, no trailers).
        trailers: bool,
    },
    /// The caller gave the call up.
    Cancel,
    /// The kit broke something below the messages.
    Fault {
        /// In words.
        what_broke: String,
        /// What is lost by it.
        #[serde(default, skip_serializing_if = "Lost::is_nothing")]
        lost: Lost,
    },
    /// The kit killed the process of this party.
    Killed,
    /// The kit started the process of this party.
    Started,
    /// A deadline passed while the play waited.
    Deadline {
        /// What for, as a person would say it.
        waited_for: String,
    },
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &bytes::Bytes, s: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write;
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        s.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<bytes::Bytes, D::Error> {
        let text = String::deserialize(d)?;
        let nibble = |c: u8| (c as char).to_digit(16).map(|n| n as u8);
        let digits: Option<Vec<u8>> = text.bytes().map(nibble).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => Ok(digits
                .chunks(2)
                .map(|c| (c[0] << 4) | c[1])
                .collect::<Vec<u8>>()
                .into()),
            _ => Err(D::Error::custom(
                "expected an even number of hexadecimal digits",
            )),
        }
    }
}

/// Everything about one play of one scenario: enough to judge it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transcript {
    /// `suite/id`, and `[choice]` where the chart was played once for each choice.
    pub scenario: String,
    /// Who was under test.
    pub role: Role,
    /// The fresh values of `$names`.
    pub bindings: BTreeMap<String, String>,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

/// The one writer of a transcript's entries: stamps them with number and time.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    entries: Vec<Entry>,
    streams: u32,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            began: Instant::now(),
            entries: Vec::new(),
            streams: 0,
        }
    }
}

impl Recorder {
    /// A new stream's number.
    pub fn stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId(self.streams)
    }

    /// Adds an entry and gives it back with its number and time.
    pub fn record(
        &mut self,
        hop: Option<Hop>,
        stream: Option<StreamId>,
        from: Party,
        by_kit: bool,
        what: What,
    ) -> &Entry {
        let index = self.entries.len();
        let at = self.began.elapsed().as_micros() as u64;
        self.entries.push(Entry {
            seq: index as u64,
            at,
            hop,
            stream,
            from,
            by_kit,
            what,
        });
        &self.entries[index]
    }

    /// What was recorded so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The end: all entries.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
