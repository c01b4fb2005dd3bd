//! (6) The versioned result type and its renderings.
//!
//! A [`Report`] is the artefact of a run: the runner fills it in, [`json`] writes and reads it, and everything a
//! person or a CI server looks at ([`terminal`], [`junit`], [`markdown`]) is a pure function of it. It carries the
//! sentences of the requirements it mentions, so it can be read without the kit that made it. Counts and the
//! verdict follow from the scenarios and are computed, never stored.

pub mod exit_code;
mod failure;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod paint;
pub mod terminal;
pub mod time;

pub use exit_code::ExitCode;

use crate::door::Door;
use crate::finding::{Finding, Severity, Verdict};
use crate::party::{Party, Role};
use crate::requirement::{Level, Requirement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The version of the JSON form; a reader refuses any other.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that one run found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the kit that wrote it.
    pub schema: u32,
    /// Version of the kit.
    pub kit: String,
    /// When the run began, RFC 3339 in UTC; absent where reports are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What was tested.
    pub system: SystemInfo,
    /// The roles that were run.
    pub roles: Vec<Role>,
    /// What the generated scenarios came from.
    pub seed: u64,
    /// The roles that the run says nothing about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<Unserved>,
    /// Every scenario that was selected, in the order of role, then name.
    pub scenarios: Vec<ScenarioResult>,
    /// Every requirement of the specification, checked or not, by name.
    pub requirements: Vec<RequirementResult>,
    /// Where the specification leaves a choice: which one the system under test took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Known failures that the system file declares.
    #[serde(default)]
    pub waivers: Waivers,
}

/// The system under test, as declared and as it announced itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemInfo {
    /// Its name.
    pub name: String,
    /// Its version, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The roles it can take.
    pub roles: Vec<Role>,
    /// What the user function said of itself at discovery: field and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_info: Vec<(String, String)>,
    /// What the proxy said of itself at discovery: field and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_info: Vec<(String, String)>,
}

/// A role in which the system under test offers nothing of what was to be checked. Whatever passes in it shows
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// Which.
    pub role: Role,
    /// What it doesn't offer, as a sentence without a full stop.
    pub reason: String,
}

/// One scenario (or one instance of it) in one role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// `suite/id`.
    pub name: String,
    /// Which of the kit's choices was played, for example `restart=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Who was under test.
    pub role: Role,
    /// By which door the client called; gRPC goes without saying.
    #[serde(default, skip_serializing_if = "Door::is_grpc")]
    pub door: Door,
    /// The scenario's title.
    pub title: String,
    /// Where the scenario stands.
    pub source: Place,
    /// How it ended.
    pub outcome: Outcome,
    /// What deviates. See [`ScenarioResult::root`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The line in `source` of the step that the root finding is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_line: Option<usize>,
    /// What was seen, drawn, with the place where it went wrong; empty for a scenario without findings.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diagram: String,
    /// The last lines that the system under test logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The command that runs this again and nothing else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rerun: String,
    /// How many entries its transcript has.
    #[serde(default)]
    pub entries: usize,
    /// The file with the transcript, if one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// What went wrong in the kit or around it, if the verdict is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user knows it.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How a scenario ended, or why it wasn't played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was played and judged.
    Ran {
        /// How.
        verdict: Verdict,
    },
    /// It asks for something that the system under test doesn't offer.
    NotApplicable {
        /// What, as a sentence without a full stop.
        reason: String,
    },
    /// It was played, and a waiver expected it to fail. A scenario that passes is never this: it is `Ran`, and
    /// its waiver is stale.
    Waived {
        /// The waiver's reason.
        reason: String,
        /// The verdict that it excuses.
        verdict: Verdict,
    },
}

/// What one requirement came to in this run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequirementResult {
    /// `chapter.slug`.
    pub name: String,
    /// From its keyword.
    pub level: Level,
    /// Whom it binds.
    pub party: Party,
    /// The normative sentence.
    pub sentence: String,
    /// The chapter's file.
    pub chapter: String,
    /// The roles in which its check was evaluated with its premise true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checked: Vec<Role>,
    /// What came out.
    pub standing: Standing,
    /// Why it can't be checked on the wire, if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untestable: Option<String>,
}

impl RequirementResult {
    /// How a requirement stands after these scenarios, of which some checked it in these roles.
    pub fn new(
        requirement: &Requirement,
        checked: Vec<Role>,
        results: &[ScenarioResult],
    ) -> RequirementResult {
        let mut standing = if checked.is_empty() {
            Standing::NotChecked
        } else {
            Standing::Kept
        };
        for result in results
            .iter()
            .filter(|result| result.finds(&requirement.name))
        {
            standing = standing.max(match (&result.outcome, requirement.level) {
                (Outcome::Waived { .. }, _) => Standing::Waived,
                (_, Level::Must) => Standing::Broken,
                _ => Standing::Warned,
            });
        }
        RequirementResult {
            name: requirement.name.clone(),
            level: requirement.level,
            party: requirement.party,
            sentence: requirement.sentence.clone(),
            chapter: requirement.chapter.clone(),
            checked,
            standing,
            untestable: requirement.untestable.clone(),
        }
    }
}

