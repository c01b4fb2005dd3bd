//! From a transcript to its notation.

use super::read::built;
use super::{DEADLINE, PHRASES, TICK, by_kit};
use crate::party::{Party, Role};
use crate::scenario::message;
use crate::transcript::decode::Decoder;
use crate::transcript::{Entry, Transcript, What, text};
use prost_reflect::DynamicMessage;
use std::fmt::Write as _;

/// The whole transcript. `package` is where short type names are looked up.
pub fn write(transcript: &Transcript, package: &str) -> String {
    let name = message::quoted(&transcript.scenario);
    let mut out = format!("{name} ({})\n", transcript.role);
    for (name, value) in &transcript.bindings {
        let (name, value) = (message::quoted(name), message::quoted(value));
        let _ = writeln!(out, "${name} = {value}");
    }
    // As the reader does: it knows of a stream what the lines above say.
    let mut decoder = Decoder::new(&[], package);
    let mut expected = 0;
    for entry in &transcript.entries {
        if entry.at != expected {
            let _ = write!(out, "{}.{:03}ms ", entry.at / 1_000, entry.at % 1_000);
        }
        expected = entry.at.saturating_add(TICK);
        out.push_str(&write_entry(entry, transcript.role, &decoder));
        out.push('\n');
        decoder.learn(entry);
    }
    out
}

/// One entry, without its time.
fn write_entry(entry: &Entry, role: Role, decoder: &Decoder<'_>) -> String {
    let mut out = String::new();
    match (by_kit(entry.from, role, &entry.what), entry.by_kit) {
        (false, true) => out.push('*'),
        (true, false) => out.push('~'),
        _ => {}
    }
    let deadline = matches!(entry.what, What::Deadline { .. });
    let alone = deadline && entry.from == Party::Client && entry.stream.is_none();
    match text::receiver(entry) {
        Some(to) => {
            let _ = write!(out, "{} ▶ {to} ", entry.from);
        }
        None if alone => {}
        None => {
            let _ = write!(out, "{} ", entry.from);
        }
    }
    if let Some(stream) = entry.stream {
        let _ = write!(out, "#{stream} ");
    }
    out.push_str(&said(entry, decoder));
    out
}

fn said(entry: &Entry, decoder: &Decoder<'_>) -> String {
    if let Some(tree) = tree(entry, decoder) {
        return tree;
    }
    let phrase = PHRASES.iter().find_map(|phrase| {
        let rest = (phrase.say)(&entry.what)?;
        Some(format!("{} {rest}", phrase.word).trim_end().to_owned())
    });
    phrase.unwrap_or_else(|| DEADLINE.to_owned())
}

/// A message as a scenario would write it, if that is the same message again, bit by bit.
fn tree(entry: &Entry, decoder: &Decoder<'_>) -> Option<String> {
    let What::Message { bytes } = &entry.what else {
        return None;
    };
    let descriptor = decoder.descriptor(entry)?;
    let decoded = DynamicMessage::decode(descriptor.clone(), bytes.clone()).ok()?;
    let text = message::flow(&message::to_node(&decoded, decoder.package));
    let bindings = message::Bindings::new();
    let scope = message::Scope {
        package: decoder.package,
        bindings: &bindings,
    };
    let again = built(&text, &descriptor, &scope).ok()?;
    (again == *bytes).then_some(text)
}
