//! Actions: a call for each command, without an entity, a state or a life beyond the call.
//!
//! A streamed call is played in lock-step: what the client sends is delivered, what the function answers is passed
//! on, one message after the other.

use super::draft::{Deed, Draft, DraftTarget, Opening};
use super::{Exchange, Play, StreamState};
use crate::party::Party;
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::{FromFunction, FromProxy};
use crate::requirement::names;
use crate::scenario::Fault;
use crate::script;
use crate::script::{CallPlan, MoveKind, Place, Script};
use crate::status;
use crate::transcript::{Entry, StreamId, What};

impl Play {
    // === What the kit does ===

    /// The client's call; what it streams are moves of their own.
    pub(super) fn issue_request(&mut self, call: usize, index: usize) {
        let plan = &self.script.calls[call];
        let (streams_in, payload) = (plan.kind.streams_in(), plan.payload.clone());
        if streams_in {
            return self.push(Draft::Open(Opening::Front(call)), Some(index));
        }
        let send = if plan.bare {
            Deed::Fault(Fault::Frame(payload))
        } else {
            Deed::Send(payload)
        };
        self.push(Draft::Open(Opening::Front(call)), None);
        self.push(Draft::On(DraftTarget::Front(call), send), None);
        self.push(
            Draft::On(DraftTarget::Front(call), Deed::HalfClose),
            Some(index),
        );
    }

    /// The call to the function, and its first message.
    pub(super) fn issue_action(&mut self, call: usize, index: usize) {
        let script = self.script.clone();
        let plan = &script.calls[call];
        let protocol = EntityType::Action.protocol();
        let payload = (!plan.kind.streams_in()).then(|| script::payload(plan, &plan.payload));
        let bytes = protocol.command(plan.command(0, payload)).into();
        self.push(Draft::Open(Opening::Action(call)), None);
        self.push(
            Draft::On(DraftTarget::Action(call), Deed::Send(bytes)),
            Some(index),
        );
    }

    pub(super) fn issue_delivery(&mut self, call: usize, number: usize, index: usize) {
        let script = self.script.clone();
        let plan = &script.calls[call];
        let payload = script::payload(plan, &plan.requests[number]);
        let bytes = protocol::further(payload).into();
        self.push(
            Draft::On(DraftTarget::Action(call), Deed::Send(bytes)),
            Some(index),
        );
    }

    // === What others do ===

    fn exchange(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        match self.streams.get_mut(&stream) {
            Some(StreamState::Action(exchange)) => Some(exchange),
            _ => None,
        }
    }

    pub(super) fn proxy_on_action(&mut self, stream: StreamId, entry: &Entry) {
        let Some(exchange) = self.exchange(stream).copied() else {
            return;
        };
        match &entry.what {
            What::Message { bytes } => {
                let read = protocol::read_in(EntityType::Action, bytes);
                match (read, exchange.call) {
                    (FromProxy::Command(command), None) => self.action(stream, entry, &command),
                    (FromProxy::Command(_) | FromProxy::Request(_), Some(call)) => {
                        self.delivered(stream, entry, call, exchange.requests);
                    }
                    (FromProxy::Garbage(error), _) => {
                        let text = format!("a message that can't be decoded ({error})");
                        self.unexpected(entry, text);
                    }
                    _ => self.unexpected(entry, "a first message that names no command"),
                }
            }
            What::HalfClose => {
                if let Some(exchange) = self.exchange(stream) {
                    exchange.proxy_done = true;
                }
                self.align(
                    entry,
                    |kind| matches!(kind, MoveKind::Delivered(c) if Some(*c) == exchange.call),
                );
            }
            What::Cancel | What::End { .. } => self.cancelled(stream, entry, exchange),
            _ => {}
        }
    }

    fn action(&mut self, stream: StreamId, entry: &Entry, command: &protocol::Command) {
        let payload = command.payload.as_ref().map(|any| any.value.as_slice());
        let script = self.script.clone();
        let is = |call: usize| {
            let plan = &script.calls[call];
            plan.is_action() && plan.service() == command.service && plan.method == command.name
        };
        let same = |call: usize| {
            let plan = &script.calls[call];
            plan.kind.streams_in() || Some(plan.payload.as_ref()) == payload
        };
        let found = self
            .find(|kind| matches!(kind, MoveKind::Command(c) if is(*c) && same(*c)))
            .or_else(|| self.find(|kind| matches!(kind, MoveKind::Command(c) if is(*c))));
        let Some(index) = found else {
            let text = format!(
                "the command {}/{} that no call asked for",
                command.service, command.name
            );
            return self.unexpected(entry, text);
        };
        let MoveKind::Command(call) = self.script.moves[index].kind else {
            return;
        };
        if let Some(exchange) = self.exchange(stream) {
            exchange.call = Some(call);
        }
        self.backs.insert(call, stream);
        self.complete(index, entry.seq, 0);
    }

    fn delivered(&mut self, stream: StreamId, entry: &Entry, call: usize, number: usize) {
        if let Some(exchange) = self.exchange(stream) {
            exchange.requests += 1;
        }
        let is =
            |kind: &MoveKind| matches!(kind, MoveKind::Deliver(c, n) if *c == call && *n == number);
        if !self.align(entry, is) {
            self.unexpected(entry, "a request that the client didn't send");
        }
    }