/// How the system under test stands with a requirement. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// No check of it was evaluated.
    NotChecked,
    /// It was checked and nothing was found.
    Kept,
    /// A finding names it, and a waiver excuses every scenario that found it.
    Waived,
    /// A SHOULD isn't followed.
    Warned,
    /// A MUST is broken.
    Broken,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::NotChecked => "not checked",
            Standing::Kept => "kept",
            Standing::Waived => "waived",
            Standing::Warned => "warning",
            Standing::Broken => "broken",
        })
    }
}

/// Where the specification leaves a choice: what the system under test does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    /// The requirement, or the scenario, that leaves the choice.
    pub about: String,
    /// In which role it was seen.
    pub role: Role,
    /// What is left open, for example `restart`.
    pub question: String,
    /// What it did, as a scenario would write it.
    pub took: String,
}

/// Known failures, and whether they still are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waivers {
    /// Those that excused something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<UsedWaiver>,
    /// Those that did not: they fail the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<StaleWaiver>,
}

/// A waiver that did its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedWaiver {
    /// What it matches, as the system file has it.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// The full names of the scenarios it excused.
    pub excused: Vec<String>,
}

/// A waiver that should be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleWaiver {
    /// What it matches, as the system file has it.
    pub pattern: String,
    /// Why it was there.
    pub reason: String,
    /// The full names of scenarios that it matches and that pass; empty: it matches nothing.
    pub passing: Vec<String>,
}

impl StaleWaiver {
    /// What is wrong with it, as a sentence without a full stop.
    pub fn problem(&self) -> String {
        if self.passing.is_empty() {
            "it matches no scenario of this run".to_owned()
        } else {
            format!(
                "it expects a failure, and this passes: {}",
                self.passing.join(", ")
            )
        }
    }
}

/// The one thing that a scenario counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing to object to.
    Passed,
    /// A SHOULD isn't followed.
    Warned,
    /// A known failure.
    Waived,
    /// Not played, for a reason.
    NotApplicable,
    /// It can't be told who is to blame.
    Inconclusive,
    /// The system under test broke a MUST.
    Failed,
    /// The kit or its surroundings failed.
    Error,
}

impl Class {
    /// All, from good to bad.
    pub const ALL: [Class; 7] = [
        Class::Passed,
        Class::Warned,
        Class::Waived,
        Class::NotApplicable,
        Class::Inconclusive,
        Class::Failed,
        Class::Error,
    ];

    /// As a count is followed by it: `3 failed`.
    pub fn word(self) -> &'static str {
        match self {
            Class::Passed => "passed",
            Class::Warned => "passed with warnings",
            Class::Waived => "waived",
            Class::NotApplicable => "not applicable",
            Class::Inconclusive => "inconclusive",
            Class::Failed => "failed",
            Class::Error => "errors",
        }
    }
}

/// How many scenarios count as what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; 7]);

impl Counts {
    /// Of one class.
    pub fn of(&self, class: Class) -> usize {
        self.0[class as usize]
    }

    /// All scenarios.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// Those that were played.
    pub fn played(&self) -> usize {
        self.total() - self.of(Class::NotApplicable)
    }
}

impl fmt::Display for Counts {
    /// `40 passed, 1 failed`; classes without a scenario are left out, `0 passed` never is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Class::ALL
            .into_iter()
            .filter(|c| *c == Class::Passed || self.of(*c) > 0);
        let parts: Vec<String> = shown
            .map(|class| match (class, self.of(class)) {
                (Class::Error, 1) => "1 error".to_owned(),
                (class, count) => format!("{count} {}", class.word()),
            })
            .collect();
        f.write_str(&parts.join(", "))
    }
}

impl ScenarioResult {
    /// A result with the parts that every one has.
    pub fn new(
        name: &str,
        role: Role,
        title: &str,
        source: Place,
        outcome: Outcome,
    ) -> ScenarioResult {
        ScenarioResult {
            name: name.to_owned(),
            instance: None,
            role,
            door: Door::default(),
            title: title.to_owned(),
            source,
            outcome,
            findings: Vec::new(),
            step_line: None,
            diagram: String::new(),
            log_tail: Vec::new(),
            duration_ms: None,
            rerun: String::new(),
            entries: 0,
            transcript: None,
            error: None,
        }
    }

    /// `suite/id`, `@door` unless that is gRPC, and `[choice]` if there are several instances.
    pub fn full_name(&self) -> String {
        self.door.full_name(&self.name, self.instance.as_deref())
    }

