//! What is stored of event sourced entities: events and snapshots.

use super::history::{History, Replayed, StateRules};
use crate::judge::evaluation::Evaluation;
use crate::protocol::{Begin, Reply};
use crate::requirement::{RequirementName, names};
use prost_types::Any;

/// The rules of the type.
#[derive(Debug)]
pub(super) struct EventSourcedRules;

impl StateRules for EventSourcedRules {
    fn history(&self) -> Box<dyn History> {
        Box::<EventJournal>::default()
    }

    fn of_init(&self, _: &Begin) -> Vec<Evaluation> {
        Vec::new()
    }

    fn of_reply(&self, reply: &Reply) -> Vec<Evaluation> {
        let text = "the reply has a snapshot and no events";
        let holds = !is_lone_snapshot(reply);
        let rule = Evaluation::new(names::EVENT_SOURCED_SNAPSHOT_WITH_EVENTS, holds, text);
        reply.snapshot.iter().map(|_| rule.clone()).collect()
    }
}

/// A snapshot without events, in a reply that fails nothing.
fn is_lone_snapshot(reply: &Reply) -> bool {
    reply.snapshot.is_some() && reply.events.is_empty() && reply.failure().is_none()
}

/// The events and snapshots of an entity.
#[derive(Debug, Default)]
struct EventJournal {
    groups: Vec<EventGroup>,
    /// Events that must never be replayed, and why.
    dropped: Vec<(Any, RequirementName)>,
    /// Snapshots that came without events.
    ignored: Vec<Any>,
    /// The proxy was killed since the last replay.
    killed: bool,
}

/// The events of one reply.
#[derive(Debug)]
struct EventGroup {
    events: Vec<Any>,
    snapshot: Option<Any>,
    /// The entry of the reply.
    entry: u64,
    /// It took effect for certain.
    confirmed: bool,
}

/// An event that is stored.
struct StoredEvent<'a> {
    sequence: i64,
    event: &'a Any,
    /// It must be there; else it may.
    confirmed: bool,
}

impl History for EventJournal {
    fn keep(&mut self, reply: &Reply, entry: u64) {
        if !reply.events.is_empty() {
            self.groups.push(EventGroup {
                events: reply.events.clone(),
                snapshot: reply.snapshot.clone(),
                entry,
                confirmed: false,
            });
        }
    }

    fn refuse(&mut self, reply: &Reply, why: RequirementName) {
        let events = reply.events.iter();
        self.dropped
            .extend(events.map(|event| (event.clone(), why)));
        let lone = is_lone_snapshot(reply);
        self.ignored.extend(reply.snapshot.clone().filter(|_| lone));
    }

    fn killed(&mut self) {
        self.killed = true;
    }

    fn confirm(&mut self, is: &dyn Fn(u64) -> bool) {
        let groups = self.groups.iter_mut();
        groups
            .filter(|group| is(group.entry))
            .for_each(|group| group.confirmed = true);
    }

    fn compare(&self, replayed: &Replayed) -> Vec<Evaluation> {
        let stored = self.events();
        if stored.is_empty() && self.dropped.is_empty() {
            return nothing_stored(replayed);
        }
        let mut rules = self.snapshot_rules(replayed);
        rules.extend(self.event_rules(stored, replayed));
        rules
    }

    fn settle(&mut self, replayed: &Replayed) {
        let mut sequence = 0;
        self.groups.retain(|group| {
            sequence += group.events.len() as i64;
            group.confirmed || sequence <= replayed.sequence
        });
        self.confirm(&|_| true);
        self.killed = false;
    }
}

/// The sequence number that the snapshot of a replay stands for.
fn snapshot_sequence(replayed: &Replayed) -> i64 {
    let snapshot = replayed.begin.snapshot.as_ref();
    snapshot.map_or(0, |(sequence, _)| *sequence)
}

/// An entity without a history has none given.
fn nothing_stored(replayed: &Replayed) -> Vec<Evaluation> {
    let text = "an entity without a history was given one";
    let nothing = replayed.events.is_empty();
    let init = Evaluation::new(names::EVENT_SOURCED_INIT_FOR_NEW_ENTITY, nothing, text);
    let init = match replayed.events.first() {
        Some((_, _, entry)) => init.seen_at(*entry),
        None => init,
    };
    let text = "an entity without a history was given a snapshot";
    let absent = replayed.begin.snapshot.is_none();
    let absent = Evaluation::new(names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT, absent, text);
    vec![init, absent]
}

