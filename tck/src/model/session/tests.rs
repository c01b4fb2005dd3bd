use super::*;
use crate::model::event_sourced::EventSourcedEntity;
use crate::model::{pack, value_entity};
use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::eventsourced::event_sourced_stream_out::Message as Out;
use cloudstate_protocol::eventsourced::{
    EventSourcedEvent, EventSourcedInit, EventSourcedSnapshot, EventSourcedStreamIn,
    EventSourcedStreamOut,
};
use cloudstate_protocol::tck::model::{Persisted, Request};
use prost_types::Any;

const MODEL: &str = "cloudstate.tck.model.EventSourcedTckModel";

fn init(service: &str) -> In {
    let (service_name, entity_id) = (service.to_owned(), "entity".to_owned());
    In::Init(EventSourcedInit {
        service_name,
        entity_id,
        snapshot: None,
    })
}

fn event(sequence: i64) -> In {
    let payload = Some(pack(&Persisted {
        value: sequence.to_string(),
    }));
    In::Event(EventSourcedEvent { sequence, payload })
}

fn command(id: i64) -> Command {
    Command {
        entity_id: "entity".to_owned(),
        id,
        name: "Process".to_owned(),
        payload: Some(pack(&Request::default())),
        ..Default::default()
    }
}

fn receive(
    session: &mut Session<EventSourcedEntity>,
    message: impl Into<Option<In>>,
) -> SessionStep<EventSourcedStreamOut> {
    session.receive(EventSourcedStreamIn {
        message: message.into(),
    })
}

