//! The report as Markdown: for publication, and for the summary page of a CI run.

use super::paint::Paint;
use super::{Class, Outcome, Report, ScenarioResult, Standing, failure, time};
use crate::text::clean;
use std::fmt::Write as _;

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    header(report, &mut text);
    results(report, &mut text);
    failures(report, &mut text);
    warnings(report, &mut text);
    waivers(report, &mut text);
    not_applicable(report, &mut text);
    choices(report, &mut text);
    coverage(report, &mut text);
    text
}

fn header(report: &Report, out: &mut String) {
    let system = &report.system;
    let version = system
        .version
        .as_deref()
        .map(|v| format!(" {v}"))
        .unwrap_or_default();
    line(
        out,
        &format!(
            "# Conformance of {}{}",
            inline(&system.name),
            inline(&version)
        ),
    );
    line(out, &format!("**{}**", report.conclusion()));
    line(out, "| | |\n|---|---|");
    // The table's rows follow its head without an empty line.
    out.pop();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "| {name} | {} |", cell(value));
    };
    row("kit", &format!("cloudstate-tck {}", report.kit));
    let roles: Vec<String> = report.roles.iter().map(ToString::to_string).collect();
    row("roles", &roles.join(", "));
    for (who, info) in [
        ("function", &system.service_info),
        ("proxy", &system.proxy_info),
    ] {
        if !info.is_empty() {
            let fields: Vec<String> = info.iter().map(|(k, v)| format!("{k} {v}")).collect();
            row(&format!("the {who} announces"), &fields.join(", "));
        }
    }
    row("seed", &report.seed.to_string());
    if let Some(started) = &report.started {
        row("started", started);
    }
    if let Some(ms) = report.duration_ms {
        row("took", &time::duration(ms));
    }
    out.push('\n');
}

fn results(report: &Report, out: &mut String) {
    line(out, "## Results");
    table(
        out,
        &[
            "role",
            "passed",
            "warnings",
            "waived",
            "not applicable",
            "inconclusive",
            "failed",
            "errors",
        ],
    );
    for role in &report.roles {
        let counts = report.counts_of(*role);
        let cells: Vec<String> = Class::ALL
            .iter()
            .map(|class| counts.of(*class).to_string())
            .collect();
        let _ = writeln!(out, "| {role} | {} |", cells.join(" | "));
    }
    out.push('\n');
}

fn failures(report: &Report, out: &mut String) {
    for (class, heading) in [
        (Class::Failed, "Failed"),
        (Class::Inconclusive, "Inconclusive"),
        (Class::Error, "Faults of the kit or its surroundings"),
    ] {
        if report.of_class(class).next().is_none() {
            continue;
        }
        line(out, &format!("## {heading}"));
        for result in report.of_class(class) {
            scenario(report, result, out);
        }
    }
}

fn scenario(report: &Report, result: &ScenarioResult, out: &mut String) {
    line(
        out,
        &format!("### `{}` ({})", clean(&result.full_name()), result.role),
    );
    let text = failure::lines(report, result, Paint::Plain).join("\n");
    let fence = fence(&text);
    line(out, &format!("{fence}text\n{text}\n{fence}"));
}

/// Longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn warnings(report: &Report, out: &mut String) {
    if report.of_class(Class::Warned).next().is_none() {
        return;
    }
    line(out, "## Warnings");
    table(out, &["scenario", "role", "requirement", "what"]);
    for result in report.of_class(Class::Warned) {
        for finding in result.findings.iter().filter(|f| !f.consequence) {
            let (name, requirement) = (result.full_name(), &finding.requirement);
            let what = cell(&finding.summary);
            let _ = writeln!(
                out,
                "| `{}` | {} | `{requirement}` | {what} |",
                cell(&name),
                result.role
            );
        }
    }
    out.push('\n');
}

fn waivers(report: &Report, out: &mut String) {
    if report.of_class(Class::Waived).next().is_some() {
        line(out, "## Waived: known failures");
        table(out, &["scenario", "role", "reason"]);
        for result in report.of_class(Class::Waived) {
            let Outcome::Waived { reason, .. } = &result.outcome else {
                continue;
            };
            let _ = writeln!(
                out,
                "| `{}` | {} | {} |",
                cell(&result.full_name()),
                result.role,
                cell(reason)
            );
        }
        out.push('\n');
    }
    if !report.waivers.stale.is_empty() {
        line(out, "## Stale waivers");
        table(out, &["waiver", "what is wrong with it", "its reason"]);
        for waiver in &report.waivers.stale {
            let (pattern, problem) = (cell(&waiver.pattern), cell(&waiver.problem()));
            let _ = writeln!(
                out,
                "| `{pattern}` | {problem} | {} |",
                cell(&waiver.reason)
            );
        }
        out.push('\n');
    }
}

fn not_applicable(report: &Report, out: &mut String) {
    let reasons = report.not_applicable();
    if reasons.is_empty() {
        return;
    }
    line(out, "## Not applicable");
    for (reason, scenarios) in reasons {
        let names: Vec<String> = scenarios
            .iter()
            .map(|s| format!("`{}` ({})", cell(&s.full_name()), s.role))
            .collect();
        let _ = writeln!(out, "- {}: {}", inline(reason), names.join(", "));
    }
    out.push('\n');
}

fn choices(report: &Report, out: &mut String) {
    if report.choices.is_empty() {
        return;
    }
    line(out, "## Choices that the specification leaves");
    table(out, &["about", "role", "question", "taken"]);
    for choice in &report.choices {
        let (question, took) = (cell(&choice.question), cell(&choice.took));
        let _ = writeln!(
            out,
            "| `{}` | {} | {question} | {took} |",
            cell(&choice.about),
            choice.role
        );
    }
    out.push('\n');
}

fn coverage(report: &Report, out: &mut String) {
    let rows = report.coverage();
    if rows.is_empty() {
        return;
    }
    line(out, "## Requirements");
    line(
        out,
        "Checked of those that bind what was under test, and can be checked on the wire.",
    );
    table(out, &["chapter", "MUST", "SHOULD", "MAY"]);
    for row in rows {
        let chapter = row.chapter.trim_end_matches(".md");
        let _ = writeln!(
            out,
            "| {chapter} | {} | {} | {} |",
            row.must, row.should, row.may
        );
    }
    out.push('\n');
    table(
        out,
        &["requirement", "level", "binds", "checked in", "standing"],
    );
    for requirement in report.relevant() {
        let roles: Vec<String> = requirement
            .checked
            .iter()
            .map(ToString::to_string)
            .collect();
        let level = match requirement.level {
            crate::requirement::Level::Must => "MUST",
            crate::requirement::Level::Should => "SHOULD",
            crate::requirement::Level::May => "MAY",
        };
        let standing = match (requirement.standing, &requirement.untestable) {
            (Standing::NotChecked, Some(reason)) => format!("can't be checked: {}", cell(reason)),
            (Standing::Broken, _) => "**broken**".to_owned(),
            (standing, _) => standing.to_string(),
        };
        let (name, party) = (&requirement.name, requirement.party);
        let _ = writeln!(
            out,
            "| `{name}` | {level} | {party} | {} | {standing} |",
            roles.join(", ")
        );
    }
    out.push('\n');
}

/// A block and the empty line after it.
fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push_str("\n\n");
}

fn table(out: &mut String, columns: &[&str]) {
    let _ = writeln!(out, "| {} |", columns.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
}

/// Text from outside in a table: on one line, with nothing that ends the cell.
fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// Text from outside: on one line, and no HTML.
fn inline(text: &str) -> String {
    clean(text).replace('\n', " ").replace('<', "&lt;")
}
