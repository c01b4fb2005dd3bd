use super::*;
use crate::model::pack;
use cloudstate_protocol::cloudstate::Failure;
use cloudstate_protocol::payload::PayloadError;
use cloudstate_protocol::tck::model::action::{self as wire, ProcessStep};
use proptest::collection::vec;
use proptest::prelude::*;

const MODEL: &str = "cloudstate.tck.model.action.ActionTckModel";
const TWO: &str = "cloudstate.tck.model.action.ActionTwo";

fn reply(message: &str) -> Step {
    Step::Reply(wire::Reply {
        message: message.to_owned(),
    })
}

fn forward(id: &str) -> Step {
    Step::Forward(wire::Forward { id: id.to_owned() })
}

fn fail(message: &str) -> Step {
    Step::Fail(wire::Fail {
        message: message.to_owned(),
    })
}

fn effect(id: &str, synchronous: bool) -> Step {
    Step::Effect(wire::SideEffect {
        id: id.to_owned(),
        synchronous,
    })
}

fn request(groups: impl IntoIterator<Item = Vec<Step>>) -> Any {
    let group = |steps: Vec<Step>| ProcessGroup {
        steps: steps
            .into_iter()
            .map(|step| ProcessStep { step: Some(step) })
            .collect(),
    };
    pack(&Request {
        groups: groups.into_iter().map(group).collect(),
    })
}

fn replied(message: &str) -> ActionOutcome {
    ActionOutcome {
        effects: Vec::new(),
        action: Some(Action::Reply(pack(&Response {
            message: message.to_owned(),
        }))),
    }
}

fn effects(outcome: &ActionOutcome) -> Vec<(String, bool)> {
    let id = |effect: &SideEffect| {
        let OtherRequest { id } = unpack(effect.payload.as_ref().unwrap()).unwrap();
        (id, effect.synchronous)
    };
    outcome.effects.iter().map(id).collect()
}

fn methods(streams_out: bool) -> impl Iterator<Item = &'static str> {
    let kinds = Kind::ALL.into_iter();
    kinds
        .filter(move |kind| kind.streams_out() == streams_out)
        .map(Kind::method)
}

#[test]
fn groups_become_responses_where_responses_stream() {
    let asked = request([vec![reply("one")], vec![], vec![reply("three")]]);
    let expected = [replied("one"), ActionOutcome::default(), replied("three")];
    for method in methods(true) {
        assert_eq!(respond(MODEL, method, &asked).unwrap(), expected);
        assert_eq!(respond(MODEL, method, &request([])).unwrap(), []);
    }
}

#[test]
fn groups_are_combined_where_there_is_one_response() {
    let asked = request([
        vec![effect("a", true), reply("one")],
        vec![reply("two"), effect("b", false)],
    ]);
    for method in methods(false) {
        let responses = respond(MODEL, method, &asked).unwrap();
        assert_eq!(responses.len(), 1);
        assert_eq!(responses[0].action, replied("two").action);
        let expected = [("a".to_owned(), true), ("b".to_owned(), false)];
        assert_eq!(effects(&responses[0]), expected);
        let empty = respond(MODEL, method, &request([])).unwrap();
        assert_eq!(empty, [ActionOutcome::default()]);
    }
}

#[test]
fn requests_are_combined_in_their_order() {
    let requests = [
        request([vec![forward("x"), effect("a", false)]]),
        request([]),
        request([vec![effect("b", false)]]),
    ];
    let outcome = answer(MODEL, "ProcessStreamedIn", &requests).unwrap();
    let forwarded = Action::Forward {
        service: TWO.to_owned(),
        method: "Call".to_owned(),
        payload: pack(&OtherRequest { id: "x".to_owned() }),
    };
    assert_eq!(outcome.action, Some(forwarded));
    let expected = ["a", "b"].map(|id| (id.to_owned(), false));
    assert_eq!(effects(&outcome), expected);
    let none = answer(MODEL, "ProcessStreamedIn", &[]).unwrap();
    assert_eq!(none, ActionOutcome::default());
}

