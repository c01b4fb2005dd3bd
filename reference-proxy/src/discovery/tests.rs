use cloudstate_protocol::cloudstate::{
    EntityPassivationStrategy, ServiceInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::descriptors::{FILE_DESCRIPTOR_SET, descriptor_set_for};
use cloudstate_protocol::names::tck::{EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO};
use cloudstate_protocol::names::{ACTION, CRDT, EVENT_SOURCED};

use super::*;

const TERMS: Terms = Terms {
    check_version: true,
    passivation_timeout: Duration::from_secs(30),
};

fn entity(service: &str, persistence_id: &str) -> Entity {
    Entity {
        entity_type: EVENT_SOURCED.to_owned(),
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
fn a_specification_needs_entities_with_names_of_their_own() {
    assert_refused(|spec| spec.entities.clear(), &["empty"]);
    assert_refused(
        |spec| spec.entities[1].service_name = EVENT_SOURCED_MODEL.to_owned(),
        &[EVENT_SOURCED_MODEL],
    );
    assert_refused(
        |spec| spec.entities[1].persistence_id = "model".to_owned(),
        &["\"model\""],
    );
    assert_refused(
        |spec| spec.entities[1].persistence_id.clear(),
        &[EVENT_SOURCED_TWO],
    );
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
        assert_refused(
            |spec| spec.entities[0].entity_type = kind.to_owned(),
            &[kind, EVENT_SOURCED_MODEL, EVENT_SOURCED],
        );
    }
}

#[test]
fn an_action_may_stream_and_needs_neither_key_nor_persistence_id() {
    let action = Entity {
        entity_type: ACTION.to_owned(),
        ..entity("cloudstate.tck.model.action.ActionTckModel", "")
    };
    let spec = EntitySpec {
        entities: vec![action],
        ..spec()
    };
    assert_eq!(check(&spec, TERMS).unwrap().len(), 4);
}

#[test]
fn methods_must_not_stream_and_must_have_a_key() {
    let model = "cloudstate.tck.model.crdt.CrdtTckModel";
    assert_refused(
        |spec| spec.entities = vec![entity(model, "crdt")],
        &[&format!("{model}.ProcessStreamed")],
    );
    let two = "cloudstate.tck.model.action.ActionTwo";
    assert_refused(
        |spec| spec.entities = vec![entity(two, "action")],
        &[
            &format!("{two}.Call"),
            "cloudstate.tck.model.action.OtherRequest",
            "entity_key",
        ],
    );
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

#[test]
fn pauses_grow_up_to_the_longest_and_are_never_equal_for_all() {
    let mut pauses = Pauses::default();
    let mut full = PAUSES.0;
    for _ in 0..40 {
        let pause = pauses.next_pause();
        assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
        full = (full * 2).min(PAUSES.1);
    }
    assert_eq!(full, PAUSES.1);
}
