//! (4)(5) Play: a pure state machine. Chart, role and the entries so far give the next acts.
//!
//! The cast does what [`Play::next`] says and tells it everything that was recorded, its own acts included; the
//! judge feeds the same machine a transcript. Entries are aligned with the moves of the script by their *kind*
//! and by whom they belong to, never by their contents: contents are the judge's.
//!
//! The life cycle of an entity's stream (opening, init, replay, command ids, restart, passivation) is in no
//! chart: it is derived here, from what was seen.

mod action;
mod command;
mod draft;
mod issue;
mod observe;
mod oracle;
mod own;
#[cfg(test)]
pub(crate) mod simulation;
mod stream;

pub use draft::Act;
pub use stream::{Activation, Exchange, QUIET, StreamState, Track, is_soon_after};

use crate::party::{Party, Role};
use crate::protocol::EntityType;
use crate::protocol::{Key, Reply, Stored};
use crate::requirement::RequirementName;
use crate::scenario::message::Scope;
use crate::scenario::replay::replay_of;
use crate::script::{MoveKind, Place, Script};
use crate::transcript::{Entry, StreamId, What};
use crate::yaml::Node;
use bytes::Bytes;
use draft::{Deed, Draft, DraftTarget, Queued};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// An entry that is a move of the script.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// Index into [`Script::moves`].
    pub index: usize,
    /// The entry's number.
    pub entry: u64,
    /// Of a command or an answer: the command's id on its stream.
    pub command_id: i64,
    /// Of the first command on a stream: what was replayed before it.
    pub activation: Option<Activation>,
}

/// Why a play ended before its chart did.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// A message of a kind that nobody waits for, or an end.
    Unexpected {
        /// The entry.
        entry: u64,
        /// Its sender.
        from: Party,
        /// What it is.
        text: String,
        /// The move that was awaited.
        awaited: Option<usize>,
        /// What it breaks, where that needs no other knowledge.
        breaks: Option<RequirementName>,
    },
    /// A deadline passed.
    Silence {
        /// The deadline's entry.
        entry: u64,
        /// The move that was awaited; `None`: the end of the function's side of a stream.
        awaited: Option<usize>,
    },
    /// The kit can't go on; its own fault, or the scenario's.
    Broken(String),
}

/// The state machine.
#[derive(Debug)]
pub struct Play {
    script: Arc<Script>,
    done: Vec<Option<u64>>,
    /// How many aren't made.
    open: usize,
    /// Of these, those whose time has come.
    ready: BTreeSet<usize>,
    /// Which moves come after each.
    followers: Vec<Vec<usize>>,
    issued: Vec<bool>,
    queue: VecDeque<Queued>,
    streams: BTreeMap<StreamId, StreamState>,
    /// The live stream of an entity.
    current: BTreeMap<Key, StreamId>,
    fronts: BTreeMap<usize, StreamId>,
    /// Where a call's command went.
    backs: BTreeMap<usize, StreamId>,
    /// The last call of `discover` or `reportError` that the kit made.
    unary: Option<StreamId>,
    /// Entities whose last stream the proxy reset: that is no passivation.
    reset: BTreeSet<Key>,
    /// Entities whose last stream ended in order while they were idle.
    asleep: BTreeSet<Key>,
    stored: BTreeMap<Key, Stored>,
    /// What the model answers to calls that the chart leaves to it.
    expected: BTreeMap<usize, Reply>,
    /// Calls whose commands crossed with the end of their streams.
    lost: BTreeSet<usize>,
    aligned: Vec<Aligned>,
    stop: Option<Stop>,
}

impl Play {
    /// At the beginning.
    pub fn new(script: Arc<Script>) -> Play {
        let moves = script.moves.len();
        let mut play = Play {
            script,
            done: vec![None; moves],
            open: moves,
            ready: BTreeSet::new(),
            followers: vec![Vec::new(); moves],
            issued: vec![false; moves],
            queue: VecDeque::new(),
            streams: BTreeMap::new(),
            current: BTreeMap::new(),
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            unary: None,
            reset: BTreeSet::new(),
            asleep: BTreeSet::new(),
            stored: BTreeMap::new(),
            expected: BTreeMap::new(),
            lost: BTreeSet::new(),
            aligned: Vec::new(),
            stop: None,
        };
        for index in 0..moves {
            for &before in &play.script.moves[index].after {
                play.followers[before].push(index);
            }
            if play.enabled(index) {
                play.ready.insert(index);
            }
        }
        play.advance();
        play
    }