#[test]
fn the_last_step_that_decides_wins_and_effects_stay() {
    let steps = vec![
        reply("one"),
        effect("a", true),
        fail("no"),
        effect("b", false),
    ];
    let responses = respond(MODEL, "ProcessUnary", &request([steps])).unwrap();
    assert_eq!(responses[0].action, Some(Action::Failure("no".to_owned())));
    assert_eq!(responses[0].effects.len(), 2);
    let recovered = request([vec![fail("no"), forward("x"), reply("yes")]]);
    let responses = respond(MODEL, "ProcessUnary", &recovered).unwrap();
    assert_eq!(responses, [replied("yes")]);
}

#[test]
fn the_second_service_answers_empty() {
    let asked = pack(&OtherRequest { id: "x".to_owned() });
    assert_eq!(respond(TWO, "Call", &asked).unwrap(), [replied("")]);
}

#[test]
fn what_is_wrong_is_named() {
    let asked = request([]);
    let errors = [
        respond("Nobody", "Call", &asked).unwrap_err(),
        respond(MODEL, "Process", &asked).unwrap_err(),
        respond(TWO, "ProcessUnary", &asked).unwrap_err(),
    ];
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "there is no service \"Nobody\" here".to_owned(),
            format!(
                "{MODEL} has no method \"Process\"; it has \"ProcessUnary, ProcessStreamedIn, \
                 ProcessStreamedOut, ProcessStreamed\""
            ),
            format!("{TWO} has no method \"ProcessUnary\"; it has \"Call\""),
        ]
    );
    for method in Kind::ALL.map(Kind::method) {
        let wrong = pack(&OtherRequest::default());
        let error = respond(MODEL, method, &wrong).unwrap_err();
        assert!(matches!(
            error,
            ModelError::Payload(PayloadError::UnexpectedType { .. })
        ));
    }
}

#[test]
fn an_outcome_becomes_a_response() {
    let failed = request([vec![effect("a", true), fail("no")]]);
    let response = respond(MODEL, "ProcessUnary", &failed).unwrap().remove(0);
    let failure = Failure {
        command_id: 0,
        description: "no".to_owned(),
        restart: false,
    };
    let response = response.into_response();
    assert_eq!(response.response, Some(Member::Failure(failure)));
    assert_eq!(response.side_effects.len(), 1);
    let nothing = ActionOutcome::default().into_response();
    assert_eq!(nothing, ActionResponse::default());
}

fn any_group() -> impl Strategy<Value = Vec<Step>> {
    let text = "[a-zé]{0,3}";
    let step = prop_oneof![
        text.prop_map(|message| reply(&message)),
        text.prop_map(|id| forward(&id)),
        text.prop_map(|message| fail(&message)),
        (text, any::<bool>()).prop_map(|(id, synchronous)| effect(&id, synchronous)),
    ];
    vec(step, 0..4)
}

proptest! {
    /// How requests divide the groups makes no difference, to any of the methods.
    #[test]
    fn groups_may_come_in_one_request_or_in_many(groups in vec(any_group(), 0..6)) {
        let single: Vec<Any> = groups.iter().map(|group| request([group.clone()])).collect();
        let all = [request(groups)];
        let answered = |requests: &[Any]| answer(MODEL, "ProcessStreamedIn", requests).unwrap();
        prop_assert_eq!(answered(&single), answered(&all));
        let streamed = |requests: &[Any]| -> Vec<ActionOutcome> {
            let respond = |request| respond(MODEL, "ProcessStreamed", request).unwrap();
            requests.iter().flat_map(respond).collect()
        };
        prop_assert_eq!(streamed(&single), streamed(&all));
    }

    /// The one response is what the many would be together.
    #[test]
    fn one_response_has_the_effects_of_many(groups in vec(any_group(), 0..6)) {
        let asked = request(groups);
        let many = respond(MODEL, "ProcessStreamedOut", &asked).unwrap();
        let one = respond(MODEL, "ProcessUnary", &asked).unwrap().remove(0);
        let effects: Vec<_> = many.iter().flat_map(|outcome| outcome.effects.clone()).collect();
        prop_assert_eq!(one.effects, effects);
        let last = many.into_iter().rev().find_map(|outcome| outcome.action);
        prop_assert_eq!(one.action, last);
    }
}
