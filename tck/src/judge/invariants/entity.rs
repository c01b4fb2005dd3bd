//! The rules of a stateful entity's stream, for both of its ends. What is special to an entity type is what it
//! stores: its [`History`].

use crate::finding::Mismatch;
use crate::judge::invariants::{at, event_sourced, value_entity};
use crate::judge::{Bench, Objection};
use crate::party::{Party, Role};
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::Key;
use crate::protocol::{Begin, FromFunction, FromProxy, Reply};
use crate::script::{MoveKind, Origin};
use crate::transcript::{Entry, Hop, Lost, StreamId, What};
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

/// What came before the first command of a stream.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub begin: Begin,
    /// Sequence number of the last event (or the snapshot).
    pub sequence: i64,
    /// Events with their sequence numbers and entries.
    pub events: Vec<(i64, Any, u64)>,
}

/// What is wrong, and at which entry if not at the first command.
pub(super) type Problem = Option<(Option<u64>, String)>;

/// What is stored for an entity, as far as can be told from what its function sent.
pub(super) trait History: std::fmt::Debug {
    /// A reply that takes effect; certainly, once it is confirmed.
    fn keep(&mut self, reply: &Reply, entry: u64);
    /// A reply that must not take effect, and why.
    fn refuse(&mut self, reply: &Reply, why: &'static str);
    /// The proxy was killed: what it gives back next is what it had made durable.
    fn killed(&mut self);
    /// The replies at these entries took effect.
    fn confirm(&mut self, is: &dyn Fn(u64) -> bool);
    /// Is the replay what is stored? Each rule whose premise holds, with what is wrong.
    fn compare(&self, replay: &Replay) -> Vec<(&'static str, Problem)>;
    /// What is known to be stored, once a replay has shown it.
    fn settle(&mut self, replay: &Replay);
}

fn history(entity_type: EntityType) -> Box<dyn History> {
    match entity_type {
        EntityType::Value => Box::<value_entity::History>::default(),
        _ => Box::<event_sourced::History>::default(),
    }
}

/// The rules of a type for the contents of a reply: name, whether it holds, what is wrong otherwise.
fn reply_rules(entity_type: EntityType, reply: &Reply) -> Vec<(&'static str, bool, &'static str)> {
    match entity_type {
        EntityType::Value => value_entity::reply_rules(reply),
        _ => event_sourced::reply_rules(reply),
    }
}

/// One stream as it should be.
#[derive(Debug)]
struct Watched {
    entity_type: EntityType,
    key: Option<Key>,
    first: bool,
    replay: Replay,
    checked: bool,
    last_id: i64,
    outstanding: Option<i64>,
    /// The last answered command's id, to tell a second reply from one out of nowhere.
    answered: Option<i64>,
    emitted: Vec<Any>,
    /// The last reply failed its command.
    refused: bool,
    /// The last reply asked for a restart, and by which requirement.
    restart: Option<&'static str>,
    half_closed: bool,
    ended: bool,
    failed: bool,
    /// The kit departed from the rules as scripted: only the chart speaks.
    tainted: bool,
}

impl Watched {
    fn new(entity_type: EntityType) -> Watched {
        Watched {
            entity_type,
            key: None,
            first: true,
            replay: Replay::default(),
            checked: false,
            last_id: 0,
            outstanding: None,
            answered: None,
            emitted: Vec::new(),
            refused: false,
            restart: None,
            half_closed: false,
            ended: false,
            failed: false,
            tainted: false,
        }
    }
}

struct Monitor<'a, 'b> {
    bench: &'a mut Bench<'b>,
    streams: BTreeMap<StreamId, Watched>,
    histories: BTreeMap<Key, Box<dyn History>>,
}

impl Monitor<'_, '_> {
    fn entry(&mut self, entry: &Entry) {
        let lost = matches!(
            entry.what,
            What::Killed
                | What::Fault {
                    lost: Lost::Connection,
                    ..
                }
        );
        if lost && entry.from == Party::Function {
            self.streams
                .values_mut()
                .for_each(|watched| watched.ended = true);
        }
        if (&entry.what, entry.from) == (&What::Killed, Party::Proxy) {
            let histories = self.histories.values_mut();
            histories.for_each(|history| history.killed());
        }
        let Some(stream) = entry.stream else { return };
        if entry.hop == Some(Hop::Front) {
            return self.front(entry);
        }
        if let What::Open { path, .. } = &entry.what {
            let entity_type = EntityType::of_path(path).filter(|kind| *kind != EntityType::Action);
            if let Some(entity_type) = entity_type {
                self.streams.insert(stream, Watched::new(entity_type));
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
                self.confirm(&|entry| entry == other.entry);
            }
        }
    }

    fn confirm(&mut self, is: &dyn Fn(u64) -> bool) {
        let histories = self.histories.values_mut();
        histories.for_each(|history| history.confirm(is));
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
                let message = protocol::read_in(watched.entity_type, bytes);
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
                        state,
                    } => {
                        self.init(entry, watched, first, Key { service, entity }, state);
                    }
                    FromProxy::Event { sequence, payload } => {
                        self.event(entry, watched, sequence, payload)
                    }
                    FromProxy::Command(command) => self.command(entry, watched, &command),
                    FromProxy::Request(_) | FromProxy::Empty | FromProxy::Garbage(_) => {
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
            // That the proxy is done after its function is says nothing.
            What::HalfClose if watched.ended => watched.half_closed = true,
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
                if watched.last_id > 0 && !busy && !watched.tainted {
                    self.bench.covered("commands.stream-stays-open");
                }
                if let (Some(restart), false) = (watched.restart, watched.tainted) {
                    self.bench.covered(restart);
                }
                watched.half_closed = true;
            }
            What::Cancel | What::End { .. } => watched.ended = true,
            _ => {}
        }
    }

