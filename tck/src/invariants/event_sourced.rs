//! The rules of an event sourced entity's stream, for both of its ends.

use super::at;
use crate::judge::{Bench, Mismatch, Objection};
use crate::play::protocol::{self, FromFunction, FromProxy, Reply};
use crate::play::script::{Key, MoveKind, Origin};
use crate::scenario::{Party, Role};
use crate::transcript::{Entry, Hop, StreamId, What};
use cloudstate_protocol::cloudstate::client_action::Action;
use prost_types::Any;
use std::collections::BTreeMap;

/// Walks the transcript once.
pub fn check(bench: &mut Bench<'_>) {
    let entries = &bench.case.transcript.entries;
    let mut monitor = Monitor {
        bench,
        streams: BTreeMap::new(),
        histories: BTreeMap::new(),
    };
    for entry in entries {
        monitor.entry(entry);
    }
}

/// One stream as it should be.
#[derive(Debug, Default)]
struct Watched {
    key: Option<Key>,
    first: bool,
    /// Sequence number of the last event (or the snapshot).
    sequence: i64,
    snapshot: Option<(i64, Any)>,
    replayed: Vec<(i64, Any, u64)>,
    checked: bool,
    last_id: i64,
    outstanding: Option<i64>,
    /// The last answered command's id, to tell a second reply from one out of nowhere.
    answered: Option<i64>,
    emitted: Vec<Any>,
    restart: bool,
    half_closed: bool,
    ended: bool,
    failed: bool,
    /// The kit departed from the rules as scripted: only the chart speaks.
    tainted: bool,
}

/// What was stored for an entity, as far as can be told from what its function sent.
#[derive(Debug, Default)]
struct History {
    groups: Vec<Group>,
    snapshots: Vec<(i64, Any)>,
    /// Events that must never be replayed, and why.
    dropped: Vec<(Any, &'static str)>,
}

#[derive(Debug)]
struct Group {
    events: Vec<Any>,
    snapshot: Option<Any>,
    /// The entry of the reply.
    entry: u64,
    /// It took effect for certain.
    confirmed: bool,
}

struct Monitor<'a, 'b> {
    bench: &'a mut Bench<'b>,
    streams: BTreeMap<StreamId, Watched>,
    histories: BTreeMap<Key, History>,
}

impl Monitor<'_, '_> {
    fn entry(&mut self, entry: &Entry) {
        let Some(stream) = entry.stream else { return };
        if entry.hop == Some(Hop::Front) {
            return self.front(entry);
        }
        if let What::Open { path, .. } = &entry.what {
            if path == protocol::EVENT_SOURCED {
                self.streams.insert(
                    stream,
                    Watched {
                        first: true,
                        ..Watched::default()
                    },
                );
            }
            return;
        }
        let Some(mut watched) = self.streams.remove(&stream) else {
            return;
        };
        if entry.from == Party::Function {
            self.function(entry, &mut watched);
        } else {
            self.proxy(entry, &mut watched);
        }
        self.streams.insert(stream, watched);
    }

    /// A client was answered: the replies up to now to its command took effect.
    fn front(&mut self, entry: &Entry) {
        if !matches!(entry.what, What::End { .. }) || entry.by_kit {
            return;
        }
        let play = self.bench.case.play;
        let script = self.bench.case.script;
        let Some(aligned) = play
            .aligned()
            .iter()
            .find(|aligned| aligned.entry == entry.seq)
        else {
            return;
        };
        let MoveKind::Return(call) = script.moves[aligned.index].kind else {
            return;
        };
        let What::End { trailers: true, .. } = entry.what else {
            return;
        };
        for other in play.aligned() {
            if let MoveKind::Answer(answered) = script.moves[other.index].kind
                && script_root(script, answered) == call
            {
                self.confirm(|group| group.entry == other.entry);
            }
        }
    }

    fn confirm(&mut self, is: impl Fn(&Group) -> bool) {
        for history in self.histories.values_mut() {
            history
                .groups
                .iter_mut()
                .filter(|group| is(group))
                .for_each(|group| group.confirmed = true);
        }
    }

