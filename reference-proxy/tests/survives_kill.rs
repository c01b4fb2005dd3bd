//! What a durable journal acknowledged is there after `kill -9`, again and again.
//!
//! The test starts itself as the process to be killed: that one appends events for several entities
//! at once, replaces or removes the value of each after each append, and writes a line when both are
//! acknowledged; this one kills it in the midst of that, opens the journal and compares.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use cloudstate_reference_proxy::journal::durable::DurableLog;
use cloudstate_reference_proxy::journal::{
    Append, Content, EntityRef, Epoch, Owner, Shard, ShardLog, Write,
};
use tokio::runtime::Runtime;

/// Where the process to be killed has its journal; set makes a process one.
const VICTIM: &str = "JOURNAL_OF_THE_VICTIM";
const ENTITIES: usize = 20;
const KILLS: usize = 5;
/// How many events an append has.
const EVENTS: u64 = 3;

fn named(entity: usize) -> EntityRef {
    EntityRef {
        persistence_id: "killed".into(),
        id: entity.to_string().into(),
    }
}

/// An event that says where it belongs, large enough that writing takes a while.
fn event(entity: usize, sequence: u64) -> Bytes {
    format!("{entity}/{sequence} ").repeat(40).into()
}

/// The value that belongs to a history of this length; every fourth time it is removed.
fn value(entity: usize, last: u64) -> Option<Bytes> {
    let appends = last / EVENTS;
    (!appends.is_multiple_of(4)).then(|| format!("{entity}:{last} ").repeat(40).into())
}

fn open(directory: &Path) -> (Runtime, DurableLog) {
    (
        Runtime::new().unwrap(),
        DurableLog::open(directory).unwrap(),
    )
}

/// Runs until killed; does nothing in an ordinary run of the tests.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os(VICTIM) else {
        return;
    };
    let (runtime, log) = open(Path::new(&directory));
    let claim = log.claim(Shard::ONLY, Owner(std::process::id().into()));
    let epoch = runtime.block_on(claim).unwrap();
    let writers = (0..ENTITIES).map(|entity| write_for_ever(&log, epoch, entity));
    runtime.block_on(futures_util::future::join_all(writers));
}

async fn write_for_ever(log: &DurableLog, epoch: Epoch, entity: usize) {
    let name = named(entity);
    let append = async |content| {
        let entity = name.clone();
        let write = vec![Write { entity, content }];
        log.append(Shard::ONLY, epoch, write).await.unwrap();
    };
    let mut last = replay(log, &name).await.len() as u64;
    loop {
        append(Content::Value {
            replaces: None,
            value: value(entity, last),
        })
        .await;
        println!("acknowledged {entity} {last}");
        let events = (1..=EVENTS).map(|n| event(entity, last + n)).collect();
        append(Content::Events {
            after: last,
            append: Append {
                events,
                snapshot: None,
            },
        })
        .await;
        last += EVENTS;
    }
}

async fn replay(log: &DurableLog, entity: &EntityRef) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let chunk = log.replay(entity, all.len() as u64).await.unwrap();
        all.extend(chunk.events);
        if !chunk.more {
            return all;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    for round in 0..KILLS {
        write_until_killed(directory.path(), 200 + 173 * round, &mut acknowledged);
        let (runtime, log) = open(directory.path());
        for (entity, acknowledged) in &acknowledged {
            runtime.block_on(compare(&log, *entity, *acknowledged));
        }
    }
    assert_eq!(acknowledged.len(), ENTITIES);
}

async fn compare(log: &DurableLog, entity: usize, acknowledged: u64) {
    let history = replay(log, &named(entity)).await;
    let last = history.len() as u64;
    assert!(last >= acknowledged, "{entity}: {last} of {acknowledged}");
    assert_eq!(last % EVENTS, 0, "an append is there in part");
    for (sequence, stored) in (1..).zip(history) {
        assert_eq!(stored, event(entity, sequence));
    }
    // Another append may be there, and with it, or not yet, its value.
    let stored = log.value(&named(entity)).await.unwrap().value;
    let possible = [value(entity, acknowledged), value(entity, last)];
    assert!(
        possible.contains(&stored),
        "{entity}, {acknowledged}: {stored:?}"
    );
}

/// Kills when it has read so many lines; what was written until then counts as well.
fn write_until_killed(directory: &Path, lines: usize, acknowledged: &mut HashMap<usize, u64>) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["victim", "--exact", "--nocapture"])
        .env(VICTIM, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let mut seen = 0;
    for line in output.lines() {
        let line = line.unwrap();
        // The last line may be cut off; whatever it acknowledged, it doesn't say.
        let words: Vec<&str> = line.split(' ').collect();
        let ["acknowledged", entity, last] = words[..] else {
            continue;
        };
        let (entity, last): (usize, u64) = (entity.parse().unwrap(), last.parse().unwrap());
        let before = acknowledged.insert(entity, last);
        // A line cut off in its number would be smaller.
        acknowledged.insert(entity, last.max(before.unwrap_or(0)));
        seen += 1;
        if seen == lines {
            victim.kill().unwrap();
        }
    }
    assert!(seen >= lines, "it ended by itself");
    victim.wait().unwrap();
}
