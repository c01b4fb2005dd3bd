//! An ideal proxy under test: it makes the moves that the script waits for, and those that are in no chart.

use super::Simulation;
use crate::party::Party;
use crate::play::StreamState;
use crate::protocol::{self, Change, EntityType, FromFunction, Key, Reply, Stored};
use crate::scenario::message::{self, Scope};
use crate::script::{self, MoveKind, Place, Returns, Script};
use crate::status::UNKNOWN;
use crate::transcript::{Hop, StreamId, What};
use crate::yaml::Node;
use bytes::Bytes;
use cloudstate_protocol::cloudstate::UserFunctionError;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// Longer than any deadline of a client, in microseconds.
const DEADLINE: u64 = 60_000_000;

/// What it knows beside the play.
#[derive(Default)]
pub(super) struct SimulatedProxy {
    stored: BTreeMap<Key, Stored>,
    /// Entries of the function that it has taken note of.
    read: usize,
    /// The last command that was answered on each stream.
    answered: BTreeMap<StreamId, i64>,
    /// Streams that it has to leave: their functions asked for a restart.
    leaving: BTreeSet<StreamId>,
    /// Streams whose functions gave them up or broke the protocol; nothing goes on there.
    broken: BTreeSet<StreamId>,
}

/// What a client gets.
struct Returned {
    headers: Vec<(String, String)>,
    message: Option<Bytes>,
    code: i32,
    text: String,
}

impl Returned {
    fn status(code: i32, text: impl Into<String>) -> Returned {
        Returned {
            headers: Vec::new(),
            message: None,
            code,
            text: text.into(),
        }
    }

    fn message(bytes: Bytes) -> Returned {
        Returned {
            message: Some(bytes),
            ..Returned::status(0, "")
        }
    }
}

impl Simulation {
    /// Makes one move of the proxy; `false`: there is none to make.
    pub(super) fn proxy_goes_on(&mut self) -> bool {
        let script = self.play.script().clone();
        if script.role.kit_plays(Party::Proxy) {
            return false;
        }
        if self.takes_note() {
            return true;
        }
        let ready = |index: &usize| {
            let this = &script.moves[*index];
            self.play.done[*index].is_none()
                && this.from() == Party::Proxy
                && this
                    .after
                    .iter()
                    .all(|before| self.play.done[*before].is_some())
        };
        let all: Vec<usize> = (0..script.moves.len()).filter(ready).collect();
        if self.wakes(&script) {
            return true;
        }
        all.into_iter()
            .any(|index| self.makes(&script, &script.moves[index].kind))
    }

    // === What the function sent ===

    /// Stores what replies ask to store, and leaves the streams that have to be left.
    fn takes_note(&mut self) -> bool {
        while let Some(entry) = self.entries.get(self.proxy.read) {
            self.proxy.read += 1;
            let (What::Message { bytes }, Some(stream), Party::Function) =
                (&entry.what, entry.stream, entry.from)
            else {
                continue;
            };
            let Some(StreamState::Entity(track)) = self.play.stream(stream) else {
                continue;
            };
            let (id, key) = (track.last_id, track.key.clone());
            let read = protocol::read_out(track.entity_type, bytes);
            if let FromFunction::Reply(reply) = read
                && reply.command_id == id
                && is_whole(&reply)
                && self.proxy.answered.insert(stream, id) != Some(id)
            {
                let failed = reply.failure().is_some();
                if reply.restarts() || failed && reply.stores() {
                    self.proxy.leaving.insert(stream);
                }
                if let Some(key) = key {
                    self.proxy.stored.entry(key).or_default().keep(&reply);
                }
            } else {
                self.proxy.broken.insert(stream);
            }
        }
        let left = self.proxy.leaving.pop_first();
        let open = left.filter(|left| self.is_open(*left));
        if let Some(stream) = open {
            self.sends(stream, What::HalfClose);
        }
        left.is_some()
    }

    fn is_open(&self, stream: StreamId) -> bool {
        match self.play.stream(stream) {
            Some(StreamState::Entity(track)) => !(track.proxy_done || track.function_done),
            _ => false,
        }
    }

    /// A client's call is open, and its function is to end the stream before a command comes: it has to be there.
    fn wakes(&mut self, script: &Script) -> bool {
        let ready = self
            .play
            .ready
            .iter()
            .map(|index| &script.moves[*index].kind);
        let mut ended = ready.filter_map(|kind| match kind {
            MoveKind::Ends {
                from: Party::Function,
                place: Place::Entity(entity_type, key),
                ..
            } => Some((*entity_type, key)),
            _ => None,
        });
        let asleep = ended.find(|(_, key)| self.play.live(key).is_none());
        if let Some((entity_type, key)) = asleep {
            self.activates(key, entity_type);
        }
        asleep.is_some()
    }

    /// A new stream of an entity, up to where its commands begin.
    fn activates(&mut self, key: &Key, entity_type: EntityType) -> StreamId {
        let protocol = entity_type.protocol();
        let stored = self.proxy.stored.get(key).cloned().unwrap_or_default();
        let stream = self.opens(protocol.path());
        for bytes in protocol.activation(key, &stored) {
            self.sends(stream, message(bytes));
        }
        stream
    }

