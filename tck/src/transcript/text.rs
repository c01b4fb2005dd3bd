//! A transcript as text: one line an entry, with the time since the scenario began.

use super::decode::Decoder;
use super::{Entry, Hop, Transcript, What};
use crate::party::Party;
use crate::text::clean;
use std::fmt::Write as _;

/// The whole transcript. `package` is where short type names are looked up.
pub fn render(transcript: &Transcript, package: &str) -> String {
    let decoder = Decoder::new(&transcript.entries, package);
    entries(transcript, &|entry| decoder.summary(entry))
}

/// The same; `decode` says what the bytes of a message mean.
pub fn entries(transcript: &Transcript, decode: &dyn Fn(&Entry) -> String) -> String {
    let mut out = format!("{} ({})\n", clean(&transcript.scenario), transcript.role);
    for (name, value) in &transcript.bindings {
        let _ = writeln!(out, "  ${} = {}", clean(name), clean(value));
    }
    for entry in &transcript.entries {
        out.push_str(&line(entry, decode));
        out.push('\n');
    }
    out
}

/// `   12.345 ms  proxy ▶ function  #2 message {…}`; a `*` before the sender: the kit did it.
pub fn line(entry: &Entry, decode: &dyn Fn(&Entry) -> String) -> String {
    let who = match receiver(entry) {
        Some(to) => format!("{} ▶ {to}", entry.from),
        None if matches!(entry.what, What::Deadline { .. }) => String::new(),
        None => entry.from.to_string(),
    };
    let kit = if entry.by_kit { '*' } else { ' ' };
    let stream = entry
        .stream
        .map(|stream| format!("#{stream} "))
        .unwrap_or_default();
    let (ms, us) = (entry.at / 1000, entry.at % 1000);
    let what = clean(&describe(entry, decode)).replace('\n', " ");
    format!(
        "{:>5} {ms:>6}.{us:03} ms {kit}{who:<16}  {stream}{what}",
        entry.seq
    )
}

/// Whom an entry goes to; `None` for what happens at one party.
pub fn receiver(entry: &Entry) -> Option<Party> {
    match (entry.hop?, entry.from) {
        (Hop::Front, Party::Proxy) => Some(Party::Client),
        (Hop::Front, _) => Some(Party::Proxy),
        (Hop::Back, Party::Proxy) => Some(Party::Function),
        (Hop::Back, _) => Some(Party::Proxy),
    }
}

/// What an entry is, in words; `decode` says what the bytes of a message mean.
pub fn describe(entry: &Entry, decode: &dyn Fn(&Entry) -> String) -> String {
    match &entry.what {
        What::Open { path, metadata } => format!("calls {path}{}", list(metadata)),
        What::Headers { metadata } => format!("headers{}", list(metadata)),
        What::Message { .. } => decode(entry),
        What::HalfClose => "half-close".to_owned(),
        What::End {
            code,
            message,
            trailers,
        } => {
            let broken = if *trailers {
                ""
            } else {
                ", without trailers: the transport broke"
            };
            let message = if message.is_empty() {
                String::new()
            } else {
                format!(" {message:?}")
            };
            format!("ends with {}{message}{broken}", status_name(*code))
        }
        What::Cancel => "cancels the call".to_owned(),
        What::Fault { what_broke, .. } => what_broke.clone(),
        What::Killed => format!("the {} is killed", entry.from),
        What::Started => format!("the {} is started", entry.from),
        What::Deadline { waited_for } => format!("nothing more came; awaited was {waited_for}"),
    }
}

fn list(metadata: &[(String, String)]) -> String {
    if metadata.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = metadata
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!(" {{ {} }}", pairs.join(", "))
}

/// The names of the gRPC status codes, by number.
const STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a gRPC status code, or its number.
fn status_name(code: i32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| STATUS.get(code));
    known.map_or_else(|| code.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn one_line_an_entry() {
        insta::assert_snapshot!(entries(&samples::one_of_each(), &samples::decode));
    }
}
