//! Every MUST of the specification was checked by a scenario that ran, or `spec/untestable.md` says why none can.
//!
//! The measure is taken here, where the kit has a proxy and a function: all scenarios, in all roles. A requirement
//! counts as checked if something was held against it, not because a scenario names it.
//!
//! And how many scenarios are played in each role is pinned: one that nothing makes applicable any more fails nowhere.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "reference/system.rs"]
mod system;

use cloudstate_tck::party::Role;
use cloudstate_tck::report::{Class, Report, RequirementResult};
use cloudstate_tck::requirement::Level;
use cloudstate_tck::run::{self, RunOptions};
use cloudstate_tck::scenario::read;
use std::sync::{Arc, LazyLock};

/// Of each role: how many scenarios are played, and how many are not applicable.
const PINNED: [(Role, usize, usize); 3] = [
    (Role::Sdk, 180, 194),
    (Role::Proxy, 336, 40),
    (Role::Stack, 151, 223),
];

/// Both tests read what one run found out.
static REPORT: LazyLock<Report> = LazyLock::new(|| certified().unwrap());

fn certified() -> Result<Report, Box<dyn std::error::Error>> {
    let system = system::reference()?;
    let scenarios = read::embedded().map_err(|errors| errors[0].to_string())?;
    let options = RunOptions {
        named: "reference".to_owned(),
        roles: system.roles(),
        scenarios: scenarios.into_iter().map(Arc::new).collect(),
        jobs: None,
        time_scale: 2.0,
        seed: 1,
        generated: 0,
        counterexamples: None,
        transcripts: None,
        strict_waivers: false,
        system,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(runtime.block_on(run::run(options, &|_| {}))?)
}

fn listed<'r>(requirements: impl Iterator<Item = &'r RequirementResult>) -> String {
    requirements
        .map(|r| format!("\n  {} (spec/{}): {}", r.name, r.chapter, r.sentence))
        .collect()
}

#[test]
fn every_must_is_checked_or_has_a_reason() {
    let must = || {
        REPORT
            .requirements
            .iter()
            .filter(|r| r.level == Level::Must)
    };

    let forgotten = must().filter(|r| r.checked.is_empty() && r.untestable.is_none());
    let forgotten = listed(forgotten);
    assert!(
        forgotten.is_empty(),
        "nothing checks these, and nobody says why.{forgotten}\n\
         Write a scenario that verifies it (fixtures/scenarios/README.md) and plays here, \
         or a row with the reason in spec/untestable.md."
    );

    let excused = must().filter(|r| !r.checked.is_empty() && r.untestable.is_some());
    let excused = listed(excused);
    assert!(
        excused.is_empty(),
        "these are checked after all.{excused}\nTake their rows out of spec/untestable.md."
    );
}

#[test]
fn as_many_scenarios_are_played_in_each_role_as_ever() {
    let seen = PINNED.map(|(role, ..)| {
        let counts = REPORT.counts_of(role);
        (role, counts.played(), counts.of(Class::NotApplicable))
    });
    assert_eq!(
        seen, PINNED,
        "(role, played, not applicable) on the left is what this run came to, on the right what is pinned.\n\
         If scenarios were written or taken out, copy the left side to PINNED in this file. If not, a change has made \
         scenarios inapplicable, or applicable: `cloudstate-tck list --role ROLE` says which are, and why the others \
         aren't."
    );
}
