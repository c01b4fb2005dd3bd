//! What every log does, checked against both.

mod model;

use std::path::Path;

use tokio::runtime::Runtime;

use super::durable::{DurableLog, OpenError};
use super::memory::MemoryLog;
use super::*;

const SHARD: Shard = Shard::ONLY;
const ME: Owner = Owner(7);
const OTHER: Owner = Owner(8);

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

/// One write of events.
fn appending(entity: &EntityRef, after: u64, append: Append) -> Vec<Write> {
    let content = Content::Events { after, append };
    let entity = entity.clone();
    vec![Write { entity, content }]
}

/// One write of a value, whatever is there.
fn putting(entity: &EntityRef, value: Option<Bytes>) -> Vec<Write> {
    let content = Content::Value {
        replaces: None,
        value,
    };
    let entity = entity.clone();
    vec![Write { entity, content }]
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

/// Runs the check on both logs, each new and claimed.
fn on_each(check: impl AsyncFn(&dyn ShardLog, Epoch)) {
    let directory = tempfile::tempdir().unwrap();
    let durable = DurableLog::open(directory.path()).unwrap();
    let memory = MemoryLog::default();
    let logs: [&dyn ShardLog; 2] = [&memory, &durable];
    let runtime = runtime();
    for log in logs {
        runtime.block_on(async {
            let epoch = log.claim(SHARD, ME).await.unwrap();
            check(log, epoch).await;
        });
    }
}

/// All events after this one, chunk by chunk.
async fn replay(log: &dyn ShardLog, entity: &EntityRef, after: u64) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let chunk = log.replay(entity, after + all.len() as u64).await.unwrap();
        assert!(!chunk.more || !chunk.events.is_empty(), "no progress");
        all.extend(chunk.events);
        if !chunk.more {
            return all;
        }
    }
}

/// All writes after this one, chunk by chunk.
async fn tail(log: &dyn ShardLog, after: Position) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(after, |write| write.position);
        let tail = log.tail(SHARD, after).await.unwrap();
        assert!(!tail.more || !tail.writes.is_empty(), "no progress");
        all.extend(tail.writes);
        if !tail.more {
            return all;
        }
    }
}

#[test]
fn many_entities_write_at_once() {
    on_each(async |log, epoch| {
        let writers = (0..200).map(|writer| async move {
            let entity = entity("p", &writer.to_string());
            for after in (0..20).step_by(2) {
                let append = events([after, after + 1]);
                log.append(SHARD, epoch, appending(&entity, after, append))
                    .await
                    .unwrap();
            }
            let expected: Vec<Bytes> = (0..20).map(event).collect();
            assert_eq!(replay(log, &entity, 0).await, expected);
        });
        futures_util::future::join_all(writers).await;
    });
}

#[test]
fn of_two_writers_of_one_history_one_loses() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        let first = log.append(SHARD, epoch, appending(&entity, 0, events([1])));
        let second = log.append(SHARD, epoch, appending(&entity, 0, events([2, 2])));
        let (first, second) = futures_util::future::join(first, second).await;
        assert!(first.is_ok(), "{first:?}");
        let lost = matches!(
            second,
            Err(LogError::Conflict(Conflict::Event { sequence: 1, .. }))
        );
        assert!(lost, "{second:?}");
        assert_eq!(replay(log, &entity, 0).await, [event(1)]);
    });
}

#[test]
fn an_empty_value_is_a_value() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        assert_eq!(log.value(&entity).await.unwrap(), Versioned::default());
        let empty = Some(Bytes::new());
        let put = log
            .append(SHARD, epoch, putting(&entity, empty.clone()))
            .await;
        let stored = log.value(&entity).await.unwrap();
        assert_eq!((vec![stored.version], stored.value), (put.unwrap(), empty));
        log.append(SHARD, epoch, putting(&entity, None))
            .await
            .unwrap();
        assert_eq!(log.value(&entity).await.unwrap(), Versioned::default());
    });
}

#[test]
fn what_is_removed_needs_not_be_there() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        log.append(SHARD, epoch, putting(&entity, None))
            .await
            .unwrap();
        assert_eq!(log.value(&entity).await.unwrap(), Versioned::default());
    });
}

#[test]
fn a_value_that_was_removed_and_came_back_has_a_version_that_it_never_had() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        let value = Some(event(1));
        let mut seen = vec![Position(0)];
        for value in [value.clone(), None, value.clone(), None, value] {
            log.append(SHARD, epoch, putting(&entity, value.clone()))
                .await
                .unwrap();
            let version = log.value(&entity).await.unwrap().version;
            if value.is_some() {
                assert!(!seen.contains(&version), "{version:?} of {seen:?}");
                seen.push(version);
            }
        }
    });
}

