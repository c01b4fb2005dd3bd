use super::*;
use crate::explore::generate;
use crate::play;
use crate::requirement::Requirements;
use crate::scenario::{Role, check, read, write};

fn chart(inputs: &[Input]) -> Scenario {
    expand("test".to_owned(), "A test".to_owned(), inputs)
}

fn answer(step: &Step) -> &Answer {
    match &step.kind {
        StepKind::Call(call) => &call.answer,
        other => panic!("expected a call, got {other:?}"),
    }
}

fn text(node: &Node) -> String {
    message::flow(node)
}

#[test]
fn the_model_answers_and_remembers() {
    use Text::Plain;
    let emit = || Ask::Emit(Plain);
    let scenario = chart(&[
        Input::Process(vec![emit(), emit(), emit(), emit()]),
        Input::Process(vec![emit(), Ask::Fail(Plain)]),
        Input::Passivate,
        Input::Process(vec![Ask::Emit(Text::Unicode)]),
    ]);
    let [first, failed, passivate, last] = scenario.chart.as_slice() else {
        panic!("four steps")
    };
    let reply = |step| answer(step).reply.as_ref().map(text).unwrap();
    assert_eq!(reply(first), "{ message: ABCD }");
    assert!(answer(first).snapshot.is_none());
    assert_eq!(answer(failed).failure.as_ref().map(text).unwrap(), "F");
    assert!(answer(failed).events.is_none() && answer(failed).reply.is_none());
    assert!(matches!(passivate.kind, StepKind::Passivate));
    assert_eq!(reply(last), r#"{ message: "ABCDGé" }"#);
    assert_eq!(
        text(answer(last).events.as_ref().unwrap()),
        r#"[ { Persisted: { value: "Gé" } } ]"#
    );
    assert_eq!(
        text(answer(last).snapshot.as_ref().unwrap()),
        r#"{ Persisted: { value: "ABCDGé" } }"#
    );
}

#[test]
fn targets_are_declared_once() {
    use Target::{Fresh, Shared};
    let scenario = chart(&[
        Input::Process(vec![
            Ask::Effect(Shared),
            Ask::AsynchronousEffect,
            Ask::Forward(Shared),
        ]),
        Input::Two(Fresh, vec![]),
    ]);
    assert_eq!(scenario.ids, ["shared", "target2", "target3"]);
    let effects = &answer(&scenario.chart[0]).effects;
    let shown: Vec<_> = effects
        .iter()
        .map(|e| (e.synchronous, text(e.request.as_ref().unwrap())))
        .collect();
    assert_eq!(
        shown,
        [
            (true, "{ id: $shared }".to_owned()),
            (false, "{ id: $target2 }".to_owned())
        ]
    );
    let forward = answer(&scenario.chart[0]).forward.as_ref().unwrap();
    assert_eq!(text(forward.request.as_ref().unwrap()), "{ id: $shared }");
    let StepKind::Call(two) = &scenario.chart[1].kind else {
        panic!("a call")
    };
    assert_eq!(
        (
            two.target.as_str(),
            text(two.request.as_ref().unwrap()).as_str()
        ),
        ("EventSourcedTwo.Call", "{ id: $target3 }")
    );
}

#[test]
fn letters_never_run_out() {
    let mut chart = Chart::default();
    let letters: Vec<String> = (0..704).map(|_| chart.letters()).collect();
    let at = |index: usize| letters[index].as_str();
    assert_eq!(
        [at(0), at(25), at(26), at(51), at(52), at(701), at(702)],
        ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
    );
}

#[test]
fn a_generated_scenario_is_one_that_could_have_been_written() {
    let scenarios: Vec<_> = generate(0, 100)
        .iter()
        .map(|g| g.scenario().clone())
        .collect();
    let service = EVENT_SOURCED_MODEL.name;
    let text = write::write(SUITE, service, &scenarios, "Generated.");
    let source = Arc::new(Source {
        name: "generated.yaml".to_owned(),
        text: text.clone(),
    });
    let read = read::read(&source).unwrap_or_else(|errors| panic!("{}", errors[0]));
    if let Some(error) = check::check(&read, Requirements::embedded()).first() {
        panic!("{error}");
    }
    assert_eq!(write::write(SUITE, service, &read, "Generated."), text);
}

#[test]
fn a_generated_scenario_can_be_played_in_every_role() {
    for generated in generate(0, 100) {
        let scenario = Arc::new(generated.scenario().clone());
        let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
        let bindings: message::Bindings = names
            .map(|name| (name.to_owned(), format!("<{name}>")))
            .collect();
        for role in Role::ALL {
            let script = play::expand::expand(&scenario, role, 0, bindings.clone());
            assert!(
                script.is_ok_and(|script| !script.moves.is_empty()),
                "{role}: {}",
                scenario.name()
            );
        }
    }
}