    /// The finding that the others follow from: the first failure that is no consequence, else the first warning.
    pub fn root(&self) -> Option<&Finding> {
        let mut own = self.findings.iter().filter(|f| !f.consequence);
        let first = own.next()?;
        if first.severity == Severity::Failure {
            return Some(first);
        }
        Some(
            own.find(|f| f.severity == Severity::Failure)
                .unwrap_or(first),
        )
    }

    /// A finding that counts names this requirement.
    fn finds(&self, requirement: &str) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.requirement == requirement && !finding.consequence)
    }

    /// The verdict, if it was played.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.outcome {
            Outcome::Ran { verdict } | Outcome::Waived { verdict, .. } => Some(verdict),
            Outcome::NotApplicable { .. } => None,
        }
    }

    /// What it counts as. A waiver excuses the system under test, never the kit: an error stays one.
    pub fn class(&self) -> Class {
        match &self.outcome {
            Outcome::NotApplicable { .. } => Class::NotApplicable,
            Outcome::Waived {
                verdict: Verdict::Error,
                ..
            } => Class::Error,
            Outcome::Waived { .. } => Class::Waived,
            Outcome::Ran {
                verdict: Verdict::Error,
            } => Class::Error,
            Outcome::Ran {
                verdict: Verdict::Fail,
            } => Class::Failed,
            Outcome::Ran {
                verdict: Verdict::Inconclusive,
            } => Class::Inconclusive,
            Outcome::Ran {
                verdict: Verdict::Pass,
            } if self.findings.iter().any(|f| !f.consequence) => Class::Warned,
            Outcome::Ran {
                verdict: Verdict::Pass,
            } => Class::Passed,
        }
    }
}

impl Report {
    /// An empty report of this kit.
    pub fn new(system: SystemInfo, roles: Vec<Role>, seed: u64) -> Report {
        Report {
            schema: SCHEMA_VERSION,
            kit: env!("CARGO_PKG_VERSION").to_owned(),
            system,
            roles,
            seed,
            ..Report::default()
        }
    }

    /// Counts over all roles.
    pub fn counts(&self) -> Counts {
        count(self.scenarios.iter())
    }

    /// Counts of one role.
    pub fn counts_of(&self, role: Role) -> Counts {
        count(self.scenarios.iter().filter(|s| s.role == role))
    }

    /// Scenarios of one class, in their order.
    pub fn of_class(&self, class: Class) -> impl Iterator<Item = &ScenarioResult> {
        self.scenarios.iter().filter(move |s| s.class() == class)
    }

    /// The requirement of this name.
    pub fn requirement(&self, name: &str) -> Option<&RequirementResult> {
        self.requirements.iter().find(|r| r.name == name)
    }

    /// Something was played, in each role that is served, and if it all passed, at least one requirement was checked
    /// by it.
    pub fn checked_something(&self) -> bool {
        if !self.unserved.is_empty() {
            return false;
        }
        let counts = self.counts();
        let clean = counts.of(Class::Passed) + counts.of(Class::Warned) == counts.played();
        counts.played() > 0 && (!clean || self.requirements.iter().any(|r| !r.checked.is_empty()))
    }

    /// The verdict of the whole run. A stale waiver and a run that checked nothing fail it.
    pub fn verdict(&self) -> Verdict {
        match self.exit_code() {
            ExitCode::Pass => Verdict::Pass,
            ExitCode::Inconclusive => Verdict::Inconclusive,
            ExitCode::KitFault => Verdict::Error,
            _ => Verdict::Fail,
        }
    }

    /// What the process should end with. A failure is told before a fault of the kit: it stands whatever else
    /// went wrong.
    pub fn exit_code(&self) -> ExitCode {
        let counts = self.counts();
        if counts.of(Class::Failed) > 0 || !self.waivers.stale.is_empty() {
            ExitCode::Fail
        } else if counts.of(Class::Error) > 0 {
            ExitCode::KitFault
        } else if !self.checked_something() {
            ExitCode::NothingChecked
        } else if counts.of(Class::Inconclusive) > 0 {
            ExitCode::Inconclusive
        } else {
            ExitCode::Pass
        }
    }

