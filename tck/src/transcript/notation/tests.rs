//! What is written is read back; what is wrong is told with its place.

use super::*;
use crate::party::{Party, Role};
use crate::scenario::message::Bindings;
use crate::transcript::{Entry, Hop, StreamId, Transcript, samples};
use bytes::Bytes;
use cloudstate_protocol::names;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PACKAGE: &str = "cloudstate.tck.model";
const CALL: &str = "client ▶ proxy #1 calls /cloudstate.tck.model.EventSourcedTckModel/Process";

fn entry(line: &str) -> Result<Entry, NotationError> {
    let bindings = Bindings::from([("id".to_owned(), "a1".to_owned())]);
    let text = format!("{CALL}\n\n# the line in question\n  {line}");
    let mut entries = read_entries(&text, Role::Proxy, PACKAGE, &bindings)?;
    assert_eq!(entries.len(), 2);
    Ok(entries.remove(1))
}

fn same(one: &Transcript, other: &Transcript) -> bool {
    (&one.scenario, one.role, &one.bindings, &one.entries)
        == (&other.scenario, other.role, &other.bindings, &other.entries)
}

#[test]
fn every_kind_of_entry_has_a_line() {
    let transcript = samples::one_of_each();
    let text = write(&transcript, PACKAGE);
    insta::assert_snapshot!(text);
    let again = read(&text, PACKAGE).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(same(&again, &transcript), "{text}");
}

#[test]
fn a_person_may_leave_out_what_goes_without_saying() {
    let message =
        entry("client -> proxy #1 { id: $id, actions: [ { emit: { value: A } } ] }").unwrap();
    assert_eq!(
        (message.from, message.hop),
        (Party::Client, Some(Hop::Front))
    );
    assert!(message.by_kit, "in the role proxy the kit is the client");
    assert_eq!((message.seq, message.at), (1, 1_000));
    assert_eq!(
        message.what,
        What::Message {
            bytes: Bytes::from_static(b"\x0a\x02a1\x12\x05\x0a\x03\x0a\x01A")
        }
    );
    let answer = entry("7.000ms proxy -> client #1 ends 99").unwrap();
    assert!(!answer.by_kit, "in the role proxy the proxy is under test");
    assert_eq!(answer.at, 7_000);
    assert!(entry("*proxy -> client #1 half-close").unwrap().by_kit);
    assert!(!entry("~client -> proxy #1 half-close").unwrap().by_kit);
    assert!(entry("proxy killed").unwrap().by_kit, "only the kit kills");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let said =
        |line: &str| entry(line).map_or_else(|error| error.to_string(), |e| format!("{e:?}"));
    let cases = [
        "server ▶ proxy #1 half-close",
        "client ▶ function #1 half-close",
        "client ▶ proxy #x half-close",
        "client ▶ proxy #1 halfclose",
        "client ▶ proxy #1",
        "client ▶ proxy #1 half-close now",
        "client ▶ proxy #2 { id: a }",
        "client ▶ proxy #1 { id: a, what: b }",
        "client ▶ proxy #1 { id: $who }",
        "client ▶ proxy #1 { id: [ }",
        "client ▶ proxy #1 bytes 0a0",
        "proxy ▶ client #1 ends FINE",
        "proxy ▶ client #1 ends UNKNOWN \"no",
        "proxy ▶ client #1 headers { a b }",
        "deadline",
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|case| format!("{case}\n    {}", said(case)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    let header = |text: &str| read(text, PACKAGE).unwrap_err().to_string();
    assert_eq!(
        header(""),
        "line 1, column 1: expected the scenario's name, found the end of the line"
    );
    assert_eq!(
        header("a/b (server)"),
        "line 1, column 6: expected a role: sdk, proxy or stack, found \"server)\""
    );
    assert_eq!(
        header("a/b (sdk)\n$id : a"),
        "line 2, column 5: expected =, found \": a\""
    );
}

// === Arbitrary transcripts ===

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z/.-]{0,8}",
        any::<String>(),
        Just("without trailers".to_owned()),
        Just("$id".to_owned()),
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((text(), text()), 0..3)
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "/cloudstate.tck.model.EventSourcedTckModel/Process".to_owned(),
            "/cloudstate.eventsourced.EventSourced/handle".to_owned(),
            "/cloudstate.valueentity.ValueEntity/handle".to_owned(),
            "/cloudstate.action.ActionProtocol/handleStreamed".to_owned(),
            "/cloudstate.EntityDiscovery/reportError".to_owned(),
        ]),
        1 => text(),
    ]
}

