//! The kit as a test of `cargo test`: every scenario of every role is one, filterable and listable.
//!
//! For a proxy or an SDK written in Rust, the feature `harness` and a test without a harness are enough:
//!
//! ```no_run
//! use cloudstate_tck::{harness, system::System};
//!
//! let system = System::read("my-system.yaml".as_ref()).expect("a system file");
//! harness::main(system).exit()
//! ```

use crate::finding::Verdict;
use crate::party::Role;
use crate::report::{Outcome, Report, ScenarioResult, paint::Paint, terminal};
use crate::run::{self, RunOptions};
use crate::scenario::{Scenario, read};
use crate::system::System;
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// Runs the embedded scenarios in every role of the system as tests. Nothing is started for `--list`; the first
/// test that is run runs all that are selected, side by side.
pub fn main(system: System) -> Conclusion {
    let mut arguments = Arguments::from_args();
    // The tests only read what one run found out.
    arguments.test_threads.get_or_insert(32);
    let scenarios: Vec<Arc<Scenario>> = match read::embedded() {
        Ok(scenarios) => scenarios.into_iter().map(Arc::new).collect(),
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            Vec::new()
        }
    };
    let mut selected: BTreeMap<Role, Vec<Arc<Scenario>>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for role in system.roles() {
        for scenario in &scenarios {
            let name = format!("{role}::{}", scenario.name());
            if is_selected(&arguments, &name) {
                selected.entry(role).or_default().push(scenario.clone());
            }
            names.insert((name, role, scenario.name()));
        }
    }
    let report: Arc<OnceLock<Result<Report, String>>> = Arc::default();
    let plan = Arc::new((system, selected));
    let trials = names.into_iter().map(|(name, role, scenario)| {
        let (report, plan) = (report.clone(), plan.clone());
        Trial::ignorable_test(name, move || {
            let report = report.get_or_init(|| run_all(&plan.0, &plan.1));
            let report = report.as_ref().map_err(Failed::from)?;
            let mut completion = Err(Failed::from("the run has no result of it"));
            let mine = |result: &&ScenarioResult| result.role == role && result.name == scenario;
            for result in report.scenarios.iter().filter(mine) {
                completion = Ok(conclude(report, result)?);
            }
            completion
        })
    });
    libtest_mimic::run(&arguments, trials.collect())
}

fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &String| {
        if arguments.exact {
            name == pattern
        } else {
            name.contains(pattern.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

fn run_all(
    system: &System,
    selected: &BTreeMap<Role, Vec<Arc<Scenario>>>,
) -> Result<Report, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut all: Option<Report> = None;
        for (role, scenarios) in selected {
            let options = RunOptions {
                system: system.clone(),
                named: "SYSTEM.yaml".to_owned(),
                roles: vec![*role],
                scenarios: scenarios.clone(),
                jobs: None,
                time_scale: 2.0,
                seed: 1,
                generated: 0,
                counterexamples: None,
                transcripts: None,
                strict_waivers: false,
            };
            let report = run::run(options, &|_| {})
                .await
                .map_err(|error| error.to_string())?;
            match &mut all {
                Some(all) => {
                    all.scenarios.extend(report.scenarios);
                    all.unserved.extend(report.unserved);
                }
                None => all = Some(report),
            }
        }
        all.ok_or_else(|| "no scenario is selected".to_owned())
    })
}

fn conclude(report: &Report, result: &ScenarioResult) -> Result<Completion, Failed> {
    match &result.outcome {
        Outcome::Ran {
            verdict: Verdict::Pass,
        }
        | Outcome::Waived { .. } => {
            let mut unserved = report.unserved.iter();
            match unserved.find(|unserved| unserved.role == result.role) {
                Some(unserved) => Err(unserved.reason.as_str().into()),
                None => Ok(Completion::Completed),
            }
        }
        Outcome::NotApplicable { reason } => Ok(Completion::ignored_with(reason.clone())),
        Outcome::Ran { .. } => Err(terminal::scenario(report, result, Paint::Plain).into()),
    }
}
