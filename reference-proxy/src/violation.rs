//! What a misbehaving user function did, in the words of the report that its author gets.
//!
//! An entity notices a [`Violation`], answers the outstanding command, gives up the stream, and
//! reports what [`on_stream`] makes of it.

use std::fmt::Display;

use thiserror::Error;

/// Something that the protocol doesn't let a user function send.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// A reply with the id of another command.
    #[error(
        "a reply has command_id {actual}, but the outstanding command is {expected}; \
         a reply must name the command that it answers (commands.answer-id)"
    )]
    OtherCommand {
        /// The outstanding command.
        expected: u64,
        /// What the reply says.
        actual: i64,
    },
    /// A reply that nobody asked for.
    #[error(
        "a reply with command_id {0} came while no command was outstanding; \
         each command is answered once (commands.answer-once)"
    )]
    UnaskedReply(i64),
    /// A reply that doesn't say what the client gets.
    #[error(
        "the reply to command {0} has no client action, or one with no member set; \
         where there is nothing to say, reply with an empty message \
         (commands.client-action-present)"
    )]
    NoClientAction(i64),
    /// A reply that doesn't say what becomes of the value.
    #[error("the reply to command {command_id} has {what}")]
    UnclearChange {
        /// The command.
        command_id: i64,
        /// What it has instead.
        what: &'static str,
    },
    /// Two responses where there is one.
    #[error(
        "a second response came on a call that has one; only the first counts \
         (actions.one-response)"
    )]
    SecondResponse,
    /// A message of no kind.
    #[error(
        "a message has no member of its `message` oneof set; \
         it must be a reply or a failure (commands.message-set)"
    )]
    EmptyMessage,
    /// Bytes that are no message of the stream.
    #[error("a message can't be decoded: {0}")]
    Undecodable(String),
    /// What isn't even gRPC.
    #[error("what was sent isn't gRPC: {0}")]
    NotGrpc(String),
}

/// Something that the user function shouldn't have sent, and that does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Remark {
    /// A snapshot of a state that has not changed.
    #[error(
        "the reply to command {0} has a snapshot but no events; \
         the snapshot was ignored (event-sourced.snapshot-with-events)"
    )]
    SnapshotWithoutEvents(i64),
    /// A reply with another type than its method's output.
    #[error(
        "the reply to {method} has type URL {actual:?} instead of {expected:?} \
         (commands.reply-type); this is reported once for each method"
    )]
    OtherOutput {
        /// The method of the command.
        method: String,
        /// The type URL of its output.
        expected: String,
        /// That of the reply.
        actual: String,
    },
    /// A forward or side effect to a command that isn't there.
    #[error(
        "a {what} names the command {command:?} of service {service:?}, \
         which the specification doesn't have (effects.unknown-target-reported)"
    )]
    UnknownTarget {
        /// A forward or a side effect.
        what: &'static str,
        /// The service of the target.
        service: String,
        /// The method of the target.
        command: String,
    },
    /// A forward or side effect whose payload names no entity.
    #[error("a {what} to {service}/{command} was refused: {reason}")]
    RefusedTarget {
        /// A forward or a side effect.
        what: &'static str,
        /// The service of the target.
        service: String,
        /// The method of the target.
        command: String,
        /// Why.
        reason: String,
    },
    /// Forwards or effects without end.
    #[error(
        "a {what} would be hop {} of a command, and the limit is {limit} (effects.hop-limit); \
         look for a loop in its way: {way}", limit + 1
    )]
    TooManyHops {
        /// A forward or a side effect.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
        /// From the client's command to the one that isn't delivered.
        way: String,
    },
    /// A forward from one answer to many.
    #[error(
        "a method with one answer forwards to {service}/{command}, which streams its answers \
         (effects.streamed-forward-refused)"
    )]
    ManyForOne {
        /// The service of the target.
        service: String,
        /// The method of the target.
        command: String,
    },
}

/// The text of a report about an action's call.
pub fn on_call(what: impl Display, service: &str, command: &str) -> String {
    format!("service {service}, command {command}: {what}")
}

/// The text of a report about an entity's stream.
pub fn on_stream(what: impl Display, service: &str, entity_id: &str) -> String {
    // spec: discovery.report-names-the-entity
    format!("service {service}, entity {entity_id:?}: {what}")
}