    fn init(&mut self, entry: &Entry, watched: &mut Watched, first: bool, key: Key, begin: Begin) {
        self.rule(watched, "commands.init-once", first, || {
            at(
                entry.seq,
                Party::Proxy,
                "the proxy sent init a second time on a stream",
            )
        });
        let known = crate::model::oracle::Entity::new(&key.service).is_some();
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
            .filter(|other| other.key.as_ref() == Some(&key))
            // One that its function gave up is the proxy's to end, and nothing tells which came first.
            .any(|other| !(other.ended || other.failed || other.tainted));
        self.rule(watched, "commands.one-stream", !open, || {
            let text =
                format!("the proxy opened a stream for {key} though an earlier one has not ended");
            at(entry.seq, Party::Proxy, text)
        });
        if watched.entity_type == EntityType::Value {
            self.rule(
                watched,
                "value-entities.init-state-present",
                begin.present,
                || {
                    at(
                        entry.seq,
                        Party::Proxy,
                        "init has no state, not even an empty one",
                    )
                },
            );
        }
        watched.replay.sequence = begin.snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        watched.replay.begin = begin;
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
        let expected = watched.replay.sequence + 1;
        let snapshot = watched.replay.events.is_empty() && watched.replay.begin.snapshot.is_some();
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
        watched.replay.sequence = sequence;
        watched.replay.events.push((sequence, payload, entry.seq));
    }

