//! What the descriptor set holds, and how entity keys are found in descriptors of any origin.

use prost_types::FieldOptions;

use super::*;
use crate::names;

fn key_names(message: &MessageDescriptor) -> Vec<String> {
    entity_key_fields(message)
        .iter()
        .map(|field| field.name().to_owned())
        .collect()
}

fn message(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(name).unwrap()
}

#[test]
fn primitives_are_root_messages_with_the_value_in_field_one() {
    for (name, _) in PRIMITIVES {
        let field = message(name).get_field(1).unwrap();
        assert_eq!(
            (field.name(), format!("{:?}", field.kind())),
            ("value", name.to_owned())
        );
    }
}

#[test]
fn the_names_of_services_and_options_are_those_of_the_files() {
    use names::{ENTITY_DISCOVERY, ENTITY_TYPES, tck};
    let models = [
        tck::EVENT_SOURCED_MODEL,
        tck::EVENT_SOURCED_TWO,
        tck::EVENT_SOURCED_CONFIGURED,
    ];
    for service in [ENTITY_DISCOVERY]
        .iter()
        .chain(&ENTITY_TYPES)
        .chain(&models)
    {
        assert!(pool().get_service_by_name(service).is_some(), "{service}");
    }
    for option in [
        names::ENTITY_KEY,
        names::LEGACY_ENTITY_KEY,
        names::EVENTING,
        names::HTTP,
    ] {
        assert!(pool().get_extension_by_name(option).is_some(), "{option}");
    }
    let number = |name: &str| pool().get_extension_by_name(name).unwrap().number();
    assert_eq!(number(names::ENTITY_KEY), names::ENTITY_KEY_NUMBER);
    assert_eq!(
        number(names::LEGACY_ENTITY_KEY),
        names::LEGACY_ENTITY_KEY_NUMBER
    );
}

#[test]
fn the_set_of_a_service_has_its_imports_and_options_and_nothing_else() {
    let bytes = descriptor_set_for(&[names::tck::EVENT_SOURCED_MODEL]).unwrap();
    let announced = DescriptorPool::decode(bytes.as_slice()).unwrap();

    let files: Vec<_> = announced
        .files()
        .map(|file| file.name().to_owned())
        .collect();
    assert_eq!(
        files,
        [
            "google/protobuf/descriptor.proto",
            "cloudstate/entity_key.proto",
            "google/api/http.proto",
            "google/api/annotations.proto",
            "cloudstate/tck/model/eventsourced.proto",
        ]
    );
    let request = announced
        .get_message_by_name("cloudstate.tck.model.Request")
        .unwrap();
    assert_eq!(key_names(&request), ["id"]);
    let http = announced.get_extension_by_name(names::HTTP).unwrap();
    let service = announced
        .get_service_by_name(names::tck::EVENT_SOURCED_MODEL)
        .unwrap();
    assert!(
        service
            .methods()
            .next()
            .unwrap()
            .options()
            .has_extension(&http)
    );
}

#[test]
fn files_that_services_share_come_once() {
    let one = descriptor_set_for(&[names::tck::EVENT_SOURCED_MODEL]).unwrap();
    let two = descriptor_set_for(&[
        names::tck::EVENT_SOURCED_MODEL,
        names::tck::EVENT_SOURCED_TWO,
    ]);
    assert_eq!(two.unwrap(), one);
}

#[test]
fn an_unknown_service_is_an_error() {
    let error = descriptor_set_for(&["cloudstate.Nothing"]).unwrap_err();
    assert_eq!(error, UnknownService("cloudstate.Nothing".to_owned()));
}

#[test]
fn our_own_requests_have_their_keys() {
    assert_eq!(
        key_names(&message("cloudstate.tck.model.crdt.StreamedRequest")),
        ["id"]
    );
    assert!(key_names(&message("cloudstate.tck.model.action.Request")).is_empty());
}

