//! What the kit does: the acts of its moves.

use super::draft::{Deed, Draft, DraftTarget, Opening, Queued};
use super::{Play, StreamState};
use crate::model::oracle;
use crate::party::Party;
use crate::protocol;
use crate::protocol::discovery::proxy_info;
use crate::protocol::{EntityType, Key, Stored};
use crate::scenario::message::{self, Scope};
use crate::script;
use crate::script::{CallPlan, MoveKind, Place};
use crate::services::descriptor_pool;
use crate::status::{INTERNAL, end_status};
use crate::transcript::StreamId;
use crate::yaml::Node;
use bytes::Bytes;
use prost::Message as _;
use std::collections::VecDeque;

impl Play {
    fn unary(&mut self, path: &'static str, bytes: Bytes, owner: Option<usize>) {
        self.push(Draft::Open(Opening::Unary(path)), None);
        self.push(Draft::On(DraftTarget::Unary, Deed::Send(bytes)), None);
        self.push(Draft::On(DraftTarget::Unary, Deed::HalfClose), owner);
    }

    /// Queues the acts of a move; `false`: its stream isn't ready yet.
    pub(super) fn issue(&mut self, index: usize) -> bool {
        let script = self.script.clone();
        let owner = Some(index);
        match &script.moves[index].kind {
            MoveKind::Message { from, place, node } => {
                let bytes = self.build(node, place.entity_type().message(*from));
                return self.issue_message(*from, place, bytes, index);
            }
            MoveKind::Bytes { from, place, bytes } => {
                return self.issue_message(*from, place, bytes.clone(), index);
            }
            MoveKind::Ends {
                from,
                place,
                status,
            } => return self.issue_end(*from, place, status.as_ref(), index),
            MoveKind::Resets { from, place } => {
                return self.issue_deed(*from, place, Deed::Reset, index);
            }
            MoveKind::Fault { from, place, fault } => {
                return self.issue_deed(*from, place, Deed::Fault(fault.clone()), index);
            }
            MoveKind::Fails { place, .. } => {
                let ends = Deed::End(INTERNAL, "the kit fails".into());
                return self.issue_deed(Party::Function, place, ends, index);
            }
            MoveKind::Discover(info) => self.issue_discover(info.as_ref(), index),
            MoveKind::Reported(text) => self.issue_report(text.as_ref(), index),
            // The kit's function answers discover and reportError by itself, outside the chart.
            MoveKind::Spec(_) | MoveKind::NoSpec(_) => self.complete(index, self.now(), 0),
            MoveKind::Acknowledged => {}
            MoveKind::Kill(party) => self.push(Draft::Kill(*party), owner),
            MoveKind::Start(party) => self.push(Draft::Start(*party), owner),
            MoveKind::HalfClose(key) => match self.live(key) {
                Some((stream, track)) if !track.proxy_done => {
                    self.push_on(Party::Proxy, stream, Deed::HalfClose, owner);
                }
                Some(_) => return false,
                // It has ended by itself, for instance after a restart: that is as passive as can be.
                None => self.passive(index, key),
            },
            // Queued when the half-close comes.
            MoveKind::Complete(_) => return self.done[index].is_some(),
            of_call => return self.issue_of_call(of_call, index),
        }
        true
    }

