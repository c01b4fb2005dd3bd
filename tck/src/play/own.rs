//! What the kit's own acts change.

use super::draft::{Deed, Draft, Opening, Queued};
use super::{Exchange, Play, StreamState};
use crate::party::Party;
use crate::protocol;
use crate::protocol::{Command, FromFunction, FromProxy, Stored};
use crate::scenario::Fault;
use crate::script::MoveKind;
use crate::transcript::{Entry, StreamId, What};

impl Play {
    /// The kit's own act was recorded.
    pub(super) fn own(&mut self, entry: &Entry) {
        let Some(Queued { draft, owner }) = self.queue.pop_front() else {
            self.broken("the transcript has an act that the chart doesn't ask for".to_owned());
            return;
        };
        if let Some(stream) = entry.stream {
            self.performed(&draft, stream, entry);
            let by_hand = |index: usize| {
                matches!(
                    self.script.moves[index].kind,
                    MoveKind::Message {
                        from: Party::Proxy,
                        ..
                    }
                )
            };
            if owner.is_some_and(by_hand) {
                self.told_by_hand(stream, entry);
            }
        }
        if let Draft::Kill(Party::Function) = draft {
            self.gone();
        }
        if let Some(index) = owner {
            let id = self.own_command_id(index);
            self.complete(index, entry.seq, id);
        }
    }

    /// What an act of the kit's changes.
    fn performed(&mut self, draft: &Draft, stream: StreamId, entry: &Entry) {
        match draft {
            Draft::Open(opening) => self.has_opened(opening, stream),
            Draft::On(target, deed) => {
                let from = self.locate(target).map(|(from, _)| from);
                self.has_done(from, deed, stream, entry);
            }
            Draft::Kill(_) | Draft::Start(_) => {}
        }
    }

    fn has_opened(&mut self, opening: &Opening, stream: StreamId) {
        let opened = match opening {
            Opening::Front(call) => {
                self.fronts.insert(*call, stream);
                StreamState::Front {
                    call: *call,
                    messages: Vec::new(),
                    headers: None,
                }
            }
            Opening::Action(call) => {
                self.backs.insert(*call, stream);
                StreamState::Action(Exchange {
                    call: Some(*call),
                    ..Exchange::default()
                })
            }
            Opening::Entity(entity_type, key) => {
                self.asleep.remove(key);
                self.current.insert(key.clone(), stream);
                StreamState::of(*entity_type, Some(key.clone()))
            }
            Opening::Unary(path) => {
                self.unary = Some(stream);
                if *path == protocol::DISCOVER {
                    StreamState::Discover
                } else {
                    StreamState::Report { answered: false }
                }
            }
        };
        self.streams.insert(stream, opened);
    }

    fn has_done(&mut self, from: Option<Party>, deed: &Deed, stream: StreamId, entry: &Entry) {
        match (deed, from) {
            (Deed::Send(_), Some(Party::Proxy)) => self.sent_as_proxy(stream, entry),
            (Deed::Send(_), Some(Party::Function)) => self.sent_as_function(stream, entry),
            (Deed::Send(_), Some(Party::Client) | None) => {}
            (Deed::HalfClose, _) => {
                if let Some((proxy_done, _)) = self.sides(stream) {
                    *proxy_done = true;
                }
            }
            (Deed::Reset, Some(Party::Proxy)) => {
                if let Some((proxy_done, function_done)) = self.sides(stream) {
                    (*proxy_done, *function_done) = (true, true);
                }
                self.forget(stream);
            }
            (Deed::Fault(Fault::Frame(_) | Fault::GoesAway), _) => {}
            (Deed::End(..) | Deed::Reset | Deed::Fault(_), _) => {
                if let Some((_, function_done)) = self.sides(stream) {
                    *function_done = true;
                }
                self.forget(stream);
            }
        }
    }

    fn sent_as_proxy(&mut self, stream: StreamId, entry: &Entry) {
        let (What::Message { bytes }, Some(StreamState::Entity(track))) =
            (&entry.what, self.streams.get(&stream))
        else {
            return;
        };
        let read = protocol::read_in(track.entity_type, bytes);
        let call = match &read {
            FromProxy::Command(command) => self.queue_owner_call(command),
            _ => None,
        };
        match read {
            FromProxy::Init { state, .. } => self.begun(stream, state),
            FromProxy::Event { sequence, payload } => self.replayed(stream, sequence, payload),
            FromProxy::Command(command) => {
                if let Some(call) = call {
                    self.consult(stream, call, &command);
                }
                let Some(track) = self.track(stream) else {
                    return;
                };
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

    /// What the chart has the proxy say of the state, so that it can be said again.
    fn told_by_hand(&mut self, stream: StreamId, entry: &Entry) {
        let (What::Message { bytes }, Some(StreamState::Entity(track))) =
            (&entry.what, self.streams.get(&stream))
        else {
            return;
        };
        let Some(key) = track.key.clone() else { return };
        match protocol::read_in(track.entity_type, bytes) {
            FromProxy::Init { state, .. } => {
                self.stored.insert(key, Stored::of(&state));
            }
            FromProxy::Event { payload, .. } => {
                self.stored.entry(key).or_default().events.push(payload);
            }
            _ => {}
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
            // What the chart lets it store can't be unreadable for the model's own state, but for one made by hand.
            let _ = model.learn(&reply);
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

    /// The function is gone, and all streams with it.
    fn gone(&mut self) {
        for stream in self.current.values().copied().collect::<Vec<_>>() {
            if let Some((proxy_done, function_done)) = self.sides(stream) {
                (*proxy_done, *function_done) = (true, true);
            }
        }
        self.current.clear();
    }
}
