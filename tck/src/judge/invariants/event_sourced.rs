//! What is stored of event sourced entities: events and snapshots.

use crate::judge::invariants::entity;
use crate::judge::invariants::entity::{Problem, Replay};
use crate::protocol::Reply;
use crate::requirement::{RequirementName, names};
use prost_types::Any;

/// The journal of an entity.
#[derive(Debug, Default)]
pub(super) struct History {
    groups: Vec<Group>,
    snapshots: Vec<(i64, Any)>,
    /// Events that must never be replayed, and why.
    dropped: Vec<(Any, RequirementName)>,
    /// Snapshots that came without events.
    ignored: Vec<Any>,
    /// The proxy was killed since the last replay.
    killed: bool,
}

/// The events of one reply.
#[derive(Debug)]
struct Group {
    events: Vec<Any>,
    snapshot: Option<Any>,
    /// The entry of the reply.
    entry: u64,
    /// It took effect for certain.
    confirmed: bool,
}

/// The rules for the contents of a reply.
pub(super) fn reply_rules(reply: &Reply) -> Vec<(RequirementName, bool, &'static str)> {
    let lone = reply.events.is_empty() && reply.failure().is_none();
    let text = "the reply has a snapshot and no events";
    let rule = (names::EVENT_SOURCED_SNAPSHOT_WITH_EVENTS, !lone, text);
    reply.snapshot.iter().map(|_| rule).collect()
}

