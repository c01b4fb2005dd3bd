//! The rules of an action's call, for both of its ends.

use crate::judge::invariants::at;
use crate::judge::{Bench, Objection};
use crate::party::Party;
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::{Command, FromFunction, FromProxy, Kind};
use crate::requirement::{RequirementName, names};
use crate::transcript::{Entry, Hop, StreamId, What};
use std::collections::BTreeMap;

/// Walks the transcript once.
pub fn check(bench: &mut Bench<'_>) {
    let mut calls: BTreeMap<StreamId, Watched> = BTreeMap::new();
    for entry in &bench.case.transcript.entries {
        let Some(stream) = entry.stream.filter(|_| entry.hop == Some(Hop::Back)) else {
            continue;
        };
        if let What::Open { path, .. } = &entry.what {
            let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
            calls.extend(kind.map(|kind| (stream, Watched::new(kind))));
        } else if let Some(call) = calls.get_mut(&stream) {
            match entry.from {
                Party::Function => call.function(bench, entry),
                _ => call.proxy(bench, entry),
            }
        }
    }
}

/// One call as it should be.
#[derive(Debug)]
struct Watched {
    kind: Kind,
    requests: usize,
    responses: usize,
    over: bool,
    /// The kit departed from the rules as scripted: only the chart speaks.
    tainted: bool,
}

impl Watched {
    fn new(kind: Kind) -> Watched {
        Watched {
            kind,
            requests: 0,
            responses: 0,
            over: false,
            tainted: false,
        }
    }

    /// A rule, its premise true: covered, and objected to if it is broken.
    fn rule(
        &mut self,
        bench: &mut Bench<'_>,
        name: RequirementName,
        holds: bool,
        objection: Objection,
    ) {
        if self.tainted {
            return;
        }
        let script = bench.case.script;
        let scripted = script.scenario.scripted == Some(objection.blame);
        if holds {
            bench.covered(name);
        } else if scripted && script.role.kit_plays(objection.blame) {
            self.tainted = true;
        } else {
            bench.object(name, objection);
        }
    }

    fn proxy(&mut self, bench: &mut Bench<'_>, entry: &Entry) {
        let objection = |text: &str| at(entry.seq, Party::Proxy, text);
        match &entry.what {
            What::Message { bytes } => {
                let first = self.requests == 0;
                self.requests += 1;
                match protocol::read_in(EntityType::Action, bytes) {
                    FromProxy::Command(command) => {
                        let text = "a later message of the call names a command again";
                        self.rule(
                            bench,
                            names::ACTIONS_REQUESTS_UNNAMED,
                            first,
                            objection(text),
                        );
                        self.named(bench, entry, &command);
                    }
                    FromProxy::Request(_) => {
                        let text = "the first message of the call names no command";
                        self.rule(
                            bench,
                            names::ACTIONS_FIRST_NAMES_COMMAND,
                            !first,
                            objection(text),
                        );
                    }
                    _ => {}
                }
                if !self.kind.streams_in() {
                    let text = "a second message on a call whose client sends one";
                    self.rule(bench, names::ACTIONS_ONE_COMMAND, first, objection(text));
                }
            }
            What::Cancel | What::End { .. } => self.over = true,
            _ => {}
        }
    }

    fn named(&mut self, bench: &mut Bench<'_>, entry: &Entry, command: &Command) {
        let objection = |text: &str| at(entry.seq, Party::Proxy, text);
        let both = !command.service.is_empty() && !command.name.is_empty();
        let text = "the first message of the call lacks the service or the command";
        self.rule(
            bench,
            names::ACTIONS_FIRST_NAMES_COMMAND,
            both,
            objection(text),
        );
        if self.kind.streams_in() {
            let bare = command.payload.is_none();
            let text = "the first message of a streamed call has a payload";
            self.rule(
                bench,
                names::ACTIONS_FIRST_WITHOUT_PAYLOAD,
                bare,
                objection(text),
            );
        }
    }

    fn function(&mut self, bench: &mut Bench<'_>, entry: &Entry) {
        let objection = |text: &str| at(entry.seq, Party::Function, text);
        match &entry.what {
            What::Message { bytes } => {
                let first = self.responses == 0;
                self.responses += 1;
                let read = protocol::read_out(EntityType::Action, bytes);
                let text = "the message is no ActionResponse";
                let readable = matches!(read, FromFunction::Reply(_));
                self.rule(
                    bench,
                    names::ACTIONS_RESPONSE_READABLE,
                    readable,
                    objection(text),
                );
                if !self.kind.streams_out() {
                    let text = "a second response on a call that has one";
                    self.rule(bench, names::ACTIONS_ONE_RESPONSE, first, objection(text));
                }
            }
            What::End {
                code: 0,
                trailers: true,
                ..
            } if !self.kind.streams_out() && !self.over => {
                let text = "the call ended with OK and without a response";
                let answered = self.responses > 0;
                self.rule(
                    bench,
                    names::ACTIONS_ONE_RESPONSE,
                    answered,
                    objection(text),
                );
            }
            _ => {}
        }
    }
}