    fn command(&mut self, entry: &Entry, watched: &mut Watched, command: &protocol::Command) {
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
            let name = watched.restart.unwrap_or("failures.restart");
            let restart = watched.restart.is_some();
            self.rule(watched, name, !restart, || {
                let text = match name {
                    "failures.restart" => "whose function asked for a restart",
                    _ => "whose function failed a command and sent something to store with it",
                };
                at(
                    entry.seq,
                    Party::Proxy,
                    format!("the proxy went on with a stream {text}"),
                )
            });
        }
        let own = watched
            .key
            .as_ref()
            .is_some_and(|key| key.entity == command.entity);
        self.rule(
            watched,
            "commands.command-for-the-streams-entity",
            own,
            || {
                let text = format!(
                    "the command is for the entity {:?}, not the stream's",
                    command.entity
                );
                at(entry.seq, Party::Proxy, text)
            },
        );
        if let Some(key) = watched.key.clone()
            && let Some(history) = self.histories.get_mut(&key)
            && !watched.tainted
        {
            // Another command followed: what was answered before took effect.
            history.confirm(&|_| true);
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
        let known = self.histories.remove(&key);
        let unknown = known.is_none();
        let mut history = known.unwrap_or_else(|| history(watched.entity_type));
        // Of another service: what a new entity is given may be that one's.
        let namesake = |other: &&Key| other.entity == key.entity;
        let shared = unknown && self.histories.keys().any(|other| namesake(&other));
        for (name, problem) in history.compare(&watched.replay) {
            let name = if shared {
                "entity-keys.scoped-by-persistence-id"
            } else {
                name
            };
            self.bench.covered(name);
            if let Some((seq, summary)) = problem {
                let seq = seq.unwrap_or(entry.seq);
                self.rule(watched, name, false, || at(seq, Party::Proxy, summary));
            }
        }
        history.settle(&watched.replay);
        self.histories.insert(key, history);
    }

    // === The function's side ===

    fn function(&mut self, entry: &Entry, watched: &mut Watched) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_out(watched.entity_type, bytes);
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
                    let name = match watched.refused {
                        true => "failures.entity-survives",
                        false => "commands.stream-stays-open",
                    };
                    self.rule(watched, name, !silent, || {
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
                            let status = crate::status::status_name(*code);
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
            What::Fault {
                lost: Lost::Stream, ..
            } => watched.ended = true,
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
        for (name, holds, text) in reply_rules(watched.entity_type, reply) {
            self.rule(watched, name, holds, || {
                at(entry.seq, Party::Function, text)
            });
        }
        watched.refused = reply.failure().is_some();
        self.action(entry, watched, reply, outstanding);
        watched.answered = outstanding;
        if watched.tainted {
            return self.keep_nothing(watched, reply);
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
                let stateless = !reply.stores();
                self.rule(
                    watched,
                    "failures.failure-carries-no-state",
                    stateless,
                    || {
                        at(
                            entry.seq,
                            Party::Function,
                            "the reply fails the command and has something to store",
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
                watched.restart = match (failure.restart, stateless) {
                    (true, _) => Some("failures.restart"),
                    (false, false) => Some("failures.state-in-failure-restarts"),
                    (false, true) => None,
                };
            }
            _ => {}
        }
    }

    fn output(&self, watched: &Watched) -> Option<String> {
        let key = watched.key.as_ref()?;
        let service = crate::services::descriptor_pool().get_service_by_name(&key.service)?;
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
        let new = || history(watched.entity_type);
        let history = self.histories.entry(key).or_insert_with(new);
        match reply.failure() {
            Some(_) => history.refuse(reply, "failures.failed-reply-not-persisted"),
            None => history.keep(reply, entry.seq),
        }
    }

    /// A message that violated the protocol has no effect; a lone snapshot is merely ignored.
    fn keep_nothing(&mut self, watched: &mut Watched, reply: &Reply) {
        let Some(key) = watched.key.clone() else {
            return;
        };
        let lone = reply.snapshot.is_some() && reply.events.is_empty() && reply.failure().is_none();
        let failed = reply.failure();
        let why = match failed {
            Some(_) => "failures.failed-reply-not-persisted",
            None => "failures.violation-has-no-effect",
        };
        let new = || history(watched.entity_type);
        self.histories
            .entry(key)
            .or_insert_with(new)
            .refuse(reply, why);
        // What a failed reply shouldn't have is no violation for the proxy: the stream goes on, or to its restart.
        if failed.is_some() || lone {
            watched.tainted = false;
        }
    }
}

/// The client's call that a side effect or forward comes from; an effect's own reply is nobody's answer.
fn script_root(script: &crate::script::Script, mut call: usize) -> usize {
    loop {
        match script.calls[call].origin {
            Origin::Client
            | Origin::Effect {
                synchronous: false, ..
            } => return call,
            Origin::Effect { parent, .. }
            | Origin::Forward { parent }
            | Origin::Element { parent } => call = parent,
        }
    }
}
