//! (4)(5) Play: a pure state machine. Chart, role and the entries so far give the next acts.
//!
//! The cast does what [`Play::next`] says and tells it everything that was recorded, its own acts included; the
//! judge feeds the same machine a transcript. Entries are aligned with the moves of the script by their *kind*
//! and by whom they belong to, never by their contents: contents are the judge's.
//!
//! The life cycle of an entity's stream (opening, init, replay, command ids, restart, passivation) is in no
//! chart: it is derived here, from what was seen.

pub mod expand;
pub mod protocol;
pub mod script;

use crate::model::event_sourced::Entity;
use crate::scenario::message::{self, Scope};
use crate::scenario::{Node, Party, Role};
use crate::transcript::{Entry, Hop, StreamId, What};
use bytes::Bytes;
use cloudstate_protocol::cloudstate as common;
use prost::Message as _;
use prost_types::Any;
use protocol::{FromFunction, FromProxy, Stored};
use script::{Key, MoveKind, Script};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What the kit does next. Each act becomes one entry of the transcript.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Begin a call.
    Open {
        /// Client or proxy.
        from: Party,
        /// Front or back.
        hop: Hop,
        /// Its path.
        path: String,
        /// Its headers.
        metadata: Vec<(String, String)>,
    },
    /// Send one message.
    Send {
        /// Who.
        from: Party,
        /// On which stream.
        stream: StreamId,
        /// What.
        bytes: Bytes,
    },
    /// The caller is done.
    HalfClose {
        /// Who.
        from: Party,
        /// On which stream.
        stream: StreamId,
    },
    /// The called ends the call.
    End {
        /// On which stream.
        stream: StreamId,
        /// gRPC status code.
        code: i32,
        /// Its message.
        message: String,
    },
    /// Reset the stream.
    Reset {
        /// Who.
        from: Party,
        /// Which stream.
        stream: StreamId,
    },
    /// Kill the process of a party.
    Kill(Party),
    /// Start the process of a party.
    Start(Party),
}

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

/// What a stream began with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activation {
    /// The snapshot in init.
    pub snapshot: Option<(i64, Any)>,
    /// The replayed events with their sequence numbers.
    pub events: Vec<(i64, Any)>,
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

/// What the play knows of one stream.
#[derive(Clone, Debug)]
pub enum Stream {
    /// A client's call.
    Front {
        /// Index into [`Script::calls`].
        call: usize,
        /// Entries of the messages that came back.
        messages: Vec<u64>,
        /// Entry of the response headers.
        headers: Option<u64>,
    },
    /// An entity's stream.
    Entity(Box<Track>),
    /// A call of `discover`.
    Discover,
    /// A call of `reportError`.
    Report,
    /// A path that the protocol doesn't know.
    Other(String),
}

/// An entity's stream.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Whose it is; known from init on.
    pub key: Option<Key>,
    /// The highest command id so far.
    pub last_id: i64,
    /// The command that waits for its answer: id and call.
    pub outstanding: Option<(i64, usize)>,
    /// What it began with.
    pub activation: Activation,
    commands: usize,
    proxy_done: bool,
    function_done: bool,
    initialised: bool,
    /// The state of the model, where the kit plays the function.
    model: Option<Entity>,
}

impl Track {
    /// It began with a replay, and its first command isn't answered.
    pub fn at_first_command_of_a_replay(&self) -> bool {
        let replay = self.activation.snapshot.is_some() || !self.activation.events.is_empty();
        replay && self.commands <= 1
    }
}

#[derive(Debug)]
struct Queued {
    draft: Draft,
    /// The move that is made when this act is done.
    owner: Option<usize>,
}

#[derive(Debug)]
enum Draft {
    OpenFront(usize),
    SendFront(usize),
    HalfCloseFront(usize),
    OpenEntity(Key),
    /// On the entity's current stream.
    SendEntity(Key, Bytes),
    /// A call of `discover` or `reportError`.
    OpenUnary(&'static str),
    SendUnary(Bytes),
    HalfCloseUnary,
    Send(Party, StreamId, Bytes),
    HalfClose(StreamId),
    End(StreamId, i32, String),
    Reset(Party, StreamId),
    Kill(Party),
    Start(Party),
}

/// The state machine.
#[derive(Debug)]
pub struct Play {
    script: Arc<Script>,
    done: Vec<Option<u64>>,
    issued: Vec<bool>,
    queue: VecDeque<Queued>,
    streams: BTreeMap<StreamId, Stream>,
    /// The live stream of an entity.
    current: BTreeMap<Key, StreamId>,
    fronts: BTreeMap<usize, StreamId>,
    /// Where a call's command went.
    backs: BTreeMap<usize, StreamId>,
    /// The last call of `discover` or `reportError` that the kit made.
    unary: Option<StreamId>,
    /// Entities whose last stream the proxy reset: that is no passivation.
    reset: BTreeSet<Key>,
    stored: BTreeMap<Key, Stored>,
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
            issued: vec![false; moves],
            queue: VecDeque::new(),
            streams: BTreeMap::new(),
            current: BTreeMap::new(),
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            unary: None,
            reset: BTreeSet::new(),
            stored: BTreeMap::new(),
            aligned: Vec::new(),
            stop: None,
        };
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
    pub fn stream(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(&stream)
    }

