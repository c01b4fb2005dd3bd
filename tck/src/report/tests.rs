//! Approved renderings of a made-up report that has one of everything.

use super::*;
use crate::finding::{Finding, Mismatch, Severity};
use crate::party::Party;
use crate::requirement::Level;
use paint::Paint;

fn finding(requirement: &str, severity: Severity, blame: Option<Party>, summary: &str) -> Finding {
    Finding {
        requirement: requirement.into(),
        severity,
        blame,
        summary: summary.into(),
        mismatches: Vec::new(),
        step: None,
        entry: None,
        consequence: false,
    }
}

fn scenario(name: &str, role: Role, line: usize, outcome: Outcome) -> ScenarioResult {
    let title = format!(
        "Made up: {}",
        name.rsplit('/').next().unwrap_or(name).replace('-', " ")
    );
    let place = SourceLine {
        file: "event-sourced.yaml".into(),
        line,
    };
    let mut result = ScenarioResult::new(name, role, &title, place, outcome);
    result.duration_ms = Some(12);
    result.entries = 9;
    result
}

fn requirement(
    name: &str,
    level: Level,
    checked: &[Role],
    standing: Standing,
) -> RequirementResult {
    RequirementResult {
        name: name.into(),
        level,
        party: Party::Function,
        sentence: "The user function MUST NOT emit events with a reply that fails the command."
            .into(),
        chapter: format!("{}.md", name.split('.').next().unwrap_or(name)),
        checked: checked.to_vec(),
        standing,
        untestable: None,
    }
}

fn failed() -> ScenarioResult {
    let fail = Outcome::Ran {
        verdict: Verdict::Fail,
    };
    let mut result = scenario("event-sourced/events-of-a-failure", Role::Sdk, 12, fail);
    result.instance = Some("restart=true".into());
    let mut root = finding(
        "event-sourced.failure-drops-events",
        Severity::Failure,
        Some(Party::Function),
        "the reply to command 2 has an event, though it fails the command",
    );
    root.mismatches = vec![
        Mismatch {
            path: "events".into(),
            expected: "[]".into(),
            received: "[ { Persisted: { value: B } } ]".into(),
        },
        Mismatch {
            path: "failure".into(),
            expected: "one\ntwo\n".into(),
            received: "one\nthree\n".into(),
        },
    ];
    let mut next = finding(
        "commands.reply",
        Severity::Failure,
        Some(Party::Proxy),
        "the reply is AB",
    );
    next.consequence = true;
    result.findings = vec![root, next];
    result.step_line = Some(20);
    result.diagram = "client      proxy       function\n  │           │────────▶│  command\n  │           │◀────────│  reply\n  │           │         │  ✗ here\n".into();
    result.log_tail = vec!["INFO started".into(), "WARN \x1b[31mred\x1b[0m".into()];
    result.transcript = Some("out/event-sourced/events-of-a-failure.jsonl".into());
    result
}

