//! The report as JSON: the artefact of a run, from which all other forms can be made again.
//!
//! A row a line, so that another result is another line. What rows share stands once: a scenario's title and place in
//! `scenarios`, why it wasn't played or is excused in `reasons`. What follows from the name is left out: a requirement's
//! chapter, and the command that runs a result again, which is `command` with its role and name.

use super::{Choice, Outcome, Report, RequirementResult, ScenarioResult, SourceLine, Standing};
use super::{SystemInfo, Unserved, Waivers};
use crate::door::Door;
use crate::finding::{Finding, Verdict};
use crate::party::{Party, Role};
use crate::requirement::Level;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of this form; a reader refuses any other.
pub const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    kit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    system: SystemInfo,
    roles: Vec<Role>,
    seed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unserved: Vec<Unserved>,
    scenarios: Vec<Described>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    results: Vec<ResultRow>,
    requirements: Vec<RequirementRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    choices: Vec<Choice>,
    #[serde(default)]
    waivers: Waivers,
}

/// What all results of a scenario have in common.
#[derive(Serialize, Deserialize)]
struct Described {
    name: String,
    title: String,
    source: SourceLine,
}

/// A [`ScenarioResult`]. It has a verdict, or the reason why it wasn't played; reasons are places in
/// [`Document::reasons`].
#[derive(Serialize, Deserialize)]
struct ResultRow {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    role: Role,
    #[serde(default, skip_serializing_if = "Door::is_grpc")]
    door: Door,
    /// As [`Described`], where this result has another: a generated scenario may have been made smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SourceLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waived: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_applicable: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step_line: Option<usize>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    diagram: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log_tail: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    entries: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transcript: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A [`RequirementResult`] without the chapter, which its name begins with.
#[derive(Serialize, Deserialize)]
struct RequirementRow {
    name: String,
    level: Level,
    party: Party,
    sentence: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checked: Vec<Role>,
    standing: Standing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untestable: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The document, with a line end at the end.
pub fn render(report: &Report) -> String {
    // Strings, numbers and lists of them: there is nothing in a report that JSON can't say.
    let document = serde_json::to_value(Document::of(report)).unwrap_or_default();
    let fields: Vec<String> = document
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("  \"{name}\": {}", rows(value)))
        .collect();
    format!("{{\n{}\n}}\n", fields.join(",\n"))
}

/// On one line, but of a list each element.
fn rows(value: &Value) -> String {
    match value {
        Value::Array(rows) if !rows.is_empty() => {
            let rows: Vec<String> = rows.iter().map(|row| format!("    {row}")).collect();
            format!("[\n{}\n  ]", rows.join(",\n"))
        }
        value => value.to_string(),
    }
}

/// Why a text is no report that this kit can read.
#[derive(Debug, thiserror::Error)]
pub enum ReportReadError {
    /// Not JSON, or not of this shape.
    #[error("not a report: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a kit with another form of report.
    #[error("the report has schema version {0}, this kit reads version {VERSION}")]
    Version(u32),
    /// A result that refers to something that isn't there.
    #[error("not a report: the result of {name} has no {missing}")]
    Incomplete {
        /// The result's scenario.
        name: String,
        /// What it refers to.
        missing: &'static str,
    },
}

/// Reads what [`render`] wrote.
///
/// # Errors
/// The text isn't a report, or one of another version.
pub fn read(text: &str) -> Result<Report, ReportReadError> {
    // The version first: a report of another version need not have the fields of this one.
    #[derive(Deserialize)]
    struct Header {
        schema: u32,
    }
    let Header { schema } = serde_json::from_str(text)?;
    if schema != VERSION {
        return Err(ReportReadError::Version(schema));
    }
    serde_json::from_str::<Document>(text)?.report()
}

impl Document {
    fn of(report: &Report) -> Document {
        let mut document = Document {
            schema: VERSION,
            kit: report.kit.clone(),
            started: report.started.clone(),
            duration_ms: report.duration_ms,
            command: report.command.clone(),
            system: report.system.clone(),
            roles: report.roles.clone(),
            seed: report.seed,
            unserved: report.unserved.clone(),
            scenarios: Vec::new(),
            reasons: Vec::new(),
            results: Vec::new(),
            requirements: report.requirements.iter().map(requirement_row).collect(),
            choices: report.choices.clone(),
            waivers: report.waivers.clone(),
        };
        let mut known = BTreeMap::new();
        for result in &report.scenarios {
            let next = document.scenarios.len();
            let at = *known.entry(result.name.as_str()).or_insert(next);
            if at == next {
                document.scenarios.push(Described {
                    name: result.name.clone(),
                    title: result.title.clone(),
                    source: result.source.clone(),
                });
            }
            let row = document.row(result, at);
            document.results.push(row);
        }
        document
    }