#[test]
fn of_values_queued_together_the_last_counts() {
    on_each(async |log, epoch| {
        let entities: Vec<_> = (0..50).map(|n| entity("p", &n.to_string())).collect();
        for last in [Some(event(9)), None] {
            let values = [None, Some(event(7)), None, Some(event(8)), last.clone()];
            let puts = values.iter().flat_map(|value| {
                let put = |entity| log.append(SHARD, epoch, putting(entity, value.clone()));
                entities.iter().map(put)
            });
            let done = futures_util::future::join_all(puts).await;
            assert!(done.iter().all(Result::is_ok), "{done:?}");
            for entity in &entities {
                assert_eq!(log.value(entity).await.unwrap().value, last);
            }
        }
    });
}

#[test]
fn a_claim_ends_the_epoch_before_and_what_was_queued_in_it() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        let before = log.append(SHARD, epoch, appending(&entity, 0, events([1])));
        let claim = log.claim(SHARD, ME);
        let after = log.append(SHARD, epoch, appending(&entity, 1, events([2])));
        assert!(before.await.is_ok());
        let next = claim.await.unwrap();
        assert!(next > epoch);
        let fenced = after.await.unwrap_err();
        assert!(matches!(fenced, LogError::Fenced { .. }), "{fenced}");
        assert_eq!(log.head(SHARD, next).await.unwrap(), Position(1));
        assert!(log.head(SHARD, epoch).await.is_err());
        log.append(SHARD, next, appending(&entity, 1, events([3])))
            .await
            .unwrap();
        assert_eq!(replay(log, &entity, 0).await, [event(1), event(3)]);
    });
}

#[test]
fn a_shard_has_one_owner_until_that_one_gives_it_back() {
    on_each(async |log, epoch| {
        let held = log.claim(SHARD, OTHER).await.unwrap_err();
        assert!(matches!(held, LogError::Held { owner: ME, .. }), "{held}");
        log.renew(SHARD, epoch).await.unwrap();
        log.release(SHARD, epoch).await.unwrap();
        assert!(log.renew(SHARD, epoch).await.is_err());
        assert!(log.release(SHARD, epoch).await.is_err());
        let late = log
            .append(SHARD, epoch, putting(&entity("p", "e"), None))
            .await;
        assert!(matches!(late, Err(LogError::Fenced { .. })), "{late:?}");
        assert!(log.claim(SHARD, OTHER).await.unwrap() > epoch);
    });
}

#[test]
fn a_shard_that_is_not_there_is_an_error() {
    on_each(async |log, epoch| {
        let none = Shard(1);
        assert!(matches!(
            log.claim(none, ME).await,
            Err(LogError::Failed(_))
        ));
        assert!(log.append(none, epoch, vec![]).await.is_err());
        assert!(log.head(none, epoch).await.is_err());
        assert!(log.tail(none, Position(0)).await.is_err());
    });
}

#[test]
fn a_conflict_leaves_nothing_of_its_append() {
    on_each(async |log, epoch| {
        let (one, two) = (entity("p", "1"), entity("p", "2"));
        let mut writes = appending(&one, 0, events([1]));
        writes.extend(putting(&two, Some(event(2))));
        writes.extend(appending(&one, 0, events([3])));
        let error = log.append(SHARD, epoch, writes).await.unwrap_err();
        assert!(matches!(error, LogError::Conflict(_)), "{error}");
        assert!(replay(log, &one, 0).await.is_empty());
        assert_eq!(log.value(&two).await.unwrap(), Versioned::default());
        assert_eq!(log.head(SHARD, epoch).await.unwrap(), Position(0));
        // Nor of what is remembered of it.
        log.append(SHARD, epoch, appending(&one, 0, events([4])))
            .await
            .unwrap();
        assert_eq!(replay(log, &one, 0).await, [event(4)]);
    });
}

#[test]
fn an_append_of_no_events_is_an_error() {
    on_each(async |log, epoch| {
        let nothing = appending(&entity("p", "e"), 0, events([]));
        let error = log.append(SHARD, epoch, nothing).await.unwrap_err();
        assert!(matches!(error, LogError::Failed(_)), "{error}");
    });
}

