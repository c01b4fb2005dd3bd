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

/// Something done to one of the [`ENTITIES`].
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
    /// Values that are queued together, one after the other; nothing is a removal.
    Put {
        entity: usize,
        values: Vec<Option<u64>>,
    },
    Value {
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
    let puts = prop::collection::vec(any::<Option<u64>>(), 1..4);
    let act = prop_oneof![
        4 => (entity.clone(), any::<Option<u64>>(), values)
            .prop_map(|(entity, snapshot, events)| Act::Append { entity, snapshot, events }),
        1 => (entity.clone(), prop_oneof![Just(-1_i64), 1..3_i64])
            .prop_map(|(entity, by)| Act::Stale { entity, by }),
        2 => (entity.clone(), 0..20_u64).prop_map(|(entity, after)| Act::Replay { entity, after }),
        2 => entity.clone().prop_map(|entity| Act::Load { entity }),
        4 => (entity.clone(), puts).prop_map(|(entity, values)| Act::Put { entity, values }),
        2 => entity.prop_map(|entity| Act::Value { entity }),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..60)
}

/// What a journal is: a list of events each, with the latest snapshot; and a map of values.
#[derive(Default)]
struct Model {
    histories: HashMap<usize, (Vec<Bytes>, Option<Snapshot>)>,
    values: HashMap<usize, Bytes>,
}

impl Model {
    fn last(&self, entity: usize) -> u64 {
        let history = self.histories.get(&entity);
        history.map_or(0, |(events, _)| events.len()) as u64
    }

    fn after(&self, entity: usize, after: u64) -> Vec<Bytes> {
        let events = self
            .histories
            .get(&entity)
            .map(|(events, _)| events.clone());
        let events = events.unwrap_or_default().into_iter();
        events.skip(after as usize).collect()
    }

    /// Does the same to the journal, and compares what it answers.
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
                self.check_append(journal, entity, append).await
            }
            Act::Stale { entity, by } => {
                let after = self.last(entity).saturating_add_signed(by);
                self.check_stale(journal, entity, after).await
            }
            Act::Replay { entity, after } => {
                let read = replay(journal, &at(entity), after).await;
                prop_assert_eq!(read, self.after(entity, after));
                Ok(())
            }
            Act::Load { entity } => self.check_load(journal, entity).await,
            Act::Put { entity, values } => {
                let values = values.into_iter().map(|value| value.map(event));
                self.check_put(journal, entity, values.collect()).await
            }
            Act::Value { entity } => self.check_value(journal, entity).await,
            Act::Reopen => Ok(()),
        }
    }

    /// Compares all that there is.
    async fn check_all(&self, journal: &dyn Journal) -> TestCaseResult {
        for entity in 0..ENTITIES.len() {
            self.check_load(journal, entity).await?;
            self.check_value(journal, entity).await?;
            let read = replay(journal, &at(entity), 0).await;
            prop_assert_eq!(read, self.after(entity, 0));
        }
        Ok(())
    }

    async fn check_append(
        &mut self,
        journal: &dyn Journal,
        entity: usize,
        append: Append,
    ) -> TestCaseResult {
        let (name, last) = (at(entity), self.last(entity));
        let done = journal.append(&name, last, append.clone()).await;
        prop_assert!(done.is_ok(), "{:?}", done);
        let (events, latest) = self.histories.entry(entity).or_default();
        events.extend(append.events);
        let sequence = events.len() as u64;
        if let Some(state) = append.snapshot {
            *latest = Some(Snapshot { sequence, state });
        }
        Ok(())
    }

    async fn check_stale(
        &self,
        journal: &dyn Journal,
        entity: usize,
        after: u64,
    ) -> TestCaseResult {
        if after != self.last(entity) {
            let done = journal.append(&at(entity), after, stale_events()).await;
            let conflict = matches!(&done,
                Err(JournalError::Conflict { sequence, .. }) if *sequence == after + 1);
            prop_assert!(conflict, "{:?}", done);
        }
        Ok(())
    }

    async fn check_load(&self, journal: &dyn Journal, entity: usize) -> TestCaseResult {
        let snapshot = self
            .histories
            .get(&entity)
            .and_then(|(_, last)| last.clone());
        let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
        let events = Chunk {
            events: self.after(entity, after),
            more: false,
        };
        let loaded = journal.load(&at(entity)).await.unwrap();
        prop_assert_eq!(loaded, History { snapshot, events });
        Ok(())
    }

    async fn check_put(
        &mut self,
        journal: &dyn Journal,
        entity: usize,
        values: Vec<Option<Bytes>>,
    ) -> TestCaseResult {
        let name = at(entity);
        let puts = values
            .iter()
            .map(|value| journal.put_value(&name, value.clone()));
        for done in futures_util::future::join_all(puts).await {
            prop_assert!(done.is_ok(), "{:?}", done);
        }
        match values.into_iter().next_back().flatten() {
            Some(value) => self.values.insert(entity, value),
            None => self.values.remove(&entity),
        };
        Ok(())
    }

    async fn check_value(&self, journal: &dyn Journal, entity: usize) -> TestCaseResult {
        let value = journal.value(&at(entity)).await.unwrap();
        prop_assert_eq!(value.as_ref(), self.values.get(&entity));
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
        runtime.block_on(model.check_all(&journal))?;
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
        drop(journal);
        let journal = DurableJournal::open(directory.path()).unwrap();
        runtime.block_on(model.check_all(&journal))?;
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
fn an_empty_value_is_a_value() {
    on_both(async |journal| {
        let entity = entity("p", "e");
        assert_eq!(journal.value(&entity).await.unwrap(), None);
        let empty = Some(Bytes::new());
        journal.put_value(&entity, empty.clone()).await.unwrap();
        assert_eq!(journal.value(&entity).await.unwrap(), empty);
        journal.put_value(&entity, None).await.unwrap();
        assert_eq!(journal.value(&entity).await.unwrap(), None);
    });
}

#[test]
fn what_is_removed_needs_not_be_there() {
    on_both(async |journal| {
        let entity = entity("p", "e");
        journal.put_value(&entity, None).await.unwrap();
        assert_eq!(journal.value(&entity).await.unwrap(), None);
    });
}

#[test]
fn of_values_queued_together_the_last_counts() {
    on_both(async |journal| {
        let entities: Vec<_> = (0..50).map(|n| entity("p", &n.to_string())).collect();
        for last in [Some(event(9)), None] {
            let values = [None, Some(event(7)), None, Some(event(8)), last.clone()];
            let puts = values.iter().flat_map(|value| {
                let put = |entity| journal.put_value(entity, value.clone());
                entities.iter().map(put)
            });
            let done = futures_util::future::join_all(puts).await;
            assert!(done.iter().all(Result::is_ok), "{done:?}");
            for entity in &entities {
                assert_eq!(journal.value(entity).await.unwrap(), last);
            }
        }
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
        drop(journal.put_value(&entity("p", &id.to_string()), Some(event(8))));
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
        let value = runtime.block_on(journal.value(&entity)).unwrap();
        assert_eq!(value, Some(event(8)));
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
    let runtime = runtime();
    let value = Some(event(1));
    for error in [
        runtime.block_on(journal.load(&entity)).unwrap_err(),
        runtime.block_on(journal.value(&entity)).unwrap_err(),
        runtime
            .block_on(journal.put_value(&entity, value))
            .unwrap_err(),
    ] {
        assert!(error.to_string().contains("70025 bytes"), "{error}");
    }
}