/// Bytes, and messages that can be read in more than one way.
fn message() -> impl Strategy<Value = Bytes> {
    let field = |number: u8, inside: Vec<u8>| {
        let mut all = vec![number << 3 | 2, inside.len() as u8];
        all.extend(inside);
        all
    };
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        "[a-z$é\"\\n]{0,5}".prop_map(String::into_bytes),
        Just(format!("type.googleapis.com/{}", names::EVENT_SOURCED).into_bytes()),
    ];
    let tree = leaf.prop_recursive(4, 12, 3, move |inner| {
        prop::collection::vec((1u8..8, inner), 1..3).prop_map(move |fields| {
            let fields = fields.into_iter();
            let all = fields.flat_map(|(number, inside)| field(number, inside));
            all.take(100).collect()
        })
    });
    tree.prop_map(Bytes::from)
}

fn what() -> impl Strategy<Value = What> {
    let lost = prop::sample::select(vec![Lost::Nothing, Lost::Stream, Lost::Connection]);
    let end = (any::<i32>(), text(), any::<bool>());
    prop_oneof![
        3 => (path(), pairs()).prop_map(|(path, metadata)| What::Open { path, metadata }),
        1 => pairs().prop_map(|metadata| What::Headers { metadata }),
        4 => message().prop_map(|bytes| What::Message { bytes }),
        1 => Just(What::HalfClose),
        1 => end.prop_map(|(code, message, trailers)| What::End { code, message, trailers }),
        1 => (0..17, Just(String::new()), any::<bool>())
            .prop_map(|(code, message, trailers)| What::End { code, message, trailers }),
        1 => Just(What::Cancel),
        1 => (text(), lost).prop_map(|(what_broke, lost)| What::Fault { what_broke, lost }),
        1 => Just(What::Killed),
        1 => Just(What::Started),
        1 => text().prop_map(|waited_for| What::Deadline { waited_for }),
    ]
}

/// Whom the recorder can have seen where: the function never talks to the client.
fn place() -> impl Strategy<Value = (Option<Hop>, Party)> {
    prop::sample::select(vec![
        (Some(Hop::Front), Party::Client),
        (Some(Hop::Front), Party::Proxy),
        (Some(Hop::Back), Party::Proxy),
        (Some(Hop::Back), Party::Function),
        (None, Party::Client),
        (None, Party::Proxy),
        (None, Party::Function),
    ])
}

fn transcript() -> impl Strategy<Value = Transcript> {
    let time = prop_oneof![3 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let stream = prop::option::of((1u32..3).prop_map(StreamId));
    let entry = (time, place(), stream, any::<bool>(), what());
    let entries = prop::collection::vec(entry, 0..12);
    let bindings = prop::collection::btree_map(text(), text(), 0..3);
    let role = prop::sample::select(Role::ALL.to_vec());
    (text(), role, bindings, entries).prop_map(|(scenario, role, bindings, entries)| {
        let bindings: BTreeMap<String, String> = bindings;
        let mut last = None;
        let entries = (0..).zip(entries);
        let entries = entries.map(|(seq, (time, (hop, from), stream, by_kit, what))| {
            let next = last.map_or(0, |last: u64| last.saturating_add(TICK));
            let at = time.unwrap_or(next);
            last = Some(at);
            Entry {
                seq,
                at,
                hop,
                stream,
                from,
                by_kit,
                what,
            }
        });
        Transcript {
            scenario,
            role,
            bindings,
            entries: entries.collect(),
        }
    })
}

proptest! {
    #![proptest_config(samples::seeded(400))]

    #[test]
    fn what_was_written_is_read_back(transcript in transcript()) {
        let text = write(&transcript, PACKAGE);
        let again = read(&text, PACKAGE).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(same(&again, &transcript), "{text}\n{again:?}\n{transcript:?}");
    }

    #[test]
    fn nothing_that_is_written_makes_the_reader_panic(text in any::<String>(), lines in prop::collection::vec("[a-z▶ #{}\":*~$0-9()=]{0,30}", 0..4)) {
        let _ = read(&text, PACKAGE);
        let _ = read(&format!("a (sdk)\n{}", lines.join("\n")), PACKAGE);
    }
}
