//! What every journal does, checked against both.

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::runtime::Runtime;

use super::durable::{DurableJournal, OpenError};
use super::memory::MemoryJournal;
use super::*;

fn entity(persistence_id: &str, id: &str) -> EntityRef {
    EntityRef {
        persistence_id: persistence_id.into(),
        id: id.into(),
    }
}

fn event(value: u64) -> Bytes {
    Bytes::from(vec![value as u8; (value % 256) as usize])
}

fn events(values: impl IntoIterator<Item = u64>) -> Append {
    Append {
        events: values.into_iter().map(event).collect(),
        snapshot: None,
    }
}

fn stale_events() -> Append {
    events([1])
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

/// Runs the check on both journals, each new.
fn on_both(check: impl AsyncFn(&dyn Journal)) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = runtime();
    runtime.block_on(check(&MemoryJournal::default()));
    runtime.block_on(check(&DurableJournal::open(directory.path()).unwrap()));
}

/// All events after this one, chunk by chunk.
async fn replay(journal: &dyn Journal, entity: &EntityRef, after: u64) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let chunk = journal
            .events(entity, after + all.len() as u64)
            .await
            .unwrap();
        assert!(!chunk.more || !chunk.events.is_empty(), "no progress");
        all.extend(chunk.events);
        if !chunk.more {
            return all;
        }
    }
}

/// Something done to the history of one of the [`ENTITIES`].
#[derive(Debug, Clone)]
enum Act {
    Append {
        entity: usize,
        snapshot: Option<u64>,
        events: Vec<u64>,
    },
    Stale {
        entity: usize,
        by: i64,
    },
    Replay {
        entity: usize,
        after: u64,
    },
    Load {
        entity: usize,
    },
    Reopen,
}

/// Ids that would run into each other, were they only put side by side.
const ENTITIES: [(&str, &str); 5] = [("a", "b"), ("ab", ""), ("", "ab"), ("a", "b\0"), ("a", "")];

fn at(position: usize) -> EntityRef {
    entity(ENTITIES[position].0, ENTITIES[position].1)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let entity = 0..ENTITIES.len();
    let values = prop::collection::vec(any::<u64>(), 1..5);
    let act = prop_oneof![
        4 => (entity.clone(), any::<Option<u64>>(), values)
            .prop_map(|(entity, snapshot, events)| Act::Append { entity, snapshot, events }),
        1 => (entity.clone(), prop_oneof![Just(-1_i64), 1..3_i64])
            .prop_map(|(entity, by)| Act::Stale { entity, by }),
        2 => (entity.clone(), 0..20_u64).prop_map(|(entity, after)| Act::Replay { entity, after }),
        2 => entity.prop_map(|entity| Act::Load { entity }),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..60)
}

/// What a journal is: a list of events each, and the latest snapshot.
#[derive(Default)]
struct Model(HashMap<usize, (Vec<Bytes>, Option<Snapshot>)>);

impl Model {
    fn last(&self, entity: usize) -> u64 {
        self.0.get(&entity).map_or(0, |(events, _)| events.len()) as u64
    }

    fn after(&self, entity: usize, after: u64) -> Vec<Bytes> {
        let events = self.0.get(&entity).map(|(events, _)| events.clone());
        let events = events.unwrap_or_default().into_iter();
        events.skip(after as usize).collect()
    }

