//! What rules make of messages; and what is wrong in files of mutants.

use super::*;
use crate::requirement::Requirements;
use cloudstate_protocol::cloudstate::eventsourced::{
    EventSourcedReply, EventSourcedStreamOut, event_sourced_stream_out::Message as Out,
};
use cloudstate_protocol::cloudstate::tck::model::{Persisted, Response};
use cloudstate_protocol::cloudstate::{ClientAction, Reply, client_action::Action as Client};
use cloudstate_protocol::payload::pack;
use prost::Message as _;

const HANDLE: &str = "/cloudstate.eventsourced.EventSourced/handle";

fn read_text(rules: &str) -> Result<Vec<Mutant>, SourceError> {
    let text = format!(
        "- id: x\n  title: It errs\n  mutates: function\n  requirement: commands.answer-id\n  \
         killed-by: a/b\n  rules:\n{rules}"
    );
    read(&Arc::new(Source {
        name: "mutants.yaml".to_owned(),
        text,
    }))
}

fn rules(text: &str) -> Vec<Rule> {
    let read = read_text(text).unwrap_or_else(|error| panic!("{error}"));
    read[0].fresh_rules()
}

fn reply(id: i64, message: &str, events: &[&str]) -> EventSourcedStreamOut {
    let event = |value: &&str| {
        pack(&Persisted {
            value: (*value).to_owned(),
        })
    };
    let payload = Some(pack(&Response {
        message: message.to_owned(),
    }));
    let action = Client::Reply(Reply {
        payload,
        ..Default::default()
    });
    EventSourcedStreamOut {
        message: Some(Out::Reply(EventSourcedReply {
            command_id: id,
            client_action: Some(ClientAction {
                action: Some(action),
            }),
            events: events.iter().map(event).collect(),
            ..Default::default()
        })),
    }
}

fn passing(message: &impl prost::Message) -> Passing {
    Passing::Message(message.encode_to_vec().into())
}

fn back() -> Filter {
    Filter::new(Direction::FunctionToProxy, HANDLE)
}

/// What becomes of one reply under one rule, and how often the rule fired.
fn changed(action: &str, before: &EventSourcedStreamOut) -> (Vec<Passing>, usize) {
    let rules = rules(&format!(
        "  - {{ on: function-to-proxy, when: {{ reply: $any }}, do: {action} }}\n"
    ));
    (back().apply(&rules, passing(before)), rules[0].fired())
}