fn made_up() -> Report {
    let pass = Outcome::Ran {
        verdict: Verdict::Pass,
    };
    let mut warned = scenario("event-sourced/snapshots", Role::Sdk, 40, pass.clone());
    let summary = "no snapshot after 5 events";
    warned.findings = vec![finding(
        "event-sourced.snapshots",
        Severity::Warning,
        Some(Party::Function),
        summary,
    )];
    let mut waived = scenario(
        "event-sourced/known",
        Role::Sdk,
        50,
        Outcome::Waived {
            reason: "issue 7".into(),
            verdict: Verdict::Fail,
        },
    );
    waived.findings = vec![finding(
        "commands.order",
        Severity::Failure,
        Some(Party::Function),
        "out of order",
    )];
    let undecided = Outcome::Ran {
        verdict: Verdict::Inconclusive,
    };
    let mut inconclusive = scenario("event-sourced/who-closed", Role::Stack, 60, undecided);
    inconclusive.findings = vec![finding(
        "streams.close",
        Severity::Failure,
        None,
        "the connection was closed by either side",
    )];
    let mut error = scenario(
        "event-sourced/died",
        Role::Stack,
        70,
        Outcome::Ran {
            verdict: Verdict::Error,
        },
    );
    error.error = Some("port 8080 is taken by another process".into());
    let reason = "the system does not declare the feature `replication`";
    let absent = Outcome::NotApplicable {
        reason: reason.into(),
    };

    let system = SystemInfo {
        name: "Made-up SDK".into(),
        version: Some("1.2.3".into()),
        roles: vec![Role::Sdk, Role::Stack],
        service_info: vec![("support_library".into(), "made-up 1.2.3".into())],
        proxy_info: vec![("proxy_name".into(), "proxy-of-nobody".into())],
    };
    let mut report = Report::new(system, vec![Role::Sdk, Role::Stack], 42);
    report.kit = "0.0.0".into();
    report.command = Some("cloudstate-tck run made-up.yaml".into());
    report.started = Some("2026-01-31T09:05:00Z".into());
    report.duration_ms = Some(1_340);
    report.scenarios = vec![
        scenario("event-sourced/emits", Role::Sdk, 5, pass.clone()),
        failed(),
        warned,
        waived,
        inconclusive,
        error,
        scenario("crdt/turn-taking", Role::Sdk, 80, absent.clone()),
        scenario("crdt/votes", Role::Stack, 90, absent),
    ];
    let mut untestable = requirement("event-sourced.tidy", Level::Must, &[], Standing::NotChecked);
    untestable.untestable = Some("memory can't be seen on the wire".into());
    report.requirements = vec![
        requirement(
            "commands.order",
            Level::Must,
            &[Role::Sdk],
            Standing::Waived,
        ),
        requirement(
            "commands.reply",
            Level::Must,
            &[Role::Sdk, Role::Stack],
            Standing::Kept,
        ),
        requirement(
            "event-sourced.failure-drops-events",
            Level::Must,
            &[Role::Sdk],
            Standing::Broken,
        ),
        requirement(
            "event-sourced.never",
            Level::Must,
            &[],
            Standing::NotChecked,
        ),
        requirement(
            "event-sourced.snapshots",
            Level::Should,
            &[Role::Sdk],
            Standing::Warned,
        ),
        untestable,
    ];
    report.choices = vec![Choice {
        about: "event-sourced/emits".into(),
        role: Role::Sdk,
        question: "restart".into(),
        took: "false".into(),
    }];
    report.waivers = Waivers {
        used: vec![UsedWaiver {
            pattern: "event-sourced/known".into(),
            reason: "issue 7".into(),
            excused: vec!["event-sourced/known".into()],
        }],
        stale: vec![
            StaleWaiver {
                pattern: "crdt/gone".into(),
                reason: "issue 8".into(),
                passing: Vec::new(),
            },
            StaleWaiver {
                pattern: "event-sourced/emit*".into(),
                reason: "issue 9".into(),
                passing: vec!["event-sourced/emits".into()],
            },
        ],
    };
    report
}

#[test]
fn terminal_plain() {
    insta::assert_snapshot!(terminal::render(&made_up(), Paint::Plain));
}

#[test]
fn terminal_in_colour_says_the_same() {
    let coloured = terminal::render(&made_up(), Paint::Colour);
    let mut plain = String::new();
    for (index, part) in coloured.split("\x1b[").enumerate() {
        plain.push_str(if index == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        });
    }
    assert_eq!(plain, terminal::render(&made_up(), Paint::Plain));
}

#[test]
fn junit_xml() {
    insta::assert_snapshot!(junit::render(&made_up()));
}

#[test]
fn markdown_page() {
    insta::assert_snapshot!(markdown::render(&made_up()));
}

#[test]
fn json_is_read_as_it_was_written() {
    let text = json::render(&made_up());
    insta::assert_snapshot!(text);
    assert_eq!(json::read(&text).unwrap(), made_up());
}