    async fn check(&mut self, journal: &dyn Journal, act: Act) -> TestCaseResult {
        match act {
            Act::Append {
                entity,
                snapshot,
                events,
            } => {
                let append = Append {
                    events: events.into_iter().map(event).collect(),
                    snapshot: snapshot.map(event),
                };
                let done = journal
                    .append(&at(entity), self.last(entity), append.clone())
                    .await;
                prop_assert!(done.is_ok(), "{:?}", done);
                let (events, latest) = self.0.entry(entity).or_default();
                events.extend(append.events);
                let sequence = events.len() as u64;
                if let Some(state) = append.snapshot {
                    *latest = Some(Snapshot { sequence, state });
                }
            }
            Act::Stale { entity, by } => {
                let after = self.last(entity).saturating_add_signed(by);
                if after != self.last(entity) {
                    let done = journal.append(&at(entity), after, stale_events()).await;
                    let conflict = matches!(&done,
                        Err(JournalError::Conflict { sequence, .. }) if *sequence == after + 1);
                    prop_assert!(conflict, "{:?}", done);
                }
            }
            Act::Replay { entity, after } => {
                let read = replay(journal, &at(entity), after).await;
                prop_assert_eq!(read, self.after(entity, after));
            }
            Act::Load { entity } => {
                let snapshot = self
                    .0
                    .get(&entity)
                    .and_then(|(_, snapshot)| snapshot.clone());
                let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
                let events = self.after(entity, after);
                let events = Chunk {
                    events,
                    more: false,
                };
                let loaded = journal.load(&at(entity)).await.unwrap();
                prop_assert_eq!(loaded, History { snapshot, events });
            }
            Act::Reopen => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn memory_is_as_the_model(acts in acts()) {
        let mut model = Model::default();
        let journal = MemoryJournal::default();
        let runtime = runtime();
        for act in acts {
            runtime.block_on(model.check(&journal, act))?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn durable_is_as_the_model_also_when_opened_again(acts in acts()) {
        let directory = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut journal = DurableJournal::open(directory.path()).unwrap();
        let runtime = runtime();
        for act in acts {
            if matches!(act, Act::Reopen) {
                drop(journal);
                journal = DurableJournal::open(directory.path()).unwrap();
            }
            runtime.block_on(model.check(&journal, act))?;
        }
    }
}

#[test]
fn many_entities_write_at_once() {
    on_both(async |journal| {
        let writers = (0..200).map(|writer| async move {
            let entity = entity("p", &writer.to_string());
            for after in (0..20).step_by(2) {
                let append = events([after, after + 1]);
                journal.append(&entity, after, append).await.unwrap();
            }
            let expected: Vec<Bytes> = (0..20).map(event).collect();
            assert_eq!(replay(journal, &entity, 0).await, expected);
        });
        futures_util::future::join_all(writers).await;
    });
}

#[test]
fn of_two_writers_of_one_history_one_loses() {
    on_both(async |journal| {
        let entity = entity("p", "e");
        let first = journal.append(&entity, 0, events([1]));
        let second = journal.append(&entity, 0, events([2, 2]));
        let (first, second) = futures_util::future::join(first, second).await;
        assert!(first.is_ok(), "{first:?}");
        let lost = matches!(second, Err(JournalError::Conflict { sequence: 1, .. }));
        assert!(lost, "{second:?}");
        assert_eq!(replay(journal, &entity, 0).await, [event(1)]);
    });
}

#[test]
fn a_long_history_comes_in_chunks() {
    on_both(async |journal| {
        let entity = entity("p", "e");
        journal.append(&entity, 0, events(0..1000)).await.unwrap();
        let first = journal.load(&entity).await.unwrap().events;
        assert!(first.more);
        let expected: Vec<Bytes> = (0..1000).map(event).collect();
        assert_eq!(replay(journal, &entity, 0).await, expected);
    });
}

#[test]
fn what_was_queued_is_written_when_the_journal_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DurableJournal::open(directory.path()).unwrap();
    for id in 0..100 {
        // Queued, and not waited for.
        drop(journal.append(&entity("p", &id.to_string()), 0, events([7])));
    }
    journal.close();
    let runtime = runtime();
    let error = runtime
        .block_on(journal.load(&entity("p", "0")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal's storage failed: it is closed"
    );
    // The directory is free again, though the journal isn't dropped yet.
    let journal = DurableJournal::open(directory.path()).unwrap();
    for id in 0..100 {
        let entity = entity("p", &id.to_string());
        let history = runtime.block_on(journal.load(&entity)).unwrap();
        assert_eq!(history.events.events, [event(7)]);
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _journal = DurableJournal::open(directory.path()).unwrap();
    let error = DurableJournal::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let error = DurableJournal::open(Path::new("/dev/null/journal")).unwrap_err();
    let text = error.to_string();
    let begin = "the data directory /dev/null/journal can't be opened: ";
    assert!(text.starts_with(begin), "{text}");
}

#[test]
fn an_id_too_long_for_a_key_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DurableJournal::open(directory.path()).unwrap();
    let entity = entity("p", &"x".repeat(70_000));
    let error = runtime().block_on(journal.load(&entity)).unwrap_err();
    assert!(error.to_string().contains("70025 bytes"), "{error}");
}