    // === Its moves ===

    fn makes(&mut self, script: &Script, kind: &MoveKind) -> bool {
        match kind {
            MoveKind::Command(call) => self.command(script, *call),
            MoveKind::Deliver(call, number) => {
                let plan = &script.calls[*call];
                let payload = script::payload(plan, &plan.requests[*number]);
                self.on_call(*call, message(protocol::further(payload)))
            }
            MoveKind::Delivered(call) => self.on_call(*call, What::HalfClose),
            MoveKind::Cancel(call) => self.on_call(*call, What::Cancel),
            MoveKind::Pass(call) => self.passes(script, *call),
            MoveKind::Return(call) => self.returns(script, *call),
            MoveKind::HalfClose(key) => self.on_entity(key, What::HalfClose),
            MoveKind::Ends { place, .. } => match place {
                Place::Entity(_, key) => self.on_entity(key, What::HalfClose),
                Place::Call(call) => self.on_call(*call, What::Cancel),
            },
            MoveKind::Resets { place, .. } => match place {
                Place::Entity(_, key) => self.on_entity(key, What::Cancel),
                Place::Call(call) => self.on_call(*call, What::Cancel),
            },
            MoveKind::Reported(text) => {
                let report = self.report(script, text.as_ref());
                self.unary(protocol::REPORT_ERROR, report.encode_to_vec())
            }
            MoveKind::Discover(_) => {
                let info = protocol::discovery::proxy_info();
                self.unary(protocol::DISCOVER, info.encode_to_vec())
            }
            _ => false,
        }
    }

    fn sends(&mut self, stream: StreamId, what: What) {
        self.record(Some(Hop::Back), Some(stream), Party::Proxy, false, what);
    }

    fn opens(&mut self, path: &str) -> StreamId {
        let stream = self.stream();
        let what = What::Open {
            path: path.to_owned(),
            metadata: Vec::new(),
        };
        self.sends(stream, what);
        stream
    }

    fn on_call(&mut self, call: usize, what: What) -> bool {
        let stream = self.play.backs.get(&call).copied();
        stream.is_some_and(|stream| {
            self.sends(stream, what);
            true
        })
    }

    fn on_entity(&mut self, key: &Key, what: What) -> bool {
        let stream = self.play.live(key).map(|(stream, _)| stream);
        stream.is_some_and(|stream| {
            self.sends(stream, what);
            true
        })
    }

    fn unary(&mut self, path: &str, request: Vec<u8>) -> bool {
        let stream = self.opens(path);
        self.sends(stream, message(request));
        self.sends(stream, What::HalfClose);
        true
    }

    /// A command, on the entity's stream or a new one.
    fn command(&mut self, script: &Script, call: usize) -> bool {
        let plan = &script.calls[call];
        let (Some(entity_type), streams_in) = (plan.entity_type, plan.kind.streams_in()) else {
            return false;
        };
        let protocol = entity_type.protocol();
        let payload = script::payload(plan, &plan.payload);
        let Some(key) = &plan.key else {
            let payload = (!streams_in).then_some(payload);
            let stream = self.opens(plan.kind.path());
            self.sends(stream, message(protocol.command(plan.command(0, payload))));
            return true;
        };
        let (stream, id) = match self.play.live(key) {
            Some((stream, track)) if self.proxy.broken.contains(&stream) => {
                let leaves = !track.proxy_done;
                if leaves {
                    self.sends(stream, What::HalfClose);
                }
                return leaves;
            }
            Some((_, track)) if track.proxy_done || track.outstanding.is_some() => return false,
            Some((stream, track)) => (stream, track.last_id + 1),
            None => (self.activates(key, entity_type), 1),
        };
        self.sends(
            stream,
            message(protocol.command(plan.command(id, Some(payload)))),
        );
        true
    }

    /// A text that says what it is about, and what the chart wants to read in it.
    fn report(&self, script: &Script, pattern: Option<&Node>) -> UserFunctionError {
        let calls = script
            .calls
            .iter()
            .filter(|call| call.entity_type == Some(EntityType::Action));
        let calls: Vec<String> = calls.map(|call| call.path.replace('/', " ")).collect();
        let wanted = pattern
            .map(|pattern| self.text(script, pattern))
            .unwrap_or_default();
        let (key, calls) = (&script.key, calls.join(" "));
        let message = format!("{} {} {calls} {wanted}", key.service, key.entity);
        UserFunctionError { message }
    }

    /// A text that fits a pattern.
    fn text(&self, script: &Script, pattern: &Node) -> String {
        match pattern.operator() {
            Some(("$contains", Some(inside))) => self.text(script, inside),
            Some(("$either", Some(options))) => {
                let first = options.items().and_then(<[Node]>::first);
                first
                    .map(|first| self.text(script, first))
                    .unwrap_or_default()
            }
            Some(_) => String::new(),
            None => {
                let text = pattern.as_text().unwrap_or_default();
                message::substitute(text, &script.bindings).unwrap_or_default()
            }
        }
    }