    /// The run in one line: the verdict in capitals, and why.
    pub fn conclusion(&self) -> String {
        let counts = self.counts();
        let code = self.exit_code();
        let text = match code {
            ExitCode::Pass => {
                let passed = counts.of(Class::Passed) + counts.of(Class::Warned);
                format!("PASS: {}", count_of(passed, "scenario", "passed"))
            }
            ExitCode::Inconclusive => {
                let count = counts.of(Class::Inconclusive);
                format!(
                    "INCONCLUSIVE: of {} it can't be told who is to blame",
                    plural(count, "scenario")
                )
            }
            ExitCode::NothingChecked if !self.unserved.is_empty() => {
                let told = |role: &Unserved| format!("in the role {} {}", role.role, role.reason);
                let roles: Vec<String> = self.unserved.iter().map(told).collect();
                format!("NOTHING CHECKED: {}", roles.join("; "))
            }
            ExitCode::NothingChecked if counts.played() == 0 => {
                "NOTHING CHECKED: no scenario was played".to_owned()
            }
            ExitCode::NothingChecked => {
                "NOTHING CHECKED: no scenario came to what its requirements are about".to_owned()
            }
            ExitCode::KitFault => format!(
                "ERROR: {} could not be judged; the fault is not the subject's",
                plural(counts.of(Class::Error), "scenario")
            ),
            _ => format!("FAIL: {}", self.failures()),
        };
        format!("{text} (exit code {})", code.code())
    }

    fn failures(&self) -> String {
        let failed = self.counts().of(Class::Failed);
        let stale = self.waivers.stale.len();
        let mut parts = Vec::new();
        if failed > 0 {
            parts.push(count_of(failed, "scenario", "failed"));
        }
        if stale > 0 {
            parts.push(format!("{} stale", plural(stale, "waiver")));
        }
        parts.join(", ")
    }

    /// The same without times, for reports that are compared or kept under version control.
    pub fn without_times(mut self) -> Report {
        self.started = None;
        self.duration_ms = None;
        for scenario in &mut self.scenarios {
            scenario.duration_ms = None;
        }
        self
    }

    /// Does a requirement on this party bind something that was under test?
    pub fn tests(&self, party: Party) -> bool {
        self.roles.iter().any(|role| match role {
            Role::Sdk => party == Party::Function,
            Role::Proxy => party == Party::Proxy,
            Role::Stack => party != Party::Client,
        })
    }

    /// The requirements that bind what was under test.
    pub fn relevant(&self) -> impl Iterator<Item = &RequirementResult> {
        self.requirements.iter().filter(|r| self.tests(r.party))
    }

    /// By chapter and level: how many of the relevant requirements were checked, and how many there are that can
    /// be.
    pub fn coverage(&self) -> Vec<Coverage<'_>> {
        let chapters: BTreeSet<&str> = self.relevant().map(|r| r.chapter.as_str()).collect();
        let level = |chapter: &str, level: Level| {
            let mut share = Share::default();
            for r in self
                .relevant()
                .filter(|r| r.chapter == chapter && r.level == level)
            {
                share.checked += usize::from(!r.checked.is_empty());
                share.all += usize::from(r.untestable.is_none() || !r.checked.is_empty());
            }
            share
        };
        let row = |chapter| Coverage {
            chapter,
            must: level(chapter, Level::Must),
            should: level(chapter, Level::Should),
            may: level(chapter, Level::May),
        };
        chapters.into_iter().map(row).collect()
    }

    /// Names of relevant requirements that no check was evaluated for though one could be, by chapter.
    pub fn unchecked(&self) -> Vec<&RequirementResult> {
        self.relevant()
            .filter(|r| r.checked.is_empty() && r.untestable.is_none())
            .collect()
    }

    /// Scenarios that weren't played, by reason.
    fn not_applicable(&self) -> Vec<(&str, Vec<&ScenarioResult>)> {
        let mut reasons: Vec<(&str, Vec<&ScenarioResult>)> = Vec::new();
        for scenario in &self.scenarios {
            let Outcome::NotApplicable { reason } = &scenario.outcome else {
                continue;
            };
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, scenarios)) => scenarios.push(scenario),
                None => reasons.push((reason, vec![scenario])),
            }
        }
        reasons
    }
}

/// How much of one chapter was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The chapter's file.
    pub chapter: &'a str,
    /// MUST and MUST NOT.
    pub must: Share,
    /// SHOULD and SHOULD NOT.
    pub should: Share,
    /// MAY.
    pub may: Share,
}

/// Some of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub checked: usize,
    /// Of how many.
    pub all: usize,
}

impl fmt::Display for Share {
    /// `3/4`; `-` where there is nothing to check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all {
            0 => f.pad("-"),
            all => f.pad(&format!("{}/{all}", self.checked)),
        }
    }
}

fn count<'a>(scenarios: impl Iterator<Item = &'a ScenarioResult>) -> Counts {
    let mut counts = Counts::default();
    for scenario in scenarios {
        counts.0[scenario.class() as usize] += 1;
    }
    counts
}

/// `1 scenario`, `2 scenarios`.
fn plural(count: usize, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

/// `1 scenario passed`.
fn count_of(count: usize, noun: &str, verb: &str) -> String {
    format!("{} {verb}", plural(count, noun))
}

#[cfg(test)]
mod tests;