    /// The front stream of a call.
    pub fn front(&self, call: usize) -> Option<&Stream> {
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
        (0..self.done.len()).find(|&index| self.done[index].is_none() && self.enabled(index))
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
            Stream::Entity(track) => Some((*id, track.as_ref())),
            _ => None,
        })
    }

    fn track(&mut self, stream: StreamId) -> Option<&mut Track> {
        match self.streams.get_mut(&stream) {
            Some(Stream::Entity(track)) => Some(track),
            _ => None,
        }
    }

    fn live(&self, key: &Key) -> Option<(StreamId, &Track)> {
        let stream = *self.current.get(key)?;
        match self.streams.get(&stream) {
            Some(Stream::Entity(track)) => Some((stream, track)),
            _ => None,
        }
    }

    // === What the kit does ===

    fn act(&self, draft: &Draft) -> Option<Act> {
        let from = Party::Client;
        let front = |call: &usize| self.fronts.get(call).copied();
        Some(match draft {
            Draft::OpenFront(call) => {
                let call = &self.script.calls[*call];
                let (path, metadata) = (call.path.clone(), call.metadata.clone());
                Act::Open {
                    from,
                    hop: Hop::Front,
                    path,
                    metadata,
                }
            }
            Draft::SendFront(call) => {
                let bytes = self.script.calls[*call].payload.clone();
                Act::Send {
                    from,
                    stream: front(call)?,
                    bytes,
                }
            }
            Draft::HalfCloseFront(call) => Act::HalfClose {
                from,
                stream: front(call)?,
            },
            Draft::OpenEntity(_) => back(protocol::EVENT_SOURCED),
            Draft::SendEntity(key, bytes) => {
                let stream = *self.current.get(key)?;
                Act::Send {
                    from: Party::Proxy,
                    stream,
                    bytes: bytes.clone(),
                }
            }
            Draft::OpenUnary(path) => back(path),
            Draft::SendUnary(bytes) => Act::Send {
                from: Party::Proxy,
                stream: self.unary?,
                bytes: bytes.clone(),
            },
            Draft::HalfCloseUnary => Act::HalfClose {
                from: Party::Proxy,
                stream: self.unary?,
            },
            Draft::Send(from, stream, bytes) => Act::Send {
                from: *from,
                stream: *stream,
                bytes: bytes.clone(),
            },
            Draft::HalfClose(stream) => Act::HalfClose {
                from: Party::Proxy,
                stream: *stream,
            },
            Draft::End(stream, code, message) => Act::End {
                stream: *stream,
                code: *code,
                message: message.clone(),
            },
            Draft::Reset(from, stream) => Act::Reset {
                from: *from,
                stream: *stream,
            },
            Draft::Kill(party) => Act::Kill(*party),
            Draft::Start(party) => Act::Start(*party),
        })
    }

    fn unary(&mut self, path: &'static str, bytes: Bytes, owner: Option<usize>) {
        self.push(Draft::OpenUnary(path), None);
        self.push(Draft::SendUnary(bytes), None);
        self.push(Draft::HalfCloseUnary, owner);
    }

    fn push(&mut self, draft: Draft, owner: Option<usize>) {
        self.queue.push_back(Queued { draft, owner });
    }

    /// Issues the kit's moves whose time has come.
    fn advance(&mut self) {
        for index in 0..self.done.len() {
            let ours = self.script.moves[index].by_kit(self.script.role);
            // The proxy passivated the entity before the chart got there: it may, at any time.
            if let MoveKind::HalfClose(key) = self.script.moves[index].kind.clone()
                && !ours
                && self.done[index].is_none()
                && self.enabled(index)
                && self.live(&key).is_none()
                && !self.reset.contains(&key)
            {
                self.passive(index, &key);
            }
            if ours && !self.issued[index] && self.enabled(index) && self.stop.is_none() {
                self.issued[index] = self.issue(index);
            }
        }
        let over = self.done.iter().all(Option::is_some) && self.queue.is_empty();
        if over && self.script.role == Role::Sdk && self.stop.is_none() {
            let open: Vec<StreamId> = self
                .tracks()
                .filter(|(_, t)| !t.proxy_done && !t.function_done)
                .map(|(id, _)| id)
                .collect();
            for stream in open {
                self.push(Draft::HalfClose(stream), None);
            }
        }
    }

    /// Queues the acts of a move; `false`: its stream isn't ready yet.
    fn issue(&mut self, index: usize) -> bool {
        let script = self.script.clone();
        let owner = Some(index);
        match &script.moves[index].kind {
            MoveKind::Request(call) => {
                self.push(Draft::OpenFront(*call), None);
                self.push(Draft::SendFront(*call), None);
                self.push(Draft::HalfCloseFront(*call), owner);
            }
            MoveKind::Command(call) => return self.issue_command(*call, index),
            MoveKind::Answer(call) => return self.issue_answer(*call, index),
            MoveKind::HalfClose(key) => match self.live(key) {
                Some((stream, track)) if !track.proxy_done => {
                    self.push(Draft::HalfClose(stream), owner);
                }
                Some(_) => return false,
                // It has ended by itself, for instance after a restart: that is as passive as can be.
                None => self.passive(index, key),
            },
            // Queued when the half-close comes.
            MoveKind::Complete(_) => {
                return self.done[index].is_some();
            }
            MoveKind::Message { from, key, node } => {
                let name = if *from == Party::Proxy {
                    protocol::IN
                } else {
                    protocol::OUT
                };
                let bytes = self.build(node, name);
                return self.issue_raw(*from, key, bytes, index);
            }
            MoveKind::Bytes { from, key, bytes } => {
                return self.issue_raw(*from, key, bytes.clone(), index);
            }
            MoveKind::Ends { from, key, status } => match (self.live(key), from) {
                (Some((stream, _)), Party::Proxy) => self.push(Draft::HalfClose(stream), owner),
                (Some((stream, _)), _) => {
                    let (code, message) = end_status(status.as_ref());
                    self.push(Draft::End(stream, code, message), owner);
                }
                (None, _) => return false,
            },
            MoveKind::Resets { from, key } => match self.live(key) {
                Some((stream, _)) => self.push(Draft::Reset(*from, stream), owner),
                None => return false,
            },
            MoveKind::Fails { key, .. } => match self.live(key) {
                Some((stream, _)) => {
                    self.push(Draft::End(stream, 13, "the kit fails".into()), owner)
                }
                None => return false,
            },
            MoveKind::Discover(info) => {
                let bytes = match info {
                    Some(node) => self.build(node, "cloudstate.ProxyInfo"),
                    None => Bytes::from(crate::cast::proxy_info().encode_to_vec()),
                };
                self.unary(protocol::DISCOVER, bytes, owner);
            }
            // The kit's function answers discover and reportError by itself, outside the chart.
            MoveKind::Spec(_) => {
                self.complete(index, self.aligned.last().map_or(0, |a| a.entry), 0)
            }
            MoveKind::Reported(text) => {
                let node = Node::map(
                    script.scenario.span,
                    [(
                        "message",
                        text.clone()
                            .unwrap_or_else(|| Node::text(script.scenario.span, "a report")),
                    )],
                );
                let bytes = self.build(&node, "cloudstate.UserFunctionError");
                self.unary(protocol::REPORT_ERROR, bytes, owner);
            }
            MoveKind::Return(_) | MoveKind::Acknowledged => {}
            MoveKind::Kill(party) => self.push(Draft::Kill(*party), owner),
            MoveKind::Start(party) => self.push(Draft::Start(*party), owner),
        }
        true
    }

    fn passive(&mut self, index: usize, key: &Key) {
        let entry = self.aligned.last().map_or(0, |aligned| aligned.entry);
        self.complete(index, entry, 0);
        let completes = self.find(|kind| matches!(kind, MoveKind::Complete(k) if k == key));
        if let Some(completes) = completes.filter(|c| self.script.moves[*c].after.contains(&index))
        {
            self.complete(completes, entry, 0);
        }
    }

    fn issue_command(&mut self, call: usize, index: usize) -> bool {
        let script = self.script.clone();
        let plan = &script.calls[call];
        let Some(key) = plan.key.clone() else {
            return true;
        };
        let replay = plan.replay.as_ref().and_then(|node| self.read_replay(node));
        let id = match self.live(&key) {
            Some((_, track)) if track.proxy_done || track.function_done => return false,
            Some((_, track)) if track.initialised => track.last_id + 1,
            _ => {
                let stored =
                    replay.unwrap_or_else(|| self.stored.get(&key).cloned().unwrap_or_default());
                if !self.current.contains_key(&key) {
                    self.push(Draft::OpenEntity(key.clone()), None);
                }
                for message in protocol::activation(&key, &stored) {
                    self.push(Draft::SendEntity(key.clone(), message.into()), None);
                }
                self.stored.insert(key.clone(), stored);
                1
            }
        };
        let bytes = protocol::command(plan, id).into();
        self.push(Draft::SendEntity(key, bytes), Some(index));
        true
    }

    fn issue_answer(&mut self, call: usize, index: usize) -> bool {
        let script = self.script.clone();
        let plan = &script.calls[call];
        let Some(&stream) = self.backs.get(&call) else {
            return false;
        };
        let Some((id, _)) = self.track(stream).and_then(|track| track.outstanding) else {
            return false;
        };
        let bytes = match &plan.answer {
            Some(answer) => {
                let choice = Some(script.choice);
                let node = protocol::answer_node(&script, plan, answer, id, choice);
                self.build(&node, protocol::OUT)
            }
            None => {
                let input = plan.input.as_ref().map_or("", |input| input.full_name());
                let payload = Any {
                    type_url: format!("{}{input}", protocol::PROTOBUF),
                    value: plan.payload.to_vec(),
                };
                let model = self.track(stream).and_then(|track| track.model.as_mut());
                match model.map(|model| model.handle(&plan.method, &payload)) {
                    Some(Ok(outcome)) => protocol::model_reply(outcome, id).into(),
                    _ => self.broken(format!("the model can't answer {}", plan.path)),
                }
            }
        };
        self.push(Draft::Send(Party::Function, stream, bytes), Some(index));
        true
    }

    fn issue_raw(&mut self, from: Party, key: &Key, bytes: Bytes, index: usize) -> bool {
        match (self.live(key), from) {
            (Some((stream, _)), _) => self.push(Draft::Send(from, stream, bytes), Some(index)),
            (None, Party::Proxy) => {
                self.push(Draft::OpenEntity(key.clone()), None);
                self.push(Draft::SendEntity(key.clone(), bytes), Some(index));
            }
            (None, _) => return false,
        }
        true
    }

    fn build(&mut self, node: &Node, name: &str) -> Bytes {
        let script = self.script.clone();
        let scope = Scope {
            package: &script.package,
            bindings: &script.bindings,
        };
        let Some(descriptor) = crate::model::spec::descriptor_pool().get_message_by_name(name)
        else {
            return self.broken(format!("the kit doesn't know {name}"));
        };
        match message::build(node, &descriptor, &scope) {
            Ok(message) => message.encode_to_vec().into(),
            Err(error) => self.broken(error.to_string()),
        }
    }

    fn broken(&mut self, text: String) -> Bytes {
        self.stop.get_or_insert(Stop::Broken(text));
        Bytes::new()
    }

    /// The kit's own act was recorded.
    fn own(&mut self, entry: &Entry) {
        let Some(Queued { draft, owner }) = self.queue.pop_front() else {
            self.broken("the transcript has an act that the chart doesn't ask for".to_owned());
            return;
        };
        if let Some(stream) = entry.stream {
            self.performed(&draft, stream, entry);
        }
        if let Some(index) = owner {
            let id = self.own_command_id(index);
            self.complete(index, entry.seq, id);
        }
    }

    fn performed(&mut self, draft: &Draft, stream: StreamId, entry: &Entry) {
        match draft {
            Draft::OpenFront(call) => {
                self.fronts.insert(*call, stream);
                let front = Stream::Front {
                    call: *call,
                    messages: Vec::new(),
                    headers: None,
                };
                self.streams.insert(stream, front);
            }
            Draft::OpenEntity(key) => {
                let track = Track {
                    key: Some(key.clone()),
                    ..Track::default()
                };
                self.streams.insert(stream, Stream::Entity(Box::new(track)));
                self.current.insert(key.clone(), stream);
            }
            Draft::OpenUnary(path) => {
                self.unary = Some(stream);
                let kind = if *path == protocol::DISCOVER {
                    Stream::Discover
                } else {
                    Stream::Report
                };
                self.streams.insert(stream, kind);
            }
            Draft::SendEntity(..) | Draft::Send(Party::Proxy, ..) => {
                self.sent_as_proxy(stream, entry)
            }
            Draft::Send(Party::Function, ..) => self.sent_as_function(stream, entry),
            Draft::HalfClose(_) | Draft::Reset(Party::Proxy, _) => {
                if let Some(track) = self.track(stream) {
                    track.proxy_done = true;
                    track.function_done |= matches!(draft, Draft::Reset(..));
                }
                if matches!(draft, Draft::Reset(..)) {
                    self.forget(stream);
                }
            }
            Draft::End(..) | Draft::Reset(..) => {
                if let Some(track) = self.track(stream) {
                    track.function_done = true;
                }
                self.forget(stream);
            }
            _ => {}
        }
    }

    fn sent_as_proxy(&mut self, stream: StreamId, entry: &Entry) {
        let What::Message { bytes } = &entry.what else {
            return;
        };
        let read = protocol::read_in(bytes);
        let call = match &read {
            FromProxy::Command(command) => self.queue_owner_call(command),
            _ => None,
        };
        let Some(track) = self.track(stream) else {
            return;
        };
        match read {
            FromProxy::Init { snapshot, .. } => {
                track.initialised = true;
                track.activation.snapshot = snapshot;
            }
            FromProxy::Event { sequence, payload } => {
                track.activation.events.push((sequence, payload));
            }
            FromProxy::Command(command) => {
                track.last_id = track.last_id.max(command.id);
                track.outstanding = call.map(|call| (command.id, call));
                track.commands += 1;
                if let Some(call) = call {
                    self.backs.insert(call, stream);
                }
            }
            FromProxy::Empty | FromProxy::Garbage(_) => {}
        }
    }

    /// In the sdk role: the call whose command was just sent.
    fn queue_owner_call(&self, command: &common::Command) -> Option<usize> {
        (0..self.done.len()).find_map(|index| match &self.script.moves[index].kind {
            MoveKind::Command(call) if self.issued[index] && self.done[index].is_none() => {
                let plan = &self.script.calls[*call];
                let ours = plan
                    .key
                    .as_ref()
                    .is_some_and(|key| key.entity == command.entity_id);
                ours.then_some(*call)
            }
            _ => None,
        })
    }

    fn sent_as_function(&mut self, stream: StreamId, entry: &Entry) {
        let What::Message { bytes } = &entry.what else {
            return;
        };
        let FromFunction::Reply(reply) = protocol::read_out(bytes) else {
            return;
        };
        let Some(track) = self.track(stream) else {
            return;
        };
        let Some((id, call)) = track.outstanding else {
            return;
        };
        if id != reply.command_id {
            return;
        }
        track.outstanding = None;
        // The model answered and changed its state itself; what was written in the chart it has yet to learn.
        if self.script.calls[call].answer.is_some()
            && reply.failure().is_none()
            && let Some(track) = self.track(stream)
            && let Some(model) = &mut track.model
        {
            for event in &reply.events {
                let next = model.sequence() + 1;
                if model.apply(next, event).is_err() {
                    break;
                }
            }
        }
    }

    fn own_command_id(&mut self, index: usize) -> i64 {
        let (MoveKind::Command(call) | MoveKind::Answer(call)) = self.script.moves[index].kind
        else {
            return 0;
        };
        let stream = self.backs.get(&call).copied();
        stream
            .and_then(|stream| self.track(stream))
            .map_or(0, |track| track.last_id)
    }

    // === What others do ===

    fn complete(&mut self, index: usize, entry: u64, command_id: i64) {
        self.done[index] = Some(entry);
        self.issued[index] = true;
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
        let mut candidates = (0..self.done.len()).filter(open);
        let first = candidates.next()?;
        if self.enabled(first) {
            return Some(first);
        }
        candidates
            .find(|index| self.enabled(*index))
            .or(Some(first))
    }

    fn align(&mut self, entry: &Entry, is: impl Fn(&MoveKind) -> bool) -> bool {
        let found = self.find(is);
        if let Some(index) = found {
            self.complete(index, entry.seq, 0);
        }
        found.is_some()
    }

    fn unexpected(&mut self, entry: &Entry, text: impl Into<String>) {
        let awaited = self.awaited();
        let (entry, from, text) = (entry.seq, entry.from, text.into());
        self.stop.get_or_insert(Stop::Unexpected {
            entry,
            from,
            text,
            awaited,
        });
    }

    fn received(&mut self, entry: &Entry) {
        let Some(stream) = entry.stream else { return };
        if let What::Open { path, .. } = &entry.what {
            let kind = match path.as_str() {
                protocol::EVENT_SOURCED => Stream::Entity(Box::default()),
                protocol::DISCOVER => Stream::Discover,
                protocol::REPORT_ERROR => Stream::Report,
                other => Stream::Other(other.to_owned()),
            };
            self.streams.insert(stream, kind);
            return;
        }
        match self.streams.get_mut(&stream) {
            Some(Stream::Front {
                call,
                messages,
                headers,
            }) => match &entry.what {
                What::Message { .. } => messages.push(entry.seq),
                What::Headers { .. } => *headers = Some(entry.seq),
                What::End { .. } => {
                    let call = *call;
                    self.align(
                        entry,
                        |kind| matches!(kind, MoveKind::Return(c) if *c == call),
                    );
                }
                _ => {}
            },
            Some(Stream::Entity(_)) if entry.from == Party::Proxy => {
                self.proxy_on_entity(stream, entry)
            }
            Some(Stream::Entity(_)) => self.function_on_entity(stream, entry),
            Some(Stream::Discover) => self.discovery(entry),
            Some(Stream::Report) => self.report(entry),
            _ => {}
        }
    }

    fn report(&mut self, entry: &Entry) {
        match (&entry.what, entry.from) {
            (What::Message { .. }, Party::Proxy) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Reported(_)));
            }
            (What::End { code: 0, .. }, Party::Function) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Acknowledged));
            }
            (What::End { code, message, .. }, Party::Function) => {
                let status = expand::status_name(*code);
                self.unexpected(
                    entry,
                    format!("the end of reportError with {status} {message}"),
                );
            }
            _ => {}
        }
    }

    fn discovery(&mut self, entry: &Entry) {
        match (&entry.what, entry.from) {
            (What::Message { .. }, Party::Proxy) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Discover(_)));
            }
            (What::Message { .. }, _) => {
                self.align(entry, |kind| matches!(kind, MoveKind::Spec(_)));
            }
            (What::End { code, message, .. }, Party::Function) if *code != 0 => {
                self.unexpected(
                    entry,
                    format!(
                        "discover ended with {} {message}",
                        expand::status_name(*code)
                    ),
                );
            }
            _ => {}
        }
    }

    fn proxy_on_entity(&mut self, stream: StreamId, entry: &Entry) {
        match &entry.what {
            What::Message { bytes } => match protocol::read_in(bytes) {
                FromProxy::Init {
                    service,
                    entity,
                    snapshot,
                } => {
                    self.init(stream, Key { service, entity }, snapshot);
                }
                FromProxy::Event { sequence, payload } => {
                    if let Some(track) = self.track(stream) {
                        if let Some(model) = &mut track.model {
                            let _ = model.apply(sequence, &payload);
                        }
                        track.activation.events.push((sequence, payload));
                    }
                }
                FromProxy::Command(command) => self.command(stream, entry, &command),
                FromProxy::Empty => self.unexpected(entry, "a message with nothing set"),
                FromProxy::Garbage(error) => {
                    self.unexpected(entry, format!("a message that can't be decoded ({error})"));
                }
            },
            What::HalfClose => self.proxy_closes(stream, entry, true),
            What::Cancel | What::End { .. } => self.proxy_closes(stream, entry, false),
            _ => {}
        }
    }

    fn init(&mut self, stream: StreamId, key: Key, snapshot: Option<(i64, Any)>) {
        let kit = self.script.role.kit_plays(Party::Function);
        if let Some(track) = self.track(stream) {
            track.key = Some(key.clone());
            track.initialised = true;
            track.model = kit.then(|| Entity::new(&key.service)).flatten();
            if let (Some(model), Some((sequence, any))) = (&mut track.model, &snapshot) {
                let _ = model.restore(*sequence, any);
            }
            track.activation.snapshot = snapshot;
        }
        self.reset.remove(&key);
        self.current.insert(key, stream);
    }

    fn command(&mut self, stream: StreamId, entry: &Entry, command: &common::Command) {
        let key = self.track(stream).and_then(|track| track.key.clone());
        let Some(index) = self.find_command(key.as_ref(), command) else {
            let text = format!(
                "the command {} that no call of the client asked for",
                command.name
            );
            return self.unexpected(entry, text);
        };
        let MoveKind::Command(call) = self.script.moves[index].kind else {
            return;
        };
        self.backs.insert(call, stream);
        if let Some(track) = self.track(stream) {
            track.commands += 1;
            track.last_id = command.id;
            track.outstanding = Some((command.id, call));
        }
        self.complete(index, entry.seq, command.id);
    }

    /// The call that a command belongs to: by entity and method, and among several by payload.
    fn find_command(&self, key: Option<&Key>, command: &common::Command) -> Option<usize> {
        let payload = command
            .payload
            .as_ref()
            .map(|any| any.value.as_slice())
            .unwrap_or_default();
        let same = |call: usize| self.script.calls[call].payload == payload;
        let entity = |call: usize| self.script.calls[call].key.as_ref() == key;
        let method = |call: usize| self.script.calls[call].method == command.name;
        self.find(
            |kind| matches!(kind, MoveKind::Command(c) if entity(*c) && same(*c) && method(*c)),
        )
        .or_else(|| self.find(|kind| matches!(kind, MoveKind::Command(c) if same(*c))))
        .or_else(|| self.find(|kind| matches!(kind, MoveKind::Command(c) if entity(*c))))
    }

    fn proxy_closes(&mut self, stream: StreamId, entry: &Entry, gracefully: bool) {
        let Some(track) = self.track(stream) else {
            return;
        };
        track.proxy_done = true;
        let Some(key) = track.key.clone() else { return };
        let function_done = track.function_done;
        let half = gracefully
            .then(|| self.find(|kind| matches!(kind, MoveKind::HalfClose(k) if *k == key)))
            .flatten()
            .filter(|index| self.enabled(*index));
        match half {
            Some(index) => self.complete(index, entry.seq, 0),
            None => {
                self.align(
                    entry,
                    |kind| matches!(kind, MoveKind::Ends { from: Party::Proxy, key: k, .. } if *k == key),
                );
            }
        }
        if !gracefully {
            self.reset.insert(key.clone());
            if let Some(track) = self.track(stream) {
                track.function_done = true;
            }
            return self.forget(stream);
        }
        if self.script.role.kit_plays(Party::Function) && !function_done {
            let owner = half.and_then(|half| {
                self.find(|kind| matches!(kind, MoveKind::Complete(k) if *k == key))
                    .filter(|index| self.script.moves[*index].after.contains(&half))
            });
            self.push(Draft::End(stream, 0, String::new()), owner);
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.current.retain(|_, current| *current != stream);
    }

    fn function_on_entity(&mut self, stream: StreamId, entry: &Entry) {
        match &entry.what {
            What::Message { bytes } => match protocol::read_out(bytes) {
                FromFunction::Reply(reply) => self.reply(stream, entry, &reply),
                FromFunction::Failure(failure) => {
                    let text = format!("a failure of the stream ({:?})", failure.description);
                    self.gives_up(stream, entry, text);
                }
                FromFunction::Empty => {
                    self.raw_message(entry, "a message with nothing set".to_owned())
                }
                FromFunction::Garbage(error) => {
                    self.raw_message(entry, format!("a message that can't be decoded ({error})"));
                }
            },
            What::End { code, message, .. } => {
                let text = format!(
                    "the end of the stream ({} {message})",
                    expand::status_name(*code)
                );
                self.function_ends(stream, entry, *code, text);
            }
            _ => {}
        }
    }

    fn raw_message(&mut self, entry: &Entry, text: String) {
        let raw = |kind: &MoveKind| {
            matches!(
                kind,
                MoveKind::Message {
                    from: Party::Function,
                    ..
                }
            )
        };
        if !self.align(entry, raw) {
            self.unexpected(entry, text);
        }
    }

    fn reply(&mut self, stream: StreamId, entry: &Entry, reply: &protocol::Reply) {
        let sdk = self.script.role == Role::Sdk;
        let Some(track) = self.track(stream) else {
            return;
        };
        let (key, outstanding) = (track.key.clone(), track.outstanding.take());
        let refused = |kind: &MoveKind| {
            matches!(
                kind,
                MoveKind::Fails {
                    or_command: true,
                    ..
                }
            )
        };
        if outstanding.is_none() && reply.failure().is_some() && self.align(entry, refused) {
            return;
        }
        let Some((id, call)) = outstanding else {
            return self.raw_message(entry, "a reply though no command is outstanding".to_owned());
        };
        let answer = self.find(|kind| matches!(kind, MoveKind::Answer(c) if *c == call));
        match answer {
            Some(index) => self.complete(index, entry.seq, id),
            None => return self.raw_message(entry, "a reply where none was expected".to_owned()),
        }
        if let (true, Some(key)) = (sdk, key) {
            self.stored.entry(key).or_default().keep(reply);
            if reply.restarts() {
                self.push(Draft::HalfClose(stream), None);
                if let Some(track) = self.track(stream) {
                    track.proxy_done = true;
                }
            }
        }
    }

    /// The function failed the stream; as proxy the kit then closes it.
    fn gives_up(&mut self, stream: StreamId, entry: &Entry, text: String) {
        let Some(key) = self.track(stream).and_then(|track| track.key.clone()) else {
            return;
        };
        let fails = |kind: &MoveKind| matches!(kind, MoveKind::Fails { key: k, .. } if *k == key);
        let already = self
            .aligned
            .iter()
            .any(|a| fails(&self.script.moves[a.index].kind));
        if self.align(entry, fails) || already {
            let done = self
                .track(stream)
                .is_none_or(|track| track.proxy_done || track.function_done);
            if self.script.role == Role::Sdk && !done {
                self.push(Draft::HalfClose(stream), None);
                if let Some(track) = self.track(stream) {
                    track.proxy_done = true;
                }
            }
        } else {
            self.raw_message(entry, text);
        }
    }

    fn function_ends(&mut self, stream: StreamId, entry: &Entry, code: i32, text: String) {
        let Some(track) = self.track(stream) else {
            return;
        };
        let (closed, busy) = (track.proxy_done, track.outstanding.is_some());
        track.function_done = true;
        let Some(key) = track.key.clone() else { return };
        self.forget(stream);
        // A proxy may passivate by itself: only the end that follows the chart's own half-close is the chart's.
        let completes = self
            .find(|kind| matches!(kind, MoveKind::Complete(k) if closed && *k == key))
            .filter(|index| self.enabled(*index));
        if let Some(index) = completes {
            return self.complete(index, entry.seq, 0);
        }
        let found = self.align(entry, |kind| match kind {
            MoveKind::Fails { key: k, .. } => *k == key,
            MoveKind::Ends {
                from: Party::Function,
                key: k,
                ..
            } => *k == key,
            MoveKind::Resets {
                from: Party::Function,
                key: k,
            } => *k == key,
            _ => false,
        });
        let failed = |kind: &MoveKind| matches!(kind, MoveKind::Fails { key: k, .. } if *k == key);
        let gave_up = self
            .aligned
            .iter()
            .any(|a| failed(&self.script.moves[a.index].kind));
        let killed = |kind: &MoveKind| matches!(kind, MoveKind::Kill(_));
        let killed = self
            .aligned
            .iter()
            .any(|a| killed(&self.script.moves[a.index].kind));
        let voluntary = code == 0 && !busy;
        if !(found || closed || gave_up || killed || voluntary) {
            self.unexpected(entry, text);
        }
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

/// A `replay` as written: `nothing`, `$any` (`None`), or snapshot and events.
///
/// # Errors
/// A payload that can't be built.
pub fn replay_of(node: &Node, scope: &Scope<'_>) -> Result<Option<Stored>, String> {
    if node.operator().is_some_and(|(name, _)| name == "$any") {
        return Ok(None);
    }
    let mut stored = Stored::default();
    let any = |node: &Node| message::build_any(node, scope).map_err(|error| error.to_string());
    if let Some(snapshot) = node.get("snapshot") {
        let sequence = snapshot
            .get("sequence")
            .and_then(Node::as_text)
            .and_then(|t| t.parse().ok());
        let sequence: i64 = sequence.ok_or("a replayed snapshot needs its `sequence`")?;
        let value = snapshot
            .get("value")
            .ok_or("a replayed snapshot needs its `value`")?;
        stored.snapshot = Some((sequence, any(value)?));
        stored.events = vec![Any::default(); usize::try_from(sequence).unwrap_or(0)];
    }
    if let Some(events) = node.get("events") {
        for event in message::items(events) {
            stored.events.push(any(&event)?);
        }
    }
    Ok(Some(stored))
}

fn back(path: &str) -> Act {
    let (from, hop) = (Party::Proxy, Hop::Back);
    Act::Open {
        from,
        hop,
        path: path.to_owned(),
        metadata: Vec::new(),
    }
}

fn end_status(node: Option<&Node>) -> (i32, String) {
    let text = |key: &str| {
        node.and_then(|n| n.get(key))
            .and_then(Node::as_text)
            .unwrap_or_default()
    };
    let code = expand::STATUS
        .iter()
        .position(|s| *s == text("status"))
        .unwrap_or(0);
    (code as i32, text("message").to_owned())
}