fn set(settings: &str, before: &EventSourcedStreamOut) -> (EventSourcedStreamOut, usize) {
    let (after, fired) = changed(&format!("{{ set: {{ {settings} }} }}"), before);
    match after.as_slice() {
        [Passing::Message(bytes)] => (EventSourcedStreamOut::decode(bytes.clone()).unwrap(), fired),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_are_dropped_repeated_and_replaced_by_ends() {
    let before = reply(1, "A", &[]);
    let same = passing(&before);
    assert_eq!(changed("drop", &before), (vec![], 1));
    assert_eq!(
        changed("repeat", &before),
        (vec![same.clone(), same.clone()], 1)
    );
    assert_eq!(changed("reset", &before), (vec![Passing::Reset], 1));
    let end = Passing::End(13, "no".to_owned());
    assert_eq!(
        changed("{ end: { status: INTERNAL, message: \"no\" } }", &before),
        (vec![end], 1)
    );
    let empty = Passing::Message(Bytes::new());
    assert_eq!(
        changed("{ before: {} }", &before),
        (vec![empty.clone(), same.clone()], 1)
    );
    assert_eq!(changed("{ after: {} }", &before), (vec![same, empty], 1));
}

#[test]
fn fields_are_set_wherever_they_are() {
    let before = reply(1, "A", &["A", "B"]);
    assert_eq!(
        set("reply.command_id: 7", &before).0,
        reply(7, "A", &["A", "B"])
    );
    assert_eq!(
        set("reply.command_id: { $add: -2 }", &before).0,
        reply(-1, "A", &["A", "B"])
    );
    assert_eq!(set("reply.events: []", &before).0, reply(1, "A", &[]));
    assert_eq!(set("reply.events: null", &before).0, reply(1, "A", &[]));
    assert_eq!(
        set("\"reply.events[0]\": null", &before).0,
        reply(1, "A", &["B"])
    );
    assert_eq!(
        set("\"reply.events[1]\": { Persisted: { value: C } }", &before).0,
        reply(1, "A", &["A", "C"])
    );
    assert_eq!(
        set("reply.events: [ { Persisted: { value: X } } ]", &before).0,
        reply(1, "A", &["X"])
    );
    let whole = "reply.client_action.reply.payload: { Response: { message: B } }";
    assert_eq!(set(whole, &before).0, reply(1, "B", &["A", "B"]));
    let (no_action, _) = set("reply.client_action: null", &before);
    assert!(matches!(no_action.message, Some(Out::Reply(reply)) if reply.client_action.is_none()));
    let (two, fired) = set("reply.command_id: 2, reply.events: []", &before);
    assert_eq!((two, fired), (reply(2, "A", &[]), 1));
}

#[test]
fn paths_lead_into_payloads() {
    let before = reply(1, "A", &["A", "B"]);
    assert_eq!(
        set("\"reply.events[1].Persisted.value\": C", &before).0,
        reply(1, "A", &["A", "C"])
    );
    let inner = "reply.client_action.reply.payload.Response.message: \"\"";
    assert_eq!(set(inner, &before).0, reply(1, "", &["A", "B"]));
    let (renamed, _) = set(
        "\"reply.events[0].type_url\": Persisted, \"reply.events[1].value\": \"0a\"",
        &before,
    );
    let Some(Out::Reply(renamed)) = renamed.message else {
        panic!()
    };
    assert_eq!(
        (
            renamed.events[0].type_url.as_str(),
            renamed.events[1].value.as_slice()
        ),
        ("Persisted", &[10][..])
    );
}

#[test]
fn what_changes_nothing_has_not_fired() {
    let before = reply(1, "A", &["A"]);
    for nothing in [
        "reply.command_id: 1",
        "reply.snapshot: null",
        "\"reply.events[5]\": null",
        "\"reply.events[0].Persisted.value\": A",
        // It holds something else.
        "reply.client_action.reply.payload.Persisted.value: X",
    ] {
        assert_eq!(set(nothing, &before), (before.clone(), 0), "{nothing}");
    }
}

#[test]
fn what_is_not_changed_stays_the_same_bytes() {
    // A field of no descriptor, before the others: decoding and encoding would move it.
    let mut bytes = vec![0x9a, 0x06, 0x01, 0x41];
    bytes.extend(reply(1, "A", &[]).encode_to_vec());
    let rules = rules(
        "  - { on: function-to-proxy, when: { reply: $any }, do: { set: { reply.command_id: 1 } } }\n",
    );
    let before = Passing::Message(bytes.into());
    assert_eq!(back().apply(&rules, before.clone()), [before]);
}

#[test]
fn patterns_say_what_must_be_there_and_leave_the_rest_open() {
    let message = reply(3, "A", &["A", "B"]);
    let matches = |pattern: &str| {
        let rules = rules(&format!(
            "  - {{ on: function-to-proxy, when: {pattern}, do: drop }}\n"
        ));
        back().apply(&rules, passing(&message)).is_empty()
    };
    for pattern in [
        "{ reply: $any }",
        "{ reply: {} }",
        "{ reply: { command_id: 3 } }",
        "{ reply: { command_id: $any, snapshot: $absent } }",
        "{ failure: $absent }",
        "{ reply: { events: $any } }",
        "{ reply: { events: [ { Persisted: { value: A } }, { Persisted: { value: B } } ] } }",
        "{ reply: { client_action: { reply: { payload: { Response: {} } } } } }",
        "{ reply: { client_action: { reply: { payload: { Response: { message: { $contains: A } } } } } } }",
    ] {
        assert!(matches(pattern), "{pattern}");
    }
    for pattern in [
        "{ failure: $any }",
        "{ reply: $absent }",
        "{ reply: { command_id: 0 } }",
        "{ reply: { snapshot: $any } }",
        "{ reply: { side_effects: $any } }",
        "{ reply: { events: $absent } }",
        "{ reply: { events: [ { Persisted: { value: A } } ] } }",
        "{ reply: { client_action: { reply: { payload: { Persisted: {} } } } } }",
        "{ reply: { client_action: { reply: { payload: { Response: { message: B } } } } } }",
        "empty",
        "end",
        "half-close",
    ] {
        assert!(!matches(pattern), "{pattern}");
    }
}

#[test]
fn a_rule_with_nth_acts_once_over_all_streams_of_its_relay() {
    let rules = rules("  - { on: function-to-proxy, when: { reply: $any }, nth: 2, do: drop }\n");
    let message = passing(&reply(1, "A", &[]));
    let counts: Vec<usize> = (0..4)
        .map(|_| back().apply(&rules, message.clone()).len())
        .collect();
    assert_eq!((counts, rules[0].fired()), (vec![1, 0, 1, 1], 1));
}

#[test]
fn a_rule_with_from_acts_that_time_and_all_later_ones() {
    let rules = rules("  - { on: function-to-proxy, when: { reply: $any }, from: 3, do: drop }\n");
    let message = passing(&reply(1, "A", &[]));
    let counts: Vec<usize> = (0..5)
        .map(|_| back().apply(&rules, message.clone()).len())
        .collect();
    assert_eq!((counts, rules[0].fired()), (vec![1, 1, 0, 0, 0], 3));
}

#[test]
fn bytes_arrive_as_they_are_written_and_a_caller_can_be_done_early() {
    let message = reply(1, "A", &[]);
    let (after, fired) = changed("{ bytes: \"0aff\" }", &message);
    let bytes = Passing::Message(Bytes::from_static(&[0x0a, 0xff]));
    assert_eq!((after, fired), (vec![bytes], 1));
    let finish = rules("  - { on: proxy-to-function, when: { init: $any }, do: finish }\n");
    let init = cloudstate_protocol::cloudstate::eventsourced::EventSourcedStreamIn {
        message: Some(
            cloudstate_protocol::cloudstate::eventsourced::event_sourced_stream_in::Message::Init(
                Default::default(),
            ),
        ),
    };
    let mut there = Filter::new(Direction::ProxyToFunction, HANDLE);
    assert_eq!(
        there.apply(&finish, passing(&init)),
        [passing(&init), Passing::HalfClose]
    );
}

#[test]
fn a_reset_is_held_back() {
    let rules = rules("  - { on: proxy-to-function, when: reset, do: drop }\n");
    let mut there = Filter::new(Direction::ProxyToFunction, HANDLE);
    assert_eq!(there.apply(&rules, Passing::Reset), []);
    assert_eq!(rules[0].fired(), 1);
}

#[test]
fn rules_leave_other_ways_and_other_methods_alone() {
    let rules = rules("  - { on: function-to-proxy, when: { reply: $any }, do: drop }\n");
    let message = passing(&reply(1, "A", &[]));
    for mut filter in [
        Filter::new(Direction::ProxyToFunction, HANDLE),
        Filter::new(
            Direction::FunctionToProxy,
            "/cloudstate.EntityDiscovery/discover",
        ),
        Filter::new(Direction::FunctionToProxy, "/nobody.serves/This"),
    ] {
        assert_eq!(
            filter.apply(&rules, message.clone()),
            std::slice::from_ref(&message)
        );
    }
    let garbage = Passing::Message(Bytes::from_static(&[0xff]));
    assert_eq!(back().apply(&rules, garbage.clone()), [garbage]);
    assert_eq!(rules[0].fired(), 0);
}

#[test]
fn a_rule_of_a_method_leaves_other_calls_alone() {
    let rules = rules("  - { on: function-to-proxy, when: end, call: handle, do: drop }\n");
    let end = Passing::End(0, String::new());
    let mut discover = Filter::new(
        Direction::FunctionToProxy,
        "/cloudstate.EntityDiscovery/discover",
    );
    assert_eq!(
        discover.apply(&rules, end.clone()),
        std::slice::from_ref(&end)
    );
    assert_eq!(back().apply(&rules, end), []);
}

#[test]
fn a_swapped_message_comes_after_the_next_and_before_an_end() {
    let swap = || rules("  - { on: function-to-proxy, when: { reply: $any }, nth: 1, do: swap }\n");
    let (first, second) = (passing(&reply(1, "A", &[])), passing(&reply(2, "B", &[])));
    let mut filter = back();
    let now = swap();
    assert_eq!(filter.apply(&now, first.clone()), []);
    assert_eq!(filter.apply(&now, second.clone()), [second, first.clone()]);
    let end = Passing::End(0, String::new());
    let (mut filter, now) = (back(), swap());
    assert_eq!(filter.apply(&now, first.clone()), []);
    assert_eq!(filter.apply(&now, end.clone()), [first, end]);
}

#[test]
fn rules_follow_each_other() {
    let rules = rules(
        "  - { on: function-to-proxy, when: { reply: $any }, do: repeat }\n  \
         - { on: function-to-proxy, when: { reply: $any }, nth: 2, do: { set: { reply.command_id: 9 } } }\n",
    );
    let after = back().apply(&rules, passing(&reply(1, "A", &[])));
    assert_eq!(
        after,
        [passing(&reply(1, "A", &[])), passing(&reply(9, "A", &[]))]
    );
}

#[test]
fn half_closes_and_ends_are_changed() {
    let rules = rules(
        "  - { on: proxy-to-function, when: half-close, do: drop }\n  \
         - { on: function-to-proxy, when: end, do: { end: { status: OK } } }\n",
    );
    let mut there = Filter::new(Direction::ProxyToFunction, HANDLE);
    assert_eq!(there.apply(&rules, Passing::HalfClose), []);
    let end = |code| Passing::End(code, String::new());
    assert_eq!(back().apply(&rules, end(13)), [end(0)]);
    assert_eq!((rules[0].fired(), rules[1].fired()), (1, 1));
    assert_eq!(back().apply(&rules, end(0)), [end(0)]);
    assert_eq!(rules[1].fired(), 1);
}

#[test]
fn a_request_is_answered_against_the_way() {
    let rules =
        rules("  - { on: client-to-proxy, when: { id: a }, do: { answer: { message: B } } }\n");
    let mut filter = Filter::new(
        Direction::ClientToProxy,
        "/cloudstate.tck.model.EventSourcedTckModel/Process",
    );
    let request = cloudstate_protocol::cloudstate::tck::model::Request {
        id: "a".to_owned(),
        ..Default::default()
    };
    let answer = Response {
        message: "B".to_owned(),
    }
    .encode_to_vec();
    assert_eq!(
        filter.apply(&rules, passing(&request)),
        [Passing::Back(answer.into()), passing(&request)]
    );
}

#[test]
fn paths_read_back_as_they_were_written() {
    for text in [
        "a",
        "reply.events[0].Persisted.value",
        "a[12]",
        "side_effects[1].synchronous",
    ] {
        assert_eq!(FieldPath::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "", ".", "a.", "a[", "a[]", "a[x]", "a[-1]", "a]", "a b", "a[0]b",
    ] {
        assert_eq!(FieldPath::parse(text), None, "{text}");
    }
}

#[test]
fn mistakes_in_rules_are_told_where_they_stand() {
    let on = "on: function-to-proxy";
    let reply = "on: function-to-proxy, when: { reply: $any }";
    let rules = [
        "{ when: end, do: drop }".to_owned(),
        "{ on: backwards, when: end, do: drop }".to_owned(),
        format!("{{ {on}, do: drop }}"),
        format!("{{ {on}, when: later, do: drop }}"),
        format!("{{ {on}, when: {{ command: $any }}, do: drop }}"),
        format!("{{ {on}, when: end, call: handel, do: drop }}"),
        format!("{{ {reply}, nth: second, do: drop }}"),
        format!("{{ {reply}, nth: 0, do: drop }}"),
        format!("{{ {reply}, from: 0, do: drop }}"),
        format!("{{ {reply}, nth: 1, from: 2, do: drop }}"),
        format!("{{ {reply} }}"),
        format!("{{ {reply}, do: dropp }}"),
        format!("{{ {reply}, do: finish }}"),
        format!("{{ {reply}, do: {{ bytes: 0afg }} }}"),
        format!("{{ {reply}, do: {{ rewrite: {{}} }} }}"),
        format!("{{ {reply}, do: {{ set: [] }} }}"),
        format!("{{ {reply}, do: {{ set: {{ reply.commandid: 7 }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ \"reply.command_id[0]\": 7 }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ reply.events.type_url: x }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ \"reply.events[0].Persisted.valu\": x }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ \"reply.events[0].Persistent.value\": x }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ reply..command_id: 7 }} }} }}"),
        format!("{{ {reply}, do: {{ set: {{ reply.client_action: {{ $add: 1 }} }} }} }}"),
        format!("{{ {reply}, do: {{ answer: {{}} }} }}"),
        format!("{{ {reply}, do: {{ end: {{ status: FINE }} }} }}"),
        format!("{{ {reply}, do: {{ end: {{}} }} }}"),
        format!("{{ {on}, when: end, do: swap }}"),
        format!("{{ {on}, when: end, do: {{ set: {{ reply.command_id: 1 }} }} }}"),
    ];
    let told = |rule: &String| match read_text(&format!("  - {rule}\n")) {
        Ok(_) => format!("accepted: {rule}"),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(rules.iter().map(told).collect::<Vec<_>>().join("\n\n"));
}

/// What is wrong with a message, the module of messages tells; here it is where that counts.
#[test]
fn mistakes_in_messages_of_rules_are_found() {
    let reply = "on: function-to-proxy, when: { reply: $any }";
    for (rule, culprit) in [
        (
            "on: function-to-proxy, when: { replyy: $any }, do: drop".to_owned(),
            "replyy",
        ),
        (
            "on: function-to-proxy, when: { reply: { command_id: one } }, do: drop".to_owned(),
            "one",
        ),
        (
            "on: function-to-proxy, when: { reply: { snapshot: { Persistent: {} } } }, do: drop"
                .to_owned(),
            "Persistent",
        ),
        (format!("{reply}, call: discover, do: drop"), "reply"),
        (
            format!("{reply}, do: {{ set: {{ reply.command_id: seven }} }}"),
            "seven",
        ),
        (
            format!("{reply}, do: {{ before: {{ init: {{}} }} }}"),
            "init",
        ),
        (
            "on: client-to-proxy, when: { id: $any }, do: { answer: { response: x } }".to_owned(),
            "response",
        ),
    ] {
        let error = read_text(&format!("  - {{ {rule} }}\n")).unwrap_err();
        assert_eq!(
            &error.source.text[error.span.start..error.span.end],
            culprit,
            "{error}"
        );
    }
}

#[test]
fn mistakes_in_mutants_are_told_where_they_stand() {
    let whole = "- { id: x, title: T, mutates: function, requirement: commands.answer-id, killed-by: a/b,\n    \
                 rules: [ { on: function-to-proxy, when: end, do: drop } ] }\n";
    let files = [
        "id: x\n".to_owned(),
        whole.replace("id: x, ", ""),
        whole.replace("mutates: function", "mutates: client"),
        whole.replace("commands.answer-id", "commands.answer-idd"),
        whole.replace("commands.answer-id", "commands.ids-from-one"),
        whole.replace("killed-by", "killed_by"),
        whole.replace(
            "rules: [ { on: function-to-proxy, when: end, do: drop } ]",
            "rules: []",
        ),
        format!("{whole}{whole}"),
    ];
    let told = |text: &String| match read(&Arc::new(Source {
        name: "m.yaml".to_owned(),
        text: text.clone(),
    })) {
        Ok(_) => format!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(files.iter().map(told).collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn the_mutants_that_the_kit_brings_are_sound() {
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let scenarios = crate::scenario::read::embedded().unwrap();
    for mutant in &mutants {
        let known = scenarios
            .iter()
            .any(|scenario| scenario.name() == mutant.killed_by);
        assert!(
            known,
            "{}: no scenario is called {}",
            mutant.id, mutant.killed_by
        );
        assert!(Requirements::embedded().get(&mutant.requirement).is_some());
        let twice = mutants.iter().filter(|other| other.id == mutant.id).count();
        assert_eq!(twice, 1, "{} stands twice", mutant.id);
    }
}
