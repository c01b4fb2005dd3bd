//! A call on its way: from the door, a forward or a side effect to its entity, and back.
//!
//! [`Router::call`] is for who waits for an answer. [`Router::settle`] is for an entity that has a
//! reply whose events are stored: it runs the side effects, and then lets the client action decide
//! what the caller gets. The entity doesn't wait for that; it goes on with its next command.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::{Failure, Metadata};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::catalog::Method;
use crate::discovery::Serving;
use crate::entity::registry::Entities;
use crate::function::Function;
use crate::journal::{EntityRef, Journal};
use crate::violation::{Remark, on_stream};
use crate::wire::{Action, CommandMetadata, Forward, Payload, SideEffect};

/// What the caller of a method gets.
pub type Answer = Result<Response, Status>;

/// The answer to a command that succeeded.
#[derive(Debug)]
pub struct Response {
    /// The response message.
    pub payload: Bytes,
    /// What becomes its headers.
    pub metadata: Option<Metadata>,
}

/// A command on its way to its entity.
#[derive(Debug)]
pub struct Command {
    /// What is called.
    pub method: Arc<Method>,
    /// Whose command it is.
    pub entity: EntityRef,
    /// The type of the request, where it isn't the method's by definition.
    pub type_url: Option<Bytes>,
    /// The request.
    pub value: Bytes,
    /// What goes with it.
    pub metadata: CommandMetadata,
    /// How many forwards led here.
    pub forwards: usize,
    /// Who waits for the answer.
    pub caller: Caller,
}

/// How it went on with a command.
#[derive(Debug)]
enum Outcome {
    /// The user function has answered, and this is for the caller.
    Answered(Answer),
    /// The user function has answered, and others are to be heard before the caller is.
    Continued(oneshot::Receiver<Answer>),
}

/// Who waits for the answer to a command.
#[derive(Debug)]
pub struct Caller {
    sender: oneshot::Sender<Outcome>,
    /// Whether the command is void once its caller has gone. Those of forwards and side effects
    /// never are: they belong to a reply that took effect.
    may_leave: bool,
}

impl Caller {
    /// Whether the caller has gone, and the command needn't be delivered.
    pub fn has_left(&self) -> bool {
        // spec: commands.client-gone
        self.may_leave && self.sender.is_closed()
    }

    /// Answers, for good.
    pub fn answer(self, answer: Answer) {
        // A caller that has gone has no use for it.
        let _ = self.sender.send(Outcome::Answered(answer));
    }
}

/// A caller's end of a command.
#[derive(Debug)]
struct Pending(oneshot::Receiver<Outcome>);

fn pending(may_leave: bool) -> (Caller, Pending) {
    let (sender, receiver) = oneshot::channel();
    (Caller { sender, may_leave }, Pending(receiver))
}

/// Limits of the router.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a command waits for its answer.
    pub relay_timeout: Duration,
    /// How many forwards may follow one another.
    pub max_forwards: usize,
    /// How many clients' commands may wait for one entity.
    pub max_queue: usize,
    /// How long the user function may take to end a stream that was half-closed.
    pub half_close_timeout: Duration,
}

/// Brings commands to entities.
pub struct Router {
    /// What the user function serves.
    pub serving: Serving,
    /// Where entities open their streams.
    pub function: Arc<Function>,
    /// Where entities keep their state.
    pub journal: Arc<dyn Journal>,
    /// The entities that are awake.
    pub entities: Entities,
    /// How long, how many.
    pub limits: Limits,
    /// The replies that are still being settled.
    pub settling: TaskTracker,
}

/// Who asked for a forward or a side effect.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The command whose reply it was.
    pub method: Arc<Method>,
    /// The entity that replied.
    pub entity: EntityRef,
    /// How many forwards led to it.
    pub forwards: usize,
}

/// The part of a reply that isn't about the entity itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Consequences {
    /// What else is to be called.
    pub effects: Vec<SideEffect>,
    /// What the caller gets.
    pub action: Action,
}

impl Router {
    /// Calls a method on behalf of a client.
    pub async fn call(
        self: &Arc<Self>,
        method: &Arc<Method>,
        value: Bytes,
        metadata: CommandMetadata,
    ) -> Answer {
        let entity = entity_of(method, &value)?;
        let (caller, pending) = pending(true);
        let command = Command {
            method: Arc::clone(method),
            entity,
            type_url: None,
            value,
            metadata,
            forwards: 0,
            caller,
        };
        self.entities
            .deliver_if_room(command, self)
            .map_err(|full| Status::resource_exhausted(full.to_string()))?;
        self.answer_to(pending).await
    }

    /// Carries out what a reply asks for, after its events were stored, and answers the caller.
    pub fn settle(self: &Arc<Self>, consequences: Consequences, origin: Origin, caller: Caller) {
        let Consequences { effects, action } = consequences;
        let direct = match action {
            Action::Reply(reply) if effects.is_empty() => Ok(Response::of(reply)),
            Action::Failure(failure) if effects.is_empty() => Err(failed(failure)),
            action => {
                let (sender, receiver) = oneshot::channel();
                let _ = caller.sender.send(Outcome::Continued(receiver));
                let router = Arc::clone(self);
                // In a task of its own: neither the entity nor the caller's leaving may stop it.
                self.settling.spawn(async move {
                    router.run_effects(effects, &origin).await;
                    let _ = sender.send(router.conclude(action, &origin).await);
                });
                return;
            }
        };
        caller.answer(direct);
    }

