use cloudstate_protocol::cloudstate::{
    EntityPassivationStrategy, ServiceInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::descriptors::{FILE_DESCRIPTOR_SET, descriptor_set_for};
use cloudstate_protocol::names::tck::{EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO};
use cloudstate_protocol::names::{ACTION, CRDT, ENTITY_TYPES, EVENT_SOURCED, VALUE_ENTITY};

use super::*;
use crate::catalog::StateModel;

const TERMS: Terms = Terms {
    check_version: true,
    passivation_timeout: Duration::from_secs(30),
};

const VALUE_MODEL: &str = "cloudstate.tck.model.valueentity.ValueEntityTckModel";
const ACTION_MODEL: &str = "cloudstate.tck.model.action.ActionTckModel";
/// Its one method has no entity key.
const ACTION_TWO: &str = "cloudstate.tck.model.action.ActionTwo";
/// One of its methods streams.
const STREAMING: &str = "cloudstate.tck.model.crdt.CrdtTckModel";

/// The types whose entities have state.
const STATEFUL: [&str; 2] = [EVENT_SOURCED, VALUE_ENTITY];

fn entity(service: &str, persistence_id: &str) -> Entity {
    typed(EVENT_SOURCED, service, persistence_id)
}

fn typed(entity_type: &str, service: &str, persistence_id: &str) -> Entity {
    Entity {
        entity_type: entity_type.to_owned(),
        service_name: service.to_owned(),
        persistence_id: persistence_id.to_owned(),
        passivation_strategy: None,
    }
}

fn spec() -> EntitySpec {
    EntitySpec {
        proto: FILE_DESCRIPTOR_SET.to_vec(),
        entities: vec![
            entity(EVENT_SOURCED_MODEL, "model"),
            entity(EVENT_SOURCED_TWO, "two"),
        ],
        service_info: Some(ServiceInfo {
            protocol_minor_version: 2,
            ..ServiceInfo::default()
        }),
    }
}

fn refusal(change: impl FnOnce(&mut EntitySpec)) -> Refusal {
    let mut spec = spec();
    change(&mut spec);
    check(&spec, TERMS).unwrap_err()
}

/// The user function's author has only the text: it must have these words.
#[track_caller]
fn assert_refused(change: impl FnOnce(&mut EntitySpec), words: &[&str]) {
    let text = refusal(change).to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} isn't in: {text}");
    }
}

#[test]
fn methods_are_found_by_path_and_by_name() {
    let catalog = check(&spec(), TERMS).unwrap();
    assert_eq!(catalog.len(), 2);
    let method = catalog.find(EVENT_SOURCED_MODEL, "Process").unwrap();
    let path = format!("/{EVENT_SOURCED_MODEL}/Process");
    assert!(Arc::ptr_eq(method, catalog.at(&path).unwrap()));
    assert_eq!(method.name, "Process");
    assert_eq!(
        method.input,
        "type.googleapis.com/cloudstate.tck.model.Request"
    );
    assert_eq!(
        method.output,
        "type.googleapis.com/cloudstate.tck.model.Response"
    );
    assert_eq!(&*method.entity.persistence_id, "model");
    for path in ["", "/", "/a/b", &path[1..], &format!("{path}/")] {
        assert!(catalog.at(path).is_none(), "{path}");
    }
    let not_announced = "cloudstate.tck.model.EventSourcedConfigured";
    assert!(catalog.find(not_announced, "Call").is_none());
}

#[test]
fn the_version_must_be_ours_unless_nobody_asks() {
    for (major, minor) in [(0, 1), (0, 3), (1, 2), (0, 0)] {
        let announce = |spec: &mut EntitySpec| {
            let info = spec.service_info.as_mut().unwrap();
            info.protocol_major_version = major;
            info.protocol_minor_version = minor;
        };
        assert_refused(announce, &[&format!("{major}.{minor}"), "0.2"]);
    }
    assert_refused(|spec| spec.service_info = None, &["0.0", "0.2"]);
    let mut spec = spec();
    spec.service_info = None;
    let lenient = Terms {
        check_version: false,
        ..TERMS
    };
    assert!(check(&spec, lenient).is_ok());
}

#[test]
fn a_specification_needs_entities() {
    assert_refused(|spec| spec.entities.clear(), &["empty"]);
}

