use super::*;
use cloudstate_protocol::cloudstate::{self as protocol, ClientAction, client_action};
use cloudstate_protocol::payload::PayloadError;
use cloudstate_protocol::tck::model::{Effect, Emit, Fail, Forward, RequestAction};

const MODEL: &str = "cloudstate.tck.model.EventSourcedTckModel";
const REQUEST: &str = "type.googleapis.com/cloudstate.tck.model.Request";
const PERSISTED: &str = "type.googleapis.com/cloudstate.tck.model.Persisted";

fn model() -> EventSourcedEntity {
    EventSourcedEntity::new(MODEL).unwrap()
}

fn request(actions: impl IntoIterator<Item = Wanted>) -> Any {
    let actions = actions.into_iter().map(|action| RequestAction {
        action: Some(action),
    });
    pack(&Request {
        id: "entity".to_owned(),
        actions: actions.collect(),
    })
}

fn emit(value: &str) -> Wanted {
    Wanted::Emit(Emit {
        value: value.to_owned(),
    })
}

fn forward(id: &str) -> Wanted {
    Wanted::Forward(Forward { id: id.to_owned() })
}

fn effect(id: &str, synchronous: bool) -> Wanted {
    Wanted::Effect(Effect {
        id: id.to_owned(),
        synchronous,
    })
}

fn fail(message: &str) -> Wanted {
    Wanted::Fail(Fail {
        message: message.to_owned(),
    })
}

fn process(
    entity: &mut EventSourcedEntity,
    actions: impl IntoIterator<Item = Wanted>,
) -> EventSourcedOutcome {
    entity.handle("Process", &request(actions)).unwrap()
}

fn persisted(value: &str) -> Any {
    pack(&Persisted {
        value: value.to_owned(),
    })
}

fn replied(message: &str) -> Action {
    Action::Reply(pack(&Response {
        message: message.to_owned(),
    }))
}

#[test]
fn a_payload_is_packed_as_the_field_packs_it() {
    let any = persisted("A");
    assert_eq!(
        any.type_url,
        "type.googleapis.com/cloudstate.tck.model.Persisted"
    );
    assert_eq!(any.value, b"\x0a\x01A");
}

#[test]
fn events_make_the_state_and_the_response_shows_it() {
    let mut entity = model();
    let outcome = process(&mut entity, [emit("A"), emit("B")]);
    assert_eq!(outcome.events, [persisted("A"), persisted("B")]);
    assert_eq!(outcome.action, replied("AB"));
    assert_eq!(process(&mut entity, []).action, replied("AB"));
    assert_eq!(entity.sequence(), 2);
}

#[test]
fn a_failure_leaves_nothing() {
    let mut entity = model();
    process(&mut entity, [emit("A")]);
    let actions = [
        emit("B"),
        effect("x", true),
        forward("y"),
        fail("no"),
        emit("C"),
    ];
    assert_eq!(
        process(&mut entity, actions),
        EventSourcedOutcome::of(Action::Failure("no".to_owned()))
    );
    assert_eq!((entity.sequence(), entity.state()), (1, "A"));
}

#[test]
fn a_snapshot_is_of_the_state_after_the_reply() {
    let mut entity = model();
    let outcome = process(&mut entity, ["A", "B", "C", "D"].map(emit));
    assert_eq!(outcome.snapshot, None);
    let outcome = process(&mut entity, ["E", "F"].map(emit));
    assert_eq!(outcome.snapshot, Some(persisted("ABCDEF")));
    assert_eq!(process(&mut entity, []).snapshot, None);
    let outcome = process(&mut entity, ["G", "H", "I"].map(emit));
    assert_eq!(outcome.snapshot, None);
    let outcome = process(&mut entity, [emit("J")]);
    assert_eq!(outcome.snapshot, Some(persisted("ABCDEFGHIJ")));
}

#[test]
fn the_last_forward_wins_over_the_response() {
    let mut entity = model();
    let outcome = process(&mut entity, [forward("x"), emit("A"), forward("y")]);
    assert_eq!(outcome.events, [persisted("A")]);
    let Action::Forward {
        service,
        method,
        payload,
    } = outcome.action
    else {
        panic!("expected a forward");
    };
    assert_eq!(
        (service.as_str(), method.as_str()),
        ("cloudstate.tck.model.EventSourcedTwo", "Call")
    );
    assert_eq!(
        unpack::<Request>(&payload).unwrap(),
        Request {
            id: "y".to_owned(),
            actions: vec![]
        }
    );
}