    async fn run_effects(self: &Arc<Self>, effects: Vec<SideEffect>, origin: &Origin) {
        // spec: effects.in-order, effects.run-despite-failure
        for effect in effects {
            let synchronous = effect.synchronous;
            let target = Target {
                what: "side effect",
                service: effect.service_name,
                command: effect.command_name,
                payload: effect.payload,
                metadata: effect.metadata,
                forwards: 0,
            };
            // spec: effects.failure-does-not-matter, effects.response-discarded
            if let Ok(pending) = self.start(target, origin)
                && synchronous
            {
                // spec: effects.synchronous-awaited
                let _ = Box::pin(self.answer_to(pending)).await;
            }
        }
    }

    async fn conclude(self: &Arc<Self>, action: Action, origin: &Origin) -> Answer {
        match action {
            Action::Reply(reply) => Ok(Response::of(reply)),
            Action::Failure(failure) => Err(failed(failure)),
            Action::Forward(forward) => self.forward(forward, origin).await,
        }
    }

    async fn forward(self: &Arc<Self>, forward: Forward, origin: &Origin) -> Answer {
        let max = self.limits.max_forwards;
        if origin.forwards >= max {
            self.remark(&Remark::TooManyForwards(max), origin);
            return Err(Status::unknown("the command was forwarded too often"));
        }
        let target = Target {
            what: "forward",
            service: forward.service_name,
            command: forward.command_name,
            payload: forward.payload,
            metadata: forward.metadata,
            forwards: origin.forwards + 1,
        };
        // spec: effects.forward-answers-client
        let pending = self.start(target, origin)?;
        self.answer_to(pending).await
    }

    /// Delivers a command to the target of a forward or side effect.
    fn start(self: &Arc<Self>, target: Target, origin: &Origin) -> Result<Pending, Status> {
        let catalog = self.serving.borrow().clone();
        let method = catalog.and_then(|c| c.find(&target.service, &target.command).cloned());
        let Some(method) = method else {
            // spec: effects.unknown-target-reported, effects.unknown-target-fails-forward
            let answer = format!("there is no command {}/{}", target.service, target.command);
            self.remark(&target.unknown(), origin);
            return Err(Status::unknown(answer));
        };
        let payload = target.payload.clone().unwrap_or_default();
        let entity = entity_of(&method, &payload.value).inspect_err(|status| {
            self.remark(&target.refused(status), origin);
        })?;
        let (caller, pending) = pending(false);
        let command = Command {
            method,
            entity,
            // spec: effects.forward-payload-unchanged, effects.effect-payload-unchanged
            type_url: target.payload.map(|payload| payload.type_url),
            value: payload.value,
            metadata: CommandMetadata::Encoded(target.metadata),
            forwards: target.forwards,
            caller,
        };
        self.entities.deliver(command, self);
        Ok(pending)
    }

    async fn answer_to(&self, pending: Pending) -> Answer {
        // spec: commands.relay-timeout
        let Ok(outcome) = timeout(self.limits.relay_timeout, pending.0).await else {
            let timeout = self.limits.relay_timeout;
            let reason = format!("the user function didn't answer within {timeout:?}");
            return Err(Status::deadline_exceeded(reason));
        };
        match outcome {
            Ok(Outcome::Answered(answer)) => answer,
            Ok(Outcome::Continued(rest)) => rest.await.unwrap_or_else(|_| Err(dropped())),
            Err(_) => Err(dropped()),
        }
    }

    /// Reports something about an entity's stream.
    pub fn remark(self: &Arc<Self>, remark: &Remark, origin: &Origin) {
        let service = &origin.method.entity.service_name;
        self.function
            .report(on_stream(remark, service, &origin.entity.id));
    }
}

/// The target of a forward or side effect.
struct Target {
    what: &'static str,
    service: String,
    command: String,
    payload: Option<Payload>,
    metadata: Option<Bytes>,
    forwards: usize,
}

impl Target {
    fn unknown(&self) -> Remark {
        Remark::UnknownTarget {
            what: self.what,
            service: self.service.clone(),
            command: self.command.clone(),
        }
    }

    fn refused(&self, status: &Status) -> Remark {
        Remark::RefusedTarget {
            what: self.what,
            service: self.service.clone(),
            command: self.command.clone(),
            reason: status.message().to_owned(),
        }
    }
}

impl Response {
    fn of(reply: crate::wire::Reply) -> Self {
        Self {
            // spec: commands.reply-unchanged, serving.unary-one-message
            payload: reply.payload.unwrap_or_default().value,
            metadata: reply.metadata,
        }
    }
}

fn entity_of(method: &Method, request: &[u8]) -> Result<EntityRef, Status> {
    Ok(EntityRef {
        // spec: entity-keys.scoped-by-persistence-id
        persistence_id: Arc::clone(&method.entity.persistence_id),
        id: method.key.entity_id(request)?,
    })
}

fn failed(failure: Failure) -> Status {
    // spec: failures.description-reaches-client
    Status::unknown(failure.description)
}

/// Only where a task of the proxy was cut off: when it stops, or by a fault of its own.
fn dropped() -> Status {
    Status::unknown("the proxy gave up the command")
}
