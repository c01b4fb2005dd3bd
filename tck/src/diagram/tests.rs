//! Approved drawings.

use super::*;
use crate::finding::{Mismatch, Severity};
use crate::scenario::read;
use crate::transcript::samples::{self, decode, message};
use crate::transcript::{Hop, What};
use crate::yaml::Source;
use std::sync::Arc;

/// Charts that together use every word of the language.
fn charts() -> Vec<Scenario> {
    let text = include_str!("charts.yaml").to_owned();
    let source = Arc::new(Source {
        name: "charts.yaml".into(),
        text,
    });
    read::read(&source).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn charts_in(role: Role) -> String {
    let mut all = String::new();
    for scenario in charts() {
        let drawing = chart(&scenario, role);
        for line in drawing.lines() {
            assert!(
                line.chars().count() <= 100,
                "wider than 100 columns: {line}"
            );
        }
        all.push_str(&format!("{}\n{drawing}\n", scenario.title));
    }
    all
}

#[test]
fn charts_for_a_proxy() {
    insta::assert_snapshot!(charts_in(Role::Proxy));
}

#[test]
fn charts_for_a_function_have_no_client() {
    let drawn = charts_in(Role::Sdk);
    insta::assert_snapshot!(drawn);
}

#[test]
fn a_chart_as_an_image_has_every_arrow() {
    for scenario in charts() {
        let arrows = chart::rows(&scenario, Role::Stack);
        let arrows = arrows
            .iter()
            .filter(|row| matches!(row, DrawnRow::Arrow { .. }))
            .count();
        assert_eq!(
            chart_svg(&scenario, Role::Stack)
                .matches("marker-end")
                .count(),
            arrows
        );
    }
}

fn finding(entry: u64, requirement: &str, summary: &str) -> Finding {
    Finding {
        requirement: requirement.into(),
        severity: Severity::Failure,
        blame: Some(Party::Proxy),
        summary: summary.into(),
        mismatches: Vec::new(),
        step: None,
        entry: Some(entry),
        consequence: false,
    }
}

fn drawn(transcript: &Transcript, findings: &[Finding]) -> String {
    let drawing = entries(&transcript.entries, transcript.role, findings, &decode);
    for line in drawing.lines() {
        assert!(
            line.chars().count() <= 100,
            "wider than 100 columns: {line}"
        );
    }
    drawing
}

#[test]
fn every_kind_of_entry_has_a_row() {
    insta::assert_snapshot!(drawn(&samples::one_of_each(), &[]));
}

#[test]
fn where_it_went_wrong_is_marked() {
    let mut root = finding(
        10,
        "commands.answers-its-caller",
        "the client got another answer than the function gave to its command, and a rather long one at that",
    );
    root.mismatches = vec![Mismatch {
        path: "message".into(),
        expected: "B".into(),
        received: "AAAA ".repeat(200),
    }];
    let mut follows = finding(11, "commands.status", "the call ends with OK");
    follows.consequence = true;
    let mut without_place = finding(0, "streams.tidy", "something is missing");
    without_place.entry = None;
    insta::assert_snapshot!(drawn(
        &samples::one_of_each(),
        &[root, follows, without_place]
    ));
}

/// Init, so many events, and a command that isn't as it should be.
fn replay(events: usize) -> Transcript {
    let back = Some(Hop::Back);
    let open = What::Open {
        path: "/x.Y/handle".into(),
        metadata: Vec::new(),
    };
    let start = [
        (back, 1, Party::Proxy, false, open),
        (back, 1, Party::Proxy, false, message("{ init: {} }")),
    ];
    let events = (1..=events).map(|number| {
        (
            back,
            1,
            Party::Proxy,
            false,
            message(&format!("{{ event: {{ sequence: {number} }} }}")),
        )
    });
    let command = (
        back,
        1,
        Party::Proxy,
        false,
        message("{ command: { id: 1 } }"),
    );
    samples::transcript(start.into_iter().chain(events).chain([command]))
}

#[test]
fn a_long_replay_is_two_rows() {
    let drawing = drawn(
        &replay(10_000),
        &[finding(10_002, "commands.ids", "the id is 1")],
    );
    assert!(drawing.contains("… 9,998 more"), "{drawing}");
    insta::assert_snapshot!(drawing);
}

#[test]
fn a_finding_inside_a_run_is_not_left_out() {
    let drawing = drawn(
        &replay(10_000),
        &[finding(5_000, "replay.order", "4999 comes after 4999")],
    );
    assert!(drawing.contains("✗ replay.order"), "{drawing}");
    assert!(drawing.lines().count() < 40, "{drawing}");
}

#[test]
fn a_long_conversation_is_shown_near_its_finding() {
    let back = Some(Hop::Back);
    let turns = (1..=500).flat_map(|number| {
        let command = message(&format!("{{ command: {{ id: {number} }} }}"));
        let reply = message(&format!("{{ reply: {{ command_id: {number} }} }}"));
        [
            (back, 1, Party::Proxy, false, command),
            (back, 1, Party::Function, true, reply),
        ]
    });
    let transcript = samples::transcript(turns);
    let drawing = drawn(
        &transcript,
        &[finding(500, "commands.order", "251 comes too early")],
    );
    assert!(drawing.contains("✗ commands.order"), "{drawing}");
    assert!(drawing.lines().count() < 70, "{drawing}");
    insta::assert_snapshot!(drawing);
}

#[test]
fn an_empty_transcript_has_heads_alone() {
    let mut transcript = samples::one_of_each();
    transcript.entries.clear();
    assert_eq!(drawn(&transcript, &[]).lines().count(), 2);
}

#[test]
fn svg_is_well_formed_and_has_the_marks() {
    let transcript = samples::one_of_each();
    let rows = seen::rows(
        &transcript.entries,
        &[finding(10, "a.b", "less < more & \"quotes\"")],
        &decode,
    );
    let svg = svg::draw(&Heads::of(transcript.role), &rows);
    assert!(svg.contains("less &lt; more &amp;"), "{svg}");
    assert!(svg.contains("class=\"wrong\""), "{svg}");
    insta::assert_snapshot!(svg);
}
