//! How a scenario ended in a role, and what it counts as.

use crate::door::Door;
use crate::finding::{Finding, Severity, Verdict};
use crate::party::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One scenario (or one instance of it) in one role.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioResult {
    /// `suite/id`.
    pub name: String,
    /// Which of the kit's choices was played, for example `restart=true`.
    pub instance: Option<String>,
    /// Who was under test.
    pub role: Role,
    /// By which door the client called; gRPC goes without saying.
    pub door: Door,
    /// The scenario's title.
    pub title: String,
    /// Where the scenario stands.
    pub source: SourceLine,
    /// How it ended.
    pub outcome: Outcome,
    /// What deviates. See [`ScenarioResult::root`].
    pub findings: Vec<Finding>,
    /// The line in `source` of the step that the root finding is about.
    pub step_line: Option<usize>,
    /// What was seen, drawn, with the place where it went wrong; empty for a scenario without findings.
    pub diagram: String,
    /// The last lines that the system under test logged.
    pub log_tail: Vec<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How many entries its transcript has.
    pub entries: usize,
    /// The file with the transcript, if one was written.
    pub transcript: Option<String>,
    /// What went wrong in the kit or around it, if the verdict is an error.
    pub error: Option<String>,
}

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// The file as the user knows it.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How a scenario ended, or why it wasn't played.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl ScenarioResult {
    /// A result with the parts that every one has.
    pub fn new(
        name: &str,
        role: Role,
        title: &str,
        source: SourceLine,
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
    pub(super) fn finds(&self, requirement: &str) -> bool {
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

pub(super) fn count<'a>(scenarios: impl Iterator<Item = &'a ScenarioResult>) -> Counts {
    let mut counts = Counts::default();
    for scenario in scenarios {
        counts.0[scenario.class() as usize] += 1;
    }
    counts
}
