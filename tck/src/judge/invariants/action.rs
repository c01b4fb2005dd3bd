//! The rules of an action's call, for both of its ends.

use crate::judge::collector::Collector;
use crate::judge::evaluation::Evaluation;
use crate::judge::invariants::payloads;
use crate::party::Party;
use crate::protocol;
use crate::protocol::{Command, EntityType, FromFunction, FromProxy, Kind, PROTOBUF, Reply};
use crate::requirement::names;
use crate::services;
use crate::transcript::{Entry, Hop, StreamId, What};
use cloudstate_protocol::cloudstate::client_action::Action;
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
    /// The full name of what the method returns, once the command is named.
    output: Option<String>,
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
            output: None,
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
                if let (0, FromProxy::Command(command)) = (self.requests, &message) {
                    self.output = services::output(&command.service, &command.name);
                }
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
        let mut rules = Vec::new();
        if !self.kind.streams_in() {
            let text = "a second message on a call whose client sends one";
            rules.push(Evaluation::new(names::ACTIONS_ONE_COMMAND, first, text));
        }
        rules.extend(match message {
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
        });
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

    fn reply_type(&self, reply: &Reply) -> Option<Evaluation> {
        let Some(Action::Reply(message)) = &reply.action else {
            return None;
        };
        let (output, payload) = (self.output.as_ref()?, message.payload.as_ref()?);
        let expected = format!("{PROTOBUF}{output}");
        let (name, path) = (names::ACTIONS_REPLY_TYPE, "reply.payload.type_url");
        let text = "the reply's payload is not of the method's output type";
        let received = payload.type_url.clone();
        Some(Evaluation::equal(name, path, expected, received, text))
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
                if let FromFunction::Reply(reply) = &read {
                    // The kit's own may be of any type, as a chart has it.
                    if !entry.by_kit {
                        rules.extend(payloads::of_reply(reply));
                    }
                    rules.extend(self.reply_type(reply));
                }
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
