//! The function's side of an entity's stream: replies, failures, the end.

use super::{EntityStream, Monitor};
use crate::judge::evaluation::Evaluation;
use crate::judge::invariants::payloads;
use crate::play::is_soon_after;
use crate::protocol;
use crate::protocol::{FromFunction, Reply};
use crate::requirement::names;
use crate::services;
use crate::status::status_name;
use crate::transcript::{Entry, Lost, What};
use cloudstate_protocol::cloudstate as common;
use cloudstate_protocol::cloudstate::Failure;
use cloudstate_protocol::cloudstate::client_action::Action;

impl Monitor<'_, '_> {
    pub(super) fn function(&mut self, entry: &Entry, watched: &mut EntityStream) {
        match &entry.what {
            What::Message { bytes } => {
                let message = protocol::read_out(watched.entity_type, bytes);
                self.function_message(entry, watched, message);
            }
            What::End { code, trailers, .. } => self.end(entry, watched, *code, *trailers),
            What::Fault {
                lost: Lost::Stream, ..
            } => watched.ended = true,
            _ => {}
        }
    }

    fn function_message(
        &mut self,
        entry: &Entry,
        watched: &mut EntityStream,
        message: FromFunction,
    ) {
        let name = names::COMMANDS_MESSAGE_SET;
        let set = match &message {
            FromFunction::Reply(_) | FromFunction::Failure(_) => Evaluation::kept(name),
            FromFunction::Garbage(error) => {
                let text = format!("the function's message can't be decoded: {error}");
                Evaluation::broken(name, text)
            }
            FromFunction::Empty => {
                let text = "the function sent a message with no member of its oneof set";
                Evaluation::broken(name, text)
            }
        };
        self.rule(entry, watched, set);
        match message {
            FromFunction::Reply(reply) => self.reply(entry, watched, &reply),
            FromFunction::Failure(_) => watched.failed = true,
            FromFunction::Empty | FromFunction::Garbage(_) => {}
        }
    }

    fn end(&mut self, entry: &Entry, watched: &mut EntityStream, code: i32, trailers: bool) {
        if watched.last_id > 0 && !watched.half_closed {
            let ends = code == 0 && trailers && !watched.failed;
            let silent = ends && watched.outstanding.is_some();
            let (name, text) = if watched.refused_at.is_some() {
                let text = "the function ended the stream after a failure inside a reply";
                (names::FAILURES_ENTITY_SURVIVES, text)
            } else {
                let text = "the function ended the stream though a command is not answered";
                (names::COMMANDS_STREAM_STAYS_OPEN, text)
            };
            // Later it may let go of the entity because it is idle.
            let soon = |at| is_soon_after(entry.at, at);
            let refused = watched.refused_at.is_some_and(soon);
            let because = ends && refused && watched.restart.is_none();
            self.rule(
                entry,
                watched,
                Evaluation::new(name, !silent && !because, text),
            );
        }
        if watched.half_closed && !watched.failed {
            let status = status_name(code);
            let text = format!("the function ended a half-closed stream with {status}");
            let name = names::PASSIVATION_FUNCTION_COMPLETES;
            self.rule(entry, watched, Evaluation::new(name, code == 0, text));
        }
        watched.ended = true;
    }

    fn reply(&mut self, entry: &Entry, watched: &mut EntityStream, reply: &Reply) {
        let outstanding = watched.outstanding.take();
        for rule in answers(outstanding, reply) {
            self.rule(entry, watched, rule);
        }
        // The kit's own may be of any type, as a chart has it.
        if !entry.by_kit {
            for rule in payloads::of_reply(reply) {
                self.rule(entry, watched, rule);
            }
        }
        let text = "the reply has no client action";
        let present = reply.action.is_some();
        let rule = Evaluation::new(names::COMMANDS_CLIENT_ACTION_PRESENT, present, text);
        self.rule(entry, watched, rule);
        for rule in watched.rules.of_reply(reply) {
            self.rule(entry, watched, rule);
        }
        watched.refused_at = reply.failure().map(|_| entry.at);
        match &reply.action {
            Some(Action::Reply(message)) => {
                if let Some(rule) = reply_type(watched, message) {
                    self.rule(entry, watched, rule);
                }
            }
            Some(Action::Failure(failure)) => {
                for rule in failed(reply, failure, outstanding) {
                    self.rule(entry, watched, rule);
                }
                watched.restart = match (failure.restart, reply.stores()) {
                    (true, _) => Some(names::FAILURES_RESTART),
                    (false, true) => Some(names::FAILURES_STATE_IN_FAILURE_RESTARTS),
                    (false, false) => None,
                };
            }
            Some(Action::Forward(_)) | None => {}
        }
        if watched.exempt {
            self.keep_nothing(watched, reply);
        } else {
            self.keep(entry, watched, reply);
        }
    }

