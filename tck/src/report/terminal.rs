//! The report for a person at a terminal: what failed in full, what else should be known in lists, the numbers and
//! the verdict last.

use super::paint::Paint;
use super::{Class, Outcome, Report, ScenarioResult, failure, time};
use crate::text::{clean, plural, wrap};
use std::fmt::Write as _;

/// Columns of running text.
const WIDTH: usize = 96;

/// The whole report. Lists that have nothing in them are left out.
pub fn render(report: &Report, paint: Paint) -> String {
    let mut page = Page {
        report,
        paint,
        text: String::new(),
    };
    page.header();
    for class in [Class::Error, Class::Inconclusive, Class::Failed] {
        for result in report.of_class(class) {
            page.scenario(result);
        }
    }
    page.warnings();
    page.waivers();
    page.not_applicable();
    page.choices();
    page.coverage();
    page.result();
    page.text
}

/// One scenario alone, as it stands in the report.
pub fn scenario(report: &Report, result: &ScenarioResult, paint: Paint) -> String {
    let mut page = Page {
        report,
        paint,
        text: String::new(),
    };
    page.scenario(result);
    page.text
}

struct Page<'a> {
    report: &'a Report,
    paint: Paint,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let text = self.paint.bold(text);
        self.line(text);
    }

    fn header(&mut self) {
        let report = self.report;
        let roles: Vec<String> = report.roles.iter().map(ToString::to_string).collect();
        let mut line = format!(
            "cloudstate-tck {}: {}",
            report.kit,
            clean(&report.system.name)
        );
        if let Some(version) = &report.system.version {
            let _ = write!(line, " {}", clean(version));
        }
        let _ = write!(line, " as {}, seed {}", roles.join(" and "), report.seed);
        let line = self.paint.bold(&line);
        self.line(line);
        for (who, info) in [
            ("function", &report.system.service_info),
            ("proxy", &report.system.proxy_info),
        ] {
            if !info.is_empty() {
                let fields: Vec<String> = info
                    .iter()
                    .map(|(k, v)| format!("{k} {}", clean(v)))
                    .collect();
                let text = format!("  the {who} announces: {}", fields.join(", "));
                let line = self.paint.dim(&text);
                self.line(line);
            }
        }
        if let Some(started) = &report.started {
            let took = report
                .duration_ms
                .map(|ms| format!(", took {}", time::duration(ms)));
            let line = self
                .paint
                .dim(&format!("  started {started}{}", took.unwrap_or_default()));
            self.line(line);
        }
        self.line("");
    }

    fn scenario(&mut self, result: &ScenarioResult) {
        for line in failure::lines(self.report, result, self.paint) {
            self.line(line);
        }
        self.line("");
    }

    fn warnings(&mut self) {
        let report = self.report;
        if report.of_class(Class::Warned).next().is_none() {
            return;
        }
        self.heading("Warnings: what should be, and isn't");
        for result in report.of_class(Class::Warned) {
            self.line(format!(
                "  {} ({})",
                clean(&result.full_name()),
                result.role
            ));
            for finding in result.findings.iter().filter(|f| !f.consequence) {
                let accusation = self.paint.yellow(&failure::accusation(report, finding));
                self.line(format!("    {accusation}: {}", clean(&finding.summary)));
            }
        }
        self.line("");
    }

    fn waivers(&mut self) {
        let report = self.report;
        if report.of_class(Class::Waived).next().is_some() {
            self.heading("Waived: known failures");
            for result in report.of_class(Class::Waived) {
                let Outcome::Waived { reason, .. } = &result.outcome else {
                    continue;
                };
                let name = clean(&result.full_name());
                self.line(format!("  {name} ({}): {}", result.role, clean(reason)));
            }
            self.line("");
        }
        if !report.waivers.stale.is_empty() {
            let heading = self
                .paint
                .red("Stale waivers: remove them, they fail the run");
            self.heading(&heading);
            for waiver in &report.waivers.stale {
                self.line(format!(
                    "  {}: {}",
                    clean(&waiver.pattern),
                    clean(&waiver.problem())
                ));
                self.line(format!("    its reason was: {}", clean(&waiver.reason)));
            }
            self.line("");
        }
    }

    fn not_applicable(&mut self) {
        let reasons = self.report.not_applicable();
        if reasons.is_empty() {
            return;
        }
        self.heading("Not applicable");
        for (reason, scenarios) in reasons {
            self.line(format!(
                "  {}: {}",
                clean(reason),
                plural(scenarios.len(), "scenario")
            ));
            let names: Vec<String> = scenarios
                .iter()
                .map(|s| format!("{}({})", clean(&s.full_name()), s.role))
                .collect();
            self.list(&names);
        }
        self.line("");
    }

    fn choices(&mut self) {
        if self.report.choices.is_empty() {
            return;
        }
        self.heading("Where the specification leaves a choice, this was taken");
        for choice in &self.report.choices {
            let what = format!("{}, {}: {}", choice.about, choice.question, choice.took);
            self.line(format!("  {} ({})", clean(&what), choice.role));
        }
        self.line("");
    }

    fn coverage(&mut self) {
        let rows = self.report.coverage();
        if rows.is_empty() {
            return;
        }
        self.heading("Requirements checked, of those that bind what was under test");
        let width = rows
            .iter()
            .map(|r| r.chapter.len())
            .max()
            .unwrap_or(0)
            .max(8);
        let header = format!(
            "  {:<width$}  {:>7} {:>7} {:>7}",
            "", "MUST", "SHOULD", "MAY"
        );
        let header = self.paint.dim(&header);
        self.line(header);
        for row in rows {
            let chapter = row.chapter.trim_end_matches(".md");
            self.line(format!(
                "  {chapter:<width$}  {:>7} {:>7} {:>7}",
                row.must, row.should, row.may
            ));
        }
        let unchecked: Vec<String> = self
            .report
            .unchecked()
            .iter()
            .map(|r| r.name.clone())
            .collect();
        if !unchecked.is_empty() {
            self.line(format!("  not checked by this run: {}", unchecked.len()));
            self.list(&unchecked);
        }
        self.line("");
    }

    /// Names side by side, wrapped.
    fn list(&mut self, names: &[String]) {
        for line in wrap(&names.join(", "), WIDTH - 4) {
            // Names of roles stick to their scenario while lines are broken.
            let line = self.paint.dim(&line.replace('(', " ("));
            self.line(format!("    {line}"));
        }
    }

    fn result(&mut self) {
        self.heading("Result");
        let report = self.report;
        for role in &report.roles {
            self.line(format!(
                "  {:<6} {}",
                role.to_string(),
                report.counts_of(*role)
            ));
        }
        let conclusion = report.conclusion();
        let conclusion = match report.exit_code() {
            super::ExitCode::Pass => self.paint.green(&conclusion),
            super::ExitCode::Inconclusive => self.paint.yellow(&conclusion),
            _ => self.paint.red(&conclusion),
        };
        let conclusion = self.paint.bold(&conclusion);
        self.line(conclusion);
    }
}
