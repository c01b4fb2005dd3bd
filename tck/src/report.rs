//! (6) The versioned result type and its renderings.
//!
//! A [`Report`] is the artefact of a run: the runner fills it in, [`json`] writes and reads it, and everything a
//! person or a CI server looks at is a pure function of it, a row of [`forms`]. It carries the sentences of the
//! requirements it mentions, so it can be read without the kit that made it. Counts and the verdict follow from the
//! scenarios and are computed, never stored.

pub mod exit_code;
mod failure;
pub mod forms;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod paint;
mod requirement;
mod scenario;
pub mod terminal;
pub mod time;
mod waivers;

pub use exit_code::ExitCode;
pub use requirement::{Coverage, RequirementResult, Share, Standing};
pub use scenario::{Class, Counts, Outcome, ScenarioResult, SourceLine};
pub use waivers::{StaleWaiver, UsedWaiver, Waivers};

use crate::finding::Verdict;
use crate::party::Role;
use crate::text::{plural, quoted};
use scenario::count;
use serde::{Deserialize, Serialize};

/// Everything that one run found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Version of the kit.
    pub kit: String,
    /// When the run began, RFC 3339 in UTC; absent where reports are compared.
    pub started: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The command that ran it, up to the arguments that choose role and scenario; `None`: it was put together of
    /// saved transcripts.
    pub command: Option<String>,
    /// What was tested.
    pub system: SystemInfo,
    /// The roles that were run.
    pub roles: Vec<Role>,
    /// What the generated scenarios came from.
    pub seed: u64,
    /// The roles that the run says nothing about.
    pub unserved: Vec<Unserved>,
    /// Every scenario that was selected, in the order of role, then name.
    pub scenarios: Vec<ScenarioResult>,
    /// Every requirement of the specification, checked or not, by name.
    pub requirements: Vec<RequirementResult>,
    /// Where the specification leaves a choice: which one the system under test took.
    pub choices: Vec<Choice>,
    /// Known failures that the system file declares.
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

impl Report {
    /// An empty report of this kit.
    pub fn new(system: SystemInfo, roles: Vec<Role>, seed: u64) -> Report {
        Report {
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

    /// The command that runs one scenario again and nothing else.
    pub fn rerun(&self, result: &ScenarioResult) -> Option<String> {
        match (&self.command, &result.transcript) {
            (Some(command), _) => Some(format!(
                "{command} --role {} --filter '{}'",
                result.role, result.name
            )),
            (None, Some(transcript)) => {
                Some(format!("cloudstate-tck judge {}", quoted(transcript)))
            }
            (None, None) => None,
        }
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

/// `1 scenario passed`.
fn count_of(count: usize, noun: &str, verb: &str) -> String {
    format!("{} {verb}", plural(count, noun))
}

#[cfg(test)]
mod tests;