    /// What the reply asks to store.
    fn keep(&mut self, entry: &Entry, watched: &mut EntityStream, reply: &Reply) {
        let Some(key) = watched.key.clone() else {
            return;
        };
        watched.emitted.clone_from(&reply.events);
        let new = || watched.rules.history();
        let history = self.histories.entry(key).or_insert_with(new);
        match reply.failure() {
            Some(_) => history.refuse(reply, names::FAILURES_FAILED_REPLY_NOT_PERSISTED),
            None => history.keep(reply, entry.seq),
        }
    }

    /// A message that violated the protocol has no effect; a lone snapshot is merely ignored.
    fn keep_nothing(&mut self, watched: &mut EntityStream, reply: &Reply) {
        let Some(key) = watched.key.clone() else {
            return;
        };
        let failed = reply.failure().is_some();
        let why = if failed {
            names::FAILURES_FAILED_REPLY_NOT_PERSISTED
        } else {
            names::FAILURES_VIOLATION_HAS_NO_EFFECT
        };
        let new = || watched.rules.history();
        let history = self.histories.entry(key).or_insert_with(new);
        history.refuse(reply, why);
        // What a failed reply shouldn't have is no violation for the proxy: the stream goes on, or to its restart.
        let lone = reply.snapshot.is_some() && reply.events.is_empty();
        if failed || lone {
            watched.exempt = false;
        }
    }
}

/// A reply answers the outstanding command, under its id.
fn answers(outstanding: Option<i64>, reply: &Reply) -> Vec<Evaluation> {
    let (once, path) = (names::COMMANDS_ANSWER_ONCE, "reply.command_id");
    let Some(id) = outstanding else {
        return vec![Evaluation::broken(
            once,
            "the function sent a second reply to a command",
        )];
    };
    let text = "the reply carries the id of another command";
    let name = names::COMMANDS_ANSWER_ID;
    let same = Evaluation::equal(name, path, id, reply.command_id, text);
    vec![Evaluation::kept(once), same]
}

/// `None`: to a command that the service doesn't have, no type is right.
fn reply_type(watched: &EntityStream, message: &common::Reply) -> Option<Evaluation> {
    let payload = message.payload.as_ref();
    let received = payload.map_or("", |payload| payload.type_url.as_str());
    let output = services::output(&watched.key.as_ref()?.service, &watched.method)?;
    let expected = format!("{}{output}", protocol::PROTOBUF);
    let (name, path) = (names::COMMANDS_REPLY_TYPE, "reply.payload.type_url");
    let text = "the reply's payload is not of the method's output type";
    let rule = Evaluation::equal(name, path, expected.as_str(), received, text);
    Some(rule)
}

/// A reply that fails its command has the command's id, and nothing but the failure.
fn failed(reply: &Reply, failure: &Failure, outstanding: Option<i64>) -> [Evaluation; 3] {
    let (name, path) = (names::FAILURES_FAILURE_COMMAND_ID, "failure.command_id");
    let text = "the failure carries the id of another command";
    let id = outstanding.unwrap_or_default();
    let id = Evaluation::equal(name, path, id, failure.command_id, text);
    let text = "the reply fails the command and has something to store";
    let name = names::FAILURES_FAILURE_CARRIES_NO_STATE;
    let stateless = Evaluation::new(name, !reply.stores(), text);
    let text = "the reply fails the command and has side effects";
    let name = names::FAILURES_FAILURE_CARRIES_NO_EFFECTS;
    let quiet = Evaluation::new(name, reply.side_effects.is_empty(), text);
    [id, stateless, quiet]
}