    /// What is played.
    pub fn script(&self) -> &Arc<Script> {
        &self.script
    }

    /// The entries that are moves, in the order in which they came.
    pub fn aligned(&self) -> &[Aligned] {
        &self.aligned
    }

    /// Why it ended early.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// What is known of a stream.
    pub fn stream(&self, stream: StreamId) -> Option<&StreamState> {
        self.streams.get(&stream)
    }

    /// The entity type of what travels on a stream between proxy and function.
    pub fn entity_type(&self, stream: StreamId) -> Option<EntityType> {
        match self.streams.get(&stream)? {
            StreamState::Entity(track) => Some(track.entity_type),
            StreamState::Action(_) => Some(EntityType::Action),
            _ => None,
        }
    }

    /// The front stream of a call.
    pub fn front(&self, call: usize) -> Option<&StreamState> {
        self.streams.get(self.fronts.get(&call)?)
    }

    /// The entry at which a move was made.
    pub fn entry_of(&self, index: usize) -> Option<u64> {
        self.done[index]
    }

    /// Everything happened, or nothing more can be waited for.
    pub fn is_over(&self) -> bool {
        self.stop.is_some()
            || (self.queue.is_empty() && self.awaited().is_none() && !self.closing())
    }

    /// Moves that were not reached.
    pub fn unreached(&self) -> usize {
        self.done.iter().filter(|done| done.is_none()).count()
    }

    /// The next act of the kit; the same until its entry was observed.
    pub fn next(&self) -> Option<Act> {
        if self.stop.is_some() {
            return None;
        }
        self.act(&self.queue.front()?.draft)
    }

    /// The first move that somebody else has to make now.
    pub fn awaited(&self) -> Option<usize> {
        self.ready.first().copied()
    }

    /// What is awaited, for a person.
    pub fn waits_for(&self) -> String {
        match self.awaited() {
            Some(index) => self.script.describe(index),
            None => "the function to complete its side of a half-closed stream".to_owned(),
        }
    }

    /// One more entry: received, or the kit's own act.
    pub fn observe(&mut self, entry: &Entry) {
        if self.stop.is_some() {
            return;
        }
        match &entry.what {
            What::Deadline { .. } => {
                self.stop = Some(Stop::Silence {
                    entry: entry.seq,
                    awaited: self.awaited(),
                });
            }
            What::Killed | What::Started => self.own(entry),
            _ if entry.by_kit => self.own(entry),
            _ => self.received(entry),
        }
        self.advance();
    }

    fn enabled(&self, index: usize) -> bool {
        self.script.moves[index]
            .after
            .iter()
            .all(|before| self.done[*before].is_some())
    }

    /// In the sdk role every stream is ended properly, which proves that nothing more was sent on it.
    fn closing(&self) -> bool {
        self.script.role == Role::Sdk && self.tracks().any(|(_, track)| !track.function_done)
    }

    fn tracks(&self) -> impl Iterator<Item = (StreamId, &Track)> {
        self.streams.iter().filter_map(|(id, stream)| match stream {
            StreamState::Entity(track) => Some((*id, track.as_ref())),
            _ => None,
        })
    }

    fn track(&mut self, stream: StreamId) -> Option<&mut Track> {
        match self.streams.get_mut(&stream) {
            Some(StreamState::Entity(track)) => Some(track),
            _ => None,
        }
    }

    /// The open stream that a raw step means, and whether its proxy is done.
    fn at(&self, place: &Place) -> Option<StreamId> {
        match place {
            Place::Entity(_, key) => self.live(key).map(|(stream, _)| stream),
            Place::Call(call) => {
                let stream = *self.backs.get(call)?;
                match self.streams.get(&stream) {
                    Some(StreamState::Action(exchange)) if !exchange.function_done => Some(stream),
                    _ => None,
                }
            }
        }
    }

    fn live(&self, key: &Key) -> Option<(StreamId, &Track)> {
        let stream = *self.current.get(key)?;
        match self.streams.get(&stream) {
            Some(StreamState::Entity(track)) => Some((stream, track)),
            _ => None,
        }
    }

    /// Which sides of a stream between proxy and function are done: the proxy's, the function's.
    fn sides(&mut self, stream: StreamId) -> Option<(&mut bool, &mut bool)> {
        match self.streams.get_mut(&stream)? {
            StreamState::Entity(track) => Some((&mut track.proxy_done, &mut track.function_done)),
            StreamState::Action(exchange) => {
                Some((&mut exchange.proxy_done, &mut exchange.function_done))
            }
            _ => None,
        }
    }

