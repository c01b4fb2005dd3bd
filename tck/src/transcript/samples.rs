//! Made-up transcripts for tests.

use super::{Entry, Hop, Recorder, StreamId, Transcript, What};
use crate::party::{Party, Role};
use bytes::Bytes;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

/// A transcript of these entries, a millisecond apart.
pub(crate) fn transcript(
    entries: impl IntoIterator<Item = (Option<Hop>, u32, Party, bool, What)>,
) -> Transcript {
    let mut recorder = Recorder::default();
    for (hop, stream, from, by_kit, what) in entries {
        let stream = (stream > 0).then_some(StreamId(stream));
        recorder.record(hop, stream, from, by_kit, what);
    }
    let mut entries = recorder.into_entries();
    for entry in &mut entries {
        entry.at = entry.seq * 1_000 + 7;
    }
    let bindings = [("id".to_owned(), "a1.id".to_owned())].into();
    Transcript {
        scenario: "made/up".into(),
        role: Role::Proxy,
        bindings,
        entries,
    }
}

/// So many cases of a property, the same in every run unless the environment says otherwise (`PROPTEST_CASES`,
/// `PROPTEST_RNG_SEED`).
pub(crate) fn seeded(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config.failure_persistence = None;
    config
}

/// A message whose bytes are this text.
pub(crate) fn message(text: &str) -> What {
    What::Message {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// What [`message`] means.
pub(crate) fn decode(entry: &Entry) -> String {
    match &entry.what {
        What::Message { bytes } => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// A call, with every kind of entry.
pub(crate) fn one_of_each() -> Transcript {
    use Party::{Client, Function, Proxy};
    let (front, back) = (Some(Hop::Front), Some(Hop::Back));
    let open = |path: &str, metadata: &[(&str, &str)]| What::Open {
        path: path.into(),
        metadata: metadata
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect(),
    };
    let end = |code, message: &str, trailers| What::End {
        code,
        message: message.into(),
        trailers,
    };
    transcript([
        (None, 0, Proxy, true, What::Started),
        (
            front,
            1,
            Client,
            true,
            open("/tck.Model/Process", &[("x-key", "1")]),
        ),
        (
            front,
            1,
            Client,
            true,
            What::Message {
                bytes: Bytes::from_static(b"\x0a\x01B"),
            },
        ),
        (front, 1, Client, true, What::HalfClose),
        (
            back,
            2,
            Proxy,
            false,
            open("/cloudstate.eventsourced.EventSourced/handle", &[]),
        ),
        (
            back,
            2,
            Proxy,
            false,
            message("{ init: { entity_id: a1.id } }"),
        ),
        (
            back,
            2,
            Proxy,
            false,
            message("{ command: { id: 1, name: Process } }"),
        ),
        (
            back,
            2,
            Function,
            true,
            What::Headers {
                metadata: Vec::new(),
            },
        ),
        (
            back,
            2,
            Function,
            true,
            message("{ reply: { command_id: 1 } }"),
        ),
        (
            front,
            1,
            Proxy,
            false,
            What::Headers {
                metadata: vec![("x-a".into(), "b".into())],
            },
        ),
        (front, 1, Proxy, false, message("{ message: A }")),
        (front, 1, Proxy, false, end(0, "", true)),
        (back, 2, Proxy, false, What::Cancel),
        (back, 3, Function, true, end(14, "gone\x1b", false)),
        (None, 0, Proxy, true, What::Killed),
        (
            None,
            0,
            Client,
            true,
            What::Deadline {
                waited_for: "the proxy to come back".into(),
            },
        ),
    ])
}
