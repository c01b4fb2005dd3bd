//! Known failures. A waiver has a reason, must match something, and what it matches must still fail.

use crate::judge::Verdict;
use crate::report::{self, Outcome, ScenarioResult, StaleWaiver, UsedWaiver};
use crate::scenario::Role;
use serde::Deserialize;

/// A known failure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Which scenarios: a name, `*` for a part of a name, `**` for any.
    pub scenario: String,
    /// In which role; by default in all.
    #[serde(default)]
    pub role: Option<Role>,
    /// Only where this requirement is what fails.
    #[serde(default)]
    pub requirement: Option<String>,
    /// Why it is known and not fixed.
    pub reason: String,
}

/// All waivers of a system.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Waivers(pub Vec<Waiver>);

impl Waiver {
    fn selects(&self, result: &ScenarioResult) -> bool {
        self.role.is_none_or(|role| role == result.role) && glob(&self.scenario, &result.name)
    }

    /// It fails, and for the reason that is known.
    fn excuses(&self, result: &ScenarioResult) -> bool {
        let Outcome::Ran { verdict: Verdict::Fail | Verdict::Inconclusive } = result.outcome else {
            return false;
        };
        let root = result.findings.iter().find(|finding| !finding.consequence);
        let known = |name: &String| root.is_some_and(|root| root.requirement == *name);
        self.selects(result) && self.requirement.as_ref().is_none_or(known)
    }

    fn pattern(&self) -> String {
        let role = self.role.map_or(String::new(), |role| format!(" in {role}"));
        let requirement = self.requirement.as_ref().map_or(String::new(), |name| format!(", {name}"));
        format!("{}{role}{requirement}", self.scenario)
    }
}

impl Waivers {
    /// Marks a known failure as waived.
    pub fn excuse(&self, result: &mut ScenarioResult) {
        let Some(waiver) = self.0.iter().find(|waiver| waiver.excuses(result)) else { return };
        if let Outcome::Ran { verdict } = result.outcome {
            result.outcome = Outcome::Waived { reason: waiver.reason.clone(), verdict };
        }
    }

    /// Which of them did their work, and which should be removed.
    pub fn summary(&self, results: &[ScenarioResult]) -> report::Waivers {
        let mut summary = report::Waivers::default();
        for waiver in &self.0 {
            let named = |result: &&ScenarioResult| waiver.selects(result);
            let excused: Vec<String> = results
                .iter()
                .filter(named)
                .filter(|result| matches!(&result.outcome, Outcome::Waived { reason, .. } if *reason == waiver.reason))
                .map(ScenarioResult::full_name)
                .collect();
            if !excused.is_empty() {
                let (pattern, reason) = (waiver.pattern(), waiver.reason.clone());
                summary.used.push(UsedWaiver { pattern, reason, excused });
                continue;
            }
            let passing = results
                .iter()
                .filter(named)
                .filter(|result| matches!(result.outcome, Outcome::Ran { verdict: Verdict::Pass }))
                .map(ScenarioResult::full_name)
                .collect();
            let (pattern, reason) = (waiver.pattern(), waiver.reason.clone());
            summary.stale.push(StaleWaiver { pattern, reason, passing });
        }
        summary
    }
}

/// `*` is any part between two `/`, `**` anything.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => {
            let Some(name) = name.strip_prefix(before) else { return false };
            let (deep, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
            let end = if deep { name.len() } else { name.find('/').unwrap_or(name.len()) };
            (0..=end).filter(|at| name.is_char_boundary(*at)).any(|at| glob(rest, &name[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_stay_within_a_part_and_double_stars_do_not() {
        assert!(glob("failures/*", "failures/second-reply"));
        assert!(glob("**", "failures/second-reply"));
        assert!(glob("*/second-*", "failures/second-reply"));
        assert!(!glob("fail*", "failures/second-reply"));
        assert!(!glob("failures/second", "failures/second-reply"));
    }
}
