//! The compiled descriptors as a flat table, one line a fact, against the committed
//! `wire-facts.txt`: whatever changes on the wire changes that file, and shows in its diff.

use std::collections::BTreeSet;

use cloudstate_protocol::{descriptors, names};
use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

const FACTS: &str = include_str!("../wire-facts.txt");

#[test]
fn the_descriptors_have_the_committed_wire_facts() {
    let committed: BTreeSet<String> = FACTS.lines().map(str::to_owned).collect();
    let compiled = facts();
    let missing: Vec<_> = committed.difference(&compiled).collect();
    let added: Vec<_> = compiled.difference(&committed).collect();
    assert!(
        missing.is_empty() && added.is_empty(),
        "the .proto files differ from wire-facts.txt: missing {missing:#?}, added {added:#?}"
    );
}

#[test]
fn the_table_is_sorted_and_says_nothing_twice() {
    let lines: Vec<_> = FACTS.lines().map(str::to_owned).collect();
    assert_eq!(lines, facts().into_iter().collect::<Vec<_>>());
}

/// The old option is not part of the protocol's surface, it is only recognized; nor are the services by which the test
/// kit tells entity keys apart, which no user function serves.
fn is_canonical(file: &FileDescriptor) -> bool {
    let package = file.package_name();
    let ours = package == "cloudstate" || package.starts_with("cloudstate.");
    ours && !["cloudstate.legacy", "cloudstate.tck.model.entitykeys"].contains(&package)
}

fn facts() -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in descriptors::pool().files().filter(is_canonical) {
        file.messages()
            .for_each(|message| message_facts(&message, &mut facts));
        facts.extend(file.enums().flat_map(|it| enum_facts(&it)));
        facts.extend(file.extensions().map(|it| extension_fact(&it)));
        let services: Vec<_> = file.services().collect();
        let methods = || services.iter().flat_map(|service| service.methods());
        facts.extend(methods().map(|method| rpc_fact(&method)));
        facts.extend(
            methods().flat_map(|method| option_facts(&method_path(&method), &method.options())),
        );
    }
    facts
}

fn message_facts(message: &MessageDescriptor, facts: &mut BTreeSet<String>) {
    facts.insert(format!("message {}", message.full_name()));
    for field in message.fields() {
        facts.insert(field_fact(&field));
        facts.extend(option_facts(field.full_name(), &field.options()));
    }
    facts.extend(message.child_enums().flat_map(|it| enum_facts(&it)));
    message
        .child_messages()
        .for_each(|child| message_facts(&child, facts));
}

fn field_fact(field: &FieldDescriptor) -> String {
    let repeated = match field.cardinality() {
        Cardinality::Repeated => "repeated ",
        Cardinality::Optional | Cardinality::Required => "",
    };
    let oneof = field
        .containing_oneof()
        .map(|oneof| format!(" oneof={}", oneof.name()));
    format!(
        "field {} {} {} {repeated}{}{}",
        field.parent_message().full_name(),
        field.number(),
        field.name(),
        type_name(&field.kind()),
        oneof.unwrap_or_default()
    )
}

fn enum_facts(it: &EnumDescriptor) -> Vec<String> {
    let fact = |number: i32, name: &str| format!("enum {} {number} {name}", it.full_name());
    it.values()
        .map(|value| fact(value.number(), value.name()))
        .collect()
}

fn extension_fact(extension: &ExtensionDescriptor) -> String {
    format!(
        "extension {} {} {} {}",
        extension.containing_message().full_name(),
        extension.number(),
        extension.full_name(),
        type_name(&extension.kind())
    )
}

fn rpc_fact(method: &MethodDescriptor) -> String {
    let side = |streams: bool, message: MessageDescriptor| {
        format!(
            "({}{})",
            if streams { "stream " } else { "" },
            message.full_name()
        )
    };
    format!(
        "rpc {} {} -> {}",
        method_path(method),
        side(method.is_client_streaming(), method.input()),
        side(method.is_server_streaming(), method.output())
    )
}

fn method_path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// The custom options of a field or method.
fn option_facts(owner: &str, options: &DynamicMessage) -> Vec<String> {
    [names::ENTITY_KEY, names::EVENTING, names::HTTP]
        .into_iter()
        .filter_map(|name| descriptors::pool().get_extension_by_name(name))
        .filter(|extension| options.has_extension(extension))
        .map(|extension| {
            let value = option_value(&options.get_extension(&extension));
            format!("option {owner} ({}) = {value}", extension.full_name())
        })
        .collect()
}

/// A value as it would stand in a .proto file, except that a bool has a capital, as the table
/// always had.
fn option_value(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Message(message) => {
            let fields: String = message
                .fields()
                .map(|(field, value)| {
                    let colon = if value.as_message().is_some() {
                        ""
                    } else {
                        ":"
                    };
                    format!("{}{colon} {} ", field.name(), option_value(value))
                })
                .collect();
            format!("{{ {fields}}}")
        }
        other => other.to_string(),
    }
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(it) => it.full_name().to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
    }
}