    /// The proxy wants no more of it.
    fn cancelled(&mut self, stream: StreamId, entry: &Entry, exchange: Exchange) {
        if let Some(exchange) = self.exchange(stream) {
            (exchange.proxy_done, exchange.function_done) = (true, true);
        }
        let Some(call) = exchange.call else { return };
        let place = Place::Call(call);
        let expected = self.align(entry, |kind| match kind {
            MoveKind::Cancel(c) => *c == call,
            MoveKind::Ends {
                from: Party::Proxy,
                place: p,
                ..
            }
            | MoveKind::Resets {
                from: Party::Proxy,
                place: p,
            } => *p == place,
            _ => false,
        });
        let over = exchange.function_done || self.has_returned(call) || self.has_answered(call);
        if !(expected || over) {
            self.unexpected(entry, "a cancellation of the action's call");
        } else {
            self.waive(call, entry.seq);
        }
    }

    /// The client has its status already.
    fn has_returned(&self, call: usize) -> bool {
        let is = |kind: &MoveKind| matches!(kind, MoveKind::Return(c) if *c == call);
        (0..self.done.len())
            .any(|index| self.done[index].is_some() && is(&self.script.moves[index].kind))
    }

    /// The client's call is over, and the proxy is about to cancel this one: until then the function may go on.
    fn is_unwanted(&self, call: usize) -> bool {
        let cancels = |kind: &MoveKind| matches!(kind, MoveKind::Cancel(c) if *c == call);
        self.script.moves.iter().any(|this| cancels(&this.kind))
    }

    /// The one answer was sent; nothing but the status would follow.
    fn has_answered(&self, call: usize) -> bool {
        let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(c) if *c == call);
        let answered = |index: usize| self.done[index].is_some();
        let mut all = (0..self.done.len()).filter(|index| is(&self.script.moves[*index].kind));
        !self.script.calls[call].kind.streams_out() && all.any(answered)
    }

    /// A call for one response has none, though the chart has no other end for it.
    fn lacks_its_answer(&self, call: usize) -> bool {
        let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(c) if *c == call);
        let open = self
            .find(is)
            .is_some_and(|index| self.ready.contains(&index));
        open && !self.script.calls[call].kind.streams_out()
            && !self.script.role.kit_plays(Party::Function)
    }

    /// The call is over: what would still have travelled on it needn't.
    fn waive(&mut self, call: usize, entry: u64) {
        let script = self.script.clone();
        for index in 0..self.done.len() {
            let of_call = match &script.moves[index].kind {
                MoveKind::End(c) | MoveKind::Cancel(c) | MoveKind::Delivered(c) => *c == call,
                _ => false,
            };
            if of_call && self.done[index].is_none() {
                self.made(index, entry);
            }
        }
    }

    pub(super) fn function_on_action(&mut self, stream: StreamId, entry: &Entry) {
        let call = match self.exchange(stream).copied() {
            Some(Exchange {
                call: Some(call),
                function_done: false,
                ..
            }) => call,
            Some(Exchange {
                call: None,
                function_done: false,
                ..
            }) => return self.by_hand(stream, entry),
            _ => return,
        };
        match &entry.what {
            What::Message { bytes } => match protocol::read_out(EntityType::Action, bytes) {
                FromFunction::Garbage(error) => {
                    self.raw_message(entry, format!("a message that can't be decoded ({error})"));
                }
                _ => self.element(entry, call),
            },
            What::End { code, message, .. } => {
                if let Some(exchange) = self.exchange(stream) {
                    exchange.function_done = true;
                }
                self.action_ends(entry, call, *code, message);
            }
            _ => {}
        }
    }

    /// What comes on a call that the kit made by hand: the chart waits for a refusal.
    fn by_hand(&mut self, stream: StreamId, entry: &Entry) {
        let refuses = match &entry.what {
            What::Message { bytes } => match protocol::read_out(EntityType::Action, bytes) {
                FromFunction::Reply(reply) => reply.failure().is_some(),
                _ => false,
            },
            What::End { code, .. } => *code != 0,
            _ => return,
        };
        let awaited = |kind: &MoveKind| matches!(kind, MoveKind::Fails { .. });
        let open = self.find(awaited).is_some();
        if refuses {
            if let Some(exchange) = self.exchange(stream) {
                exchange.function_done = true;
            }
            self.align(entry, awaited);
        } else if open {
            self.unexpected(entry, "an answer");
        }
    }

    fn element(&mut self, entry: &Entry, call: usize) {
        let script = self.script.clone();
        let is =
            |kind: &MoveKind| matches!(kind, MoveKind::Answer(c) if script.carrier(*c) == call);
        if !self.align(entry, is) && !self.is_unwanted(call) {
            self.raw_message(entry, "an answer where none was expected".to_owned());
        }
    }

    fn action_ends(&mut self, entry: &Entry, call: usize, code: i32, message: &str) {
        let place = Place::Call(call);
        let found = self.align(entry, |kind| match kind {
            MoveKind::End(c) => *c == call && code == 0,
            // What is over needn't be cancelled.
            MoveKind::Cancel(c) => *c == call,
            MoveKind::Fails { place: p, .. } => *p == place,
            MoveKind::Ends {
                from: Party::Function,
                place: p,
                ..
            }
            | MoveKind::Resets {
                from: Party::Function,
                place: p,
            } => *p == place,
            _ => false,
        });
        if !found && !self.has_returned(call) {
            let status = status::status_name(code);
            return self.unexpected(entry, format!("the end of its call ({status} {message})"));
        }
        if found && self.lacks_its_answer(call) {
            let text = "the end of its call, and no response";
            return self.breaks(entry, text, Some(names::ACTIONS_ONE_RESPONSE));
        }
        self.waive(call, entry.seq);
    }
}

impl Script {
    /// Calls of actions that carry no id: no other scenario may make any at the same time.
    pub fn has_actions(&self) -> bool {
        self.calls.iter().any(CallPlan::is_action)
    }
}
