use super::*;
use crate::check;
use crate::explore::generate;
use crate::explore::generate::action;
use crate::party::Role;
use crate::protocol::Kind;
use crate::requirement::Requirements;
use crate::scenario::StreamLine;
use crate::scenario::message;
use crate::scenario::{read, write};
use crate::script;

fn scenario(plan: &Inputs) -> Scenario {
    expand("test".to_owned(), "A test".to_owned(), plan)
}

fn chart(inputs: &[Input]) -> Scenario {
    scenario(&Inputs::EventSourced(inputs.to_vec()))
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
    let emit = || Ask::Value(Plain);
    let scenario = chart(&[
        Input::Process(vec![emit(), emit(), emit(), emit()]),
        Input::Process(vec![emit(), Ask::Fail(Plain)]),
        Input::Passivate,
        Input::Process(vec![Ask::Value(Text::Unicode)]),
    ]);
    let [first, failed, passivate, last] = scenario.chart.as_slice() else {
        panic!("four steps")
    };
    let reply = |step| answer(step).reply.as_ref().map(text).unwrap();
    assert_eq!(reply(first), "{ message: ABCD }");
    assert!(answer(first).part("snapshot").is_none());
    assert_eq!(answer(failed).failure.as_ref().map(text).unwrap(), "F");
    assert!(answer(failed).part("events").is_none() && answer(failed).reply.is_none());
    assert!(matches!(passivate.kind, StepKind::Passivate));
    assert_eq!(reply(last), r#"{ message: "ABCDGé" }"#);
    assert_eq!(
        text(answer(last).part("events").unwrap()),
        r#"[ { Persisted: { value: "Gé" } } ]"#
    );
    assert_eq!(
        text(answer(last).part("snapshot").unwrap()),
        r#"{ Persisted: { value: "ABCDGé" } }"#
    );
}

#[test]
fn targets_are_declared_once() {
    use TargetId::{Fresh, Shared};
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
    let mut chart = Chart::new(&EVENT_SOURCED);
    let letters: Vec<String> = (0..704).map(|_| chart.letters()).collect();
    let at = |index: usize| letters[index].as_str();
    assert_eq!(
        [at(0), at(25), at(26), at(51), at(52), at(701), at(702)],
        ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
    );
}

#[test]
fn a_generated_scenario_is_one_that_could_have_been_written() {
    let scenarios: Vec<_> = generate(0, 300)
        .iter()
        .map(|g| g.scenario().clone())
        .collect();
    let service = services::EVENT_SOURCED_MODEL.name;
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
    for generated in generate(0, 300) {
        let scenario = Arc::new(generated.scenario().clone());
        let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
        let bindings: message::Bindings = names
            .map(|name| (name.to_owned(), format!("<{name}>")))
            .collect();
        for role in Role::ALL {
            let script = script::expand::expand(&scenario, role, 0, bindings.clone());
            assert!(
                script.is_ok_and(|script| !script.moves.is_empty()),
                "{role}: {}",
                scenario.name()
            );
        }
    }
}

#[test]
fn a_value_is_replaced_and_deleted() {
    use Text::Plain;
    let scenario = scenario(&Inputs::Value(vec![
        Input::Process(vec![Ask::Value(Plain), Ask::Value(Plain)]),
        Input::Process(vec![Ask::Value(Plain), Ask::Fail(Plain)]),
        Input::Passivate,
        Input::Process(vec![Ask::Delete, Ask::Forward(TargetId::Fresh)]),
    ]));
    let [first, failed, _, last] = scenario.chart.as_slice() else {
        panic!("four steps")
    };
    assert_eq!(
        scenario.service,
        "cloudstate.tck.model.valueentity.ValueEntityTckModel"
    );
    let state = |step| answer(step).part("state").map(text);
    assert_eq!(state(first).unwrap(), "{ Persisted: { value: B } }");
    assert_eq!(
        answer(first).reply.as_ref().map(text).unwrap(),
        "{ message: B }"
    );
    assert!(state(failed).is_none() && answer(failed).failure.is_some());
    assert!(answer(last).part("delete").is_some() && state(last).is_none());
    let forward = answer(last).forward.as_ref().unwrap();
    assert_eq!(forward.target, "ValueEntityTwo.Call");
}

fn request(groups: &[&[Ask]], overtaken: bool) -> action::Request {
    action::Request {
        groups: groups.iter().map(|group| group.to_vec()).collect(),
        overtaken,
    }
}

fn action_chart(kind: Kind, requests: &[action::Request]) -> Call {
    let call = action::CallInput {
        kind,
        requests: requests.to_vec(),
        burst: false,
    };
    let scenario = scenario(&Inputs::Action(vec![action::ActionInput::Process(call)]));
    match scenario.chart.into_iter().next().unwrap().kind {
        StepKind::Call(call) => *call,
        other => panic!("expected a call, got {other:?}"),
    }
}

/// The lines of a stream: `>` is a request, `<` a response.
fn lines(call: &Call) -> Vec<String> {
    let line = |line: &StreamLine| match (&line.request, &line.answer) {
        (Some(request), _) => format!("> {}", text(request)),
        (None, Some(Answer { reply: Some(r), .. })) => format!("< {}", text(r)),
        (
            None,
            Some(Answer {
                forward: Some(to), ..
            }),
        ) => format!("< {}", to.target),
        (
            None,
            Some(Answer {
                failure: Some(f), ..
            }),
        ) => format!("< failure {}", text(f)),
        (None, other) => format!("< {}", other.as_ref().is_some_and(|answer| answer.nothing)),
    };
    let stream = call.stream.as_ref().unwrap();
    stream.lines.iter().map(line).collect()
}

const VALUE: Ask = Ask::Value(Text::Plain);

#[test]
fn the_responses_of_a_stream_stand_where_they_are_awaited() {
    let forward = Ask::Forward(TargetId::Shared);
    let call = action_chart(
        Kind::Streamed,
        &[
            request(&[&[VALUE], &[]], true),
            request(&[&[forward]], false),
            request(&[], false),
            request(&[&[Ask::Fail(Text::Plain)]], false),
        ],
    );
    assert_eq!(
        lines(&call),
        [
            "> { groups: [ { steps: [ { reply: { message: A } } ] }, {} ] }",
            "> { groups: [ { steps: [ { forward: { id: $shared } } ] } ] }",
            "< { message: A }",
            "< true",
            "< ActionTwo.Call",
            "> {}",
            "> { groups: [ { steps: [ { fail: { message: B } } ] } ] }",
            "< failure B",
        ]
    );
    assert!(call.request.is_none() && call.answer.is_unwritten());
}

#[test]
fn what_streams_in_one_direction_has_its_other_side_beside_the_call() {
    let asked = [request(&[&[VALUE], &[Ask::Effect(TargetId::Fresh)]], false)];
    let call = action_chart(Kind::StreamedOut, &asked);
    assert!(call.request.is_some() && call.answer.is_unwritten());
    assert_eq!(lines(&call), ["< { message: A }", "< true"]);
    let call = action_chart(Kind::StreamedIn, &asked);
    assert_eq!(lines(&call).len(), 1);
    assert_eq!(
        call.answer.reply.as_ref().map(text).unwrap(),
        "{ message: A }"
    );
    assert_eq!(call.answer.effects.len(), 1);
    let call = action_chart(Kind::StreamedIn, &[]);
    assert!(lines(&call).is_empty() && call.answer.nothing);
    let call = action_chart(Kind::Unary, &asked);
    assert!(call.stream.is_none() && call.request.is_some() && call.answer.reply.is_some());
}