    /// A rule, its premise true: covered, and objected to if it is broken. What the kit was told to break taints
    /// the stream.
    fn rule(
        &mut self,
        watched: &mut Watched,
        name: &str,
        holds: bool,
        objection: impl FnOnce() -> Objection,
    ) {
        if watched.tainted {
            return;
        }
        if holds {
            self.bench.covered(name);
            return;
        }
        let objection = objection();
        let script = self.bench.case.script;
        let scripted = script.scenario.scripted == Some(objection.blame);
        if scripted && script.role.kit_plays(objection.blame) {
            watched.tainted = true;
        } else {
            self.bench.object(name, objection);
        }
    }

    // === The proxy's side ===

    fn proxy(&mut self, entry: &Entry, watched: &mut Watched) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_in(bytes);
                let init = matches!(message, FromProxy::Init { .. });
                let first = std::mem::take(&mut watched.first);
                self.rule(watched, "commands.init-first", init || !first, || {
                    at(
                        entry.seq,
                        Party::Proxy,
                        "the first message of the stream is not init",
                    )
                });
                match message {
                    FromProxy::Init {
                        service,
                        entity,
                        snapshot,
                    } => {
                        self.init(entry, watched, first, Key { service, entity }, snapshot);
                    }
                    FromProxy::Event { sequence, payload } => {
                        self.event(entry, watched, sequence, payload)
                    }
                    FromProxy::Command(command) => self.command(entry, watched, &command),
                    FromProxy::Empty | FromProxy::Garbage(_) => {
                        self.rule(watched, "commands.init-first", false, || {
                            at(
                                entry.seq,
                                Party::Proxy,
                                "the proxy sent a message that is none of the protocol's",
                            )
                        });
                    }
                }
            }
            What::HalfClose => {
                self.replayed(entry, watched);
                let busy = watched.outstanding.is_some();
                self.rule(
                    watched,
                    "passivation.queue-first",
                    !busy || watched.failed,
                    || {
                        at(
                            entry.seq,
                            Party::Proxy,
                            "the proxy half-closed the stream though a command is outstanding",
                        )
                    },
                );
                if watched.restart {
                    self.rule(watched, "failures.restart", true, || {
                        at(entry.seq, Party::Proxy, "")
                    });
                }
                watched.half_closed = true;
                self.rule(
                    watched,
                    "passivation.no-command-after-half-close",
                    true,
                    || at(entry.seq, Party::Proxy, ""),
                );
            }
            What::Cancel | What::End { .. } => watched.ended = true,
            _ => {}
        }
    }

    fn init(
        &mut self,
        entry: &Entry,
        watched: &mut Watched,
        first: bool,
        key: Key,
        snapshot: Option<(i64, Any)>,
    ) {
        self.rule(watched, "commands.init-once", first, || {
            at(
                entry.seq,
                Party::Proxy,
                "the proxy sent init a second time on a stream",
            )
        });
        let known = crate::model::event_sourced::Entity::new(&key.service).is_some();
        self.rule(
            watched,
            "commands.init-identifies-entity",
            known && !key.entity.is_empty(),
            || {
                let text = format!(
                    "init names the service {:?} and the entity {:?}",
                    key.service, key.entity
                );
                at(entry.seq, Party::Proxy, text)
            },
        );
        let open = self
            .streams
            .values()
            .any(|other| other.key.as_ref() == Some(&key) && !other.ended && !other.tainted);
        self.rule(watched, "commands.one-stream", !open, || {
            let text =
                format!("the proxy opened a stream for {key} though an earlier one has not ended");
            at(entry.seq, Party::Proxy, text)
        });
        watched.sequence = snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        watched.snapshot = snapshot;
        watched.key = Some(key);
    }

    fn event(&mut self, entry: &Entry, watched: &mut Watched, sequence: i64, payload: Any) {
        let echoed = watched.emitted.contains(&payload);
        let name = if echoed {
            "event-sourced.emitted-events-not-echoed"
        } else {
            "event-sourced.replay-before-commands"
        };
        self.rule(watched, name, watched.last_id == 0, || {
            at(
                entry.seq,
                Party::Proxy,
                "the proxy sent an event after a command",
            )
        });
        let expected = watched.sequence + 1;
        let snapshot = watched.replayed.is_empty() && watched.snapshot.is_some();
        let name = if snapshot {
            "event-sourced.snapshot-then-later-events"
        } else {
            "event-sourced.sequence-without-gaps"
        };
        self.rule(watched, name, sequence == expected, || Objection {
            mismatches: vec![Mismatch {
                path: "event.sequence".to_owned(),
                expected: expected.to_string(),
                received: sequence.to_string(),
            }],
            ..at(
                entry.seq,
                Party::Proxy,
                "the replayed event has not the next sequence number",
            )
        });
        watched.sequence = sequence;
        watched.replayed.push((sequence, payload, entry.seq));
    }

    fn command(
        &mut self,
        entry: &Entry,
        watched: &mut Watched,
        command: &cloudstate_protocol::cloudstate::Command,
    ) {
        self.replayed(entry, watched);
        let expected = watched.last_id + 1;
        let again = command.id == watched.last_id && watched.last_id > 0;
        self.rule(watched, "commands.delivered-once", !again, || {
            at(
                entry.seq,
                Party::Proxy,
                format!("the command {} is delivered a second time", command.id),
            )
        });
        self.rule(
            watched,
            "commands.ids-from-one",
            command.id == expected,
            || Objection {
                mismatches: vec![Mismatch {
                    path: "command.id".to_owned(),
                    expected: expected.to_string(),
                    received: command.id.to_string(),
                }],
                ..at(
                    entry.seq,
                    Party::Proxy,
                    "the command's id is not the next on its stream",
                )
            },
        );
        if watched.last_id > 0 {
            let free = watched.outstanding.is_none();
            self.rule(watched, "commands.one-outstanding", free, || {
                at(
                    entry.seq,
                    Party::Proxy,
                    "the proxy sent a command though an earlier one is not answered",
                )
            });
            let restart = watched.restart;
            self.rule(watched, "failures.restart", !restart, || {
                at(
                    entry.seq,
                    Party::Proxy,
                    "the proxy went on with a stream whose function asked for a restart",
                )
            });
        }
        let own = watched
            .key
            .as_ref()
            .is_some_and(|key| key.entity == command.entity_id);
        self.rule(
            watched,
            "commands.command-for-the-streams-entity",
            own,
            || {
                let text = format!(
                    "the command is for the entity {:?}, not the stream's",
                    command.entity_id
                );
                at(entry.seq, Party::Proxy, text)
            },
        );
        if let Some(key) = watched.key.clone()
            && let Some(history) = self.histories.get_mut(&key)
            && !watched.tainted
        {
            // Another command followed: what was answered before took effect.
            history
                .groups
                .iter_mut()
                .for_each(|group| group.confirmed = true);
        }
        watched.last_id = command.id;
        watched.outstanding = Some(command.id);
        watched.emitted.clear();
    }

    /// The replay is complete: is it what was stored?
    fn replayed(&mut self, entry: &Entry, watched: &mut Watched) {
        if std::mem::replace(&mut watched.checked, true) || watched.tainted {
            return;
        }
        let Some(key) = watched.key.clone() else {
            return;
        };
        if self.bench.case.script.role == Role::Sdk {
            return;
        }
        let history = self.histories.remove(&key).unwrap_or_default();
        for (name, problem) in history.compare(watched) {
            self.bench.covered(name);
            if let Some((seq, summary)) = problem {
                let seq = seq.unwrap_or(entry.seq);
                self.rule(watched, name, false, || at(seq, Party::Proxy, summary));
            }
        }
        self.histories.insert(key, history.after(watched));
    }

    // === The function's side ===

    fn function(&mut self, entry: &Entry, watched: &mut Watched) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_out(bytes);
                let set = !matches!(message, FromFunction::Empty | FromFunction::Garbage(_));
                self.rule(watched, "commands.message-set", set, || {
                    let text = match &message {
                        FromFunction::Garbage(error) => {
                            format!("the function's message can't be decoded: {error}")
                        }
                        _ => {
                            "the function sent a message with no member of its oneof set".to_owned()
                        }
                    };
                    at(entry.seq, Party::Function, text)
                });
                match message {
                    FromFunction::Reply(reply) => self.reply(entry, watched, &reply),
                    FromFunction::Failure(_) => watched.failed = true,
                    _ => {}
                }
            }
            What::End { code, trailers, .. } => {
                let silent =
                    *code == 0 && *trailers && watched.outstanding.is_some() && !watched.failed;
                if watched.last_id > 0 && !watched.half_closed {
                    self.rule(watched, "commands.stream-stays-open", !silent, || {
                        at(
                            entry.seq,
                            Party::Function,
                            "the function ended the stream though a command is not answered",
                        )
                    });
                }
                if watched.half_closed && !watched.failed {
                    self.rule(
                        watched,
                        "passivation.function-completes",
                        *code == 0,
                        || {
                            let status = crate::play::expand::status_name(*code);
                            at(
                                entry.seq,
                                Party::Function,
                                format!("the function ended a half-closed stream with {status}"),
                            )
                        },
                    );
                }
                watched.ended = true;
            }
            _ => {}
        }
    }

    fn reply(&mut self, entry: &Entry, watched: &mut Watched, reply: &Reply) {
        let outstanding = watched.outstanding.take();
        let second = watched.answered == Some(reply.command_id) || outstanding.is_none();
        let name = if outstanding.is_none() {
            "commands.answer-once"
        } else {
            "commands.answer-id"
        };
        self.rule(
            watched,
            "commands.answer-once",
            outstanding.is_some(),
            || {
                let text = if second {
                    "a second reply to a command"
                } else {
                    "a reply though no command is outstanding"
                };
                at(
                    entry.seq,
                    Party::Function,
                    format!("the function sent {text}"),
                )
            },
        );
        if let Some(id) = outstanding {
            self.rule(watched, name, reply.command_id == id, || Objection {
                mismatches: vec![Mismatch {
                    path: "reply.command_id".to_owned(),
                    expected: id.to_string(),
                    received: reply.command_id.to_string(),
                }],
                ..at(
                    entry.seq,
                    Party::Function,
                    "the reply carries the id of another command",
                )
            });
        }
        self.rule(
            watched,
            "commands.client-action-present",
            reply.action.is_some(),
            || at(entry.seq, Party::Function, "the reply has no client action"),
        );
        let lone = reply.snapshot.is_some() && reply.events.is_empty() && reply.failure().is_none();
        if reply.snapshot.is_some() {
            self.rule(watched, "event-sourced.snapshot-with-events", !lone, || {
                at(
                    entry.seq,
                    Party::Function,
                    "the reply has a snapshot and no events",
                )
            });
        }
        self.action(entry, watched, reply, outstanding);
        watched.answered = outstanding;
        if watched.tainted {
            return self.keep_nothing(watched, reply, lone);
        }
        self.keep(entry, watched, reply);
    }

    fn action(
        &mut self,
        entry: &Entry,
        watched: &mut Watched,
        reply: &Reply,
        outstanding: Option<i64>,
    ) {
        match &reply.action {
            Some(Action::Reply(message)) => {
                let url = message
                    .payload
                    .as_ref()
                    .map(|payload| payload.type_url.clone())
                    .unwrap_or_default();
                let output = self.output(watched).unwrap_or_default();
                let expected = format!("{}{output}", protocol::PROTOBUF);
                self.rule(watched, "commands.reply-type", url == expected, || {
                    Objection {
                        mismatches: vec![Mismatch {
                            path: "reply.payload.type_url".to_owned(),
                            expected: expected.clone(),
                            received: url.clone(),
                        }],
                        ..at(
                            entry.seq,
                            Party::Function,
                            "the reply's payload is not of the method's output type",
                        )
                    }
                });
            }
            Some(Action::Failure(failure)) => {
                let id = outstanding.unwrap_or_default();
                self.rule(
                    watched,
                    "failures.failure-command-id",
                    failure.command_id == id,
                    || Objection {
                        mismatches: vec![Mismatch {
                            path: "failure.command_id".to_owned(),
                            expected: id.to_string(),
                            received: failure.command_id.to_string(),
                        }],
                        ..at(
                            entry.seq,
                            Party::Function,
                            "the failure carries the id of another command",
                        )
                    },
                );
                let stateless = reply.events.is_empty() && reply.snapshot.is_none();
                self.rule(
                    watched,
                    "failures.failure-carries-no-state",
                    stateless,
                    || {
                        at(
                            entry.seq,
                            Party::Function,
                            "the reply fails the command and has events or a snapshot",
                        )
                    },
                );
                let quiet = reply.side_effects.is_empty();
                self.rule(
                    watched,
                    "failures.failure-carries-no-effects",
                    quiet,
                    || {
                        at(
                            entry.seq,
                            Party::Function,
                            "the reply fails the command and has side effects",
                        )
                    },
                );
                watched.restart = failure.restart || !stateless;
            }
            _ => {}
        }
    }

    fn output(&self, watched: &Watched) -> Option<String> {
        let key = watched.key.as_ref()?;
        let service = crate::model::spec::descriptor_pool().get_service_by_name(&key.service)?;
        Some(service.methods().next()?.output().full_name().to_owned())
    }

    /// What the reply asks to store.
    fn keep(&mut self, entry: &Entry, watched: &mut Watched, reply: &Reply) {
        let Some(key) = watched.key.clone() else {
            return;
        };
        watched.emitted.clone_from(&reply.events);
        for event in &reply.events {
            let known = [
                "type.googleapis.com/",
                "p.cloudstate.io/",
                "json.cloudstate.io/",
            ];
            let url = event.type_url.clone();
            self.rule(
                watched,
                "payloads.protobuf-type-url",
                known.iter().any(|k| url.starts_with(k)),
                || {
                    at(
                        entry.seq,
                        Party::Function,
                        format!("the event's type URL {url:?} follows no convention"),
                    )
                },
            );
        }
        let history = self.histories.entry(key).or_default();
        if let Some(failure) = reply.failure() {
            let why = if failure.restart {
                "failures.restart-drops-events"
            } else {
                "failures.failed-reply-not-persisted"
            };
            history
                .dropped
                .extend(reply.events.iter().map(|event| (event.clone(), why)));
        } else if !reply.events.is_empty() {
            history.groups.push(Group {
                events: reply.events.clone(),
                snapshot: reply.snapshot.clone(),
                entry: entry.seq,
                confirmed: false,
            });
        }
    }

    /// A message that violated the protocol has no effect; a lone snapshot is merely ignored.
    fn keep_nothing(&mut self, watched: &mut Watched, reply: &Reply, lone: bool) {
        let Some(key) = watched.key.clone() else {
            return;
        };
        if lone {
            watched.tainted = false;
            return;
        }
        let history = self.histories.entry(key).or_default();
        let failed = reply.failure();
        let why = match failed {
            Some(failure) if failure.restart => "failures.restart-drops-events",
            Some(_) => "failures.failed-reply-not-persisted",
            None => "failures.violation-has-no-effect",
        };
        history
            .dropped
            .extend(reply.events.iter().map(|event| (event.clone(), why)));
        // A failed reply with state is no violation for the proxy: the stream goes on to its restart.
        if failed.is_some() {
            watched.tainted = false;
            watched.restart = true;
        }
    }
}

