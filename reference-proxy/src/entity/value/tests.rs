use cloudstate_protocol::cloudstate::{ClientAction, Reply as WireReply, client_action};
use cloudstate_protocol::valueentity::value_entity_action::Action;
use cloudstate_protocol::valueentity::value_entity_stream_in::Message as In;
use cloudstate_protocol::valueentity::value_entity_stream_out::Message as Out;
use cloudstate_protocol::valueentity::{
    ValueEntityAction, ValueEntityDelete, ValueEntityReply, ValueEntityStreamIn,
    ValueEntityStreamOut, ValueEntityUpdate,
};
use prost_types::Any;

use super::*;

fn any(value: &[u8]) -> Any {
    Any {
        type_url: "type.googleapis.com/a.B".to_owned(),
        value: value.to_vec(),
    }
}

fn read_init(frame: Frame) -> (String, String, Option<Option<Any>>) {
    let message = ValueEntityStreamIn::decode(frame.message().as_slice()).unwrap();
    match message.message.unwrap() {
        In::Init(init) => (
            init.service_name,
            init.entity_id,
            init.state.map(|state| state.value),
        ),
        In::Command(_) => panic!("not an init"),
    }
}

#[test]
fn init_has_a_state_with_or_without_a_value() {
    let none = read_init(init("a.Service", "7", None));
    assert_eq!(none, ("a.Service".into(), "7".into(), Some(None)));
    let stored = Bytes::from(any(b"x").encode_to_vec());
    let some = read_init(init("a.Service", "7", Some(&stored)));
    assert_eq!(some.2, Some(Some(any(b"x"))));
    let empty = read_init(init("a.Service", "7", Some(&Bytes::new())));
    assert_eq!(empty.2, Some(Some(Any::default())));
    let long = Bytes::from(any(&[7; 20_000]).encode_to_vec());
    assert_eq!(
        read_init(init("s", "7", Some(&long))).2,
        Some(Some(any(&[7; 20_000])))
    );
}

fn change(state_action: Option<ValueEntityAction>) -> ValueChange {
    let action = client_action::Action::Reply(WireReply::default());
    let reply = ValueEntityReply {
        command_id: 3,
        client_action: Some(ClientAction {
            action: Some(action),
        }),
        side_effects: Vec::new(),
        state_action,
    };
    let message = Some(Out::Reply(reply));
    let bytes = ValueEntityStreamOut { message }.encode_to_vec();
    match ValueEntity::read(bytes.into()).unwrap() {
        FromFunction::Reply(reply) => reply.change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_are_read_as_they_are_meant() {
    let action = |action| Some(ValueEntityAction { action });
    let update = |value| action(Some(Action::Update(ValueEntityUpdate { value })));
    assert_eq!(change(None), ValueChange::None);
    let stored = any(b"x").encode_to_vec();
    assert_eq!(
        change(update(Some(any(b"x")))),
        ValueChange::Update(stored.into())
    );
    let empty = change(update(Some(Any::default())));
    assert_eq!(empty, ValueChange::Update(Bytes::new()));
    let delete = change(action(Some(Action::Delete(ValueEntityDelete {}))));
    assert_eq!(delete, ValueChange::Delete);
    for unclear in [change(action(None)), change(update(None))] {
        assert!(unclear.violation(3).is_some(), "{unclear:?}");
        assert!(!unclear.is_none());
    }
}