    /// Queues the acts of a move of a call.
    fn issue_of_call(&mut self, kind: &MoveKind, index: usize) -> bool {
        let owner = Some(index);
        match kind {
            MoveKind::Request(call) => self.issue_request(*call, index),
            MoveKind::Send(call, number) => {
                let bytes = self.script.calls[*call].requests[*number].clone();
                self.push(
                    Draft::On(DraftTarget::Front(*call), Deed::Send(bytes)),
                    owner,
                );
            }
            MoveKind::Sent(call) => {
                self.push(Draft::On(DraftTarget::Front(*call), Deed::HalfClose), owner);
            }
            MoveKind::Command(call) if self.script.calls[*call].is_action() => {
                self.issue_action(*call, index);
            }
            MoveKind::Command(call) => return self.issue_command(*call, index),
            MoveKind::Deliver(call, number) => self.issue_delivery(*call, *number, index),
            MoveKind::Delivered(call) => {
                self.push(
                    Draft::On(DraftTarget::Action(*call), Deed::HalfClose),
                    owner,
                );
            }
            MoveKind::Answer(call) => return self.issue_answer(*call, index),
            MoveKind::End(call) => match self.at(&Place::Call(*call)) {
                Some(stream) => {
                    let ends = Deed::End(0, String::new());
                    self.push_on(Party::Function, stream, ends, owner);
                }
                None => self.complete(index, self.now(), 0),
            },
            MoveKind::Cancel(call) => match self.at(&Place::Call(*call)) {
                Some(stream) => self.push_on(Party::Proxy, stream, Deed::Reset, owner),
                None => self.complete(index, self.now(), 0),
            },
            // What a proxy passes on is never the kit's.
            _ => {}
        }
        true
    }

    fn issue_discover(&mut self, info: Option<&Node>, index: usize) {
        let bytes = match info {
            Some(node) => self.build(node, "cloudstate.ProxyInfo"),
            None => Bytes::from(proxy_info().encode_to_vec()),
        };
        self.unary(protocol::DISCOVER, bytes, Some(index));
    }

    fn issue_report(&mut self, text: Option<&Node>, index: usize) {
        let span = self.script.scenario.span;
        let text = text
            .cloned()
            .unwrap_or_else(|| Node::text(span, "a report"));
        let report = Node::map(span, [("message", text)]);
        let bytes = self.build(&report, "cloudstate.UserFunctionError");
        self.unary(protocol::REPORT_ERROR, bytes, Some(index));
    }

    fn issue_end(
        &mut self,
        from: Party,
        place: &Place,
        status: Option<&Node>,
        index: usize,
    ) -> bool {
        let owner = Some(index);
        match (self.at(place), from, place) {
            (_, Party::Client, Place::Call(call)) => {
                self.push(Draft::On(DraftTarget::Front(*call), Deed::HalfClose), owner);
            }
            (Some(stream), Party::Proxy, _) => {
                self.push_on(from, stream, Deed::HalfClose, owner);
            }
            (Some(stream), ..) => {
                let (code, message) = end_status(status);
                self.push_on(from, stream, Deed::End(code, message), owner);
            }
            // The other side was first.
            (None, Party::Function, _) if self.was_reset(place) || self.sleeps(place) => {
                self.complete(index, self.now(), 0);
            }
            (None, Party::Proxy, _) if self.sleeps(place) => {
                self.complete(index, self.now(), 0);
            }
            (None, ..) => return false,
        }
        true
    }

    /// Something that needs nothing but the stream.
    fn issue_deed(&mut self, from: Party, place: &Place, deed: Deed, index: usize) -> bool {
        let target = match (from, place) {
            (Party::Client, Place::Call(call)) => DraftTarget::Front(*call),
            (Party::Proxy, Place::Entity(entity_type, key)) if self.sleeps(place) => {
                self.awaken(*entity_type, key, None);
                DraftTarget::Entity(key.clone())
            }
            _ => match self.at(place) {
                Some(stream) => DraftTarget::Stream(from, stream),
                None => return false,
            },
        };
        self.push(Draft::On(target, deed), Some(index));
        true
    }

    /// Its stream ended in order while nothing was asked of it.
    fn sleeps(&self, place: &Place) -> bool {
        matches!(place, Place::Entity(_, key) if self.asleep.contains(key))
    }