#[test]
fn effects_keep_their_order_and_flag() {
    let outcome = process(&mut model(), [effect("x", true), effect("y", false)]);
    let flags: Vec<_> = outcome
        .effects
        .iter()
        .map(|effect| effect.synchronous)
        .collect();
    assert_eq!(flags, [true, false]);
    assert_eq!(
        outcome.effects[1].payload,
        Some(pack(&request_to("y".to_owned())))
    );
    assert_eq!(outcome.action, replied(""));
}

#[test]
fn replay_restores_state_and_sequence() {
    let mut entity = model();
    entity.restore(5, &persisted("ABCDE")).unwrap();
    entity.apply(6, &persisted("F")).unwrap();
    let outcome = process(&mut entity, ["G", "H", "I", "J"].map(emit));
    assert_eq!(outcome.action, replied("ABCDEFGHIJ"));
    assert_eq!(outcome.snapshot, Some(persisted("ABCDEFGHIJ")));
}

#[test]
fn replay_has_no_gaps() {
    let mut entity = model();
    let gap = ModelError::Sequence {
        expected: 1,
        sequence: 2,
    };
    assert_eq!(entity.apply(2, &persisted("B")), Err(gap));
    assert!(entity.restore(0, &persisted("A")).is_err());
    entity.apply(1, &persisted("A")).unwrap();
    assert!(entity.restore(1, &persisted("A")).is_err());
    assert_eq!((entity.sequence(), entity.state()), (1, "A"));
}

#[test]
fn what_is_wrong_is_named() {
    let mut entity = model();
    let errors = [
        entity.handle("Procces", &request([])).unwrap_err(),
        entity.handle("Process", &persisted("A")).unwrap_err(),
        entity.apply(1, &request([])).unwrap_err(),
    ];
    let texts = errors.map(|error| error.to_string());
    assert_eq!(
        texts,
        [
            format!("{MODEL} has no method \"Procces\"; it has \"Process\""),
            format!("expected a payload of type {REQUEST:?}, got {PERSISTED:?}"),
            format!("expected a payload of type {PERSISTED:?}, got {REQUEST:?}"),
        ]
    );
    let garbage = Any {
        value: vec![0xff],
        ..request([])
    };
    assert!(matches!(
        entity.handle("Process", &garbage),
        Err(ModelError::Payload(PayloadError::Undecodable { .. }))
    ));
}

#[test]
fn the_last_sequence_number_is_respected() {
    let mut entity = model();
    entity.restore(i64::MAX, &persisted("A")).unwrap();
    assert_eq!(
        entity.apply(1, &persisted("B")),
        Err(ModelError::JournalFull)
    );
    assert_eq!(
        entity.handle("Process", &request([emit("B")])),
        Err(ModelError::JournalFull)
    );
    assert_eq!(entity.state(), "A");
}

#[test]
fn the_other_services_answer_everything_alike() {
    for service in [
        services::EVENT_SOURCED_TWO,
        services::EVENT_SOURCED_CONFIGURED,
    ] {
        let mut entity = EventSourcedEntity::new(service.name).unwrap();
        let outcome = entity
            .handle("Call", &request([emit("A"), fail("no")]))
            .unwrap();
        assert_eq!(outcome, EventSourcedOutcome::reply(String::new()));
        assert!(entity.apply(1, &persisted("A")).is_err());
    }
    assert_eq!(EventSourcedEntity::new("cloudstate.tck.model.Nobody"), None);
    assert_eq!(
        EventSourcedEntity::new(services::VALUE_ENTITY_MODEL.name),
        None
    );
}

#[test]
fn an_outcome_becomes_the_reply_to_its_command() {
    let reply = process(&mut model(), [emit("A"), effect("x", false)]).into_reply(7);
    assert_eq!(
        (
            reply.command_id,
            reply.events.len(),
            reply.side_effects.len()
        ),
        (7, 1, 1)
    );
    let failure = process(&mut model(), [fail("no")]).into_reply(8);
    let failed = protocol::Failure {
        command_id: 8,
        description: "no".to_owned(),
        restart: false,
    };
    let action = client_action::Action::Failure(failed);
    assert_eq!(
        failure.client_action,
        Some(ClientAction {
            action: Some(action)
        })
    );
}
