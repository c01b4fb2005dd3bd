//! Damaged data directories: what the engine would pass over, and what a kill leaves.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use bytes::Bytes;

use super::super::{Append, Content};
use super::log;
use super::*;

const APPENDS: u64 = 6;

fn entity() -> EntityRef {
    EntityRef {
        persistence_id: "p".into(),
        id: "e".into(),
    }
}

/// What is appended as number so and so; every third is long enough to be compressed.
fn event(number: u64) -> Bytes {
    let length = if number.is_multiple_of(3) { 5000 } else { 10 };
    Bytes::from(vec![number as u8 + 100; length])
}

/// A directory with events and a value, each written by itself, and then closed.
fn written() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = DurableLog::open(directory.path()).unwrap();
    let runtime = Runtime::new().unwrap();
    let epoch = runtime.block_on(log.claim(Shard::ONLY, Owner(1))).unwrap();
    let appends = (0..APPENDS).map(|after| Content::Events {
        after,
        append: Append {
            events: vec![event(after)],
            snapshot: (after == 2).then(|| event(after)),
        },
    });
    let value = Content::Value {
        replaces: None,
        value: Some(Bytes::from_static(b"value")),
    };
    for content in appends.chain([value]) {
        let entity = entity();
        let write = vec![Write { entity, content }];
        runtime
            .block_on(log.append(Shard::ONLY, epoch, write))
            .unwrap();
    }
    log.close();
    directory
}

/// The bytes of the log, without the room that was taken beforehand.
fn log_bytes(directory: &Path) -> Vec<u8> {
    let file = fs::File::open(directory.join("0.jnl")).unwrap();
    let length = log::read(&file).unwrap().offset;
    let mut bytes = vec![0; length as usize];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
    bytes
}

fn end_of(bytes: &[u8]) -> log::LogEnd {
    log::read(std::io::Cursor::new(bytes)).unwrap()
}

/// Whether a log that ends so would be refused.
fn is_damage(bytes: &[u8]) -> bool {
    end_of(bytes).damage(true).is_some()
}

/// Where the batches of a log end.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let ends = |length: &usize| end_of(&bytes[..*length]).rest == 0;
    (0..=bytes.len()).filter(ends).collect()
}

fn refusal(directory: &Path) -> String {
    let error = DurableLog::open(directory).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("restore"), "{text}");
    assert!(!text.contains("--data-dir"), "{text}");
    text
}

fn assert_whole(directory: &Path) {
    let log = DurableLog::open(directory).unwrap();
    let runtime = Runtime::new().unwrap();
    let events = runtime.block_on(log.replay(&entity(), 0)).unwrap();
    assert_eq!(events.events, (0..APPENDS).map(event).collect::<Vec<_>>());
}

#[test]
fn every_flipped_bit_of_the_log_is_noticed_but_those_of_a_batch_s_number() {
    let directory = written();
    let whole = log_bytes(directory.path());
    assert!(!is_damage(&whole));
    let starts = ends(&whole);
    for at in 0..whole.len() {
        let start = starts.iter().rfind(|start| **start <= at).unwrap();
        // A count of four bytes, and then the number: nothing protects it, or is lost by it.
        let is_number = (5..13).contains(&(at - start));
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(is_damage(&flipped), !is_number, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_log_may_end_anywhere_in_its_last_batch_with_zeros_or_without() {
    let directory = written();
    let whole = log_bytes(directory.path());
    for length in 0..whole.len() {
        let mut cut = whole[..length].to_vec();
        assert!(!is_damage(&cut), "{length}");
        cut.extend([0; 100]);
        assert!(!is_damage(&cut), "{length} and zeros");
    }
}

#[test]
fn what_stands_behind_a_torn_batch_is_damage() {
    let directory = written();
    let whole = log_bytes(directory.path());
    let last_but_one = ends(&whole)[1..].first().copied().unwrap();
    for hole in [1, 20, 200] {
        let mut damaged = whole.clone();
        damaged[last_but_one..last_but_one + hole].fill(0);
        assert!(is_damage(&damaged), "{hole}");
    }
    let torn = &whole[..whole.len() - 1];
    assert!(
        end_of(torn).damage(false).is_some(),
        "a log that isn't the last"
    );
}

#[test]
fn a_flipped_bit_is_refused_and_the_place_is_named() {
    let directory = written();
    let log = directory.path().join("0.jnl");
    let mut bytes = fs::read(&log).unwrap();
    let second = ends(&log_bytes(directory.path()))[1];
    bytes[second + 13] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let text = refusal(directory.path());
    assert!(
        text.contains(&format!("0.jnl: at byte {second} ")),
        "{text}"
    );
    assert_eq!(fs::read(&log).unwrap(), bytes, "it was touched");
}

#[test]
fn a_torn_batch_is_passed_over() {
    let directory = written();
    let log = directory.path().join("0.jnl");
    let whole = log_bytes(directory.path());
    let torn = &whole[..ends(&whole)[1] - 1];
    fs::write(&log, [&whole, torn].concat()).unwrap();
    assert_whole(directory.path());
}

#[test]
fn a_log_that_ends_too_early_is_refused() {
    let directory = written();
    let whole = log_bytes(directory.path());
    let ends = ends(&whole);
    for length in [0, ends[1], ends[3], ends[ends.len() - 2], whole.len() - 1] {
        let directory = written();
        fs::write(directory.path().join("0.jnl"), &whole[..length]).unwrap();
        let text = refusal(directory.path());
        assert!(text.contains("7 writes were acknowledged"), "{text}");
    }
}

#[test]
fn a_file_that_is_missing_is_refused_and_named() {
    for missing in [
        "version",
        "keyspaces/0/current",
        "keyspaces/1/current",
        "keyspaces/3/current",
        "keyspaces/5",
        "keyspaces",
    ] {
        let directory = written();
        let path = directory.path().join(missing);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let text = refusal(directory.path());
        assert!(text.contains(missing) && text.contains("missing"), "{text}");
    }
    let directory = written();
    fs::remove_file(directory.path().join("0.jnl")).unwrap();
    assert!(refusal(directory.path()).contains("there is no log"));
}

#[test]
fn a_number_of_writes_that_cannot_be_read_is_refused() {
    for text in [
        "",
        "cloudstate journal, format 2, keyspaces 0 1 2 3 4 5\n",
        "cloudstate journal, format 2, keyspaces 0 1\ncheck 5, writes 0\n",
    ] {
        let directory = written();
        fs::write(directory.path().join("acknowledged"), text).unwrap();
        assert!(refusal(directory.path()).contains("acknowledged"));
    }
}

#[test]
fn a_directory_of_the_format_before_is_refused_if_anything_is_in_it() {
    let directory = written();
    fs::remove_file(directory.path().join("acknowledged")).unwrap();
    let error = DurableLog::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Format(_)), "{error}");
    assert!(error.to_string().contains("format 1"), "{error}");
}

#[test]
fn a_directory_whose_making_was_broken_off_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    DurableLog::open(directory.path()).unwrap().close();
    fs::remove_file(directory.path().join("acknowledged")).unwrap();
    // The engine makes another in its place, with another number.
    fs::remove_dir_all(directory.path().join("keyspaces/3")).unwrap();
    for _ in 0..2 {
        DurableLog::open(directory.path()).unwrap().close();
    }
    assert!(!directory.path().join("keyspaces/3").exists());
}