#[test]
fn a_service_is_announced_once_whatever_its_types() {
    for [first, second] in [
        [EVENT_SOURCED, EVENT_SOURCED],
        [VALUE_ENTITY, EVENT_SOURCED],
        [ACTION, VALUE_ENTITY],
        [ACTION, ACTION],
    ] {
        assert_refused(
            |spec| {
                spec.entities = vec![
                    typed(first, VALUE_MODEL, "first"),
                    typed(second, VALUE_MODEL, "second"),
                ];
            },
            &[VALUE_MODEL, "two entities"],
        );
    }
}

#[test]
fn entities_with_state_need_persistence_ids_of_their_own() {
    for [first, second] in [
        [EVENT_SOURCED, EVENT_SOURCED],
        [EVENT_SOURCED, VALUE_ENTITY],
        [VALUE_ENTITY, VALUE_ENTITY],
    ] {
        let announce = |spec: &mut EntitySpec, id: &str| {
            spec.entities = vec![
                typed(first, EVENT_SOURCED_MODEL, "model"),
                typed(second, VALUE_MODEL, id),
            ];
        };
        assert_refused(|spec| announce(spec, "model"), &["\"model\""]);
        assert_refused(|spec| announce(spec, ""), &[VALUE_MODEL, "persistence id"]);
    }
}

#[test]
fn the_persistence_id_of_an_action_is_none() {
    for id in ["", "model"] {
        let mut spec = spec();
        let actions = [ACTION_MODEL, ACTION_TWO].map(|name| typed(ACTION, name, id));
        spec.entities.extend(actions);
        let catalog = check(&spec, TERMS).unwrap();
        assert!(catalog.find(ACTION_TWO, "Call").is_some());
    }
}

#[test]
fn an_entity_needs_a_known_service_and_a_supported_type() {
    for name in [
        "",
        "no.Where",
        "EventSourcedTwo",
        ".",
        "cloudstate.tck.model",
    ] {
        assert_refused(
            |spec| spec.entities[1].service_name = name.to_owned(),
            &[&format!("{name:?}")],
        );
    }
    for kind in [CRDT, "", "my.Type"] {
        let named = format!("{kind:?}");
        assert_refused(
            |spec| spec.entities[0].entity_type = kind.to_owned(),
            &[
                &named,
                EVENT_SOURCED_MODEL,
                EVENT_SOURCED,
                VALUE_ENTITY,
                ACTION,
            ],
        );
    }
}

#[test]
fn what_is_announced_is_what_is_served() {
    let announced = supported();
    assert_eq!(announced, [EVENT_SOURCED, VALUE_ENTITY, ACTION]);
    for entity_type in ENTITY_TYPES {
        let spec = EntitySpec {
            entities: vec![typed(entity_type, VALUE_MODEL, "value")],
            ..spec()
        };
        let served = check(&spec, TERMS).is_ok();
        assert_eq!(
            served,
            announced.contains(&entity_type.to_owned()),
            "{entity_type}"
        );
    }
}

#[test]
fn a_value_entity_is_found_with_its_kind_and_key() {
    let spec = EntitySpec {
        entities: vec![typed(VALUE_ENTITY, VALUE_MODEL, "value")],
        ..spec()
    };
    let catalog = check(&spec, TERMS).unwrap();
    let method = catalog.find(VALUE_MODEL, "Process").unwrap();
    assert_eq!(method.entity.kind, Kind::Entity(StateModel::Value));
    assert_eq!(&*method.entity.persistence_id, "value");
    assert_eq!(method.streams(), Streams::default());
    assert!(matches!(method.callee, Callee::Entity { .. }));
}

#[test]
fn an_action_may_stream_and_needs_neither_key_nor_persistence_id() {
    let spec = EntitySpec {
        entities: vec![
            typed(ACTION, ACTION_MODEL, ""),
            typed(ACTION, ACTION_TWO, ""),
        ],
        ..spec()
    };
    let catalog = check(&spec, TERMS).unwrap();
    assert_eq!(catalog.len(), 5);
    for (service, name, input, output) in [
        (ACTION_MODEL, "ProcessUnary", false, false),
        (ACTION_MODEL, "ProcessStreamedIn", true, false),
        (ACTION_MODEL, "ProcessStreamedOut", false, true),
        (ACTION_MODEL, "ProcessStreamed", true, true),
        (ACTION_TWO, "Call", false, false),
    ] {
        let method = catalog.find(service, name).unwrap();
        assert_eq!(method.entity.kind, Kind::Action, "{name}");
        assert_eq!(method.streams(), Streams { input, output }, "{name}");
        assert!(matches!(method.callee, Callee::Action(_)), "{name}");
    }
}

