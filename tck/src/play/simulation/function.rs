//! The model as a function under test: what it answers to each entry.

use super::Manner;
use crate::model::action::{ActionOutcome, Method};
use crate::model::event_sourced::EventSourcedEntity;
use crate::model::session::{Session, SessionStep, Stateful};
use crate::model::value_entity::ValueEntity;
use crate::model::{ModelError, spec};
use crate::party::Party;
use crate::protocol::{self, EntityType, FromFunction, Kind};
use crate::transcript::{Entry, Hop, StreamId, What};
use bytes::Bytes;
use cloudstate_protocol::action::ActionCommand;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};

/// A function without a network.
#[derive(Default)]
pub(super) struct SimulatedFunction {
    lets_go: bool,
    streams: BTreeMap<StreamId, Served>,
    answers: VecDeque<(StreamId, What)>,
}

/// One call of the function.
enum Served {
    EventSourced(Session<EventSourcedEntity>),
    Value(Session<ValueEntity>),
    Action(Answering),
    Discover,
    Report,
}

/// An action's call.
#[derive(Default)]
struct Answering {
    kind: Kind,
    method: Option<Method>,
    /// Of a method with one answer: what it is so far.
    outcome: ActionOutcome,
}

impl SimulatedFunction {
    pub fn of(manner: Manner) -> SimulatedFunction {
        SimulatedFunction {
            lets_go: manner != Manner::Plain,
            ..SimulatedFunction::default()
        }
    }

    /// What it sends next.
    pub fn next(&mut self) -> Option<(StreamId, What)> {
        self.answers.pop_front()
    }

    /// One more entry.
    pub fn hears(&mut self, entry: &Entry) {
        if (&entry.what, entry.from) == (&What::Killed, Party::Function) {
            self.streams.clear();
            self.answers.clear();
        }
        let from_proxy = (entry.hop, entry.from) == (Some(Hop::Back), Party::Proxy);
        let Some(stream) = entry.stream.filter(|_| from_proxy) else {
            return;
        };
        match &entry.what {
            What::Open { path, .. } => {
                if let Some(served) = Served::at(path) {
                    self.streams.insert(stream, served);
                }
            }
            What::Message { bytes } => {
                let Some(mut served) = self.streams.remove(&stream) else {
                    return;
                };
                if self.answer(stream, &mut served, bytes) {
                    self.streams.insert(stream, served);
                }
            }
            What::HalfClose => {
                if let Some(served) = self.streams.remove(&stream) {
                    self.complete(stream, served);
                }
            }
            What::Cancel | What::End { .. } => {
                self.streams.remove(&stream);
            }
            _ => {}
        }
    }

    fn send(&mut self, stream: StreamId, message: &impl Message) {
        let bytes = message.encode_to_vec().into();
        self.answers.push_back((stream, What::Message { bytes }));
    }

    fn end(&mut self, stream: StreamId, error: Option<ModelError>) {
        let what = What::End {
            code: if error.is_some() { 3 } else { 0 },
            message: error.map(|error| error.to_string()).unwrap_or_default(),
            trailers: true,
        };
        self.answers.push_back((stream, what));
    }

    /// `false`: the call is over.
    fn answer(&mut self, stream: StreamId, served: &mut Served, bytes: &Bytes) -> bool {
        match served {
            Served::EventSourced(session) => {
                self.step(stream, EntityType::EventSourced, session, bytes)
            }
            Served::Value(session) => self.step(stream, EntityType::Value, session, bytes),
            Served::Action(call) => match call.request(bytes) {
                Ok(outcomes) => {
                    for outcome in outcomes {
                        self.send(stream, &outcome.into_response());
                    }
                    true
                }
                Err(error) => {
                    self.end(stream, Some(error));
                    false
                }
            },
            Served::Discover => {
                self.send(stream, &spec::entity_spec());
                true
            }
            Served::Report => {
                self.send(stream, &());
                true
            }
        }
    }

    /// The last thing it said was that.
    fn failed_a_command(&self, entity_type: EntityType) -> bool {
        match self.answers.back() {
            Some((_, What::Message { bytes })) => matches!(
                protocol::read_out(entity_type, bytes),
                FromFunction::Reply(reply) if reply.failure().is_some()
            ),
            _ => false,
        }
    }

    fn step<E>(
        &mut self,
        stream: StreamId,
        entity_type: EntityType,
        session: &mut Session<E>,
        bytes: &Bytes,
    ) -> bool
    where
        E: Stateful<In: Message + Default, Out: Message>,
    {
        let step = match E::In::decode(bytes.clone()) {
            Ok(message) => session.receive(message),
            Err(error) => session.unreadable(&error.to_string()),
        };
        match step {
            SessionStep::Wait => true,
            SessionStep::Send(out) => {
                self.send(stream, &out);
                let lets_go = self.lets_go && !self.failed_a_command(entity_type);
                if lets_go {
                    self.end(stream, None);
                }
                !lets_go
            }
            SessionStep::Fail(out) => {
                self.send(stream, &out);
                self.end(stream, None);
                false
            }
        }
    }

    fn complete(&mut self, stream: StreamId, served: Served) {
        if let Served::Action(call) = served
            && !call.kind.streams_out()
        {
            self.send(stream, &call.outcome.into_response());
        }
        self.end(stream, None);
    }
}

impl Served {
    fn at(path: &str) -> Option<Served> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
        Some(match (path, EntityType::of_path(path)) {
            (protocol::DISCOVER, _) => Served::Discover,
            (protocol::REPORT_ERROR, _) => Served::Report,
            (_, Some(EntityType::EventSourced)) => Served::EventSourced(Session::default()),
            (_, Some(EntityType::Value)) => Served::Value(Session::default()),
            _ => Served::Action(Answering {
                kind: kind?,
                ..Answering::default()
            }),
        })
    }
}

impl Answering {
    /// What it answers at once; the one answer of other methods waits for the half-close.
    fn request(&mut self, bytes: &Bytes) -> Result<Vec<ActionOutcome>, ModelError> {
        let command = ActionCommand::decode(bytes.clone()).unwrap_or_default();
        let (method, named) = match self.method {
            Some(method) => (method, false),
            None => (Method::named(&command.service_name, &command.name)?, true),
        };
        self.method = Some(method);
        if named && self.kind.streams_in() {
            return Ok(Vec::new());
        }
        let payload = command.payload.unwrap_or_default();
        if self.kind.streams_out() {
            return Ok(method.outcomes(&payload)?.collect());
        }
        method.combine(&mut self.outcome, &payload)?;
        Ok(Vec::new())
    }
}