/// A set with one file that says this about its language.
fn set_in(syntax: Option<&str>, edition: Option<i32>) -> Vec<u8> {
    let mut file = FileDescriptorProto {
        name: Some("order.proto".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Order".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    }
    .encode_to_vec();
    let language = Language {
        file: None,
        syntax: syntax.map(str::to_owned),
        edition,
    };
    language.encode(&mut file).unwrap();
    EncodedFiles { file: vec![file] }.encode_to_vec()
}

#[test]
fn known_languages_are_linked_and_an_empty_syntax_is_proto2() {
    use prost_reflect::Syntax;
    for (syntax, expected) in [
        (None, Syntax::Proto2),
        (Some(""), Syntax::Proto2),
        (Some("proto2"), Syntax::Proto2),
        (Some("proto3"), Syntax::Proto3),
    ] {
        let pool = link(&set_in(syntax, None)).unwrap();
        let order = pool.get_message_by_name("Order").unwrap();
        assert_eq!(order.parent_file().syntax(), expected, "{syntax:?}");
    }
}

#[test]
fn an_unknown_language_is_an_error_that_names_it() {
    for (syntax, edition, words) in [
        ("editions", Some(1000), r#"syntax "editions", edition 2023"#),
        (
            "editions",
            Some(7),
            r#"syntax "editions", edition number 7"#,
        ),
        ("editions", None, r#"syntax "editions", which"#),
        ("proto4", None, r#"syntax "proto4", which"#),
    ] {
        let error = link(&set_in(Some(syntax), edition)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"order.proto\"") && text.contains(words),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_read_or_linked_is_an_error() {
    assert!(matches!(link(b"x"), Err(NotLinked::Undecodable(_))));
    let garbage = EncodedFiles {
        file: vec![b"x".to_vec()],
    };
    let error = link(&garbage.encode_to_vec());
    assert!(matches!(error, Err(NotLinked::Undecodable(_))), "{error:?}");
    let mut twice = set_in(None, None);
    twice.extend(set_in(Some("proto3"), None));
    let error = link(&twice);
    assert!(matches!(error, Err(NotLinked::Unlinkable(_))), "{error:?}");
}

#[test]
fn options_survive_the_linking() {
    let pool = link(FILE_DESCRIPTOR_SET).unwrap();
    let request = pool
        .get_message_by_name("cloudstate.tck.model.Request")
        .unwrap();
    assert_eq!(key_names(&request), ["id"]);
}

/// A file of a stranger, with no import: fields of one message, each with its raw options. They
/// stand in the order given, against that of their numbers.
fn foreign_message(fields: &[(&str, &[u8])]) -> MessageDescriptor {
    let field = |(index, (name, _)): (usize, &(&str, &[u8]))| FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(100 - i32::try_from(index).unwrap()),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        options: None,
        ..Default::default()
    };
    let mut message = DescriptorProto {
        name: Some("Message".to_owned()),
        ..Default::default()
    };
    message.field = fields.iter().enumerate().map(field).collect();
    let file = FileDescriptorProto {
        name: Some("foreign.proto".to_owned()),
        package: Some("foreign".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![message],
        ..Default::default()
    };
    let set = EncodedFiles {
        file: vec![with_raw_options(&file, fields)],
    };
    let pool = link(&set.encode_to_vec()).unwrap();
    pool.get_message_by_name("foreign.Message").unwrap()
}

/// The file with options that prost's types can't hold: written through the descriptors of a pool
/// that knows none of our extensions.
fn with_raw_options(file: &FileDescriptorProto, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let google = DescriptorPool::global();
    let descriptor = google
        .get_message_by_name("google.protobuf.FileDescriptorProto")
        .unwrap();
    let mut file = DynamicMessage::decode(descriptor, file.encode_to_vec().as_slice()).unwrap();
    let messages = file
        .get_field_by_name_mut("message_type")
        .unwrap()
        .as_list_mut()
        .unwrap();
    let message = messages[0].as_message_mut().unwrap();
    let declared = message
        .get_field_by_name_mut("field")
        .unwrap()
        .as_list_mut()
        .unwrap();
    for (field, (_, raw)) in declared.iter_mut().zip(fields) {
        let options = google
            .get_message_by_name("google.protobuf.FieldOptions")
            .unwrap();
        let options = DynamicMessage::decode(options, *raw).unwrap();
        field
            .as_message_mut()
            .unwrap()
            .set_field_by_name("options", prost_reflect::Value::Message(options));
    }
    file.encode_to_vec()
}

fn raw_bool(number: u32, value: bool) -> Vec<u8> {
    let mut raw = Vec::new();
    prost::encoding::bool::encode(number, &value, &mut raw);
    raw
}

#[test]
fn keys_of_a_stranger_are_found_by_number_in_declaration_order() {
    let key = raw_bool(1080, true);
    let legacy = raw_bool(50002, true);
    let plain = FieldOptions {
        deprecated: Some(true),
        ..Default::default()
    }
    .encode_to_vec();
    let stranger = foreign_message(&[
        ("zebra", &key),
        ("plain", &plain),
        ("ant", &legacy),
        ("not", &raw_bool(1080, false)),
    ]);
    assert!(
        stranger
            .parent_pool()
            .get_extension_by_name(names::ENTITY_KEY)
            .is_none()
    );
    assert_eq!(key_names(&stranger), ["zebra", "ant"]);
}

#[test]
fn another_option_under_the_old_number_is_no_key_and_hides_none() {
    let mut somebody_elses = Vec::new();
    prost::encoding::string::encode(50002, &"theirs".to_owned(), &mut somebody_elses);
    let mut both = somebody_elses.clone();
    both.extend(raw_bool(1080, true));
    let stranger = foreign_message(&[("theirs", &somebody_elses), ("both", &both)]);
    assert_eq!(key_names(&stranger), ["both"]);
}

/// The protocol's files, and one more that nobody imports.
fn with_file_of(syntax: Option<&str>) -> Vec<u8> {
    let mut set = EncodedFiles::decode(FILE_DESCRIPTOR_SET).unwrap();
    let file = FileDescriptorProto {
        name: Some("shop/cart.proto".to_owned()),
        package: Some("shop".to_owned()),
        syntax: syntax.map(str::to_owned),
        message_type: vec![primitive_message("Cart", Type::String)],
        ..Default::default()
    };
    set.file.push(file.encode_to_vec());
    set.encode_to_vec()
}

#[test]
fn files_that_do_not_fit_together_do_not_link() {
    let lonely = FileDescriptorProto {
        name: Some("lonely.proto".to_owned()),
        dependency: vec!["missing.proto".to_owned()],
        ..Default::default()
    };
    let set = EncodedFiles {
        file: vec![lonely.encode_to_vec()],
    };
    let linked = link(&set.encode_to_vec());
    assert!(matches!(linked, Err(NotLinked::Unlinkable(_))));
}

#[test]
fn the_files_that_are_wanted_keep_their_options() {
    let set = with_file_of(Some("proto9"));
    let known = only(&set, |file| check_syntax(file).is_ok()).unwrap();
    assert_eq!(known, FILE_DESCRIPTOR_SET);
    assert!(only(b"\xff", |_| true).is_err());
}
