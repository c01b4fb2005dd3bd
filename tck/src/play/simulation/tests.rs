//! What play and model do, nobody objects to.

use super::*;
use crate::explore;
use crate::finding::Verdict;
use crate::judge::{Judgement, judge};
use crate::scenario::read;
use crate::transcript::notation;

/// What is wrong with a simulated play.
fn objections(script: &Arc<Script>) -> Option<String> {
    objections_to(script, Manner::Plain, |judgement| {
        judgement.findings.is_empty() && judgement.verdict() == Verdict::Pass
    })
}

fn objections_to(
    script: &Arc<Script>,
    manner: Manner,
    is_well: impl Fn(&Judgement) -> bool,
) -> Option<String> {
    let transcript = simulate_with(script, manner);
    let judgement = judge(script, &transcript);
    (!is_well(&judgement)).then(|| {
        let findings = judgement.findings.iter();
        let findings: Vec<String> = findings
            .map(|f| {
                format!(
                    "  {} {:?} {:?}: {}",
                    f.requirement, f.blame, f.entry, f.summary
                )
            })
            .collect();
        let error = judgement.error.unwrap_or_default();
        let text = notation::write(&transcript, &script.package);
        let (name, found) = (script.scenario.name(), findings.join("\n"));
        format!("{name}\n{text}{found}\n  error: {error}\n")
    })
}

fn accepted(scenarios: impl IntoIterator<Item = Scenario>) -> usize {
    let mut wrong = Vec::new();
    let mut played = 0;
    for scenario in scenarios {
        let scenario = Arc::new(scenario);
        for role in Role::ALL {
            for script in scripts(&scenario, role) {
                played += 1;
                wrong.extend(objections(&script));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {played}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    played
}

#[test]
fn every_shipped_scenario_is_accepted_as_play_and_model_do_it() {
    let shipped = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let light = shipped.into_iter().filter(|scenario| !is_bulky(scenario));
    assert!(accepted(light) > 600);
}

#[test]
fn every_generated_scenario_is_accepted_as_play_and_model_do_it() {
    let generated = explore::generate(1, 60);
    let scenarios = generated
        .iter()
        .map(|generated| generated.scenario().clone());
    assert!(accepted(scenarios) > 100);
}

/// Every scenario for a function, with one that lets go of each entity as soon as it may.
fn with_a_function_that_lets_go(manner: Manner, is_well: impl Fn(&Judgement) -> bool) {
    let shipped = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let light = shipped.into_iter().filter(|scenario| !is_bulky(scenario));
    let mut wrong = Vec::new();
    for scenario in light.map(Arc::new) {
        for script in scripts(&scenario, Role::Sdk) {
            wrong.extend(objections_to(&script, manner, &is_well));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_function_may_let_go_of_an_idle_entity_at_any_time() {
    with_a_function_that_lets_go(Manner::LetsGo, |judgement| {
        judgement.findings.is_empty() && judgement.verdict() == Verdict::Pass
    });
}

#[test]
fn times_of_a_file_that_run_backwards_are_no_reason_to_panic() {
    let shipped = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let light = shipped.into_iter().filter(|scenario| !is_bulky(scenario));
    for scenario in light.map(Arc::new) {
        for script in scripts(&scenario, Role::Sdk) {
            let mut transcript = simulate_with(&script, Manner::LetsGoUnseen);
            for entry in &mut transcript.entries {
                entry.at = u64::MAX - entry.at;
            }
            let judgement = judge(&script, &transcript);
            assert_ne!(judgement.verdict(), Verdict::Fail, "{}", scenario.name());
        }
    }
}

#[test]
fn what_was_on_its_way_to_a_function_that_let_go_is_nobodys_fault() {
    with_a_function_that_lets_go(Manner::LetsGoUnseen, |judgement| {
        matches!(judgement.verdict(), Verdict::Pass | Verdict::Inconclusive)
    });
}
