//! The rules of a stateful entity's stream, for both of its ends. What is special to an entity type is what it
//! stores: its [`StateRules`] and [`History`].

mod function;
mod proxy;

use super::history::{History, Replayed, StateRules};
use super::{event_sourced, value_entity};
use crate::judge::collector::Collector;
use crate::judge::evaluation::Evaluation;
use crate::party::Party;
use crate::protocol::{EntityType, Key};
use crate::requirement::RequirementName;
use crate::script::{MoveKind, Origin, Script};
use crate::transcript::{Entry, Hop, Lost, StreamId, What};
use prost_types::Any;
use std::collections::BTreeMap;

/// Walks the transcript once.
pub(super) fn check(collector: &mut Collector<'_>) {
    let entries = &collector.case.transcript.entries;
    let mut monitor = Monitor {
        collector,
        streams: BTreeMap::new(),
        histories: BTreeMap::new(),
    };
    for entry in entries {
        monitor.entry(entry);
    }
}

/// One stream as it should be.
#[derive(Debug)]
struct EntityStream {
    entity_type: EntityType,
    rules: &'static dyn StateRules,
    key: Option<Key>,
    /// No message of the proxy came yet.
    first: bool,
    replayed: Replayed,
    /// The replay was compared with what is stored.
    checked: bool,
    last_id: i64,
    outstanding: Option<i64>,
    /// The last command's name.
    method: String,
    emitted: Vec<Any>,
    /// When the last reply came, if it failed its command.
    refused_at: Option<u64>,
    /// The last reply asked for a restart, and by which requirement.
    restart: Option<RequirementName>,
    half_closed: bool,
    ended: bool,
    failed: bool,
    /// The kit departed from the rules as scripted: only the chart speaks.
    exempt: bool,
}

impl EntityStream {
    fn new(entity_type: EntityType, rules: &'static dyn StateRules) -> EntityStream {
        EntityStream {
            entity_type,
            rules,
            key: None,
            first: true,
            replayed: Replayed::default(),
            checked: false,
            last_id: 0,
            outstanding: None,
            method: String::new(),
            emitted: Vec::new(),
            refused_at: None,
            restart: None,
            half_closed: false,
            ended: false,
            failed: false,
            exempt: false,
        }
    }
}

struct Monitor<'a, 'b> {
    collector: &'a mut Collector<'b>,
    streams: BTreeMap<StreamId, EntityStream>,
    histories: BTreeMap<Key, Box<dyn History>>,
}

impl Monitor<'_, '_> {
    fn entry(&mut self, entry: &Entry) {
        self.lost(entry);
        let Some(stream) = entry.stream else { return };
        if entry.hop == Some(Hop::Front) {
            return self.front(entry);
        }
        if let What::Open { path, .. } = &entry.what {
            return self.open(entry, stream, path);
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

    /// A process or a connection is gone.
    fn lost(&mut self, entry: &Entry) {
        match (&entry.what, entry.from) {
            (What::Killed, Party::Proxy) => {
                let histories = self.histories.values_mut();
                histories.for_each(|history| history.killed());
            }
            (
                What::Killed
                | What::Fault {
                    lost: Lost::Connection,
                    ..
                },
                Party::Function,
            ) => {
                let streams = self.streams.values_mut();
                streams.for_each(|watched| watched.ended = true);
            }
            _ => {}
        }
    }

    /// A new stream between proxy and function.
    fn open(&mut self, entry: &Entry, stream: StreamId, path: &str) {
        let Some(entity_type) = EntityType::of_path(path) else {
            return;
        };
        let rules: &'static dyn StateRules = match entity_type {
            EntityType::EventSourced => &event_sourced::EventSourcedRules,
            EntityType::Value => &value_entity::ValueRules,
            EntityType::Crdt => {
                let text = format!("the stream of {} is not judged yet", entity_type.noun());
                return self.collector.fault(entry.seq, text);
            }
            // Its calls have invariants of their own.
            EntityType::Action => return,
        };
        let watched = EntityStream::new(entity_type, rules);
        self.streams.insert(stream, watched);
    }

    /// A client was answered: the replies up to now to its command took effect.
    fn front(&mut self, entry: &Entry) {
        let answered = matches!(entry.what, What::End { trailers: true, .. });
        if !answered || entry.by_kit {
            return;
        }
        let play = self.collector.case.play;
        let script = self.collector.case.script;
        let mut all = play.aligned().iter();
        let Some(aligned) = all.find(|aligned| aligned.entry == entry.seq) else {
            return;
        };
        let MoveKind::Return(call) = script.moves[aligned.index].kind else {
            return;
        };
        for other in play.aligned() {
            if let MoveKind::Answer(answered) = script.moves[other.index].kind
                && client_call(script, answered) == call
            {
                let histories = self.histories.values_mut();
                histories.for_each(|history| history.confirm(&|entry| entry == other.entry));
            }
        }
    }

    /// A rule for the sender of an entry, its premise true.
    fn rule(&mut self, entry: &Entry, watched: &mut EntityStream, rule: Evaluation) {
        let blame = match entry.from {
            Party::Function => Party::Function,
            Party::Proxy | Party::Client => Party::Proxy,
        };
        let exempt = &mut watched.exempt;
        self.collector.rule(exempt, blame, entry.seq, rule);
    }
}

/// The client's call that a side effect or forward comes from; an effect's own reply is nobody's answer.
fn client_call(script: &Script, mut call: usize) -> usize {
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