impl entity::History for History {
    fn keep(&mut self, reply: &Reply, entry: u64) {
        if !reply.events.is_empty() {
            self.groups.push(Group {
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
        let lone = reply.events.is_empty() && reply.failure().is_none();
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

    fn compare(&self, replay: &Replay) -> Vec<(RequirementName, Problem)> {
        self.rules(replay)
    }

    fn settle(&mut self, replay: &Replay) {
        let mut sequence = 0;
        self.groups.retain(|group| {
            sequence += group.events.len() as i64;
            group.confirmed || sequence <= replay.sequence
        });
        self.confirm(&|_| true);
        self.killed = false;
    }
}

impl History {
    /// Events with their sequence numbers, and whether they must be there.
    fn events(&self) -> Vec<(i64, &Any, bool)> {
        let all = self
            .groups
            .iter()
            .flat_map(|group| group.events.iter().map(|e| (e, group.confirmed)));
        (1..)
            .zip(all)
            .map(|(sequence, (event, confirmed))| (sequence, event, confirmed))
            .collect()
    }

    fn all_snapshots(&self) -> Vec<(i64, Any)> {
        let mut all = self.snapshots.clone();
        let mut sequence = 0;
        for group in &self.groups {
            sequence += group.events.len() as i64;
            all.extend(group.snapshot.clone().map(|snapshot| (sequence, snapshot)));
        }
        all
    }

    fn rules(&self, replay: &Replay) -> Vec<(RequirementName, Problem)> {
        let stored = self.events();
        if stored.is_empty() && self.dropped.is_empty() {
            let nothing = replay.events.is_empty() && replay.begin.snapshot.is_none();
            let first = replay.events.first().map(|(_, _, seq)| *seq);
            let problem = (!nothing).then(|| {
                (
                    first,
                    "an entity without a history was given one".to_owned(),
                )
            });
            return vec![
                (names::EVENT_SOURCED_INIT_FOR_NEW_ENTITY, problem),
                (names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT, None),
            ];
        }
        let mut rules = self.snapshot_rules(replay);
        let from = replay
            .begin
            .snapshot
            .as_ref()
            .map_or(0, |(sequence, _)| *sequence);
        let expected: Vec<_> = stored
            .iter()
            .filter(|(sequence, ..)| *sequence > from)
            .collect();
        let got = &replay.events;
        if let Some(wrong) = got
            .iter()
            .zip(&expected)
            .find(|(got, expected)| got.1 != *expected.1)
        {
            let ((sequence, event, seq), (_, stored, _)) = wrong;
            let name = match event.value == stored.value {
                true => names::PAYLOADS_ANY_PASSES_UNCHANGED,
                false => self.why_wrong(event, &expected),
            };
            rules.push((
                name,
                Some((
                    Some(*seq),
                    format!("event {sequence} of the replay is not the one stored"),
                )),
            ));
            return rules;
        }
        let missing = expected
            .iter()
            .skip(got.len())
            .find(|(_, _, confirmed)| *confirmed);
        let lost = missing
            .map(|(sequence, ..)| (None, format!("event {sequence} is missing from the replay")));
        let name = if self.killed {
            names::EVENT_SOURCED_SURVIVES_KILL
        } else {
            names::EVENT_SOURCED_ALL_ACKNOWLEDGED_EVENTS_REPLAYED
        };
        rules.push((name, lost));
        rules.push((names::EVENT_SOURCED_EVENTS_UNCHANGED, None));
        rules.push((names::EVENT_SOURCED_REPLAY_IN_ORDER, None));
        rules.push((names::PAYLOADS_ANY_PASSES_UNCHANGED, None));
        if let Some((sequence, event, seq)) = got.get(expected.len()) {
            let name = self.why_wrong(event, &expected);
            rules.push((
                name,
                Some((
                    Some(*seq),
                    format!("event {sequence} of the replay was never stored"),
                )),
            ));
        }
        for (_, why) in &self.dropped {
            rules.push((*why, None));
        }
        rules.extend(self.atomicity(from, got.len()));
        rules
    }

    fn snapshot_rules(&self, replay: &Replay) -> Vec<(RequirementName, Problem)> {
        let known = self.all_snapshots();
        let Some((sequence, snapshot)) = &replay.begin.snapshot else {
            let late = (!known.is_empty()).then(|| {
                (
                    None,
                    "no snapshot was replayed, though one was sent".to_owned(),
                )
            });
            let absent = known
                .is_empty()
                .then_some((names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT, None));
            return match absent {
                Some(rule) => vec![rule],
                None => vec![(names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT, late)],
            };
        };
        if self.ignored.contains(snapshot) {
            let text = "a snapshot was replayed that came without events".to_owned();
            let name = names::EVENT_SOURCED_SNAPSHOT_WITHOUT_EVENTS_IGNORED;
            return vec![(name, Some((None, text)))];
        }
        if known.is_empty() {
            let text = "a snapshot was replayed, though none was stored".to_owned();
            return vec![(
                names::EVENT_SOURCED_INIT_SNAPSHOT_ABSENT,
                Some((None, text)),
            )];
        }
        let of_sequence = known.iter().find(|(at, _)| at == sequence);
        let problem = match of_sequence {
            None => {
                let text = format!(
                    "the replayed snapshot's sequence {sequence} is not that of any stored one"
                );
                return vec![(names::EVENT_SOURCED_SNAPSHOT_SEQUENCE, Some((None, text)))];
            }
            Some((_, stored)) if stored != snapshot => {
                let text = "the replayed snapshot is not the one that was sent".to_owned();
                return vec![(names::EVENT_SOURCED_EVENTS_UNCHANGED, Some((None, text)))];
            }
            Some(_) => None,
        };
        let latest = known.iter().map(|(at, _)| *at).max().unwrap_or(0);
        let old = (latest > *sequence).then(|| {
            (
                None,
                format!("the snapshot at {sequence} was replayed, not the latest at {latest}"),
            )
        });
        vec![
            (names::EVENT_SOURCED_SNAPSHOT_SEQUENCE, problem),
            (names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT, old),
        ]
    }

    fn why_wrong(&self, event: &Any, expected: &[&(i64, &Any, bool)]) -> RequirementName {
        if let Some((_, why)) = self.dropped.iter().find(|(dropped, _)| dropped == event) {
            return *why;
        }
        if expected.iter().any(|(_, stored, _)| *stored == event) {
            return names::EVENT_SOURCED_REPLAY_IN_ORDER;
        }
        names::EVENT_SOURCED_EVENTS_UNCHANGED
    }

    /// A reply that was in doubt is there as a whole or not at all.
    fn atomicity(&self, from: i64, got: usize) -> Vec<(RequirementName, Problem)> {
        let end = from + got as i64;
        let mut sequence = 0;
        let mut rules = Vec::new();
        for group in &self.groups {
            let begin = sequence;
            sequence += group.events.len() as i64;
            let torn = begin < end && end < sequence;
            if group.events.len() > 1 {
                let text = "only a part of a reply's events is in the replay".to_owned();
                rules.push((
                    names::EVENT_SOURCED_EVENTS_ATOMIC,
                    torn.then_some((None, text)),
                ));
            }
        }
        rules
    }
}
