//! Charts and transcripts drawn as sequence diagrams: three lifelines, an arrow for each message, text beside it.
//!
//! The chart's side turns what should happen into rows, the transcript's side what did; text and SVG draw rows.
//! The rows know nothing of scenarios, the drawings nothing of columns.

mod chart;
mod seen;
mod svg;
mod text;
mod words;

use crate::finding::Finding;
use crate::party::{Party, Role};
use crate::scenario::Scenario;
use crate::transcript::decode::Decoder;
use crate::transcript::{Entry, Transcript};

/// One row of a drawing, with text beside it: paragraphs.
#[derive(Clone, Debug, PartialEq)]
enum DrawnRow {
    /// From one lifeline to a neighbour.
    Arrow {
        from: Party,
        to: Party,
        line: Line,
        text: Vec<String>,
    },
    /// Something that happens at a party, or that is only said.
    Note {
        at: Option<Party>,
        text: Vec<String>,
    },
    /// What is wrong with the row above.
    Wrong { text: Vec<String> },
    /// A frame begins; its title.
    Open { title: String },
    /// The next alternative of a frame.
    Divide,
    /// A frame ends.
    Close,
    /// Rows that were left out.
    Gap { rows: usize },
}

/// How an arrow is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A message.
    Solid,
    /// A beginning or an end of a stream.
    Dashed,
    /// Where it went wrong.
    Heavy,
}

/// What stands at the head of the lifelines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heads {
    /// Below the names, from left to right: who plays whom.
    players: [&'static str; 3],
}

impl Heads {
    fn of(role: Role) -> Heads {
        let player = |party| match (role, party) {
            (Role::Sdk, Party::Client) => "",
            _ if role.kit_plays(party) => "kit",
            _ => "under test",
        };
        Heads {
            players: Party::ALL.map(player),
        }
    }
}

/// What should happen in a role, drawn.
pub fn chart(scenario: &Scenario, role: Role) -> String {
    text::draw(&Heads::of(role), &chart::rows(scenario, role))
}

/// The same as an SVG image.
pub fn chart_svg(scenario: &Scenario, role: Role) -> String {
    svg::draw(&Heads::of(role), &chart::rows(scenario, role))
}

/// What happened, with the places where it went wrong. Long runs of equal kind, and what is far from a finding in
/// a long transcript, are left out.
pub fn transcript(transcript: &Transcript, findings: &[Finding], package: &str) -> String {
    let decoder = Decoder::new(&transcript.entries, package);
    entries(&transcript.entries, transcript.role, findings, &|entry| {
        decoder.summary(entry)
    })
}

/// The same as an SVG image.
#[expect(dead_code, reason = "for a report with pictures")]
pub fn transcript_svg(transcript: &Transcript, findings: &[Finding], package: &str) -> String {
    let decoder = Decoder::new(&transcript.entries, package);
    let rows = seen::rows(&transcript.entries, findings, &|entry| {
        decoder.summary(entry)
    });
    svg::draw(&Heads::of(transcript.role), &rows)
}

/// Entries drawn; `decode` says what the bytes of a message mean.
pub fn entries(
    entries: &[Entry],
    role: Role,
    findings: &[Finding],
    decode: &dyn Fn(&Entry) -> String,
) -> String {
    text::draw(&Heads::of(role), &seen::rows(entries, findings, decode))
}

#[cfg(test)]
mod tests;