#[test]
fn json_of_another_version_is_refused_by_its_version() {
    let error = json::read("{ \"schema\": 1, \"other\": true }").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the report has schema version 1, this kit reads version 2"
    );
    assert!(
        json::read("[]")
            .unwrap_err()
            .to_string()
            .starts_with("not a report: ")
    );
}

/// A report of one scenario that checked one requirement.
fn of(outcome: Outcome) -> Report {
    let mut report = Report::new(SystemInfo::default(), vec![Role::Sdk], 0);
    report.scenarios = vec![scenario("a/b", Role::Sdk, 1, outcome)];
    report.requirements = vec![requirement(
        "a.b",
        Level::Must,
        &[Role::Sdk],
        Standing::Kept,
    )];
    report
}

fn ran(verdict: Verdict) -> Outcome {
    Outcome::Ran { verdict }
}

#[test]
fn every_exit_code_has_its_cause() {
    assert_eq!(of(ran(Verdict::Pass)).exit_code(), ExitCode::Pass);
    assert_eq!(of(ran(Verdict::Fail)).exit_code(), ExitCode::Fail);
    assert_eq!(
        of(ran(Verdict::Inconclusive)).exit_code(),
        ExitCode::Inconclusive
    );
    assert_eq!(of(ran(Verdict::Error)).exit_code(), ExitCode::KitFault);
    let absent = Outcome::NotApplicable { reason: "x".into() };
    assert_eq!(of(absent).exit_code(), ExitCode::NothingChecked);
    assert_eq!(Report::default().exit_code(), ExitCode::NothingChecked);
}

#[test]
fn a_run_that_passes_without_checking_a_requirement_fails() {
    let mut report = of(ran(Verdict::Pass));
    report.requirements[0].checked.clear();
    assert_eq!(report.exit_code(), ExitCode::NothingChecked);
    assert_eq!(report.verdict(), Verdict::Fail);
    // Nobody broke anything, so it doesn't say FAIL.
    let conclusion = report.conclusion();
    assert!(conclusion.starts_with("NOTHING CHECKED: "), "{conclusion}");
}

#[test]
fn a_waiver_excuses_a_failure_but_no_fault_of_the_kit() {
    let waived = |verdict| Outcome::Waived {
        reason: "x".into(),
        verdict,
    };
    assert_eq!(of(waived(Verdict::Fail)).exit_code(), ExitCode::Pass);
    assert_eq!(of(waived(Verdict::Error)).exit_code(), ExitCode::KitFault);
}

#[test]
fn a_stale_waiver_fails_a_run_that_passes() {
    let mut report = of(ran(Verdict::Pass));
    let stale = StaleWaiver {
        pattern: "c/d".into(),
        reason: "x".into(),
        passing: Vec::new(),
    };
    report.waivers.stale.push(stale);
    assert_eq!(report.exit_code(), ExitCode::Fail);
}

#[test]
fn a_failure_is_told_before_a_fault_and_a_fault_before_doubt() {
    let mut report = of(ran(Verdict::Inconclusive));
    report
        .scenarios
        .push(scenario("a/c", Role::Sdk, 1, ran(Verdict::Error)));
    assert_eq!(report.exit_code(), ExitCode::KitFault);
    report
        .scenarios
        .push(scenario("a/d", Role::Sdk, 1, ran(Verdict::Fail)));
    assert_eq!(report.exit_code(), ExitCode::Fail);
}

#[test]
fn the_root_is_the_first_failure_of_its_own() {
    let mut result = scenario("a/b", Role::Sdk, 1, ran(Verdict::Fail));
    let party = Some(Party::Proxy);
    let mut follows = finding("a.follows", Severity::Failure, party, "x");
    follows.consequence = true;
    result.findings = vec![
        follows,
        finding("a.should", Severity::Warning, party, "x"),
        finding("a.must", Severity::Failure, party, "x"),
    ];
    assert_eq!(result.root().unwrap().requirement, "a.must");
}