#[test]
fn a_long_tail_comes_in_chunks_and_in_the_order_of_the_commits() {
    on_each(async |log, epoch| {
        let entities: Vec<_> = (0..3).map(|n| entity("p", &n.to_string())).collect();
        let appends = (0..300).flat_map(|round| {
            let append = move |entity| appending(entity, 2 * round, events([round, round]));
            let append = move |entity| log.append(SHARD, epoch, append(entity));
            entities.iter().map(append)
        });
        let done = futures_util::future::join_all(appends).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert!(log.tail(SHARD, Position(0)).await.unwrap().more);
        let all = tail(log, Position(0)).await;
        let positions: Vec<u64> = all.iter().map(|write| write.position.0).collect();
        assert_eq!(positions, (1..=900).collect::<Vec<_>>());
        for (number, write) in (0..).zip(&all) {
            assert_eq!(write.entity, entities[number % 3]);
            let round = (number / 3) as u64;
            assert_eq!(write.sequence, 2 * round + 1);
            assert_eq!(write.events, [event(round), event(round)]);
        }
        assert_eq!(tail(log, Position(900)).await, []);
    });
}

#[test]
fn a_long_history_comes_in_chunks() {
    on_each(async |log, epoch| {
        let entity = entity("p", "e");
        let append = appending(&entity, 0, events(0..1000));
        log.append(SHARD, epoch, append).await.unwrap();
        let first = log.load(&entity).await.unwrap().events;
        assert!(first.more);
        let expected: Vec<Bytes> = (0..1000).map(event).collect();
        assert_eq!(replay(log, &entity, 0).await, expected);
    });
}

#[test]
fn what_was_queued_is_written_when_the_log_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let log = DurableLog::open(directory.path()).unwrap();
    let runtime = runtime();
    let epoch = runtime.block_on(log.claim(SHARD, ME)).unwrap();
    for id in 0..100 {
        // Queued, and not waited for.
        let entity = entity("p", &id.to_string());
        drop(log.append(SHARD, epoch, appending(&entity, 0, events([7]))));
        drop(log.append(SHARD, epoch, putting(&entity, Some(event(8)))));
    }
    log.close();
    let error = runtime.block_on(log.load(&entity("p", "0"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal's storage failed: it is closed"
    );
    // The directory is free again, though the log isn't dropped yet.
    let log = DurableLog::open(directory.path()).unwrap();
    for id in 0..100 {
        let entity = entity("p", &id.to_string());
        let history = runtime.block_on(log.load(&entity)).unwrap();
        assert_eq!(history.events.events, [event(7)]);
        let value = runtime.block_on(log.value(&entity)).unwrap();
        assert_eq!(value.value, Some(event(8)));
    }
}

#[test]
fn an_epoch_outlives_the_process_and_is_over_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let mut before = Epoch(0);
    for owner in [ME, OTHER, ME] {
        let log = DurableLog::open(directory.path()).unwrap();
        let late = log.append(SHARD, before, putting(&entity("p", "e"), None));
        assert!(runtime.block_on(late).is_err());
        let epoch = runtime.block_on(log.claim(SHARD, owner)).unwrap();
        assert!(epoch > before);
        before = epoch;
    }
}

#[test]
fn the_end_of_the_thread_that_writes_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let log = DurableLog::open(directory.path()).unwrap();
    let runtime = runtime();
    let soon = || std::time::Duration::from_millis(50);
    let lives = async { tokio::time::timeout(soon(), log.failed()).await };
    assert!(runtime.block_on(lives).is_err());
    let failed = log.failed();
    log.close();
    runtime.block_on(failed);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _log = DurableLog::open(directory.path()).unwrap();
    let error = DurableLog::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let error = DurableLog::open(Path::new("/dev/null/journal")).unwrap_err();
    let text = error.to_string();
    let begin = "the data directory /dev/null/journal can't be opened: ";
    assert!(text.starts_with(begin), "{text}");
}

#[test]
fn an_id_too_long_for_a_key_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let log = DurableLog::open(directory.path()).unwrap();
    let entity = entity("p", &"x".repeat(70_000));
    let runtime = runtime();
    let epoch = runtime.block_on(log.claim(SHARD, ME)).unwrap();
    let put = log.append(SHARD, epoch, putting(&entity, Some(event(1))));
    let append = log.append(SHARD, epoch, appending(&entity, 0, events([1])));
    for error in [
        runtime.block_on(log.load(&entity)).unwrap_err(),
        runtime.block_on(log.value(&entity)).unwrap_err(),
        runtime.block_on(put).unwrap_err(),
        runtime.block_on(append).unwrap_err(),
    ] {
        assert!(error.to_string().contains("70025 bytes"), "{error}");
    }
}
