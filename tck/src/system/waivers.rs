//! Known failures. A waiver has a reason, must match something, and what it matches must still fail.

use crate::finding::{Finding, Severity, Verdict};
use crate::party::Role;
use crate::report::{self, Outcome, ScenarioResult, StaleWaiver, UsedWaiver};

/// A known failure.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// Which scenarios: a name, `*` for a part of a name, `**` for any.
    pub scenario: String,
    /// In which role; by default in all.
    pub role: Option<Role>,
    /// Only findings of this requirement; by default all.
    pub requirement: Option<String>,
    /// Why it is known and not fixed.
    pub reason: String,
}

/// All waivers of a system.
#[derive(Clone, Debug, Default)]
pub struct WaiverSet(pub Vec<Waiver>);

/// It ran, and a waiver is what it needs.
fn failing(result: &ScenarioResult) -> Option<Verdict> {
    match result.outcome {
        Outcome::Ran { verdict } | Outcome::Waived { verdict, .. } => {
            matches!(verdict, Verdict::Fail | Verdict::Inconclusive).then_some(verdict)
        }
        Outcome::NotApplicable { .. } => None,
    }
}

/// The findings that make it fail.
fn failures(result: &ScenarioResult) -> impl Iterator<Item = &Finding> {
    result
        .findings
        .iter()
        .filter(|finding| !finding.consequence && finding.severity == Severity::Failure)
}

impl Waiver {
    fn selects(&self, result: &ScenarioResult) -> bool {
        self.role.is_none_or(|role| role == result.role) && glob(&self.scenario, &result.name)
    }

    fn covers(&self, finding: &Finding) -> bool {
        self.requirement
            .as_ref()
            .is_none_or(|name| *name == finding.requirement)
    }

    /// Something fails as it says.
    fn is_needed(&self, result: &ScenarioResult) -> bool {
        let mut failures = failures(result).peekable();
        let silent = failures.peek().is_none() && self.requirement.is_none();
        self.selects(result)
            && failing(result).is_some()
            && (silent || failures.any(|finding| self.covers(finding)))
    }

    fn pattern(&self) -> String {
        let role = self
            .role
            .map_or(String::new(), |role| format!(" in {role}"));
        let requirement = self
            .requirement
            .as_ref()
            .map_or(String::new(), |name| format!(", {name}"));
        format!("{}{role}{requirement}", self.scenario)
    }
}

impl WaiverSet {
    /// Marks a known failure as waived, if all that fails in it is known.
    pub fn excuse(&self, result: &mut ScenarioResult) {
        let (Outcome::Ran { .. }, Some(verdict)) = (&result.outcome, failing(result)) else {
            return;
        };
        let needed: Vec<&Waiver> = self
            .0
            .iter()
            .filter(|waiver| waiver.is_needed(result))
            .collect();
        let known = |finding| needed.iter().any(|waiver| waiver.covers(finding));
        if needed.is_empty() || !failures(result).all(known) {
            return;
        }
        let mut reasons: Vec<&str> = needed.iter().map(|waiver| waiver.reason.as_str()).collect();
        reasons.dedup();
        result.outcome = Outcome::Waived {
            reason: reasons.join("; "),
            verdict,
        };
    }

    /// Which of them are still needed, and which should be removed.
    pub fn summary(&self, results: &[ScenarioResult]) -> report::Waivers {
        let mut summary = report::Waivers::default();
        for waiver in &self.0 {
            let (pattern, reason) = (waiver.pattern(), waiver.reason.clone());
            let named = |wanted: &dyn Fn(&ScenarioResult) -> bool| -> Vec<String> {
                results
                    .iter()
                    .filter(|result| wanted(result))
                    .map(ScenarioResult::full_name)
                    .collect()
            };
            let excused = named(&|result| waiver.is_needed(result));
            if !excused.is_empty() {
                summary.used.push(UsedWaiver {
                    pattern,
                    reason,
                    excused,
                });
                continue;
            }
            let passes = Outcome::Ran {
                verdict: Verdict::Pass,
            };
            let passing = named(&|result| waiver.selects(result) && result.outcome == passes);
            summary.stale.push(StaleWaiver {
                pattern,
                reason,
                passing,
            });
        }
        summary
    }
}

/// `*` is any part between two `/`, `**` anything.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => {
            let Some(name) = name.strip_prefix(before) else {
                return false;
            };
            let (deep, rest) = rest
                .strip_prefix('*')
                .map_or((false, rest), |rest| (true, rest));
            let end = if deep {
                name.len()
            } else {
                name.find('/').unwrap_or(name.len())
            };
            (0..=end)
                .filter(|at| name.is_char_boundary(*at))
                .any(|at| glob(rest, &name[at..]))
        }
    }
}
