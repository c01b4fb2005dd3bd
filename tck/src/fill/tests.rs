use super::*;
use crate::scenario::{read, write};
use crate::yaml::Source;
use std::sync::Arc;

fn scenario(service: &str, head: &str, chart: &str) -> Scenario {
    let text = format!(
        "suite: s\nservice: cloudstate.tck.model.{service}\nscenarios:\n  - id: a\n    title: A\n    ids: [b, c]\n{head}    chart:\n{chart}"
    );
    let name = "s.yaml".to_owned();
    let source = Arc::new(Source { name, text });
    let scenarios = read::read(&source).unwrap_or_else(|errors| panic!("{}", errors[0]));
    scenarios[0].clone()
}

fn written(scenario: &Scenario) -> String {
    let all = std::slice::from_ref(scenario);
    let text = write::write("s", &scenario.service, all, "");
    let (_, chart) = text.split_once("chart:\n").unwrap();
    chart.to_owned()
}

/// The chart as filled, names standing for themselves.
fn filled(service: &str, chart: &str) -> String {
    let scenario = scenario(service, "", chart);
    let names = standing_for_themselves(&scenario);
    written(&fill(&scenario, &names).scenario)
}

const EVENT_SOURCED: &str = "EventSourcedTckModel";
const ACTION: &str = "action.ActionTckModel";

#[test]
fn an_entity_remembers_what_it_was_asked() {
    insta::assert_snapshot!(filled(
        EVENT_SOURCED,
        "
      - call: Process
        request: { actions: [ { emit: { value: A } } ] }
      - passivate
      - call: Process
        request: { id: $b, actions: [ { emit: { value: B } } ] }
      - call: Process
        request: { actions: [ { fail: { message: no } } ] }
      - call: Process
        request: { actions: [ { emit: { value: C } } ] }
"
    ));
}

#[test]
fn a_history_is_given_instead_of_made() {
    insta::assert_snapshot!(filled(
        "valueentity.ValueEntityTckModel",
        "
      - call: Process
        request: {}
        replay: { state: { Persisted: { value: old } } }
"
    ));
}

#[test]
fn side_effects_and_forwards_are_answered_too() {
    insta::assert_snapshot!(filled(
        EVENT_SOURCED,
        "
      - call: Process
        request: { actions: [ { effect: { id: $b, synchronous: true } }, { forward: { id: \"$c-1\" } } ] }
      - call: Process
        request: { actions: [ { effect: { id: $b } } ] }
        reply: {}
        effects: [ { call: EventSourcedTwo.Call, request: { id: $b } } ]
"
    ));
}

#[test]
fn streams_are_answered_request_by_request() {
    insta::assert_snapshot!(filled(
        ACTION,
        "
      - call: ProcessStreamedOut
        request: { groups: [ { steps: [ { reply: { message: A } } ] }, { steps: [ { reply: { message: B } } ] } ] }
      - call: ProcessStreamed
        stream:
          - request: { groups: [ { steps: [ { reply: { message: A } } ] } ] }
          - request: { groups: [ { steps: [ { forward: { id: $b } } ] } ] }
      - call: ProcessStreamedIn
        stream:
          - request: { groups: [ { steps: [ { reply: { message: A } } ] } ] }
          - request: { groups: [ { steps: [ { reply: { message: B } } ] } ] }
"
    ));
}

#[test]
fn what_happens_meanwhile_is_answered() {
    insta::assert_snapshot!(filled(
        EVENT_SOURCED,
        "
      - call: Process
        request: { actions: [ { emit: { value: A } } ] }
        during:
          - call: Process
            request: { actions: [ { emit: { value: B } } ] }
          - none: [ { call: Process, request: { id: $b } } ]
      - unordered:
          - - call: Process
              request: { actions: [ { emit: { value: C } } ] }
          - - call: Process
              request: { id: $b, actions: [ { emit: { value: D } } ] }
"
    ));
}

#[test]
fn what_depends_on_the_order_stays_open() {
    insta::assert_snapshot!(filled(
        EVENT_SOURCED,
        "
      - unordered:
          - - call: Process
              request: { actions: [ { emit: { value: A } } ] }
          - - call: Process
              request: { actions: [ { emit: { value: B } } ] }
      - call: Process
        request: {}
      - concurrent: { clients: 2 }
        each:
          - call: Process
            request: { id: \"$b-$client\", actions: [ { emit: { value: A } } ] }
      - call: Process
        request: { id: \"$b-2\" }
      - call: Process
        request: { id: \"$b-3\" }
"
    ));
}

#[test]
fn actions_have_no_state_and_answer_every_client_alike() {
    insta::assert_snapshot!(filled(
        ACTION,
        "
      - concurrent: { clients: 2 }
        each:
          - call: ProcessUnary
            request: { groups: [ { steps: [ { reply: { message: \"$client of $b\" } } ] } ] }
"
    ));
}

#[test]
fn a_function_that_departs_from_the_model_answers_nothing_else() {
    let chart = "
      - call: Process
        request: {}
";
    let names = |scenario: &Scenario| standing_for_themselves(scenario);
    let departing = scenario(EVENT_SOURCED, "    scripted: function\n", chart);
    let filled = fill(&departing, &names(&departing));
    assert_eq!(written(&filled.scenario), written(&departing));
    let proxy = scenario(EVENT_SOURCED, "    scripted: proxy\n", chart);
    let filled = fill(&proxy, &names(&proxy));
    assert_ne!(written(&filled.scenario), written(&proxy));
}

#[test]
fn what_is_written_stands_beside_what_the_model_says() {
    let scenario = scenario(
        ACTION,
        "",
        "
      - call: ProcessUnary
        request: {}
        reply: { message: A }
      - call: ProcessStreamedOut
        request: { groups: [ {}, {} ] }
        stream: [ { nothing: true } ]
      - call: ProcessStreamedOut
        request: {}
        stream: [ { nothing: true } ]
",
    );
    let filled = fill(&scenario, &standing_for_themselves(&scenario));
    let said: Vec<&str> = filled
        .statements
        .iter()
        .map(|statement| match statement {
            Statement::Answer(_) => "an answer",
            Statement::NoMoreAnswers(_) => "no more",
            Statement::MoreAnswers(_, 1) => "one more",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["an answer", "an answer", "one more", "no more"]);
    assert_eq!(written(&filled.scenario), written(&scenario));
}