#[test]
fn methods_of_entities_with_state_must_not_stream() {
    for kind in STATEFUL {
        for (service, streaming) in [
            (STREAMING, "ProcessStreamed"),
            (ACTION_MODEL, "ProcessStreamedIn"),
            (ACTION_MODEL, "ProcessStreamedOut"),
        ] {
            // Of several that stream, the first is named.
            let alone = only_method(service, streaming);
            assert_refused(
                |spec| {
                    spec.proto = alone;
                    spec.entities = vec![typed(kind, service, "streams")];
                },
                &[&format!("{service}.{streaming}"), "streams"],
            );
        }
    }
}

/// The descriptors, with nothing but this method in the service.
fn only_method(service: &str, method: &str) -> Vec<u8> {
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    for file in &mut set.file {
        let package = file.package().to_owned();
        for declared in &mut file.service {
            if format!("{package}.{}", declared.name()) == service {
                declared.method.retain(|m| m.name() == method);
                assert_eq!(declared.method.len(), 1);
            }
        }
    }
    set.encode_to_vec()
}

#[test]
fn methods_of_entities_with_state_must_have_a_key() {
    for kind in STATEFUL {
        assert_refused(
            |spec| spec.entities = vec![typed(kind, ACTION_TWO, "no-key")],
            &[
                &format!("{ACTION_TWO}.Call"),
                "cloudstate.tck.model.action.OtherRequest",
                "entity_key",
            ],
        );
    }
}

#[test]
fn descriptors_must_be_readable_and_complete() {
    assert_refused(|spec| spec.proto = vec![0xff; 10], &["EntitySpec.proto"]);
    assert_refused(|spec| spec.proto = Vec::new(), &[EVENT_SOURCED_MODEL]);
    let without = |file: &str| {
        let set = descriptor_set_for(&[EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO]).unwrap();
        let mut set = FileDescriptorSet::decode(&*set).unwrap();
        set.file.retain(|f| f.name() != file);
        set.encode_to_vec()
    };
    for missing in [
        "cloudstate/entity_key.proto",
        "google/protobuf/descriptor.proto",
    ] {
        assert_refused(|spec| spec.proto = without(missing), &[missing]);
    }
}

#[test]
fn files_must_be_in_a_language_that_is_known() {
    for syntax in ["editions", "proto4"] {
        let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let file = set.file.last_mut().unwrap();
        file.syntax = Some(syntax.to_owned());
        let name = file.name().to_owned();
        assert_refused(
            |spec| spec.proto = set.encode_to_vec(),
            &["EntitySpec.proto", &name, syntax, "proto3"],
        );
    }
}

#[test]
fn files_must_not_import_each_other_in_a_circle() {
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let name = "cloudstate/tck/model/eventsourced.proto".to_owned();
    for file in &mut set.file {
        if file.name() == "cloudstate/entity_key.proto" {
            file.dependency.push(name.clone());
        }
    }
    let files = ["cloudstate/entity_key.proto", &name];
    assert_refused(|spec| spec.proto = set.encode_to_vec(), &files);
}

#[test]
fn the_announced_timeout_counts_if_it_is_one() {
    let day = Duration::from_secs(24 * 60 * 60);
    let cases = [
        (100, Duration::from_millis(100)),
        (0, TERMS.passivation_timeout),
        (-5, TERMS.passivation_timeout),
        (24 * 60 * 60 * 1000, day),
        (i64::MAX, LONGEST_TIMEOUT),
    ];
    for (timeout, expected) in cases {
        let mut spec = spec();
        spec.entities[0].passivation_strategy = Some(EntityPassivationStrategy {
            strategy: Some(Strategy::Timeout(TimeoutPassivationStrategy { timeout })),
        });
        spec.entities[1].passivation_strategy = Some(EntityPassivationStrategy { strategy: None });
        let catalog = check(&spec, TERMS).unwrap();
        let timeout_of = |service| {
            catalog
                .find(service, "Process")
                .or_else(|| catalog.find(service, "Call"))
        };
        let first = timeout_of(EVENT_SOURCED_MODEL).unwrap();
        assert_eq!(first.entity.passivation_timeout, expected);
        let second = timeout_of(EVENT_SOURCED_TWO).unwrap();
        assert_eq!(second.entity.passivation_timeout, TERMS.passivation_timeout);
    }
}
