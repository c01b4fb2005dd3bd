use super::*;
use cloudstate_protocol::cloudstate::{Failure, client_action};
use cloudstate_protocol::payload::PayloadError;
use cloudstate_protocol::tck::model::valueentity::{
    Delete, Effect, Fail, Forward, RequestAction, Update,
};
use proptest::collection::vec;
use proptest::prelude::*;

const MODEL: &str = "cloudstate.tck.model.valueentity.ValueEntityTckModel";

fn model() -> ValueEntity {
    ValueEntity::new(MODEL).unwrap()
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

fn update(value: &str) -> Wanted {
    Wanted::Update(Update {
        value: value.to_owned(),
    })
}

fn delete() -> Wanted {
    Wanted::Delete(Delete {})
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

fn process(entity: &mut ValueEntity, actions: impl IntoIterator<Item = Wanted>) -> ValueOutcome {
    entity.handle("Process", &request(actions)).unwrap()
}

fn persisted(value: &str) -> Any {
    pack(&Persisted {
        value: value.to_owned(),
    })
}

fn updated(value: &str) -> Option<ValueChange> {
    Some(ValueChange::Update(persisted(value)))
}

fn replied(message: &str) -> Action {
    Action::Reply(pack(&Response {
        message: message.to_owned(),
    }))
}

#[test]
fn an_update_is_stored_and_answered() {
    let mut entity = model();
    let outcome = process(&mut entity, [update("one")]);
    assert_eq!(
        (outcome.change, outcome.action),
        (updated("one"), replied("one"))
    );
    let outcome = process(&mut entity, []);
    assert_eq!((outcome.change, outcome.action), (None, replied("one")));
}

#[test]
fn the_last_change_is_the_one_that_counts() {
    let mut entity = model();
    let outcome = process(&mut entity, [update("one"), delete(), update("two")]);
    assert_eq!(
        (outcome.change, outcome.action),
        (updated("two"), replied("two"))
    );
    let outcome = process(&mut entity, [update("three"), delete()]);
    assert_eq!(
        (outcome.change, outcome.action),
        (Some(ValueChange::Delete), replied(""))
    );
    assert_eq!(entity, model());
}

#[test]
fn what_is_not_stored_is_deleted_all_the_same() {
    assert_eq!(
        process(&mut model(), [delete()]).change,
        Some(ValueChange::Delete)
    );
}

#[test]
fn an_empty_text_is_stored() {
    assert_eq!(process(&mut model(), [update("")]).change, updated(""));
}

#[test]
fn a_failure_leaves_nothing() {
    let mut entity = model();
    process(&mut entity, [update("one")]);
    let actions = [
        update("two"),
        effect("x", true),
        forward("y"),
        fail("no"),
        delete(),
    ];
    let failed = ValueOutcome::of(Action::Failure("no".to_owned()));
    assert_eq!(process(&mut entity, actions), failed);
    assert_eq!(entity.state(), "one");
}

#[test]
fn changes_and_effects_accompany_a_forward() {
    let actions = [
        forward("x"),
        update("one"),
        effect("a", true),
        forward("y"),
        effect("b", false),
    ];
    let outcome = process(&mut model(), actions);
    let effects: Vec<_> = outcome
        .effects
        .iter()
        .map(|effect| (effect.synchronous, effect.payload.clone().unwrap()))
        .collect();
    let to = |id: &str| pack(&request_to(id.to_owned()));
    assert_eq!(effects, [(true, to("a")), (false, to("b"))]);
    assert_eq!(outcome.change, updated("one"));
    let forwarded = Action::Forward {
        service: "cloudstate.tck.model.valueentity.ValueEntityTwo".to_owned(),
        method: "Call".to_owned(),
        payload: to("y"),
    };
    assert_eq!(outcome.action, forwarded);
}

#[test]
fn what_is_wrong_is_named() {
    let mut entity = model();
    let method = entity.handle("Call", &request([])).unwrap_err();
    assert_eq!(
        method.to_string(),
        format!("{MODEL} has no method \"Call\"; it has \"Process\"")
    );
    for error in [
        entity.handle("Process", &persisted("A")).unwrap_err(),
        entity.restore(&request([])).unwrap_err(),
        entity.restore(&Any::default()).unwrap_err(),
    ] {
        let unexpected = matches!(
            error,
            ModelError::Payload(PayloadError::UnexpectedType { .. })
        );
        assert!(unexpected, "{error}");
    }
}

#[test]
fn the_other_services_answer_everything_alike() {
    for service in [
        services::VALUE_ENTITY_TWO,
        services::VALUE_ENTITY_CONFIGURED,
    ] {
        let mut entity = ValueEntity::new(service.name).unwrap();
        let outcome = entity
            .handle("Call", &request([update("A"), fail("no")]))
            .unwrap();
        assert_eq!(outcome, ValueOutcome::of(replied("")));
        assert!(entity.restore(&persisted("A")).is_err());
    }
    assert_eq!(ValueEntity::new(services::EVENT_SOURCED_MODEL.name), None);
}

#[test]
fn an_outcome_becomes_the_reply_to_its_command() {
    let reply = process(&mut model(), [update("A"), effect("x", false)]).into_reply(7);
    let value = Some(persisted("A"));
    let stored = ValueEntityAction {
        action: Some(StateAction::Update(ValueEntityUpdate { value })),
    };
    assert_eq!((reply.command_id, reply.side_effects.len()), (7, 1));
    assert_eq!(reply.state_action, Some(stored));
    let deleted = process(&mut model(), [delete()]).into_reply(8).state_action;
    let delete = Some(StateAction::Delete(ValueEntityDelete {}));
    assert_eq!(deleted.unwrap().action, delete);
    let failed = process(&mut model(), [fail("no")]).into_reply(9);
    let failure = client_action::Action::Failure(Failure {
        command_id: 9,
        description: "no".to_owned(),
        restart: false,
    });
    assert_eq!(failed.client_action.unwrap().action, Some(failure));
    assert_eq!(failed.state_action, None);
}

fn any_action() -> impl Strategy<Value = Wanted> {
    let text = "[a-zé]{0,3}";
    prop_oneof![
        4 => text.prop_map(|value| update(&value)),
        2 => Just(delete()),
        1 => text.prop_map(|id| forward(&id)),
        1 => (text, any::<bool>()).prop_map(|(id, synchronous)| effect(&id, synchronous)),
        1 => text.prop_map(|message| fail(&message)),
    ]
}

proptest! {
    /// An entity that is passivated after every command can't be told from one that never is.
    #[test]
    fn what_is_stored_is_the_whole_state(commands in vec(vec(any_action(), 0..5), 0..8)) {
        let mut kept = model();
        let mut stored: Option<Any> = None;
        for actions in commands {
            let mut activated = model();
            if let Some(value) = &stored {
                activated.restore(value).unwrap();
            }
            prop_assert_eq!(&activated, &kept);
            let outcome = process(&mut kept, actions.clone());
            prop_assert_eq!(&process(&mut activated, actions), &outcome);
            let mut followed = kept.clone();
            match &outcome.change {
                Some(ValueChange::Update(value)) => stored = Some(value.clone()),
                Some(ValueChange::Delete) => stored = None,
                None => {}
            }
            if let Some(change) = &outcome.change {
                followed.apply(change).unwrap();
            }
            prop_assert_eq!(&followed, &kept);
        }
    }

    #[test]
    fn a_failed_command_changes_nothing(
        before in vec(any_action(), 0..4),
        until in vec(any_action(), 0..4),
        after in vec(any_action(), 0..4),
    ) {
        let mut entity = model();
        process(&mut entity, before);
        let unchanged = entity.clone();
        let outcome = process(&mut entity, until.into_iter().chain([fail("no")]).chain(after));
        prop_assert_eq!(&entity, &unchanged);
        prop_assert!(matches!(outcome.action, Action::Failure(_)));
        prop_assert!(outcome.change.is_none() && outcome.effects.is_empty());
    }
}