type Problem = Option<(Option<u64>, String)>;

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

    /// Is the replay what is stored? Each rule whose premise holds, with what is wrong.
    fn compare(&self, watched: &Watched) -> Vec<(&'static str, Problem)> {
        let stored = self.events();
        if stored.is_empty() && self.dropped.is_empty() {
            let nothing = watched.replayed.is_empty() && watched.snapshot.is_none();
            let first = watched.replayed.first().map(|(_, _, seq)| *seq);
            let problem = (!nothing).then(|| {
                (
                    first,
                    "an entity without a history was given one".to_owned(),
                )
            });
            return vec![
                ("event-sourced.init-for-new-entity", problem),
                ("event-sourced.init-snapshot-absent", None),
            ];
        }
        let mut rules = self.snapshot_rules(watched);
        let from = watched
            .snapshot
            .as_ref()
            .map_or(0, |(sequence, _)| *sequence);
        let expected: Vec<_> = stored
            .iter()
            .filter(|(sequence, ..)| *sequence > from)
            .collect();
        let got = &watched.replayed;
        if let Some(wrong) = got
            .iter()
            .zip(&expected)
            .find(|(got, expected)| got.1 != *expected.1)
        {
            let ((sequence, event, seq), _) = wrong;
            let name = self.why_wrong(event, &expected);
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
        rules.push(("event-sourced.all-acknowledged-events-replayed", lost));
        rules.push(("event-sourced.events-unchanged", None));
        rules.push(("event-sourced.replay-in-order", None));
        rules.push(("passivation.state-survives", None));
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
            rules.push((why, None));
        }
        rules.extend(self.atomicity(from, got.len()));
        rules
    }

    fn snapshot_rules(&self, watched: &Watched) -> Vec<(&'static str, Problem)> {
        let known = self.all_snapshots();
        let Some((sequence, snapshot)) = &watched.snapshot else {
            let late = (!known.is_empty()).then(|| {
                (
                    None,
                    "no snapshot was replayed, though one was sent".to_owned(),
                )
            });
            let absent = known
                .is_empty()
                .then_some(("event-sourced.init-snapshot-absent", None));
            return match absent {
                Some(rule) => vec![rule],
                None => vec![("event-sourced.replay-from-latest-snapshot", late)],
            };
        };
        let of_sequence = known.iter().find(|(at, _)| at == sequence);
        let problem = match of_sequence {
            None => {
                let text = format!(
                    "the replayed snapshot's sequence {sequence} is not that of any stored one"
                );
                return vec![("event-sourced.snapshot-sequence", Some((None, text)))];
            }
            Some((_, stored)) if stored != snapshot => {
                let text = "the replayed snapshot is not the one that was sent".to_owned();
                return vec![("event-sourced.events-unchanged", Some((None, text)))];
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
            ("event-sourced.snapshot-sequence", problem),
            ("event-sourced.replay-from-latest-snapshot", old),
        ]
    }

    fn why_wrong(&self, event: &Any, expected: &[&(i64, &Any, bool)]) -> &'static str {
        if let Some((_, why)) = self.dropped.iter().find(|(dropped, _)| dropped == event) {
            return why;
        }
        if expected.iter().any(|(_, stored, _)| *stored == event) {
            return "event-sourced.replay-in-order";
        }
        "event-sourced.events-unchanged"
    }

    /// A reply that was in doubt is there as a whole or not at all.
    fn atomicity(&self, from: i64, got: usize) -> Vec<(&'static str, Problem)> {
        let end = from + got as i64;
        let mut sequence = 0;
        let mut rules = Vec::new();
        for group in &self.groups {
            let begin = sequence;
            sequence += group.events.len() as i64;
            let torn = begin < end && end < sequence;
            if group.events.len() > 1 {
                let text = "only a part of a reply's events is in the replay".to_owned();
                rules.push(("event-sourced.events-atomic", torn.then_some((None, text))));
            }
        }
        rules
    }

    /// What is known to be stored, once a replay has shown it.
    fn after(mut self, watched: &Watched) -> History {
        let end = watched.sequence;
        let mut sequence = 0;
        self.groups.retain(|group| {
            sequence += group.events.len() as i64;
            group.confirmed || sequence <= end
        });
        self.groups
            .iter_mut()
            .for_each(|group| group.confirmed = true);
        self
    }
}

/// The client's call that a side effect or forward comes from; an effect's own reply is nobody's answer.
fn script_root(script: &crate::play::script::Script, mut call: usize) -> usize {
    loop {
        match script.calls[call].origin {
            Origin::Client
            | Origin::Effect {
                synchronous: false, ..
            } => return call,
            Origin::Effect { parent, .. } | Origin::Forward { parent } => call = parent,
        }
    }
}