impl EventJournal {
    /// All events, the first with sequence number 1.
    fn events(&self) -> Vec<StoredEvent<'_>> {
        let groups = self.groups.iter();
        let all = groups.flat_map(|group| group.events.iter().map(move |event| (group, event)));
        let numbered = (1..).zip(all);
        let stored = numbered.map(|(sequence, (group, event))| StoredEvent {
            sequence,
            event,
            confirmed: group.confirmed,
        });
        stored.collect()
    }

    /// All snapshots, with the sequence numbers that they stand for.
    fn snapshots(&self) -> Vec<(i64, &Any)> {
        let mut all = Vec::new();
        let mut sequence = 0;
        for group in &self.groups {
            sequence += group.events.len() as i64;
            all.extend(group.snapshot.iter().map(|snapshot| (sequence, snapshot)));
        }
        all
    }

    fn snapshot_rules(&self, replayed: &Replayed) -> Vec<Evaluation> {
        let known = self.snapshots();
        let Some((sequence, snapshot)) = &replayed.begin.snapshot else {
            return vec![if known.is_empty() {
                Evaluation::kept(names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT)
            } else {
                let text = "no snapshot was replayed, though one was sent";
                Evaluation::broken(names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT, text)
            }];
        };
        if self.ignored.contains(snapshot) {
            let text = "a snapshot was replayed that came without events";
            let name = names::EVENT_SOURCED_SNAPSHOT_WITHOUT_EVENTS_IGNORED;
            return vec![Evaluation::broken(name, text)];
        }
        if known.is_empty() {
            let text = "a snapshot was replayed, though none was stored";
            let name = names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT;
            return vec![Evaluation::broken(name, text)];
        }
        let name = names::EVENT_SOURCED_SNAPSHOT_SEQUENCE;
        let Some((_, stored)) = known.iter().find(|(at, _)| at == sequence) else {
            let text = format!(
                "the replayed snapshot's sequence {sequence} is not that of any stored one"
            );
            return vec![Evaluation::broken(name, text)];
        };
        if *stored != snapshot {
            let text = "the replayed snapshot is not the one that was sent";
            let name = names::EVENT_SOURCED_EVENTS_UNCHANGED;
            return vec![Evaluation::broken(name, text)];
        }
        let latest = known.iter().map(|(at, _)| *at).max().unwrap_or(0);
        let text = format!("the snapshot at {sequence} was replayed, not the latest at {latest}");
        let from_latest = names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT;
        vec![
            Evaluation::kept(name),
            Evaluation::new(from_latest, latest <= *sequence, text),
        ]
    }

    fn event_rules(&self, stored: Vec<StoredEvent<'_>>, replayed: &Replayed) -> Vec<Evaluation> {
        let from = snapshot_sequence(replayed);
        let stored = stored.into_iter();
        let expected: Vec<_> = stored.filter(|stored| stored.sequence > from).collect();
        let got = &replayed.events;
        let mut pairs = got.iter().zip(&expected);
        if let Some(((sequence, event, entry), stored)) =
            pairs.find(|((_, event, _), stored)| event != stored.event)
        {
            let name = if event.value == stored.event.value {
                names::PAYLOADS_ANY_PASSES_UNCHANGED
            } else {
                self.why_wrong(event, &expected)
            };
            let text = format!("event {sequence} of the replay is not the one stored");
            return vec![Evaluation::broken(name, text).seen_at(*entry)];
        }
        let mut rules = vec![
            self.missing(&expected, got.len()),
            Evaluation::kept(names::EVENT_SOURCED_EVENTS_UNCHANGED),
            Evaluation::kept(names::EVENT_SOURCED_REPLAY_IN_ORDER),
            Evaluation::kept(names::PAYLOADS_ANY_PASSES_UNCHANGED),
        ];
        if let Some((sequence, event, entry)) = got.get(expected.len()) {
            let name = self.why_wrong(event, &expected);
            let text = format!("event {sequence} of the replay was never stored");
            rules.push(Evaluation::broken(name, text).seen_at(*entry));
        }
        let dropped = self.dropped.iter();
        rules.extend(dropped.map(|(_, why)| Evaluation::kept(*why)));
        rules.extend(self.atomicity(from, got.len()));
        rules
    }

    /// Events that must be there come, all of them.
    fn missing(&self, expected: &[StoredEvent<'_>], got: usize) -> Evaluation {
        let name = if self.killed {
            names::EVENT_SOURCED_SURVIVES_KILL
        } else {
            names::EVENT_SOURCED_ALL_ACKNOWLEDGED_EVENTS_REPLAYED
        };
        let mut rest = expected.iter().skip(got);
        match rest.find(|stored| stored.confirmed) {
            Some(missing) => {
                let text = format!("event {} is missing from the replay", missing.sequence);
                Evaluation::broken(name, text)
            }
            None => Evaluation::kept(name),
        }
    }

    fn why_wrong(&self, event: &Any, expected: &[StoredEvent<'_>]) -> RequirementName {
        if let Some((_, why)) = self.dropped.iter().find(|(dropped, _)| dropped == event) {
            return *why;
        }
        if expected.iter().any(|stored| stored.event == event) {
            return names::EVENT_SOURCED_REPLAY_IN_ORDER;
        }
        names::EVENT_SOURCED_EVENTS_UNCHANGED
    }

    /// A reply that was in doubt is there as a whole or not at all.
    fn atomicity(&self, from: i64, got: usize) -> Vec<Evaluation> {
        let end = from + got as i64;
        let mut sequence = 0;
        let mut rules = Vec::new();
        for group in &self.groups {
            let begin = sequence;
            sequence += group.events.len() as i64;
            let torn = begin < end && end < sequence;
            if group.events.len() > 1 {
                let text = "only a part of a reply's events is in the replay";
                let name = names::EVENT_SOURCED_EVENTS_ATOMIC;
                rules.push(Evaluation::new(name, !torn, text));
            }
        }
        rules
    }
}
