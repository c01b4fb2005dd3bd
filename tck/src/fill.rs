//! (3) The model's answers, written into a chart where it leaves them open.
//!
//! The one place where the model is walked over a chart. What depends on the order in which others do things is not
//! known before, so it stays open: the model answers it when it is asked.

mod names;

use crate::model::oracle::{self, Entity};
use crate::party::Party;
use crate::protocol::{EntityType, Key, Kind, PROTOBUF, Reply};
use crate::scenario::form::answer_of;
use crate::scenario::message::{self, Bindings, Scope};
use crate::scenario::replay::replay_of;
use crate::scenario::steps::each;
use crate::scenario::{Answer, Call, Raw, Scenario, Step, StepKind, Stream, StreamLine, service};
use crate::services;
use crate::yaml::{Node, Span};
use prost::Message as _;
use prost_reflect::MethodDescriptor;
use prost_types::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use names::standing_for_themselves;

/// A chart with the model's answers.
#[derive(Debug)]
pub struct Filled {
    /// The scenario, its unwritten answers filled in.
    pub scenario: Scenario,
    /// What the model says where the chart says something itself.
    pub statements: Vec<Statement>,
}

/// What the model says about a written part of a chart.
#[derive(Debug)]
pub enum Statement {
    /// It has an answer too.
    Answer(Box<WrittenAnswer>),
    /// The streamed answer that stands here is one more than it has.
    NoMoreAnswers(Span),
    /// Its answers to the call that stands here are that many more.
    MoreAnswers(Span, usize),
    /// It can't answer the call that stands here.
    NoAnswer(Span),
    /// The replay that stands here can't be read.
    BadReplay(Span, String),
}

/// A written answer, and the model's.
#[derive(Debug)]
pub struct WrittenAnswer {
    /// Where the answer, or the call, stands.
    pub span: Span,
    /// What is written.
    pub answer: Answer,
    /// What was called.
    pub method: MethodDescriptor,
    /// What the model answers.
    pub reply: Reply,
}

/// Writes the model's answers into a scenario. A function that departs from the model on purpose answers what is
/// written, and nothing else.
///
/// `names` has a value for `id` and for each of the scenario's `ids`. One that stands for itself ([`standing_for_themselves`])
/// is still a name in what the model answers.
pub fn fill(scenario: &Scenario, names: &Bindings) -> Filled {
    let mut filled = Filled {
        scenario: scenario.clone(),
        statements: Vec::new(),
    };
    if scenario.scripted == Some(Party::Function) {
        return filled;
    }
    let mut filling = Filling {
        scenario,
        names: names.clone(),
        entities: BTreeMap::new(),
        concurrent: false,
        by_hand: false,
        statements: Vec::new(),
    };
    filling.steps(&mut filled.scenario.chart);
    filled.statements = filling.statements;
    filled
}

struct Filling<'a> {
    scenario: &'a Scenario,
    names: Bindings,
    /// The model's state; `None`: not known. Passivation and restarts change nothing here.
    entities: BTreeMap<Key, Option<Entity>>,
    /// Clients go their own ways: nothing is known of the state of entities.
    concurrent: bool,
    /// The proxy has sent something by hand: from there on a written answer may be right for other reasons.
    by_hand: bool,
    statements: Vec<Statement>,
}