    fn was_reset(&self, place: &Place) -> bool {
        matches!(place, Place::Entity(_, key) if self.reset.contains(key))
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
                self.awaken(entity_type, &key, replay);
                1
            }
        };
        let payload = script::payload(plan, &plan.payload);
        let bytes = protocol.command(plan.command(id, Some(payload))).into();
        self.push(
            Draft::On(DraftTarget::Entity(key), Deed::Send(bytes)),
            Some(index),
        );
        true
    }

    /// Opens a stream for an entity, unless it has one without init, and gives it what is stored, or else this.
    fn awaken(&mut self, entity_type: EntityType, key: &Key, replay: Option<Stored>) {
        let stored = replay.unwrap_or_else(|| self.stored.get(key).cloned().unwrap_or_default());
        if !self.current.contains_key(key) {
            self.push(Draft::Open(Opening::Entity(entity_type, key.clone())), None);
        }
        for message in entity_type.protocol().activation(key, &stored) {
            let send = Deed::Send(message.into());
            self.push(Draft::On(DraftTarget::Entity(key.clone()), send), None);
        }
        self.stored.insert(key.clone(), stored);
    }

    /// A function let go of an idle entity: what was about to be sent on its stream goes to the next one.
    pub(super) fn take_back(&mut self, key: &Key, stream: StreamId) {
        let concerned = |queued: &Queued| match &queued.draft {
            Draft::Open(Opening::Entity(_, other)) => other == key,
            Draft::On(DraftTarget::Entity(other), _) => other == key,
            Draft::On(DraftTarget::Stream(Party::Proxy, other), _) => *other == stream,
            _ => false,
        };
        let (taken, kept): (VecDeque<_>, _) = self.queue.drain(..).partition(concerned);
        self.queue = kept;
        for index in taken.into_iter().filter_map(|queued| queued.owner) {
            self.issued[index] = false;
        }
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
            Some(StreamState::Action(_)) => 0,
            Some(StreamState::Entity(track)) if track.outstanding.is_some() => track.last_id,
            _ => return false,
        };
        let bytes = match &plan.answer {
            Some(answer) => {
                let node = script::answer_node(&script, plan, entity_type, answer, id);
                self.build(&node, entity_type.message(Party::Function))
            }
            None => match self.model_answers(stream, plan) {
                Some(reply) => entity_type.protocol().reply(reply.for_command(id)).into(),
                None => self.broken(format!("the model can't answer {}", plan.path)),
            },
        };
        self.push_on(Party::Function, stream, Deed::Send(bytes), Some(index));
        true
    }

    /// What the model says to a command, asked when it came.
    fn model_answers(&mut self, stream: StreamId, plan: &CallPlan) -> Option<protocol::Reply> {
        let payload = script::payload(plan, &plan.payload);
        match self.streams.get_mut(&stream)? {
            StreamState::Entity(track) => track.model.as_mut()?.handle(&plan.method, &payload),
            _ => oracle::answer(plan.service(), &plan.method, &[payload]),
        }
    }

    fn issue_message(&mut self, from: Party, place: &Place, bytes: Bytes, index: usize) -> bool {
        match (self.at(place), place, from) {
            (Some(stream), ..) => self.push_on(from, stream, Deed::Send(bytes), Some(index)),
            (None, Place::Entity(entity_type, key), Party::Proxy) => {
                let target = || DraftTarget::Entity(key.clone());
                if self.sleeps(place) {
                    self.awaken(*entity_type, key, None);
                } else {
                    let opening = Opening::Entity(*entity_type, key.clone());
                    self.push(Draft::Open(opening), None);
                }
                self.push(Draft::On(target(), Deed::Send(bytes)), Some(index));
                if !entity_type.has_entities() {
                    self.push(Draft::On(target(), Deed::HalfClose), None);
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
        let Some(descriptor) = descriptor_pool().get_message_by_name(name) else {
            return self.broken(format!("the kit doesn't know {name}"));
        };
        match message::build(node, &descriptor, &scope) {
            Ok(message) => message.encode_to_vec().into(),
            Err(error) => self.broken(error.to_string()),
        }
    }
}
