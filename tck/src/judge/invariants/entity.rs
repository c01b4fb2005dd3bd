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
use crate::requirement::{RequirementName, names};
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
    fn refuse(&mut self, reply: &Reply, why: RequirementName);
    /// The proxy was killed: what it gives back next is what it had made durable.
    fn killed(&mut self);
    /// The replies at these entries took effect.
    fn confirm(&mut self, is: &dyn Fn(u64) -> bool);
    /// Is the replay what is stored? Each rule whose premise holds, with what is wrong.
    fn compare(&self, replay: &Replay) -> Vec<(RequirementName, Problem)>;
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
fn reply_rules(
    entity_type: EntityType,
    reply: &Reply,
) -> Vec<(RequirementName, bool, &'static str)> {
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
    restart: Option<RequirementName>,
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
        name: RequirementName,
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
                self.rule(watched, names::COMMANDS_INIT_FIRST, init || !first, || {
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
                        self.rule(watched, names::COMMANDS_INIT_FIRST, false, || {
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
                    names::PASSIVATION_QUEUE_FIRST,
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
                    self.bench.covered(names::COMMANDS_STREAM_STAYS_OPEN);
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
        self.rule(watched, names::COMMANDS_INIT_ONCE, first, || {
            at(
                entry.seq,
                Party::Proxy,
                "the proxy sent init a second time on a stream",
            )
        });
        let known = crate::model::oracle::Entity::new(&key.service).is_some();
        self.rule(
            watched,
            names::COMMANDS_INIT_IDENTIFIES_ENTITY,
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
        self.rule(watched, names::COMMANDS_ONE_STREAM, !open, || {
            let text =
                format!("the proxy opened a stream for {key} though an earlier one has not ended");
            at(entry.seq, Party::Proxy, text)
        });
        if watched.entity_type == EntityType::Value {
            self.rule(
                watched,
                names::VALUE_ENTITIES_INIT_STATE_PRESENT,
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
            names::EVENT_SOURCED_EMITTED_EVENTS_NOT_ECHOED
        } else {
            names::EVENT_SOURCED_REPLAY_BEFORE_COMMANDS
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
            names::EVENT_SOURCED_SNAPSHOT_THEN_LATER_EVENTS
        } else {
            names::EVENT_SOURCED_SEQUENCE_WITHOUT_GAPS
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
        self.rule(watched, names::COMMANDS_DELIVERED_ONCE, !again, || {
            at(
                entry.seq,
                Party::Proxy,
                format!("the command {} is delivered a second time", command.id),
            )
        });
        self.rule(
            watched,
            names::COMMANDS_IDS_FROM_ONE,
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
            self.rule(watched, names::COMMANDS_ONE_OUTSTANDING, free, || {
                at(
                    entry.seq,
                    Party::Proxy,
                    "the proxy sent a command though an earlier one is not answered",
                )
            });
            let name = watched.restart.unwrap_or(names::FAILURES_RESTART);
            let restart = watched.restart.is_some();
            self.rule(watched, name, !restart, || {
                let text = match name {
                    names::FAILURES_RESTART => "whose function asked for a restart",
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
            names::COMMANDS_COMMAND_FOR_THE_STREAMS_ENTITY,
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
                names::ENTITY_KEYS_SCOPED_BY_PERSISTENCE_ID
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
                self.rule(watched, names::COMMANDS_MESSAGE_SET, set, || {
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
                        true => names::FAILURES_ENTITY_SURVIVES,
                        false => names::COMMANDS_STREAM_STAYS_OPEN,
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
                        names::PASSIVATION_FUNCTION_COMPLETES,
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
            names::COMMANDS_ANSWER_ONCE
        } else {
            names::COMMANDS_ANSWER_ID
        };
        self.rule(
            watched,
            names::COMMANDS_ANSWER_ONCE,
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
            names::COMMANDS_CLIENT_ACTION_PRESENT,
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
                self.rule(watched, names::COMMANDS_REPLY_TYPE, url == expected, || {
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
                    names::FAILURES_FAILURE_COMMAND_ID,
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
                    names::FAILURES_FAILURE_CARRIES_NO_STATE,
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
                    names::FAILURES_FAILURE_CARRIES_NO_EFFECTS,
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
                    (true, _) => Some(names::FAILURES_RESTART),
                    (false, false) => Some(names::FAILURES_STATE_IN_FAILURE_RESTARTS),
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
                names::PAYLOADS_PROTOBUF_TYPE_URL,
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
            Some(_) => history.refuse(reply, names::FAILURES_FAILED_REPLY_NOT_PERSISTED),
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
            Some(_) => names::FAILURES_FAILED_REPLY_NOT_PERSISTED,
            None => names::FAILURES_VIOLATION_HAS_NO_EFFECT,
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