impl Filling<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope {
            package: self.scenario.package(),
            bindings: &self.names,
        }
    }

    fn say(&mut self, statement: Statement) {
        if !self.by_hand {
            self.statements.push(statement);
        }
    }

    fn answer_of(&self, span: Span, reply: &Reply) -> Answer {
        let mut answer = answer_of(span, reply, self.scenario.package());
        names::restore(&mut answer, &self.names);
        answer
    }

    // === Steps ===

    fn steps(&mut self, steps: &mut [Step]) {
        steps.iter_mut().for_each(|step| self.step(step));
    }

    fn step(&mut self, step: &mut Step) {
        match &mut step.kind {
            StepKind::Call(call) => self.call(call, Party::Client),
            StepKind::Concurrent { clients, each } => self.concurrent(*clients, each),
            StepKind::Unordered(lists) => self.unordered(lists),
            StepKind::OneOf(lists) => {
                let any = lists.iter().flat_map(|list| self.commanded(list));
                let any: Vec<Key> = any.collect();
                self.forget(any);
                lists.iter_mut().for_each(|list| self.steps(list));
            }
            StepKind::Raw {
                party: Party::Proxy,
                what: Raw::Message(_) | Raw::Bytes(_),
            } => self.by_hand = true,
            // What may not have happened has no answer, and of the others the kit has no model.
            StepKind::None(_)
            | StepKind::Streamed { .. }
            | StepKind::Cancel { .. }
            | StepKind::Consume(_)
            | StepKind::Replicate { .. } => {}
            StepKind::Raw { .. }
            | StepKind::Passivate
            | StepKind::Returns
            | StepKind::Fence
            | StepKind::Kill(_)
            | StepKind::Start(_) => {}
        }
    }

    /// The lists come in any order: known is only what happens to an entity that one of them alone calls.
    fn unordered(&mut self, lists: &mut [Vec<Step>]) {
        let (mut once, mut again) = (BTreeSet::new(), Vec::new());
        for list in lists.iter() {
            for key in self.commanded(list) {
                if !once.insert(key.clone()) {
                    again.push(key);
                }
            }
        }
        self.forget(again);
        lists.iter_mut().for_each(|list| self.steps(list));
    }

    /// What all clients do is written once, so `$client` stays a name.
    fn concurrent(&mut self, clients: usize, each: &mut [Step]) {
        for client in 1..=clients {
            self.names.insert(CLIENT.to_owned(), client.to_string());
            let commanded = self.commanded(each);
            self.forget(commanded);
        }
        self.names.insert(CLIENT.to_owned(), format!("${CLIENT}"));
        self.concurrent = true;
        self.steps(each);
        self.concurrent = false;
        self.names.remove(CLIENT);
    }

    fn forget(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.entities
            .extend(keys.into_iter().map(|key| (key, None)));
    }

    /// The entities that the calls in these steps are for.
    fn commanded(&self, steps: &[Step]) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        each(steps, &mut |step| {
            if let StepKind::Call(call) = &step.kind
                && let Some(method) = self.scenario.method(&call.target)
                && let Some((key, _)) = self.request(call, &method)
            {
                keys.insert(key);
            }
        });
        keys
    }

    // === Calls ===

    /// A call of the client, or of the function by a side effect or a forward.
    fn call(&mut self, call: &mut Call, caller: Party) {
        let Some(method) = self.scenario.method(&call.target) else {
            return;
        };
        let streams = method.is_server_streaming();
        // Beside a call it stands for all messages of a stream together.
        let beside = call.stream.is_none() && !call.answer.is_unwritten();
        if streams {
            self.stream(call, &method, caller);
        }
        if !streams || beside {
            self.answer(call, &method);
        }
        // Calls to the same entity waited meanwhile, others are for others.
        self.steps(&mut call.during);
        for line in call.stream.iter_mut().flat_map(|stream| &mut stream.lines) {
            line.answer
                .iter_mut()
                .for_each(|answer| self.nested(answer));
            if let Some(step) = &mut line.step {
                self.step(step);
            }
        }
        if let Some(then) = &mut call.then {
            self.step(then);
        }
        self.nested(&mut call.answer);
    }

    fn nested(&mut self, answer: &mut Answer) {
        let forward = answer.forward.as_deref_mut();
        for call in answer.effects.iter_mut().chain(forward) {
            self.call(call, Party::Function);
        }
    }

    /// The one answer to a call.
    fn answer(&mut self, call: &mut Call, method: &MethodDescriptor) {
        let Some(reply) = self.reply(call, method) else {
            return;
        };
        if call.answer.is_unwritten() {
            call.answer = self.answer_of(call.span, &reply);
        } else {
            self.compare(call.span, &call.answer, method, reply);
        }
    }

    fn compare(&mut self, span: Span, answer: &Answer, method: &MethodDescriptor, reply: Reply) {
        self.say(Statement::Answer(Box::new(WrittenAnswer {
            span,
            answer: answer.clone(),
            method: method.clone(),
            reply,
        })));
    }

    /// What the model answers, as far as it is known before.
    fn reply(&mut self, call: &Call, method: &MethodDescriptor) -> Option<Reply> {
        let (key, payload) = self.request(call, method)?;
        match services::entity_type(&key.service)? {
            EntityType::Action => {
                let payloads = match &call.stream {
                    Some(stream) => self.payloads(stream, method)?,
                    None => vec![payload],
                };
                oracle::answer(&key.service, method.name(), &payloads)
            }
            EntityType::EventSourced | EntityType::Value | EntityType::Crdt => {
                self.handle(key, call, method, &payload)
            }
        }
    }

    /// A command to an entity; advances the model's state.
    fn handle(
        &mut self,
        key: Key,
        call: &Call,
        method: &MethodDescriptor,
        payload: &Any,
    ) -> Option<Reply> {
        if self.concurrent {
            return None;
        }
        if !self.entities.contains_key(&key) {
            let entity = self.begin(&key.service, call);
            self.entities.insert(key.clone(), entity);
        }
        let entity = self.entities.get_mut(&key)?.as_mut()?;
        let reply = entity.handle(method.name(), payload);
        if reply.is_none() {
            self.say(Statement::NoAnswer(call.span));
        }
        reply
    }

    /// An entity as its first call finds it: fresh, or with the history that the chart gives instead of making it.
    fn begin(&mut self, service: &str, call: &Call) -> Option<Entity> {
        let mut entity = Entity::new(service)?;
        let Some(replay) = &call.replay else {
            return Some(entity);
        };
        match replay_of(replay, &self.scope()) {
            Err(text) => {
                self.say(Statement::BadReplay(replay.span, text));
                return None;
            }
            Ok(None) => {}
            Ok(Some(stored)) => {
                let begun = entity.begin(&stored.begin());
                let mut replay = stored.replay();
                let read = |()| replay.try_for_each(|(at, event)| entity.apply(at, event));
                // Nothing is known of a state that the model can't read.
                begun.and_then(read).ok()?;
            }
        }
        Some(entity)
    }

    // === Requests ===

    /// Whom the request beside a call is for, and the request itself.
    fn request(&self, call: &Call, method: &MethodDescriptor) -> Option<(Key, Any)> {
        let request = service::request(call, &method.input(), &self.scope());
        let (request, entity) = request.ok()?;
        let service = method.parent_service().full_name().to_owned();
        let payload = any(method, request.encode_to_vec());
        Some((Key { service, entity }, payload))
    }

    fn payload(&self, request: &Node, method: &MethodDescriptor) -> Option<Any> {
        let message = message::build(request, &method.input(), &self.scope()).ok()?;
        Some(any(method, message.encode_to_vec()))
    }

    /// All requests of a stream.
    fn payloads(&self, stream: &Stream, method: &MethodDescriptor) -> Option<Vec<Any>> {
        let requests = stream.lines.iter().filter_map(|line| line.request.as_ref());
        requests.map(|node| self.payload(node, method)).collect()
    }

    // === Streamed answers ===

    /// The answers of an action that streams them: line by line, where none is written.
    fn stream(&mut self, call: &mut Call, method: &MethodDescriptor, caller: Party) {
        let kind = Kind::of(method);
        let mut waiting = VecDeque::new();
        // An effect or a forward has one request, also where the target takes more.
        if !kind.streams_in() || caller == Party::Function {
            let request = self.request(call, method);
            match request.and_then(|(_, payload)| respond(method, &payload)) {
                Some(replies) => waiting.extend(replies),
                None => return,
            }
        }
        let stream = call.stream.get_or_insert_with(|| Stream {
            lines: Vec::new(),
            burst: false,
            ends: None,
        });
        if stream.lines.iter().all(|line| line.request.is_some()) {
            self.fill_lines(call.span, stream, method, waiting);
        } else {
            self.compare_lines(call.span, stream, method, waiting);
        }
    }

    /// Each request is followed by the answers to it.
    fn fill_lines(
        &self,
        span: Span,
        stream: &mut Stream,
        method: &MethodDescriptor,
        first: VecDeque<Reply>,
    ) {
        let answering = |reply: &Reply| StreamLine {
            span,
            request: None,
            answer: Some(self.answer_of(span, reply)),
            step: None,
        };
        let requests = std::mem::take(&mut stream.lines);
        stream.lines.extend(first.iter().map(answering));
        for line in requests {
            let payload = line.request.as_ref();
            let payload = payload.and_then(|request| self.payload(request, method));
            stream.lines.push(line);
            let replies = payload.and_then(|payload| respond(method, &payload));
            let replies = replies.unwrap_or_default();
            stream.lines.extend(replies.iter().map(answering));
        }
    }

    /// Each written answer beside one of the model's to the requests before it.
    fn compare_lines(
        &mut self,
        span: Span,
        stream: &Stream,
        method: &MethodDescriptor,
        mut waiting: VecDeque<Reply>,
    ) {
        for line in &stream.lines {
            if let Some(request) = &line.request {
                let payload = self.payload(request, method);
                match payload.and_then(|payload| respond(method, &payload)) {
                    Some(replies) => waiting.extend(replies),
                    None => return,
                }
            }
            if let Some(answer) = &line.answer {
                match waiting.pop_front() {
                    Some(reply) => self.compare(line.span, answer, method, reply),
                    None => self.say(Statement::NoMoreAnswers(line.span)),
                }
            }
        }
        let written = stream.lines.iter().any(|line| line.answer.is_some());
        if written && !waiting.is_empty() {
            self.say(Statement::MoreAnswers(span, waiting.len()));
        }
    }
}

/// The number of a client, in a concurrent step.
const CLIENT: &str = "client";

fn any(method: &MethodDescriptor, value: Vec<u8>) -> Any {
    Any {
        type_url: format!("{PROTOBUF}{}", method.input().full_name()),
        value,
    }
}

/// What an action that streams its answers says to one request.
fn respond(method: &MethodDescriptor, payload: &Any) -> Option<Vec<Reply>> {
    let service = method.parent_service();
    oracle::respond(service.full_name(), method.name(), payload)
}

#[cfg(test)]
mod tests;
