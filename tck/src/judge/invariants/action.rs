//! The rules of an action's call, for both of its ends.

use crate::judge::collector::Collector;
use crate::judge::evaluation::Evaluation;
use crate::party::Party;
use crate::protocol;
use crate::protocol::{Command, EntityType, FromFunction, FromProxy, Kind};
use crate::requirement::names;
use crate::transcript::{Entry, Hop, StreamId, What};
use std::collections::BTreeMap;

/// Walks the transcript once.
pub(super) fn check(collector: &mut Collector<'_>) {
    let mut calls: BTreeMap<StreamId, ActionCall> = BTreeMap::new();
    for entry in &collector.case.transcript.entries {
        let Some(stream) = entry.stream.filter(|_| entry.hop == Some(Hop::Back)) else {
            continue;
        };
        if let What::Open { path, .. } = &entry.what {
            let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
            calls.extend(kind.map(|kind| (stream, ActionCall::new(kind))));
        } else if let Some(call) = calls.get_mut(&stream) {
            match entry.from {
                Party::Function => call.function(collector, entry),
                Party::Proxy | Party::Client => call.proxy(collector, entry),
            }
        }
    }
}

/// One call as it should be.
#[derive(Debug)]
struct ActionCall {
    kind: Kind,
    requests: usize,
    responses: usize,
    over: bool,
    /// The kit departed from the rules as scripted: only the chart speaks.
    exempt: bool,
}

impl ActionCall {
    fn new(kind: Kind) -> ActionCall {
        ActionCall {
            kind,
            requests: 0,
            responses: 0,
            over: false,
            exempt: false,
        }
    }

    fn proxy(&mut self, collector: &mut Collector<'_>, entry: &Entry) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_in(EntityType::Action, bytes);
                for rule in self.requested(message) {
                    collector.rule(&mut self.exempt, Party::Proxy, entry.seq, rule);
                }
                self.requests += 1;
            }
            What::Cancel | What::End { .. } => self.over = true,
            _ => {}
        }
    }

    /// The first message names the command, and of a streamed call does no more than that.
    fn requested(&self, message: FromProxy) -> Vec<Evaluation> {
        let first = self.requests == 0;
        let mut rules = match message {
            FromProxy::Command(command) => {
                let text = "a later message of the call names a command again";
                let unnamed = Evaluation::new(names::ACTIONS_REQUESTS_UNNAMED, first, text);
                let mut rules = vec![unnamed];
                rules.extend(self.named(&command));
                rules
            }
            FromProxy::Request(_) => {
                let text = "the first message of the call names no command";
                let name = names::ACTIONS_FIRST_NAMES_COMMAND;
                vec![Evaluation::new(name, !first, text)]
            }
            FromProxy::Init { .. }
            | FromProxy::Event { .. }
            | FromProxy::Empty
            | FromProxy::Garbage(_) => Vec::new(),
        };
        if !self.kind.streams_in() {
            let text = "a second message on a call whose client sends one";
            let one = Evaluation::new(names::ACTIONS_ONE_COMMAND, first, text);
            rules.push(one);
        }
        rules
    }

    fn named(&self, command: &Command) -> Vec<Evaluation> {
        let both = !command.service.is_empty() && !command.name.is_empty();
        let text = "the first message of the call lacks the service or the command";
        let name = names::ACTIONS_FIRST_NAMES_COMMAND;
        let mut rules = vec![Evaluation::new(name, both, text)];
        if self.kind.streams_in() {
            let bare = command.payload.is_none();
            let text = "the first message of a streamed call has a payload";
            let name = names::ACTIONS_FIRST_WITHOUT_PAYLOAD;
            rules.push(Evaluation::new(name, bare, text));
        }
        rules
    }

    fn function(&mut self, collector: &mut Collector<'_>, entry: &Entry) {
        let (one, streamed) = (names::ACTIONS_ONE_RESPONSE, self.kind.streams_out());
        let mut rules = Vec::new();
        match &entry.what {
            What::Message { bytes } => {
                let read = protocol::read_out(EntityType::Action, bytes);
                let readable = matches!(read, FromFunction::Reply(_));
                let text = "the message is no ActionResponse";
                let name = names::ACTIONS_RESPONSE_READABLE;
                rules.push(Evaluation::new(name, readable, text));
                if !streamed {
                    let text = "a second response on a call that has one";
                    rules.push(Evaluation::new(one, self.responses == 0, text));
                }
                self.responses += 1;
            }
            What::End {
                code: 0,
                trailers: true,
                ..
            } if !streamed && !self.over => {
                let text = "the call ended with OK and without a response";
                rules.push(Evaluation::new(one, self.responses > 0, text));
            }
            _ => {}
        }
        for rule in rules {
            collector.rule(&mut self.exempt, Party::Function, entry.seq, rule);
        }
    }
}
