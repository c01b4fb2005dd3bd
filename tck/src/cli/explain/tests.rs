use super::*;
use crate::scenario::read;
use crate::yaml::Source;

/// The chart of a scenario as it is drawn.
fn drawn(service: &str, chart: &str, role: Role) -> String {
    let text = format!(
        "suite: s\nservice: cloudstate.tck.model.{service}\nscenarios:\n  - id: a\n    title: A\n    ids: [b]\n    chart:\n{chart}"
    );
    let source = Arc::new(Source {
        name: "s.yaml".to_owned(),
        text,
    });
    let scenarios = read::read(&source).unwrap_or_else(|errors| panic!("{}", errors[0]));
    diagram::chart(&expanded(&scenarios[0]), role)
}

#[test]
fn of_a_streamed_call_every_answer_of_the_model_is_drawn() {
    let chart = "
      - call: ProcessStreamedOut
        request: { groups: [ { steps: [ { reply: { message: one } } ] }, { steps: [ { reply: { message: two } } ] } ] }
";
    let text = drawn("action.ActionTckModel", chart, Role::Proxy);
    assert!(!text.contains("what the model answers"), "{text}");
    for answer in ["{ message: one }", "{ message: two }"] {
        let drawn = text.lines().filter(|line| line.contains(answer)).count();
        assert_eq!(drawn, 3, "asked for, answered, passed on:\n{text}");
    }
}

#[test]
fn what_the_model_answers_is_drawn_wherever_the_call_stands() {
    let chart = "
      - call: Process
        request: { actions: [ { emit: { value: A } }, { effect: { id: $b } } ] }
        during:
          - call: Process
            request: { id: $b, actions: [ { emit: { value: B } } ] }
      - unordered:
          - - call: Process
              request: { actions: [ { emit: { value: C } } ] }
          - - call: Process
              request: { id: $b, actions: [ { forward: { id: $b } } ] }
";
    let text = drawn("EventSourcedTckModel", chart, Role::Proxy);
    assert!(!text.contains("what the model answers"), "{text}");
    assert!(!text.contains("returns the reply"), "{text}");
    for message in ["A", "B", "AC"] {
        let returned = format!("returns {{ message: {message} }}");
        assert!(text.contains(&returned), "{returned}:\n{text}");
    }
}