    /// The number of the last entry that was a move.
    fn now(&self) -> u64 {
        self.aligned.last().map_or(0, |aligned| aligned.entry)
    }

    fn push(&mut self, draft: Draft, owner: Option<usize>) {
        self.queue.push_back(Queued { draft, owner });
    }

    /// An act of this party on this stream.
    fn push_on(&mut self, from: Party, stream: StreamId, deed: Deed, owner: Option<usize>) {
        self.push(Draft::On(DraftTarget::Stream(from, stream), deed), owner);
    }

    /// Issues the kit's moves whose time has come.
    fn advance(&mut self) {
        let mut before = usize::MAX;
        // What is issued can make others ready, those before it too.
        while self.open < before {
            before = self.open;
            self.issue_ready();
        }
        let over = self.queue.is_empty() && self.open == 0;
        if over && self.script.role == Role::Sdk && self.stop.is_none() {
            let open: Vec<StreamId> = self
                .tracks()
                .filter(|(_, t)| !t.proxy_done && !t.function_done)
                .map(|(id, _)| id)
                .collect();
            for stream in open {
                self.push_on(Party::Proxy, stream, Deed::HalfClose, None);
            }
        }
    }

    fn issue_ready(&mut self) {
        let script = self.script.clone();
        let mut next = 0;
        while let Some(&index) = self.ready.range(next..).next() {
            next = index + 1;
            let ours = script.moves[index].by_kit(script.role);
            // The proxy passivated the entity before the chart got there: it may, at any time.
            if let MoveKind::HalfClose(key) = &script.moves[index].kind
                && !ours
                && self.live(key).is_none()
                && !self.reset.contains(key)
            {
                self.passive(index, key);
            }
            if ours && !self.issued[index] && self.stop.is_none() {
                self.issued[index] = self.issue(index);
            }
        }
    }

    /// A move is made, or needn't be any more; those that waited for it may be next.
    fn made(&mut self, index: usize, entry: u64) {
        if self.done[index].replace(entry).is_none() {
            self.open -= 1;
        }
        self.issued[index] = true;
        self.ready.remove(&index);
        for follower in std::mem::take(&mut self.followers[index]) {
            if self.done[follower].is_none() && self.enabled(follower) {
                self.ready.insert(follower);
            }
        }
    }

    fn complete(&mut self, index: usize, entry: u64, command_id: i64) {
        self.made(index, entry);
        let activation = match &self.script.moves[index].kind {
            MoveKind::Command(call) => {
                let stream = self.backs.get(call).copied();
                stream
                    .and_then(|stream| self.track(stream))
                    .filter(|track| track.commands == 1)
                    .map(|track| track.activation.clone())
            }
            _ => None,
        };
        self.aligned.push(Aligned {
            index,
            entry,
            command_id,
            activation,
        });
    }

    /// The move of this kind that was awaited; one whose time has come goes before one whose time has not.
    fn find(&self, is: impl Fn(&MoveKind) -> bool) -> Option<usize> {
        let open =
            |index: &usize| self.done[*index].is_none() && is(&self.script.moves[*index].kind);
        let ready = self.ready.iter().copied().find(|index| open(index));
        ready.or_else(|| (0..self.done.len()).find(open))
    }

    fn align(&mut self, entry: &Entry, is: impl Fn(&MoveKind) -> bool) -> bool {
        let found = self.find(is);
        if let Some(index) = found {
            self.complete(index, entry.seq, 0);
        }
        found.is_some()
    }

    fn unexpected(&mut self, entry: &Entry, text: impl Into<String>) {
        self.breaks(entry, text, None);
    }

    fn breaks(&mut self, entry: &Entry, text: impl Into<String>, breaks: Option<RequirementName>) {
        let awaited = self.awaited();
        let (entry, from, text) = (entry.seq, entry.from, text.into());
        self.stop.get_or_insert(Stop::Unexpected {
            entry,
            from,
            text,
            awaited,
            breaks,
        });
    }

    fn broken(&mut self, text: String) -> Bytes {
        self.stop.get_or_insert(Stop::Broken(text));
        Bytes::new()
    }

    /// What a chart says must be replayed, as what is stored.
    fn read_replay(&mut self, node: &Node) -> Option<Stored> {
        let script = self.script.clone();
        let scope = Scope {
            package: &script.package,
            bindings: &script.bindings,
        };
        match replay_of(node, &scope) {
            Ok(stored) => stored,
            Err(text) => {
                self.broken(text);
                None
            }
        }
    }
}
