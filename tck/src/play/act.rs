//! What the kit does: the acts of its moves, and what they change.

use super::{Act, Draft, Exchange, Play, Queued, Stream, Track};
use crate::model::oracle;
use crate::party::Party;
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::Key;
use crate::protocol::{Command, FromFunction, FromProxy};
use crate::scenario::Fault;
use crate::scenario::message::{self, Scope};
use crate::script;
use crate::script::{CallPlan, MoveKind, Place};
use crate::services;
use crate::status::end_status;
use crate::transcript::{Entry, Hop, StreamId, What};
use crate::yaml::Node;
use bytes::Bytes;
use prost::Message as _;

impl Play {
    pub(super) fn act(&self, draft: &Draft) -> Option<Act> {
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
            Draft::SendFront(call, bytes) if self.script.calls[*call].bare => Act::Fault {
                from,
                stream: front(call)?,
                fault: Fault::Frame(bytes.clone()),
            },
            Draft::SendFront(call, bytes) => Act::Send {
                from,
                stream: front(call)?,
                bytes: bytes.clone(),
            },
            Draft::HalfCloseFront(call) => Act::HalfClose {
                from,
                stream: front(call)?,
            },
            Draft::ResetFront(call) => Act::Reset {
                from,
                stream: front(call)?,
            },
            Draft::OpenAction(call) => back(self.script.calls[*call].kind.path()),
            Draft::SendAction(call, bytes) => Act::Send {
                from: Party::Proxy,
                stream: *self.backs.get(call)?,
                bytes: bytes.clone(),
            },
            Draft::HalfCloseAction(call) => Act::HalfClose {
                from: Party::Proxy,
                stream: *self.backs.get(call)?,
            },
            Draft::OpenEntity(EntityType::Action, _) => back(protocol::Kind::Unary.path()),
            Draft::OpenEntity(entity_type, _) => back(entity_type.protocol().path()),
            Draft::HalfCloseEntity(key) => Act::HalfClose {
                from: Party::Proxy,
                stream: *self.current.get(key)?,
            },
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
            Draft::Fault(from, stream, fault) => Act::Fault {
                from: *from,
                stream: *stream,
                fault: fault.clone(),
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

    /// Queues the acts of a move; `false`: its stream isn't ready yet.
    pub(super) fn issue(&mut self, index: usize) -> bool {
        let script = self.script.clone();
        let owner = Some(index);
        match &script.moves[index].kind {
            MoveKind::Request(call) => self.issue_request(*call, index),
            MoveKind::Send(call, number) => {
                let bytes = script.calls[*call].requests[*number].clone();
                self.push(Draft::SendFront(*call, bytes), owner);
            }
            MoveKind::Sent(call) => self.push(Draft::HalfCloseFront(*call), owner),
            MoveKind::Command(call) => match script.calls[*call].entity_type {
                Some(EntityType::Action) => self.issue_action(*call, index),
                _ => return self.issue_command(*call, index),
            },
            MoveKind::Deliver(call, number) => self.issue_delivery(*call, *number, index),
            MoveKind::Delivered(call) => self.push(Draft::HalfCloseAction(*call), owner),
            MoveKind::Answer(call) => return self.issue_answer(*call, index),
            MoveKind::End(call) => match self.at(&Place::Call(*call)) {
                Some(stream) => self.push(Draft::End(stream, 0, String::new()), owner),
                None => self.complete(index, self.now(), 0),
            },
            MoveKind::Cancel(call) => match self.at(&Place::Call(*call)) {
                Some(stream) => self.push(Draft::Reset(Party::Proxy, stream), owner),
                None => self.complete(index, self.now(), 0),
            },
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
            MoveKind::Message { from, place, node } => {
                let entity_type = self.entity_type_at(place);
                let bytes = self.build(node, entity_type.message(*from));
                return self.issue_raw(*from, place, bytes, index);
            }
            MoveKind::Bytes { from, place, bytes } => {
                return self.issue_raw(*from, place, bytes.clone(), index);
            }
            MoveKind::Ends {
                from: Party::Client,
                place: Place::Call(call),
                ..
            } => self.push(Draft::HalfCloseFront(*call), owner),
            MoveKind::Ends {
                from,
                place,
                status,
            } => match (self.at(place), from) {
                (Some(stream), Party::Proxy) => self.push(Draft::HalfClose(stream), owner),
                (Some(stream), _) => {
                    let (code, message) = end_status(status.as_ref());
                    self.push(Draft::End(stream, code, message), owner);
                }
                // The proxy was first.
                (None, Party::Function) if self.was_reset(place) => {
                    self.complete(index, self.now(), 0);
                }
                (None, _) => return false,
            },
            MoveKind::Resets {
                from: Party::Client,
                place: Place::Call(call),
            } => self.push(Draft::ResetFront(*call), owner),
            MoveKind::Resets { from, place } => match self.at(place) {
                Some(stream) => self.push(Draft::Reset(*from, stream), owner),
                None => return false,
            },
            MoveKind::Fault { from, place, fault } => match self.at(place) {
                Some(stream) => self.push(Draft::Fault(*from, stream, fault.clone()), owner),
                None => return false,
            },
            MoveKind::Fails { place, .. } => match self.at(place) {
                Some(stream) => {
                    self.push(Draft::End(stream, 13, "the kit fails".into()), owner);
                }
                None => return false,
            },
            MoveKind::Discover(info) => {
                let bytes = match info {
                    Some(node) => self.build(node, "cloudstate.ProxyInfo"),
                    None => Bytes::from(crate::protocol::discovery::proxy_info().encode_to_vec()),
                };
                self.unary(protocol::DISCOVER, bytes, owner);
            }
            // The kit's function answers discover and reportError by itself, outside the chart.
            MoveKind::Spec(_) | MoveKind::NoSpec(_) => self.complete(index, self.now(), 0),
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
            MoveKind::Return(_) | MoveKind::Pass(_) | MoveKind::Acknowledged => {}
            MoveKind::Kill(party) => self.push(Draft::Kill(*party), owner),
            MoveKind::Start(party) => self.push(Draft::Start(*party), owner),
        }
        true
    }

    /// The function is gone, and all streams with it.
    fn gone(&mut self) {
        for stream in self.current.values().copied().collect::<Vec<_>>() {
            if let Some((proxy_done, function_done)) = self.sides(stream) {
                (*proxy_done, *function_done) = (true, true);
            }
        }
        self.current.clear();
    }

    fn was_reset(&self, place: &Place) -> bool {
        matches!(place, Place::Entity(key) if self.reset.contains(key))
    }

    pub(super) fn passive(&mut self, index: usize, key: &Key) {
        let entry = self.now();
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
        let (Some(key), Some(entity_type)) = (plan.key.clone(), plan.entity_type) else {
            return true;
        };
        let protocol = entity_type.protocol();
        let replay = plan.replay.as_ref().and_then(|node| self.read_replay(node));
        let id = match self.live(&key) {
            Some((_, track)) if track.proxy_done || track.function_done => return false,
            Some((_, track)) if track.initialised => track.last_id + 1,
            _ => {
                let stored =
                    replay.unwrap_or_else(|| self.stored.get(&key).cloned().unwrap_or_default());
                if !self.current.contains_key(&key) {
                    self.push(Draft::OpenEntity(entity_type, key.clone()), None);
                }
                for message in protocol.activation(&key, &stored) {
                    self.push(Draft::SendEntity(key.clone(), message.into()), None);
                }
                self.stored.insert(key.clone(), stored);
                1
            }
        };
        let payload = script::payload(plan, &plan.payload);
        let bytes = protocol.command(plan.command(id, Some(payload))).into();
        self.push(Draft::SendEntity(key, bytes), Some(index));
        true
    }

    fn issue_answer(&mut self, call: usize, index: usize) -> bool {
        let script = self.script.clone();
        let plan = &script.calls[call];
        let Some(&stream) = self.backs.get(&script.carrier(call)) else {
            return false;
        };
        let Some(entity_type) = self.entity_type(stream) else {
            return false;
        };
        let id = match self.streams.get(&stream) {
            Some(Stream::Action(_)) => 0,
            Some(Stream::Entity(track)) if track.outstanding.is_some() => track.last_id,
            _ => return false,
        };
        let bytes = match &plan.answer {
            Some(answer) => {
                let node = script::answer_node(&script, plan, answer, id, Some(script.choice));
                self.build(&node, entity_type.message(Party::Function))
            }
            None => match self.model_answers(stream, plan) {
                Some(reply) => entity_type.protocol().reply(reply.to_command(id)).into(),
                None => self.broken(format!("the model can't answer {}", plan.path)),
            },
        };
        self.push(Draft::Send(Party::Function, stream, bytes), Some(index));
        true
    }

    /// What the model says to a command, asked when it came.
    fn model_answers(&mut self, stream: StreamId, plan: &CallPlan) -> Option<protocol::Reply> {
        let payload = script::payload(plan, &plan.payload);
        match self.streams.get_mut(&stream)? {
            Stream::Entity(track) => track.model.as_mut()?.handle(&plan.method, &payload),
            _ => oracle::answer(plan.service(), &plan.method, &[payload]),
        }
    }

    /// The entity type of what travels where a raw step means.
    fn entity_type_at(&self, place: &Place) -> EntityType {
        let of = |service: &str| services::entity_type(service).unwrap_or(EntityType::EventSourced);
        match place {
            Place::Entity(key) => of(&key.service),
            Place::Call(_) => EntityType::Action,
        }
    }

    fn issue_raw(&mut self, from: Party, place: &Place, bytes: Bytes, index: usize) -> bool {
        match (self.at(place), place, from) {
            (Some(stream), ..) => self.push(Draft::Send(from, stream, bytes), Some(index)),
            (None, Place::Entity(key), Party::Proxy) => {
                let entity_type = self.entity_type_at(place);
                self.push(Draft::OpenEntity(entity_type, key.clone()), None);
                self.push(Draft::SendEntity(key.clone(), bytes), Some(index));
                if entity_type == EntityType::Action {
                    self.push(Draft::HalfCloseEntity(key.clone()), None);
                }
            }
            (None, ..) => return false,
        }
        true
    }

    fn build(&mut self, node: &Node, name: &str) -> Bytes {
        let script = self.script.clone();
        let scope = Scope {
            package: &script.package,
            bindings: &script.bindings,
        };
        let Some(descriptor) = crate::services::descriptor_pool().get_message_by_name(name) else {
            return self.broken(format!("the kit doesn't know {name}"));
        };
        match message::build(node, &descriptor, &scope) {
            Ok(message) => message.encode_to_vec().into(),
            Err(error) => self.broken(error.to_string()),
        }
    }

    /// The kit's own act was recorded.
    pub(super) fn own(&mut self, entry: &Entry) {
        let Some(Queued { draft, owner }) = self.queue.pop_front() else {
            self.broken("the transcript has an act that the chart doesn't ask for".to_owned());
            return;
        };
        if let Some(stream) = entry.stream {
            self.performed(&draft, stream, entry);
        }
        if let Draft::Kill(Party::Function) = draft {
            self.gone();
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
            Draft::OpenAction(call) => {
                let exchange = Exchange {
                    call: Some(*call),
                    ..Exchange::default()
                };
                self.streams.insert(stream, Stream::Action(exchange));
                self.backs.insert(*call, stream);
            }
            Draft::OpenEntity(EntityType::Action, key) => {
                self.streams
                    .insert(stream, Stream::Action(Exchange::default()));
                self.current.insert(key.clone(), stream);
            }
            Draft::OpenEntity(entity_type, key) => {
                let track = Track::new(*entity_type, Some(key.clone()));
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
            Draft::HalfClose(_) | Draft::HalfCloseAction(_) => {
                if let Some((proxy_done, _)) = self.sides(stream) {
                    *proxy_done = true;
                }
            }
            Draft::Reset(Party::Proxy, _) => {
                if let Some((proxy_done, function_done)) = self.sides(stream) {
                    (*proxy_done, *function_done) = (true, true);
                }
                self.forget(stream);
            }
            Draft::Fault(_, _, Fault::Frame(_) | Fault::GoesAway) => {}
            Draft::End(..) | Draft::Reset(..) | Draft::Fault(..) => {
                if let Some((_, function_done)) = self.sides(stream) {
                    *function_done = true;
                }
                self.forget(stream);
            }
            _ => {}
        }
    }

    fn sent_as_proxy(&mut self, stream: StreamId, entry: &Entry) {
        let (What::Message { bytes }, Some(Stream::Entity(track))) =
            (&entry.what, self.streams.get(&stream))
        else {
            return;
        };
        let read = protocol::read_in(track.entity_type, bytes);
        let call = match &read {
            FromProxy::Command(command) => self.queue_owner_call(command),
            _ => None,
        };
        let Some(track) = self.track(stream) else {
            return;
        };
        match read {
            FromProxy::Init { state, .. } => {
                track.initialised = true;
                track.activation.begin = state;
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
            FromProxy::Request(_) | FromProxy::Empty | FromProxy::Garbage(_) => {}
        }
    }

    /// In the sdk role: the call whose command was just sent.
    fn queue_owner_call(&self, command: &Command) -> Option<usize> {
        (0..self.done.len()).find_map(|index| match &self.script.moves[index].kind {
            MoveKind::Command(call) if self.issued[index] && self.done[index].is_none() => {
                let plan = &self.script.calls[*call];
                let ours = plan
                    .key
                    .as_ref()
                    .is_some_and(|key| key.entity == command.entity);
                ours.then_some(*call)
            }
            _ => None,
        })
    }

    fn sent_as_function(&mut self, stream: StreamId, entry: &Entry) {
        let (What::Message { bytes }, Some(entity_type)) = (&entry.what, self.entity_type(stream))
        else {
            return;
        };
        let FromFunction::Reply(reply) = protocol::read_out(entity_type, bytes) else {
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
            model.learn(&reply);
        }
    }

    fn own_command_id(&mut self, index: usize) -> i64 {
        let (MoveKind::Command(call) | MoveKind::Answer(call)) = self.script.moves[index].kind
        else {
            return 0;
        };
        let stream = self.backs.get(&self.script.carrier(call)).copied();
        stream
            .and_then(|stream| self.track(stream))
            .map_or(0, |track| track.last_id)
    }
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
