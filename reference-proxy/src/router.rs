//! A call on its way: from the door, a forward or a side effect to its entity, and back.
//!
//! [`Router::call`] is for who waits for an answer. [`Router::settle`] is for an entity that has a
//! reply whose events are stored: it runs the side effects, and then lets the client action decide
//! what the caller gets. The entity doesn't wait for that; it goes on with its next command.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::{Failure, Metadata};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::action;
use crate::catalog::Serving;
use crate::catalog::{Kind, Method};
use crate::entity::registry::Entities;
use crate::function::Function;
use crate::journal::{EntityRef, Journal};
use crate::trace::Trace;
use crate::violation::{Remark, on_call, on_stream};
use crate::wire::{Action, Forward, Payload, SideEffect};

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
    /// A `cloudstate.Metadata` that goes with it.
    pub metadata: Option<Bytes>,
    /// How it came to this.
    pub trace: Trace,
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
    /// How many forwards and side effects may lead from a client's command to another.
    pub hop_limit: usize,
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
    /// The entity that replied; none if it was an action.
    pub entity: Option<EntityRef>,
    /// What led to it.
    pub trace: Trace,
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
        metadata: Option<Bytes>,
    ) -> Answer {
        let entity = entity_of(method, &value)?;
        let (caller, pending) = pending(true);
        let command = Command {
            method: Arc::clone(method),
            entity,
            type_url: None,
            value,
            metadata,
            trace: Trace::default(),
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
                    router.run_in_order(effects, &origin).await;
                    let _ = sender.send(router.conclude(action, &origin).await);
                });
                return;
            }
        };
        caller.answer(direct);
    }

    /// Runs the side effects of a reply; they run on if this is dropped meanwhile.
    pub async fn run_effects(self: &Arc<Self>, effects: Vec<SideEffect>, origin: &Origin) {
        if effects.is_empty() {
            return;
        }
        let (router, origin) = (Arc::clone(self), origin.clone());
        let run = async move { router.run_in_order(effects, &origin).await };
        // It fails only where the runtime stops.
        let _ = self.settling.spawn(run).await;
    }

    async fn run_in_order(self: &Arc<Self>, effects: Vec<SideEffect>, origin: &Origin) {
        // spec: effects.in-order, effects.run-despite-failure
        for effect in effects {
            let synchronous = effect.synchronous;
            let target = Target {
                what: "side effect",
                service: effect.service_name,
                command: effect.command_name,
                payload: effect.payload,
                metadata: effect.metadata,
                discarded: true,
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

    /// What the client action of a reply comes to.
    pub async fn conclude(self: &Arc<Self>, action: Action, origin: &Origin) -> Answer {
        match action {
            Action::Reply(reply) => Ok(Response::of(reply)),
            Action::Failure(failure) => Err(failed(failure)),
            Action::Forward(forward) => self.forward(forward, origin).await,
        }
    }

    async fn forward(self: &Arc<Self>, forward: Forward, origin: &Origin) -> Answer {
        let target = Target {
            what: "forward",
            service: forward.service_name,
            command: forward.command_name,
            payload: forward.payload,
            metadata: forward.metadata,
            discarded: false,
        };
        // spec: effects.forward-answers-client
        let pending = self.start(target, origin)?;
        self.answer_to(pending).await
    }

    /// The method that a forward goes to, if it may.
    pub fn target(
        self: &Arc<Self>,
        forward: &Forward,
        origin: &Origin,
    ) -> Result<Arc<Method>, Status> {
        let (service, command) = (&forward.service_name, &forward.command_name);
        self.find("forward", service, command, origin)
    }

    /// The method of a forward or side effect, if it exists and isn't too far away.
    fn find(
        self: &Arc<Self>,
        what: &'static str,
        service: &str,
        command: &str,
        origin: &Origin,
    ) -> Result<Arc<Method>, Status> {
        let limit = self.limits.hop_limit;
        if origin.trace.hops() >= limit {
            // spec: effects.hop-limit, effects.hop-limit-reported
            let way = format!("{}{service}/{command}", origin.trace.after(&origin.method));
            self.remark(&Remark::TooManyHops { what, limit, way }, origin);
            return Err(Status::unknown("forwards and side effects went too far"));
        }
        let catalog = self.serving.borrow().clone();
        let method = catalog.and_then(|catalog| catalog.find(service, command).cloned());
        method.ok_or_else(|| {
            // spec: effects.unknown-target-reported, effects.unknown-target-fails-forward
            let (service, command) = (service.to_owned(), command.to_owned());
            let answer = format!("there is no command {service}/{command}");
            let unknown = Remark::UnknownTarget {
                what,
                service,
                command,
            };
            self.remark(&unknown, origin);
            Status::unknown(answer)
        })
    }

    /// Delivers a command to the target of a forward or side effect.
    fn start(self: &Arc<Self>, target: Target, origin: &Origin) -> Result<Pending, Status> {
        let method = self.find(target.what, &target.service, &target.command, origin)?;
        let trace = origin.trace.after(&origin.method);
        if method.entity.kind == Kind::Action {
            return Ok(self.start_action(method, target, trace, origin));
        }
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
            // spec: metadata.effects-carry-their-own
            metadata: target.metadata,
            trace,
            caller,
        };
        self.entities.deliver(command, self);
        Ok(pending)
    }

    fn start_action(
        self: &Arc<Self>,
        method: Arc<Method>,
        target: Target,
        trace: Trace,
        origin: &Origin,
    ) -> Pending {
        if method.streams.output && !target.discarded {
            self.remark(&action::many_for_one(&method), origin);
        }
        let (caller, pending) = pending(false);
        let request = action::Request {
            method,
            metadata: target.metadata,
            trace,
            timeout: None,
        };
        let (router, discarded) = (Arc::clone(self), target.discarded);
        let payload = target.payload.unwrap_or_default();
        self.settling.spawn(async move {
            let answer = action::answer(&router, request, payload, discarded);
            caller.answer(Box::pin(answer).await);
        });
        pending
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

    /// Reports something that does no harm.
    pub fn remark(self: &Arc<Self>, remark: &Remark, origin: &Origin) {
        self.report(remark, origin);
    }

    /// Reports something about an entity's stream or an action's call.
    pub fn report(self: &Arc<Self>, what: impl Display, origin: &Origin) {
        let method = &origin.method;
        let service = &method.entity.service_name;
        self.function.report(match &origin.entity {
            Some(entity) => on_stream(what, service, &entity.id),
            None => on_call(what, service, &method.name),
        });
    }
}

/// The target of a forward or side effect.
struct Target {
    what: &'static str,
    service: String,
    command: String,
    payload: Option<Payload>,
    metadata: Option<Bytes>,
    /// Nobody gets its answer.
    discarded: bool,
}

impl Target {
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
    /// That of a reply.
    pub fn of(reply: crate::wire::Reply) -> Self {
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
        id: method
            .key
            .as_ref()
            .ok_or_else(|| Status::internal("an action has no entity"))?
            .entity_id(request)?,
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
