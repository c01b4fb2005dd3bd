//! What happened, as rows: entries of a transcript, and below them what is wrong with them.

use super::{DrawnRow, Line};
use crate::finding::{Finding, Mismatch};
use crate::party::Party;
use crate::text::cut;
use crate::transcript::text::{describe, receiver};
use crate::transcript::{Entry, Hop, What};

/// Characters of one paragraph.
const PARAGRAPH: usize = 300;
/// Rows of one kind in a row before those between the first and the last are left out.
const RUN: usize = 6;
/// Rows of a whole drawing before those far from a finding are left out.
const ROWS: usize = 60;
/// Rows that stay at the beginning, before and after a finding, and at the end.
const KEPT: [usize; 4] = [6, 24, 6, 3];
/// Mismatches shown in the drawing; all of them stand in the diff.
const MISMATCHES: usize = 3;

pub(super) fn rows(
    entries: &[Entry],
    findings: &[Finding],
    decode: &dyn Fn(&Entry) -> String,
) -> Vec<DrawnRow> {
    let mut all: Vec<Seen> = Vec::new();
    for entry in entries.iter().filter(|entry| worth_a_row(entry)) {
        all.push(seen(entry, findings, decode));
    }
    // An objection to an entry that has no row, or to none, stands at the end.
    let homeless: Vec<&Finding> = findings
        .iter()
        .filter(|f| {
            f.entry
                .is_none_or(|seq| !entries.iter().any(|e| e.seq == seq && worth_a_row(e)))
        })
        .collect();
    let mut rows = shorten_whole(shorten_runs(all));
    rows.extend(homeless.into_iter().map(wrong));
    rows
}

/// An entry's row, what is wrong with it, and what it has in common with its neighbours in a run.
struct Seen {
    row: DrawnRow,
    wrong: Vec<DrawnRow>,
    kind: Option<(Party, Option<Hop>, String)>,
}

/// Headers without metadata say nothing.
fn worth_a_row(entry: &Entry) -> bool {
    !matches!(&entry.what, What::Headers { metadata } if metadata.is_empty())
}

fn seen(entry: &Entry, findings: &[Finding], decode: &dyn Fn(&Entry) -> String) -> Seen {
    let wrong: Vec<DrawnRow> = findings
        .iter()
        .filter(|f| f.entry == Some(entry.seq))
        .map(wrong)
        .collect();
    let stream = entry
        .stream
        .map(|stream| format!("#{stream} "))
        .unwrap_or_default();
    let text = vec![cut(
        &format!("{stream}{}", describe(entry, decode)),
        PARAGRAPH,
    )];
    let kind = matches!(entry.what, What::Message { .. })
        .then(|| (entry.from, entry.hop, first_words(&text[0])));
    let line = match (&entry.what, wrong.is_empty()) {
        (_, false) => Line::Heavy,
        (What::Message { .. }, _) => Line::Solid,
        _ => Line::Dashed,
    };
    let row = match receiver(entry) {
        Some(to) => DrawnRow::Arrow {
            from: entry.from,
            to,
            line,
            text,
        },
        None if matches!(entry.what, What::Deadline { .. }) => DrawnRow::Note { at: None, text },
        None => DrawnRow::Note {
            at: Some(entry.from),
            text,
        },
    };
    Seen { row, wrong, kind }
}

/// Stream and first field: `#2 { event:`.
fn first_words(text: &str) -> String {
    text.split_inclusive(':').next().unwrap_or(text).to_owned()
}

fn wrong(finding: &Finding) -> DrawnRow {
    let sign = if finding.consequence {
        "↳ follows: "
    } else {
        "✗ "
    };
    let mut text = vec![
        format!("{sign}{}", finding.requirement),
        finding.summary.clone(),
    ];
    if !finding.consequence {
        text.extend(
            finding
                .mismatches
                .iter()
                .take(MISMATCHES)
                .flat_map(contrast),
        );
        if let Some(more @ 1..) = finding.mismatches.len().checked_sub(MISMATCHES) {
            text.push(format!("and {more} more differences"));
        }
    }
    DrawnRow::Wrong {
        text: text
            .iter()
            .map(|paragraph| cut(paragraph, PARAGRAPH))
            .collect(),
    }
}

fn contrast(mismatch: &Mismatch) -> [String; 2] {
    let path = if mismatch.path.is_empty() {
        String::new()
    } else {
        format!("{}: ", mismatch.path)
    };
    // Lines of their own are for the diff.
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        format!("expected {path}{}", one_line(&mismatch.expected)),
        format!("received {path}{}", one_line(&mismatch.received)),
    ]
}

/// Of many rows of one kind in a row, the first and the last stay.
fn shorten_runs(all: Vec<Seen>) -> Vec<Vec<DrawnRow>> {
    let same = |a: &Seen, b: &Seen| {
        a.kind.is_some() && a.kind == b.kind && a.wrong.is_empty() && b.wrong.is_empty()
    };
    let mut groups = Vec::new();
    for run in all.chunk_by(same) {
        let block = |seen: &Seen| {
            let mut rows = vec![seen.row.clone()];
            rows.extend(seen.wrong.iter().cloned());
            rows
        };
        match run {
            [first, between @ .., last] if run.len() > RUN => {
                groups.push(block(first));
                groups.push(vec![DrawnRow::Gap {
                    rows: between.len(),
                }]);
                groups.push(block(last));
            }
            _ => groups.extend(run.iter().map(block)),
        }
    }
    groups
}

/// Of a long drawing, what is near its beginning, its end and its findings stays.
fn shorten_whole(groups: Vec<Vec<DrawnRow>>) -> Vec<DrawnRow> {
    if groups.len() <= ROWS {
        return groups.concat();
    }
    let [start, before, after, end] = KEPT;
    let marked: Vec<usize> = (0..groups.len())
        .filter(|at| groups[*at].len() > 1)
        .collect();
    let keep = |at: usize| {
        at < start
            || at + end >= groups.len()
            || marked
                .iter()
                .any(|mark| at + before >= *mark && at <= mark + after)
    };
    let mut rows = Vec::new();
    let mut left_out = 0;
    for (at, group) in groups.iter().enumerate() {
        if !keep(at) {
            left_out += group
                .iter()
                .map(|row| {
                    if let DrawnRow::Gap { rows } = row {
                        *rows
                    } else {
                        1
                    }
                })
                .sum::<usize>();
            continue;
        }
        if left_out > 0 {
            rows.push(DrawnRow::Gap {
                rows: std::mem::take(&mut left_out),
            });
        }
        rows.extend(group.iter().cloned());
    }
    rows
}