    fn row(&mut self, result: &ScenarioResult, scenario: usize) -> ResultRow {
        let (waived, not_applicable) = match &result.outcome {
            Outcome::Ran { .. } => (None, None),
            Outcome::Waived { reason, .. } => (Some(self.reason(reason)), None),
            Outcome::NotApplicable { reason } => (None, Some(self.reason(reason))),
        };
        let described = &self.scenarios[scenario];
        ResultRow {
            name: result.name.clone(),
            instance: result.instance.clone(),
            role: result.role,
            door: result.door,
            title: (result.title != described.title).then(|| result.title.clone()),
            source: (result.source != described.source).then(|| result.source.clone()),
            verdict: result.verdict(),
            waived,
            not_applicable,
            findings: result.findings.clone(),
            step_line: result.step_line,
            diagram: result.diagram.clone(),
            log_tail: result.log_tail.clone(),
            duration_ms: result.duration_ms,
            entries: result.entries,
            transcript: result.transcript.clone(),
            error: result.error.clone(),
        }
    }

    /// The place of a reason, which is added if it is new.
    fn reason(&mut self, reason: &str) -> usize {
        let known = self.reasons.iter().position(|known| known == reason);
        known.unwrap_or_else(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len() - 1
        })
    }

    fn report(self) -> Result<Report, ReportReadError> {
        let described = self.scenarios.iter().map(|it| (it.name.as_str(), it));
        let described: BTreeMap<&str, &Described> = described.collect();
        let results = self.results.into_iter();
        Ok(Report {
            scenarios: results
                .map(|row| row.result(&described, &self.reasons))
                .collect::<Result<_, _>>()?,
            kit: self.kit,
            started: self.started,
            duration_ms: self.duration_ms,
            command: self.command,
            system: self.system,
            roles: self.roles,
            seed: self.seed,
            unserved: self.unserved,
            requirements: self.requirements.into_iter().map(requirement).collect(),
            choices: self.choices,
            waivers: self.waivers,
        })
    }
}

impl ResultRow {
    fn result(
        self,
        described: &BTreeMap<&str, &Described>,
        reasons: &[String],
    ) -> Result<ScenarioResult, ReportReadError> {
        let missing = |missing| ReportReadError::Incomplete {
            name: self.name.clone(),
            missing,
        };
        let described = described.get(self.name.as_str());
        let described = described.ok_or_else(|| missing("scenario"))?;
        let reason = |place: usize| reasons.get(place).cloned().ok_or_else(|| missing("reason"));
        let outcome = match (self.verdict, self.waived, self.not_applicable) {
            (Some(verdict), None, _) => Outcome::Ran { verdict },
            (Some(verdict), Some(place), _) => Outcome::Waived {
                reason: reason(place)?,
                verdict,
            },
            (None, _, Some(place)) => Outcome::NotApplicable {
                reason: reason(place)?,
            },
            (None, _, None) => return Err(missing("verdict")),
        };
        Ok(ScenarioResult {
            instance: self.instance,
            role: self.role,
            door: self.door,
            title: self.title.unwrap_or_else(|| described.title.clone()),
            source: self.source.unwrap_or_else(|| described.source.clone()),
            outcome,
            findings: self.findings,
            step_line: self.step_line,
            diagram: self.diagram,
            log_tail: self.log_tail,
            duration_ms: self.duration_ms,
            entries: self.entries,
            transcript: self.transcript,
            error: self.error,
            name: self.name,
        })
    }
}

fn requirement_row(result: &RequirementResult) -> RequirementRow {
    RequirementRow {
        name: result.name.clone(),
        level: result.level,
        party: result.party,
        sentence: result.sentence.clone(),
        checked: result.checked.clone(),
        standing: result.standing,
        untestable: result.untestable.clone(),
    }
}

fn requirement(row: RequirementRow) -> RequirementResult {
    let chapter = row.name.split('.').next().unwrap_or_default();
    RequirementResult {
        chapter: format!("{chapter}.md"),
        name: row.name,
        level: row.level,
        party: row.party,
        sentence: row.sentence,
        checked: row.checked,
        standing: row.standing,
        untestable: row.untestable,
    }
}