    // === What a client gets ===

    fn front(&mut self, call: usize, what: What) {
        let stream = self.play.fronts.get(&call).copied();
        self.record(Some(Hop::Front), stream, Party::Proxy, false, what);
    }

    /// The reply at the end of a call's forwards.
    fn answer(&self, script: &Script, call: usize) -> Option<Reply> {
        let last = script.last(call);
        let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(other) if *other == last);
        let index = script.moves.iter().position(|this| is(&this.kind))?;
        let at = usize::try_from(self.play.done[index]?).ok()?;
        let What::Message { bytes } = &self.entries.get(at)?.what else {
            return None;
        };
        match protocol::read_out(script.calls[last].entity_type?, bytes) {
            FromFunction::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    fn passes(&mut self, script: &Script, call: usize) -> bool {
        let reply = self.answer(script, call);
        let Some(Action::Reply(reply)) = reply.and_then(|reply| reply.action) else {
            return false;
        };
        let client = script.client_call(call);
        if self.is_first(client) {
            let metadata = headers(&reply);
            self.front(client, What::Headers { metadata });
        }
        self.front(client, message(reply.payload.unwrap_or_default().value));
        true
    }

    /// Nothing was sent to this client yet.
    fn is_first(&self, call: usize) -> bool {
        match self.play.front(call) {
            Some(StreamState::Front {
                headers: None,
                messages,
                ..
            }) => messages.is_empty(),
            _ => false,
        }
    }

    fn returns(&mut self, script: &Script, call: usize) -> bool {
        let outcome = self.outcome(script, call);
        if outcome.code == crate::status::DEADLINE_EXCEEDED {
            self.now += DEADLINE;
        }
        if self.is_first(call) {
            let metadata = outcome.headers;
            self.front(call, What::Headers { metadata });
        }
        if let Some(bytes) = outcome.message {
            self.front(call, What::Message { bytes });
        }
        let what = What::End {
            code: outcome.code,
            message: outcome.text,
            trailers: true,
        };
        self.front(call, what);
        true
    }

    fn outcome(&self, script: &Script, call: usize) -> Returned {
        let plan = &script.calls[call];
        let answer = self.answer(script, call);
        let written = plan.returns_written || plan.kind.streams_out();
        match (answer, written) {
            (Some(reply), false) => passed_on(reply),
            (answer, _) => self.as_written(script, call, &plan.returns, answer),
        }
    }

    /// What the chart says; where it leaves that open, the function's answer.
    fn as_written(
        &self,
        script: &Script,
        call: usize,
        returns: &Returns,
        answer: Option<Reply>,
    ) -> Returned {
        match returns {
            Returns::Either(options) => match options.first() {
                Some(first) => self.as_written(script, call, first, answer),
                None => Returned::status(UNKNOWN, ""),
            },
            Returns::Status { codes, message } => {
                let text = message.as_ref().map(|text| self.text(script, text));
                let code = codes.first().copied().unwrap_or(UNKNOWN);
                Returned::status(code, text.unwrap_or_default())
            }
            Returns::Message(node) => match answer {
                Some(reply) if reply.failure().is_none() => passed_on(reply),
                _ => self.built(script, call, node),
            },
            Returns::Anything | Returns::Model => match answer {
                Some(reply) => passed_on(reply),
                None => Returned::status(UNKNOWN, ""),
            },
        }
    }

    fn built(&self, script: &Script, call: usize, node: &Node) -> Returned {
        let scope = Scope {
            package: &script.package,
            bindings: &script.bindings,
        };
        let output = script.calls[call].output.as_ref();
        let built = output.and_then(|output| message::build(node, output, &scope).ok());
        Returned::message(
            built
                .map(|message| message.encode_to_vec())
                .unwrap_or_default()
                .into(),
        )
    }
}

fn message(bytes: Vec<u8>) -> What {
    What::Message {
        bytes: bytes.into(),
    }
}

/// It has all that the protocol asks of a reply.
fn is_whole(reply: &Reply) -> bool {
    let lacks = matches!(reply.value, Some(Change::Unset | Change::Update(None)));
    reply.action.is_some() && !lacks
}

fn passed_on(reply: Reply) -> Returned {
    match reply.action {
        Some(Action::Reply(reply)) => Returned {
            headers: headers(&reply),
            ..Returned::message(reply.payload.unwrap_or_default().value.into())
        },
        Some(Action::Failure(failure)) => Returned::status(UNKNOWN, failure.description),
        Some(Action::Forward(_)) | None => Returned::status(UNKNOWN, "no reply"),
    }
}

/// A reply's metadata, as response headers.
fn headers(reply: &cloudstate_protocol::cloudstate::Reply) -> Vec<(String, String)> {
    let entries = reply.metadata.iter().flat_map(|metadata| &metadata.entries);
    let passed = entries.filter(|entry| !protocol::metadata::reserved(&entry.key));
    let text = passed.filter_map(|entry| match &entry.value {
        Some(Value::StringValue(text)) => Some((entry.key.to_lowercase(), text.clone())),
        _ => None,
    });
    text.collect()
}
