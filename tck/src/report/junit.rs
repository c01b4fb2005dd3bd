//! The report as JUnit XML, which every CI server shows: one suite a role, one test case a scenario.
//!
//! JUnit knows passed, failed, error and skipped. Not applicable and waived are skipped, with their reason;
//! inconclusive is an error, since it isn't a pass. What fails the run without a scenario of its own (a stale
//! waiver, a run that checked nothing) gets a test case in a suite `run`.

use super::paint::Paint;
use super::{Class, ExitCode, Outcome, Report, ScenarioResult, failure};
use crate::party::Role;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The XML document.
pub fn render(report: &Report) -> String {
    let mut xml = quick_junit::Report::new(format!("cloudstate-tck {}", report.system.name));
    if let Some(ms) = report.duration_ms {
        xml.set_time(Duration::from_millis(ms));
    }
    for role in &report.roles {
        xml.add_test_suite(suite(report, *role));
    }
    let run = run_suite(report);
    if !run.test_cases.is_empty() {
        xml.add_test_suite(run);
    }
    // Writing to memory; the type keeps out what XML can't hold.
    xml.to_string().unwrap_or_default()
}

fn suite(report: &Report, role: Role) -> TestSuite {
    let mut suite = TestSuite::new(role.to_string());
    suite.add_property(("kit", report.kit.as_str()));
    suite.add_property(("system", report.system.name.as_str()));
    if let Some(version) = &report.system.version {
        suite.add_property(("version", version.as_str()));
    }
    suite.add_property(("seed", report.seed.to_string().as_str()));
    for result in report.scenarios.iter().filter(|s| s.role == role) {
        suite.add_test_case(case(report, result));
    }
    suite
}

fn case(report: &Report, result: &ScenarioResult) -> TestCase {
    let mut case = TestCase::new(result.full_name(), status(report, result));
    let suite = result.name.split('/').next().unwrap_or_default();
    case.set_classname(format!("{}.{suite}", result.role));
    if let Some(ms) = result.duration_ms {
        case.set_time(Duration::from_millis(ms));
    }
    if result.class() == Class::Warned {
        case.set_system_out(text(report, result));
    }
    case
}

fn status(report: &Report, result: &ScenarioResult) -> TestCaseStatus {
    let non_success = |kind, class: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        let root = result.root();
        let requirement = root.map_or(class, |finding| &finding.requirement);
        let summary = root.map(|finding| finding.summary.as_str());
        status.set_type(if kind == NonSuccessKind::Failure {
            requirement
        } else {
            class
        });
        status.set_message(result.error.as_deref().or(summary).unwrap_or(class));
        status.set_description(text(report, result));
        status
    };
    let skipped = |message: String| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(message);
        status
    };
    match (result.class(), &result.outcome) {
        (Class::Failed, _) => non_success(NonSuccessKind::Failure, "failed"),
        (Class::Error, _) => non_success(NonSuccessKind::Error, "fault-of-the-kit"),
        (Class::Inconclusive, _) => non_success(NonSuccessKind::Error, "inconclusive"),
        (_, Outcome::NotApplicable { reason }) => skipped(format!("not applicable: {reason}")),
        (_, Outcome::Waived { reason, .. }) => skipped(format!("waived: {reason}")),
        _ => TestCaseStatus::success(),
    }
}

fn text(report: &Report, result: &ScenarioResult) -> String {
    failure::lines(report, result, Paint::Plain).join("\n")
}

/// What fails the run as a whole.
fn run_suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("run");
    let mut add = |name: String, kind: &str, message: String| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(kind);
        status.set_message(message);
        let mut case = TestCase::new(name, status);
        case.set_classname("run");
        suite.add_test_case(case);
    };
    for waiver in &report.waivers.stale {
        add(
            format!("waiver {}", waiver.pattern),
            "stale-waiver",
            waiver.problem(),
        );
    }
    if report.exit_code() == ExitCode::NothingChecked {
        add(
            "something is checked".to_owned(),
            "nothing-checked",
            report.conclusion(),
        );
    }
    suite
}
