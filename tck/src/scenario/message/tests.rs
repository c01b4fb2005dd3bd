//! Building, comparing and showing messages.

use super::*;
use crate::services::descriptor_pool;
use crate::yaml::{Source, tree};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use prost_types::Any;
use std::sync::Arc;

const PACKAGE: &str = "cloudstate.tck.model";
const OUT: &str = "cloudstate.eventsourced.EventSourcedStreamOut";

fn yaml(text: &str) -> Node {
    let source = Arc::new(Source {
        name: "test".to_owned(),
        text: text.to_owned(),
    });
    tree::read(&source).unwrap_or_else(|error| panic!("{error}"))
}

fn bindings() -> Bindings {
    [("id", "42-a"), ("client", "3")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn descriptor(name: &str) -> MessageDescriptor {
    descriptor_pool().get_message_by_name(name).unwrap()
}

fn built(name: &str, text: &str) -> DynamicMessage {
    let bindings = bindings();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    build(&yaml(text), &descriptor(name), &scope).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let bindings = bindings();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    let all = verify(&yaml(text), &descriptor(name), &scope);
    all.iter().map(ToString::to_string).collect()
}

fn mismatches(name: &str, expected: &str, actual: &DynamicMessage) -> Vec<String> {
    let bindings = bindings();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    let found = compare(&yaml(expected), &descriptor(name), actual, &scope);
    found
        .iter()
        .map(|m| format!("{}: {} / {}", m.path, m.expected, m.received))
        .collect()
}

/// What differs between two trees of this type, one of them sent.
fn between(name: &str, expected: &str, actual: &str) -> Vec<String> {
    mismatches(name, expected, &built(name, actual))
}

#[test]
fn what_is_built_is_what_was_written() {
    for (name, text) in [
        (
            OUT,
            "{ reply: { command_id: 1, client_action: { reply: { payload: { Response: { message: A } } } }, events: [ { Persisted: { value: A } }, { Persisted: {} } ] } }",
        ),
        (
            OUT,
            "{ failure: { command_id: 7, description: \"no\", restart: true } }",
        ),
        (
            "cloudstate.crdt.CrdtDelta",
            "{ orset: { cleared: true, added: [ { string: x }, { int64: -5 }, { bytes: \"AQI=\" }, { bool: true } ] } }",
        ),
        (
            "cloudstate.crdt.CrdtDelta",
            "{ pncounter: { change: -9223372036854775808 } }",
        ),
        (
            "cloudstate.crdt.CrdtDelta",
            "{ lwwregister: { value: { double: 1.5 }, clock: CUSTOM } }",
        ),
        ("cloudstate.crdt.CrdtDelta", "{ vote: {} }"),
        ("cloudstate.Command", "{ payload: {} }"),
        (
            "cloudstate.Command",
            "{ payload: { \"@type\": json.cloudstate.io/x, value: \"{}\" } }",
        ),
        (
            "cloudstate.Command",
            "{ payload: { \"@type\": types.example.com/nobody.knows.This, \"@bytes\": \"0801\" } }",
        ),
        (
            "cloudstate.Command",
            "{ payload: { cloudstate.tck.model.crdt.Request: { id: x } } }",
        ),
        (
            "cloudstate.Command",
            "{ entity_id: \"costs $$5\", \"?99\": \"0801\", \"?100\": 300, \"?101\": [ 1, 2 ], \"?102\": { fixed32: 7 } }",
        ),
        ("cloudstate.Command", "{ metadata: { ce-id: a, other: b } }"),
    ] {
        assert_eq!(flow(&to_node(&built(name, text), PACKAGE)), text);
    }
}

#[test]
fn defaults_travel_as_nothing_and_oneofs_don_t() {
    assert_eq!(
        built("cloudstate.crdt.CrdtDelta", "{ vote: {} }").encode_to_vec(),
        [0x42, 0]
    );
    assert!(
        built("cloudstate.tck.model.Response", "{ message: \"\" }")
            .encode_to_vec()
            .is_empty()
    );
    let any = built("cloudstate.Command", "{ payload: { string: \"\" } }").encode_to_vec();
    assert_eq!(&any[any.len() - 22..], b"p.cloudstate.io/string".as_slice());
}

#[test]
fn names_and_operators_are_replaced_when_sending() {
    let text = |node: &str| {
        let message = built(
            "cloudstate.tck.model.Response",
            &format!("{{ message: {node} }}"),
        );
        message
            .get_field_by_name("message")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(text("\"$client.1;\""), "3.1;");
    assert_eq!(text("\"$$id is $id\""), "$id is 42-a");
    assert_eq!(text("{ $either: [ first, second ] }"), "first");
    assert_eq!(text("$any"), "any");
    assert_eq!(text("{ $contains: this }"), "this");
    assert_eq!(
        text("{ $repeat: { times: 3, item: \"$id \" } }"),
        "42-a 42-a 42-a "
    );
    assert_eq!(text("7"), "7");
    assert_eq!(text("007"), "007");
    assert_eq!(text("true"), "true");
    let count = |node: &str| {
        let message = built(
            "cloudstate.tck.model.Request",
            &format!("{{ actions: {node} }}"),
        );
        message
            .get_field_by_name("actions")
            .unwrap()
            .as_list()
            .unwrap()
            .len()
    };
    assert_eq!(count("{ $repeat: { times: 5, item: { emit: {} } } }"), 5);
    assert_eq!(
        count("[ { emit: {} }, { $repeat: { times: 2, item: { emit: {} } } }, { emit: {} } ]"),
        4
    );
    assert_eq!(count("$any"), 0);
    assert_eq!(count("{ $either: [ [ { emit: {} } ], [] ] }"), 1);
    assert_eq!(count("$absent"), 0);
}

#[test]
fn what_does_not_fit_is_said_all_at_once() {
    let text = "{ replly: {}, failure: { command_id: x, description: $nobody, restart: 1 }, reply: \
                { events: { Persisted: {} }, side_effects: [ { payload: { Persistd: {} } } ] } }";
    insta::assert_snapshot!(problems(OUT, text).join("\n"), @r#"
    cloudstate.eventsourced.EventSourcedStreamOut has no field replly (did you mean reply? allowed: reply, failure)
    "x" is not a whole number (from -9223372036854775808 to 9223372036854775807)
    nothing binds $nobody (known: $client, $id; write $$ for a dollar)
    "1" is not true or false
    failure and reply can't both be set (they are alternatives of message)
    events is repeated: a list is expected here
    no message type is called Persistd (did you mean Persisted? allowed: Request, RequestAction, Emit, Forward, Effect, Fail, Response, Persisted, string, bytes, int32, int64, float, double, bool; else a full name)
    "#);
}

#[test]
fn each_kind_of_mistake_has_its_words() {
    let delta = "cloudstate.crdt.CrdtDelta";
    let response = "cloudstate.tck.model.Response";
    let all = [
        problems(response, "text"),
        problems(response, "{ message: }"),
        problems(response, "{ message: {} }"),
        problems(response, "{ message: \"5 $\" }"),
        problems(response, "{ message: { $contians: x } }"),
        problems(response, "{ $contians: x }"),
        problems(response, "{ message: { $either: x } }"),
        problems(response, "{ message: { $either: [ fine, $nobody ] } }"),
        problems(response, "{ message: { $repeat: { item: x } } }"),
        problems(
            response,
            "{ message: { $repeat: { times: 9000000000, item: x } } }",
        ),
        problems(
            response,
            "{ message: { $repeat: { times: 9000000, item: { $repeat: { times: 9000000, item: x } } } } }",
        ),
        problems(response, "{ \"?0\": \"\" }"),
        problems(response, "{ \"?9\": \"xyz\" }"),
        problems(delta, "{ pncounter: { change: 9223372036854775808 } }"),
        problems(delta, "{ gcounter: { increment: -1 } }"),
        problems(delta, "{ vote: { votes_for: 3000000000 } }"),
        problems(delta, "{ lwwregister: { clock: REVERSED } }"),
        problems(
            delta,
            "{ gset: { added: [ x, { string: x, bool: true }, { int32: many }, { bytes: \"%\" } ] } }",
        ),
        problems(
            delta,
            "{ gset: { added: [ { \"@type\": a.b/c }, { \"@type\": a.b/c, \"@bytes\": \"1\" } ] } }",
        ),
        problems("cloudstate.crdt.CrdtDelete", "{ x: 1 }"),
    ];
    insta::assert_snapshot!(all.concat().join("\n"), @r#"
    a message is written as a map (write { … } with fields of cloudstate.tck.model.Response)
    nothing is written here (leave the key out, or write what is meant: {}, "", 0)
    a single value is expected here
    a $ that is followed by no name (write $$ for a dollar)
    a single value is expected here (operators: $any, $absent, $contains, $either, $repeat)
    cloudstate.tck.model.Response has no field $contians (operators: $any, $absent, $contains, $either, $repeat)
    $either needs a list of alternatives
    nothing binds $nobody (known: $client, $id; write $$ for a dollar)
    $repeat is written as { times: 3, item: … } (times is a whole number up to 67108864)
    $repeat is written as { times: 3, item: … } (times is a whole number up to 67108864)
    9000000 times 9000000 bytes are too many (up to 67108864 bytes)
    ?0 is no field number (for example "?99", from 1 to 536870911)
    this is no unknown field (hexadecimal digits in quotes, a number for a varint, or { fixed32: 1 }, { fixed64: 1 })
    9223372036854775808 doesn't fit here (from -9223372036854775808 to 9223372036854775807)
    -1 doesn't fit here (from 0 to 18446744073709551615)
    3000000000 doesn't fit here (from -2147483648 to 2147483647)
    CrdtClock has no value REVERSED (did you mean REVERSE? allowed: DEFAULT, REVERSE, CUSTOM, CUSTOM_AUTO_INCREMENT)
    an Any is written as a map with its type as the only key (for example { Persisted: { value: A } }, { string: x } or { "@type": URL, … })
    an Any is written as a map with its type as the only key (for example { Persisted: { value: A } }, { string: x } or { "@type": URL, … })
    "many" is not a whole number (from -2147483648 to 2147483647)
    "%" is not bytes in base64
    the kit can't write what "a.b/c" stands for (write what is inside as "@bytes" in hexadecimal digits, or under value where the type is a primitive one or JSON)
    bytes are pairs of hexadecimal digits
    cloudstate.crdt.CrdtDelete has no field x (it has no fields)
    "#);
}

#[test]
fn what_is_not_written_must_not_be_there() {
    let reply = |rest: &str| {
        format!(
            "{{ reply: {{ command_id: 1, client_action: {{ reply: {{ payload: {{ Response: {{ message: A }} }} }} }}{rest} }} }}"
        )
    };
    assert!(between(OUT, &reply(""), &reply("")).is_empty());
    assert_eq!(
        between(
            OUT,
            &reply(""),
            &reply(", events: [ { Persisted: { value: A } } ]")
        ),
        ["reply.events: nothing / [ { Persisted: { value: A } } ]"]
    );
    assert_eq!(
        between(
            OUT,
            &reply(", snapshot: { Persisted: { value: A } }"),
            &reply("")
        ),
        ["reply.snapshot: { Persisted: { value: A } } / nothing"]
    );
    assert_eq!(
        between(OUT, "{ reply: { command_id: 1 } }", &reply("")),
        ["reply.client_action: nothing / { reply: { payload: { Response: { message: A } } } }"]
    );
    assert_eq!(
        between(OUT, "{ failure: {} }", "{ reply: {} }"),
        ["reply: nothing / {}", "failure: {} / nothing"]
    );
}

#[test]
fn the_path_leads_to_the_field() {
    let reply = |message: &str| {
        format!(
            "{{ reply: {{ client_action: {{ reply: {{ payload: {{ Response: {{ message: {message} }} }} }} }} }} }}"
        )
    };
    assert_eq!(
        between(OUT, &reply("$id"), &reply("B")),
        ["reply.client_action.reply.payload.message: \"42-a\" / B"]
    );
    let events = |values: &[&str]| {
        let list: Vec<String> = values
            .iter()
            .map(|v| format!("{{ Persisted: {{ value: {v} }} }}"))
            .collect();
        format!("{{ reply: {{ events: [ {} ] }} }}", list.join(", "))
    };
    assert_eq!(
        between(OUT, &events(&["A", "B", "C"]), &events(&["A", "X"])),
        [
            "reply.events[1].value: B / X",
            "reply.events[2]: { Persisted: { value: C } } / nothing"
        ]
    );
    assert_eq!(
        between(
            OUT,
            "{ reply: { events: { $repeat: { times: 2, item: { Persisted: { value: A } } } } } }",
            &events(&["A", "A", "A"])
        ),
        ["reply.events[2]: nothing / { Persisted: { value: A } }"]
    );
}

#[test]
fn presence_of_a_oneof_is_not_its_default() {
    let delta = "cloudstate.crdt.CrdtDelta";
    assert!(between(delta, "{ vote: {} }", "{ vote: { self_vote: false } }").is_empty());
    assert_eq!(between(delta, "{ vote: {} }", "{}"), ["vote: {} / nothing"]);
    assert_eq!(between(delta, "{}", "{ vote: {} }"), ["vote: nothing / {}"]);
    assert_eq!(
        between(delta, "{ vote: $absent }", "{ vote: {} }"),
        ["vote: nothing / {}"]
    );
    assert!(
        between(
            delta,
            "{ vote: { $either: [ $absent, { self_vote: true } ] } }",
            "{}"
        )
        .is_empty()
    );
    assert_eq!(
        between(
            delta,
            "{ vote: { $either: [ $absent, { self_vote: true } ] } }",
            "{ vote: {} }"
        ),
        ["vote: nothing / {}"]
    );
    assert_eq!(
        between(delta, "{ vote: $any }", "{}"),
        ["vote: $any / nothing"]
    );
    assert!(between("cloudstate.tck.model.Response", "{ message: \"\" }", "{}").is_empty());
}

#[test]
fn an_any_is_told_by_its_type_and_read_leniently() {
    let command = "cloudstate.Command";
    assert_eq!(
        between(
            command,
            "{ payload: { Response: { message: x } } }",
            "{ payload: { Persisted: { value: x } } }"
        ),
        ["payload: { Response: { message: x } } / { Persisted: { value: x } }"]
    );
    assert_eq!(
        between(
            command,
            "{ payload: { string: x } }",
            "{ payload: { bool: true } }"
        ),
        ["payload: { string: x } / { bool: true }"]
    );
    assert_eq!(
        between(
            command,
            "{ payload: { string: x } }",
            "{ payload: { string: z } }"
        ),
        ["payload: x / z"]
    );
    assert!(
        between(
            command,
            "{ payload: { string: { $contains: y } } }",
            "{ payload: { string: xyz } }"
        )
        .is_empty()
    );
    // Another host is another type URL.
    assert_eq!(
        between(
            command,
            "{ payload: { Response: {} } }",
            "{ payload: { \"@type\": example.com/cloudstate.tck.model.Response } }"
        ),
        ["payload: { Response: {} } / { \"@type\": example.com/cloudstate.tck.model.Response }"]
    );
    let written_out = |url: &str, bytes: &[u8]| {
        let payload = Any {
            type_url: url.to_owned(),
            value: bytes.to_vec(),
        };
        let mut message = DynamicMessage::new(descriptor(command));
        let any = super::any::to_message(&descriptor(ANY), payload);
        message.set_field_by_name("payload", prost_reflect::Value::Message(any));
        message
    };
    // Older SDKs write a default out.
    let default = written_out("p.cloudstate.io/string", &[0x0a, 0]);
    assert!(mismatches(command, "{ payload: { string: \"\" } }", &default).is_empty());
    let garbage = written_out("type.googleapis.com/cloudstate.tck.model.Response", &[0xff]);
    assert_eq!(
        mismatches(command, "{ payload: { Response: {} } }", &garbage),
        [
            "payload: { Response: {} } / { \"@type\": type.googleapis.com/cloudstate.tck.model.Response, \"@bytes\": ff }"
        ]
    );
    let foreign = written_out("x/no.such.Type", &[1, 2]);
    assert!(
        mismatches(
            command,
            "{ payload: { \"@type\": x/no.such.Type, \"@bytes\": \"0102\" } }",
            &foreign
        )
        .is_empty()
    );
}

#[test]
fn the_protocol_may_grow_where_nobody_says_otherwise() {
    let reply = "cloudstate.eventsourced.EventSourcedReply";
    for (message, expected, actual) in [
        ("cloudstate.Reply", "{}", "{ \"?1999\": 7 }"),
        (
            "cloudstate.Failure",
            "{ description: no }",
            "{ description: no, \"?2000\": \"0801\" }",
        ),
        (
            reply,
            "{ side_effects: [ { command_name: Call } ] }",
            "{ side_effects: [ { command_name: Call, \"?1999\": 7 } ] }",
        ),
    ] {
        assert!(between(message, expected, actual).is_empty(), "{actual}");
    }
    let wrong = between(reply, "{ \"?7\": 1 }", "{ \"?7\": 2 }");
    assert_eq!(wrong, ["?7: 1 / 2"]);
}

#[test]
fn unknown_fields_are_there_or_not_like_any_other() {
    let response = "cloudstate.tck.model.Response";
    assert_eq!(
        between(response, "{}", "{ \"?7\": \"0801\", \"?8\": 5 }"),
        [
            "?7: no field of this number / \"0801\"",
            "?8: no field of this number / 5"
        ]
    );
    assert_eq!(
        between(response, "{ \"?7\": \"0801\" }", "{}"),
        ["?7: \"0801\" / nothing"]
    );
    assert_eq!(
        between(response, "{ \"?7\": \"0801\" }", "{ \"?7\": \"0802\" }"),
        ["?7: \"0801\" / \"0802\""]
    );
    assert!(between(response, "{ \"?7\": [ 1, 2 ] }", "{ \"?7\": [ 1, 2 ] }").is_empty());
}

#[test]
fn metadata_is_a_subset_without_case() {
    let command = "cloudstate.Command";
    let sent = "{ metadata: { ce-id: 7, Content-Type: x, more: y } }";
    assert!(between(command, "{}", sent).is_empty());
    assert!(
        between(
            command,
            "{ metadata: { CE-ID: \"7\", content-type: $any } }",
            sent
        )
        .is_empty()
    );
    assert!(between(command, "{ metadata: { other: $absent } }", sent).is_empty());
    assert_eq!(
        between(
            command,
            "{ metadata: { ce-id: { $contains: 8 }, other: $any, more: $absent } }",
            sent
        ),
        [
            "metadata.ce-id: { $contains: 8 } / 7",
            "metadata.other: $any / nothing",
            "metadata.more: $absent / y"
        ]
    );
}

#[test]
fn the_order_of_sets_and_keyed_lists_means_nothing() {
    let delta = "cloudstate.crdt.CrdtDelta";
    let set = |items: &str| format!("{{ orset: {{ added: [ {items} ] }} }}");
    assert!(
        between(
            delta,
            &set("{ string: x }, { string: z }"),
            &set("{ string: z }, { string: x }")
        )
        .is_empty()
    );
    assert_eq!(
        between(
            delta,
            &set("{ string: x }, { string: z }"),
            &set("{ string: z }, { string: z }")
        ),
        [
            "orset.added: an item { string: x } / nothing",
            "orset.added[1]: nothing / { string: z }"
        ]
    );
    let entry = |key: &str, n: i32| {
        format!("{{ key: {{ string: {key} }}, delta: {{ gcounter: {{ increment: {n} }} }} }}")
    };
    let map = |a: String, b: String| format!("{{ ormap: {{ added: [ {a}, {b} ] }} }}");
    assert_eq!(
        between(
            delta,
            &map(entry("a", 1), entry("b", 2)),
            &map(entry("b", 3), entry("a", 1))
        ),
        ["ormap.added[0].delta.gcounter.increment: 2 / 3"]
    );
}

#[test]
fn of_alternatives_the_nearest_is_shown() {
    let response = "cloudstate.tck.model.Response";
    assert!(
        between(
            response,
            "{ message: { $either: [ A, B ] } }",
            "{ message: B }"
        )
        .is_empty()
    );
    assert_eq!(
        between(
            response,
            "{ message: { $either: [ A, B ] } }",
            "{ message: C }"
        ),
        ["message: A or B / C"]
    );
    let request = "cloudstate.tck.model.Request";
    assert!(
        between(
            request,
            "{ actions: { $either: [ [], [ { emit: {} } ] ] } }",
            "{ actions: [ { emit: {} } ] }"
        )
        .is_empty()
    );
    assert!(
        between(
            request,
            "{ actions: { $contains: { emit: { value: x } } } }",
            "{ actions: [ { fail: {} }, { emit: { value: x } } ] }"
        )
        .is_empty()
    );
}

#[test]
fn of_long_values_the_difference_is_seen() {
    let response = "cloudstate.tck.model.Response";
    let long = |end: &str| format!("{{ message: \"{}{end}\" }}", "e".repeat(100_000));
    let found = between(response, &long("one"), &long("two"));
    assert_eq!(
        found,
        [format!(
            "message: (99975 equal) …{0}one / (99975 equal) …{0}two",
            "e".repeat(25)
        )]
    );
    assert_eq!(
        shorten(&"x".repeat(100), 60),
        format!("{0}… (60 more) …{0}", "x".repeat(20))
    );
}

#[test]
fn a_summary_is_one_line() {
    let text =
        "{ reply: { command_id: 1, events: [ { Persisted: { value: \"two words\\n\" } } ] } }";
    assert_eq!(summary(&built(OUT, text), PACKAGE, 200), text);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_text_reads_back_from_its_quotes(text in "\\PC*|[ -~\\u{0}-\\u{ff}\\u{2028}\\u{feff}]*") {
        let node = yaml(&quoted(&text));
        let read = match &node.value {
            Value::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        proptest::prop_assert_eq!(read, text);
    }

    #[test]
    fn every_text_goes_through_a_message_and_back(text in "\\PC{0,40}") {
        let mut message = DynamicMessage::new(descriptor("cloudstate.tck.model.Response"));
        message.set_field_by_name("message", prost_reflect::Value::String(text));
        let written = flow(&to_node(&message, PACKAGE));
        proptest::prop_assert_eq!(
            built("cloudstate.tck.model.Response", &written).encode_to_vec(),
            message.encode_to_vec()
        );
    }
}