/// Where the messages end in a failure: its command id and text. All before the last are in order.
fn failure(messages: impl IntoIterator<Item = Option<In>>) -> (i64, String) {
    let mut session = Session::default();
    let mut last = SessionStep::Wait;
    for message in messages {
        assert!(
            !matches!(last, SessionStep::Fail(_)),
            "failed too early: {last:?}"
        );
        last = receive(&mut session, message);
    }
    match last {
        SessionStep::Fail(EventSourcedStreamOut {
            message: Some(Out::Failure(failure)),
        }) => {
            assert!(!failure.restart);
            (failure.command_id, failure.description)
        }
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn init_and_replay_are_not_answered_and_commands_are() {
    let mut session = Session::default();
    assert_eq!(receive(&mut session, init(MODEL)), SessionStep::Wait);
    assert_eq!(receive(&mut session, event(1)), SessionStep::Wait);
    assert_eq!(receive(&mut session, event(2)), SessionStep::Wait);
    for id in [1, 2] {
        let mut entity = EventSourcedEntity::new(MODEL).unwrap();
        entity
            .apply(
                1,
                &pack(&Persisted {
                    value: "12".to_owned(),
                }),
            )
            .unwrap();
        let outcome = entity
            .handle("Process", &pack(&Request::default()))
            .unwrap();
        let out = EventSourcedStreamOut {
            message: Some(Out::Reply(outcome.into_reply(id))),
        };
        assert_eq!(
            receive(&mut session, In::Command(command(id))),
            SessionStep::Send(out)
        );
    }
}

#[test]
fn init_comes_first_and_once() {
    let before = failure([Some(In::Command(command(3)))]);
    assert_eq!(
        before,
        (3, "Protocol error: a command before init".to_owned())
    );
    let before = failure([Some(event(1))]);
    assert_eq!(
        before,
        (0, "Protocol error: an event before init".to_owned())
    );
    let second = failure([Some(init(MODEL)), Some(init(MODEL))]);
    assert_eq!(
        second,
        (0, "Protocol error: a second init on one stream".to_owned())
    );
}

#[test]
fn an_empty_message_is_refused() {
    let text = "Protocol error: an empty message".to_owned();
    assert_eq!(failure([None]), (0, text.clone()));
    assert_eq!(failure([Some(init(MODEL)), None]), (0, text));
}

#[test]
fn an_unknown_service_is_refused() {
    let text = "Protocol error: there is no service \"Nobody\" here".to_owned();
    assert_eq!(failure([Some(init("Nobody"))]), (0, text));
}

#[test]
fn replay_is_over_with_the_first_command() {
    let late = failure([
        Some(init(MODEL)),
        Some(In::Command(command(1))),
        Some(event(1)),
    ]);
    assert_eq!(
        late,
        (0, "Protocol error: an event after a command".to_owned())
    );
}

#[test]
fn replay_has_no_gaps() {
    let gap = failure([Some(init(MODEL)), Some(event(1)), Some(event(3))]);
    assert_eq!(
        gap,
        (
            0,
            "Protocol error: expected event 2, got event 3".to_owned()
        )
    );
}

#[test]
fn a_snapshot_is_of_the_services_type() {
    let snapshot = EventSourcedSnapshot {
        snapshot_sequence: 5,
        snapshot: Some(Any::default()),
    };
    let start = EventSourcedInit {
        service_name: MODEL.to_owned(),
        entity_id: "entity".to_owned(),
        snapshot: Some(snapshot),
    };
    let (command, text) = failure([Some(In::Init(start))]);
    assert_eq!(command, 0);
    assert_eq!(
        text,
        "Protocol error: expected a payload of type \"type.googleapis.com/cloudstate.tck.model.Persisted\", got \"\""
    );
}

#[test]
fn a_command_is_for_the_streams_entity_and_service() {
    let on_stream = |command: Command| failure([Some(init(MODEL)), Some(In::Command(command))]);
    let other = Command {
        entity_id: "other".to_owned(),
        ..command(1)
    };
    let text = "Protocol error: a command for entity \"other\" on the stream of entity \"entity\"";
    assert_eq!(on_stream(other), (1, text.to_owned()));
    let unknown = Command {
        name: "Nothing".to_owned(),
        ..command(2)
    };
    assert_eq!(on_stream(unknown).0, 2);
    let absent = Command {
        payload: None,
        ..command(3)
    };
    assert_eq!(on_stream(absent).0, 3);
    let garbage = Any {
        value: vec![0xff],
        ..pack(&Request::default())
    };
    assert_eq!(
        on_stream(Command {
            payload: Some(garbage),
            ..command(4)
        })
        .0,
        4
    );
}

mod values {
    use super::*;
    use cloudstate_protocol::tck::model::valueentity as model;
    use cloudstate_protocol::valueentity::value_entity_stream_in::Message as In;
    use cloudstate_protocol::valueentity::value_entity_stream_out::Message as Out;
    use cloudstate_protocol::valueentity::{
        ValueEntityInit, ValueEntityInitState, ValueEntityStreamIn,
    };

    const MODEL: &str = "cloudstate.tck.model.valueentity.ValueEntityTckModel";

    fn init(state: Option<ValueEntityInitState>) -> In {
        In::Init(ValueEntityInit {
            service_name: MODEL.to_owned(),
            entity_id: "entity".to_owned(),
            state,
        })
    }

    fn stored(value: &str) -> Option<ValueEntityInitState> {
        let value = pack(&model::Persisted {
            value: value.to_owned(),
        });
        Some(ValueEntityInitState { value: Some(value) })
    }

    fn command(id: i64) -> In {
        In::Command(Command {
            payload: Some(pack(&model::Request::default())),
            ..super::command(id)
        })
    }

    /// What is answered to the last of these messages.
    fn last(messages: impl IntoIterator<Item = In>) -> Out {
        let mut session = Session::<value_entity::ValueEntity>::default();
        let mut last = SessionStep::Wait;
        for message in messages {
            let message = Some(message);
            last = session.receive(ValueEntityStreamIn { message });
        }
        match last {
            SessionStep::Send(out) | SessionStep::Fail(out) => out.message.unwrap(),
            SessionStep::Wait => panic!("no answer"),
        }
    }

    fn reply(state: &str, id: i64) -> Out {
        let mut entity = value_entity::ValueEntity::new(MODEL).unwrap();
        let value = state.to_owned();
        entity.restore(&pack(&model::Persisted { value })).unwrap();
        let request = pack(&model::Request::default());
        Out::Reply(entity.handle("Process", &request).unwrap().into_reply(id))
    }

    #[test]
    fn the_state_comes_with_init() {
        assert_eq!(last([init(stored("A")), command(1)]), reply("A", 1));
        let commands = [init(stored("A")), command(1), command(2)];
        assert_eq!(last(commands), reply("A", 2));
    }

    #[test]
    fn nothing_stored_has_two_forms() {
        for state in [None, Some(ValueEntityInitState::default())] {
            assert_eq!(last([init(state), command(1)]), reply("", 1));
        }
    }

    #[test]
    fn what_is_stored_is_a_value_of_the_service() {
        let value = Some(Any::default());
        let Out::Failure(failure) = last([init(Some(ValueEntityInitState { value }))]) else {
            panic!("expected a failure")
        };
        assert!(
            failure.description.starts_with("Protocol error: expected"),
            "{}",
            failure.description
        );
    }

    #[test]
    fn the_rules_of_streams_are_the_same() {
        let refused = |messages: Vec<In>| match last(messages) {
            Out::Failure(failure) => (failure.command_id, failure.description),
            Out::Reply(reply) => panic!("expected a failure, got {reply:?}"),
        };
        let (id, text) = refused(vec![command(3)]);
        assert_eq!(
            (id, text.as_str()),
            (3, "Protocol error: a command before init")
        );
        let (id, text) = refused(vec![init(None), init(None)]);
        assert_eq!(
            (id, text.as_str()),
            (0, "Protocol error: a second init on one stream")
        );
    }
}
