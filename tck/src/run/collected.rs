//! What a run has found out, as far as it is.

use super::announced::Announced;
use super::task::Played;
use super::transcripts::write_transcript;
use super::{Progress, RunOptions};
use crate::finding::Verdict;
use crate::judge::ChoiceTaken;
use crate::party::Role;
use crate::report::{
    Choice, Outcome, Report, RequirementResult, ScenarioResult, SystemInfo, Unserved, Waivers,
};
use crate::requirement::{RequirementName, Requirements};
use crate::system::WaiverSet;
use std::collections::{BTreeMap, BTreeSet};

/// Results, and what else a report is made of.
#[derive(Debug, Default)]
pub(super) struct Collected {
    results: Vec<ScenarioResult>,
    covered: BTreeMap<RequirementName, BTreeSet<Role>>,
    choices: BTreeSet<(ChoiceTaken, Role)>,
    unserved: Vec<Unserved>,
    service_info: Vec<(String, String)>,
    proxy_info: Vec<(String, String)>,
}

impl Collected {
    /// A subject is gone at the end: what was played last has not shown that it survives it.
    pub fn doubt(&mut self, role: Role, how: &str) {
        let passed = |result: &&mut ScenarioResult| {
            let ran = Outcome::Ran {
                verdict: Verdict::Pass,
            };
            result.role == role && result.outcome == ran
        };
        if let Some(last) = self.results.iter_mut().rev().find(passed) {
            doubt(last, format!("it passes, and then {how}"));
        }
    }

    /// Takes the result of a scenario.
    pub fn add(&mut self, options: &RunOptions, played: Played, progress: &dyn Fn(Progress<'_>)) {
        for name in &played.judgement.covered {
            self.covered
                .entry(*name)
                .or_default()
                .insert(played.result.role);
        }
        for choice in &played.judgement.choices {
            self.choices.insert((*choice, played.result.role));
        }
        let mut result = played.result;
        let failed = matches!(result.outcome, Outcome::Ran { verdict } if verdict != Verdict::Pass);
        if let (true, Some(folder)) = (failed, &options.transcripts) {
            match write_transcript(folder, &result, &played.scenario, &played.transcript) {
                Ok(path) => result.transcript = Some(path),
                Err(error) => {
                    result.error = Some(format!("its transcript can't be written: {error}"))
                }
            }
        }
        options.system.waivers.excuse(&mut result);
        progress(Progress::Ended(&result));
        self.results.push(result);
    }

    /// Takes a scenario that isn't played.
    pub fn skip(&mut self, result: ScenarioResult, progress: &dyn Fn(Progress<'_>)) {
        progress(Progress::Ended(&result));
        self.results.push(result);
    }

    /// Nothing that is played in a role shows anything of the system.
    pub fn unserved(&mut self, role: Role, reason: String) {
        self.unserved.push(Unserved { role, reason });
    }

    /// Takes what the subjects say of themselves.
    pub fn announced(&mut self, announced: &Announced<'_>) {
        if let Some(info) = announced.service_info() {
            self.service_info = info;
        }
        if let Some(info) = announced.proxy_info() {
            self.proxy_info = info;
        }
    }

    /// The report of all that was taken.
    pub fn report(mut self, options: &RunOptions) -> Report {
        self.results.sort_by(|a, b| {
            let place = |r: &ScenarioResult| (r.role, r.name.clone(), r.door, r.instance.clone());
            place(a).cmp(&place(b))
        });
        let checked = |name: &str| {
            self.covered
                .get(name)
                .into_iter()
                .flatten()
                .copied()
                .collect()
        };
        let requirements = Requirements::embedded()
            .iter()
            .map(|requirement| {
                RequirementResult::new(requirement, checked(&requirement.name), &self.results)
            })
            .collect();
        Report {
            kit: env!("CARGO_PKG_VERSION").to_owned(),
            started: None,
            duration_ms: None,
            command: Some(format!("cloudstate-tck run {}", options.named)),
            system: SystemInfo {
                name: options.system.name.clone(),
                version: options.system.version.clone(),
                roles: options.system.roles(),
                service_info: std::mem::take(&mut self.service_info),
                proxy_info: std::mem::take(&mut self.proxy_info),
            },
            roles: options.roles.clone(),
            seed: options.seed,
            unserved: self.unserved,
            requirements,
            choices: self
                .choices
                .iter()
                .map(|(taken, role)| choice_of(*taken, *role))
                .collect(),
            waivers: waivers(
                &options.system.waivers,
                &self.results,
                options.strict_waivers,
            ),
            scenarios: self.results,
        }
    }
}

/// It passes, and yet it has not shown what it should.
pub(super) fn doubt(result: &mut ScenarioResult, why: String) {
    result.outcome = Outcome::Ran {
        verdict: Verdict::Inconclusive,
    };
    result.error = Some(why);
}

fn choice_of(taken: ChoiceTaken, role: Role) -> Choice {
    Choice {
        about: taken.requirement.to_string(),
        role,
        question: taken.requirement.slug().replace('-', " "),
        took: taken.choice.to_owned(),
    }
}

fn waivers(waivers: &WaiverSet, results: &[ScenarioResult], strict: bool) -> Waivers {
    let mut summary = waivers.summary(results);
    if !strict {
        summary.stale.retain(|stale| !stale.passing.is_empty());
    }
    summary
}
