//! What play and model do, nobody objects to.

use super::*;
use crate::explore;
use crate::finding::Verdict;
use crate::judge::judge;
use crate::scenario::read;
use crate::transcript::notation;

/// What is wrong with a simulated play.
fn objections(script: &Arc<Script>) -> Option<String> {
    let transcript = simulate(script);
    let judgement = judge(script, &transcript);
    let quiet = judgement.findings.is_empty() && judgement.verdict() == Verdict::Pass;
    (!quiet).then(|| {
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
        format!("{text}{}\n  error: {error}\n", findings.join("\n"))
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
