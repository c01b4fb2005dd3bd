//! The words for a command on its way, below everything that passes one on.
//!
//! A [`Command`] goes to its entity with a [`Caller`], whose other end is [`Pending`]: who waits
//! there gets an [`Answer`]. A reply's [`Consequences`] are what is left of it when the entity has
//! taken its part; their [`Origin`] says whose reply it was.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Metadata;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Status;

use crate::catalog::{Method, StateModel};
use crate::journal::EntityRef;
use crate::trace::Trace;
use crate::violation::{on_call, on_stream};
use crate::wire::{self, Action, SideEffect};

/// What the caller of a method gets.
pub type Answer = Result<Response, Status>;

/// The answer to a command that succeeded.
#[derive(Debug, Default)]
pub struct Response {
    /// The response message.
    pub payload: Bytes,
    /// What becomes its headers.
    pub metadata: Option<Metadata>,
}

impl From<wire::Reply> for Response {
    fn from(reply: wire::Reply) -> Self {
        Self {
            // spec: commands.reply-unchanged, serving.unary-one-message
            payload: reply.payload.unwrap_or_default().value,
            metadata: reply.metadata,
        }
    }
}

/// A command on its way to its entity.
#[derive(Debug)]
pub struct Command {
    /// What is called.
    pub method: Arc<Method>,
    /// How the state of its entity is kept.
    pub state_model: StateModel,
    /// Whose command it is.
    pub entity: EntityRef,
    /// The type of the request, where it isn't the method's by definition.
    pub type_url: Option<Bytes>,
    /// The request.
    pub value: Bytes,
    /// A `cloudstate.Metadata` that goes with it.
    pub metadata: Option<Bytes>,
    /// How it came to this.
    pub trace: Trace,
    /// Who waits for the answer.
    pub caller: Caller,
}

impl Command {
    /// The protocol's message, as number `id` on its stream.
    pub fn message(&self, id: u64) -> wire::CommandFrame<'_> {
        wire::CommandFrame {
            // spec: commands.command-for-the-streams-entity
            entity_id: &self.entity.id,
            id,
            // spec: commands.bare-method-name
            name: &self.method.name,
            // spec: commands.payload-type
            type_url: self
                .type_url
                .as_deref()
                .unwrap_or(self.method.input.as_bytes()),
            // spec: commands.payload-unchanged
            value: &self.value,
            metadata: self.metadata.as_ref(),
        }
    }
}

/// How it went on with a command.
#[derive(Debug)]
enum Progress {
    /// The user function has answered, and this is for the caller.
    Answered(Answer),
    /// The user function has answered, and others are to be heard before the caller is.
    Continued(oneshot::Receiver<Answer>),
}

/// Who waits for the answer to a command.
#[derive(Debug)]
pub struct Caller {
    sender: oneshot::Sender<Progress>,
    /// Whether the command is void once its caller has gone. Those of forwards and side effects
    /// never are: they belong to a reply that took effect.
    may_leave: bool,
}

impl Caller {
    /// A caller, and where it waits.
    pub fn new(may_leave: bool, relay_timeout: Duration) -> (Self, Pending) {
        let (sender, progress) = oneshot::channel();
        let pending = Pending {
            progress,
            relay_timeout,
        };
        (Self { sender, may_leave }, pending)
    }

    /// Whether the caller has gone, and the command needn't be delivered.
    pub fn has_left(&self) -> bool {
        // spec: commands.client-gone
        self.may_leave && self.sender.is_closed()
    }

    /// Answers, for good.
    pub fn answer(self, answer: Answer) {
        // A caller that has gone has no use for it.
        let _ = self.sender.send(Progress::Answered(answer));
    }

    /// The user function has answered; what the caller gets comes later, from somebody else.
    pub fn continued(self) -> oneshot::Sender<Answer> {
        let (sender, rest) = oneshot::channel();
        let _ = self.sender.send(Progress::Continued(rest));
        sender
    }
}

/// A caller's end of a command.
#[derive(Debug)]
pub struct Pending {
    progress: oneshot::Receiver<Progress>,
    relay_timeout: Duration,
}

impl Pending {
    /// Waits for the answer, and no longer for the user function's than it may take.
    pub async fn answer(self) -> Answer {
        // spec: commands.relay-timeout
        let Ok(progress) = timeout(self.relay_timeout, self.progress).await else {
            let timeout = self.relay_timeout;
            let reason = format!("the user function didn't answer within {timeout:?}");
            return Err(Status::deadline_exceeded(reason));
        };
        match progress {
            Ok(Progress::Answered(answer)) => answer,
            Ok(Progress::Continued(rest)) => rest.await.unwrap_or_else(|_| Err(dropped())),
            Err(_) => Err(dropped()),
        }
    }
}

/// Only where a task of the proxy was cut off: when it stops, or by a fault of its own.
fn dropped() -> Status {
    Status::unknown("the proxy gave up the command")
}

/// Who asked for a forward or a side effect.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The command whose reply it was.
    pub method: Arc<Method>,
    /// The entity that replied; none if it was an action.
    pub entity: Option<EntityRef>,
    /// What led to it.
    pub trace: Trace,
}

impl Origin {
    /// The text of a report about the entity's stream or the action's call.
    pub fn report(&self, what: impl Display) -> String {
        let service = &self.method.entity.service_name;
        match &self.entity {
            Some(entity) => on_stream(what, service, &entity.id),
            None => on_call(what, service, &self.method.name),
        }
    }
}

/// The part of a reply that isn't about the entity itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Consequences {
    /// What else is to be called.
    pub effects: Vec<SideEffect>,
    /// What the caller gets.
    pub action: Action,
}
