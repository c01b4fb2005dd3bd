use super::*;
use crate::explore::generate::{Ask, Input, Inputs, Text};
use crate::explore::{expand, generate};
use crate::scenario::{Answer, Step, StepKind};
use std::collections::HashSet;

fn answer(step: &Step) -> Option<&Answer> {
    match &step.kind {
        StepKind::Call(call) => Some(&call.answer),
        _ => None,
    }
}

fn answers(scenario: &Scenario) -> Vec<&Answer> {
    scenario.chart.iter().filter_map(answer).collect()
}

/// The planted bug: a failed command spoils the next one that emits.
fn fails(scenario: &Scenario) -> bool {
    let answers = answers(scenario);
    let failure = answers.iter().position(|answer| answer.failure.is_some());
    failure.is_some_and(|at| {
        answers[at..]
            .iter()
            .any(|answer| answer.part("events").is_some())
    })
}

/// Every generated scenario that has the bug.
fn failing() -> impl Iterator<Item = Generated> {
    generate(7, 600)
        .into_iter()
        .filter(|generated| fails(generated.scenario()))
}

/// One with steps to remove.
fn long() -> Generated {
    failing()
        .find(|generated| generated.scenario().chart.len() > 4)
        .unwrap()
}

#[tokio::test]
async fn a_failing_chart_shrinks_to_the_two_steps_that_matter() {
    let smallest = [
        Input::Process(vec![Ask::Fail(Text::Plain)]),
        Input::Process(vec![Ask::Value(Text::Plain)]),
    ];
    let smallest = expand::expand(
        String::new(),
        String::new(),
        &Inputs::EventSourced(smallest.to_vec()),
    );
    let mut found = 0;
    for generated in failing() {
        let mut played = 0;
        let fails = async |scenario: &Scenario| {
            played += 1;
            fails(scenario)
        };
        let shrunk = shrink(generated, fails, Budget::default()).await;
        assert_eq!(
            format!("{:?}", shrunk.chart),
            format!("{:?}", smallest.chart)
        );
        assert!(played <= 60, "{played} candidates");
        found += 1;
    }
    assert!(found > 10, "only {found} charts had the bug");
}

#[tokio::test]
async fn a_shrunk_scenario_keeps_its_name() {
    let original = long().scenario().clone();
    let shrunk = shrink(long(), async |scenario| fails(scenario), Budget::default()).await;
    assert_eq!(
        (shrunk.name(), shrunk.title),
        (original.name(), original.title)
    );
}

#[tokio::test]
async fn what_does_not_fail_again_stays_as_it_was() {
    let original = format!("{:?}", long().scenario().chart);
    let shrunk = shrink(long(), async |_| false, Budget::default()).await;
    assert_eq!(format!("{:?}", shrunk.chart), original);
}

#[tokio::test]
async fn no_chart_is_empty_and_none_is_tried_twice() {
    for generated in generate(1, 150) {
        let mut tried = HashSet::from([format!("{:?}", generated.scenario().chart)]);
        let all = async |scenario: &Scenario| {
            assert!(!scenario.chart.is_empty());
            assert!(tried.insert(format!("{:?}", scenario.chart)));
            true
        };
        let shrunk = shrink(generated, all, Budget::default()).await;
        assert_eq!(shrunk.chart.len(), 1);
    }
}

#[tokio::test]
async fn the_budget_of_candidates_is_kept() {
    let budget = Budget {
        candidates: 3,
        ..Budget::default()
    };
    let mut played = 0;
    let fails = async |scenario: &Scenario| {
        played += 1;
        fails(scenario)
    };
    shrink(long(), fails, budget).await;
    assert_eq!(played, 3);
}

#[tokio::test]
async fn the_budget_of_time_cuts_a_hanging_candidate() {
    let mut played = 0;
    let hangs = async |scenario: &Scenario| {
        played += 1;
        if played > 1 {
            std::future::pending::<()>().await;
        }
        fails(scenario)
    };
    let budget = Budget {
        time: Duration::from_millis(200),
        ..Budget::default()
    };
    assert!(fails(&shrink(long(), hangs, budget).await));
    assert_eq!(played, 2);
}
