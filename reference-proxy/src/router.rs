//! A call on its way: from the door, a forward or a side effect to its entity or action, and back.
//!
//! [`Router::open`] is for clients, and all that a door needs. To an entity that has a reply whose
//! events are stored the router is a [`Settle`]: it runs the side effects, and then lets the client
//! action decide what the caller gets. The entity doesn't wait for that; it goes on with its next
//! command.

mod action;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use futures_util::stream::BoxStream;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::catalog::{Callee, Catalog, Method, Serving};
use crate::command::{Answer, Caller, Command, Consequences, Origin, Pending};
use crate::entity::registry::Entities;
use crate::entity::{Settle, Surroundings, lifecycle};
use crate::function::Function;
use crate::journal::{Claimed, EntityRef};
use crate::trace::Trace;
use crate::violation::Remark;
use crate::wire::{Action, Forward, Payload, SideEffect};
use action::{ActionRequest, Exchange};

/// A client's call.
pub struct Request {
    /// What is called.
    pub method: Arc<Method>,
    /// What is sent.
    pub messages: Messages,
    /// A `cloudstate.Metadata` that goes with it.
    pub metadata: Option<Bytes>,
    /// How long the client waits.
    pub timeout: Option<Duration>,
}

/// What is sent on a call.
pub enum Messages {
    /// One message.
    One {
        /// Its type, where it isn't the method's input by definition.
        type_url: Option<Bytes>,
        /// The message.
        value: Bytes,
    },
    /// Any number of them, as they come.
    Many(BoxStream<'static, Result<Bytes, Status>>),
}

impl From<Bytes> for Messages {
    fn from(value: Bytes) -> Self {
        Self::One {
            type_url: None,
            value,
        }
    }
}

/// The request of a forward or side effect.
impl From<Option<Payload>> for Messages {
    fn from(payload: Option<Payload>) -> Self {
        match payload {
            // spec: effects.forward-payload-unchanged, effects.effect-payload-unchanged
            Some(payload) => Self::One {
                type_url: Some(payload.type_url),
                value: payload.value,
            },
            None => Bytes::new().into(),
        }
    }
}

/// What comes back of a call. To drop it before it has ended gives up the call.
pub struct Answers(Source);

enum Source {
    Entity(Option<Pending>),
    Action(Box<Exchange>),
}

impl Answers {
    /// The next answer; nothing when the call has ended well.
    pub async fn next(&mut self) -> Option<Answer> {
        match &mut self.0 {
            Source::Entity(pending) => Some(pending.take()?.answer().await),
            Source::Action(exchange) => exchange.next().await,
        }
    }

    /// The answer of a method that has one.
    pub async fn one(self) -> Answer {
        match self.0 {
            Source::Entity(Some(pending)) => pending.answer().await,
            Source::Entity(None) => Err(Status::unknown("the one answer was given already")),
            Source::Action(exchange) => exchange.one().await,
        }
    }
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

/// Brings calls to entities and actions.
pub struct Router {
    serving: Serving,
    function: Arc<Function>,
    entities: Arc<Entities>,
    limits: Limits,
    /// The replies that are still being settled.
    settling: TaskTracker,
}

/// A call of a method, whoever calls.
struct Invocation {
    method: Arc<Method>,
    messages: Messages,
    metadata: Option<Bytes>,
    timeout: Option<Duration>,
    trace: Trace,
    /// Whether it is void once its caller has gone.
    may_leave: bool,
}

/// Where a call goes.
enum Route {
    Entity(Command, Pending),
    Action(ActionRequest),
}

impl Router {
    /// A router to what the function serves, with all entities asleep.
    pub fn new(
        serving: Serving,
        function: Arc<Function>,
        journal: Arc<Claimed>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new_cyclic(|router: &Weak<Self>| {
            let around = Arc::new(Surroundings {
                function: Arc::clone(&function),
                journal,
                half_close_timeout: limits.half_close_timeout,
                settle: router.clone(),
            });
            let entities = Entities::new(limits.max_queue, move |entities, entity, mailbox| {
                let around = Arc::clone(&around);
                tokio::spawn(lifecycle::run(entity, mailbox, entities, around));
            });
            Self {
                serving,
                function,
                entities,
                limits,
                settling: TaskTracker::new(),
            }
        })
    }

    /// What is served at the moment, if anything is.
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.serving.borrow().clone()
    }

    /// Calls a method on behalf of a client.
    pub async fn open(self: &Arc<Self>, request: Request) -> Result<Answers, Status> {
        let invocation = Invocation {
            method: request.method,
            messages: request.messages,
            metadata: request.metadata,
            timeout: request.timeout,
            trace: Trace::default(),
            may_leave: true,
        };
        Ok(Answers(match self.route(invocation)? {
            Route::Entity(command, pending) => {
                self.entities
                    .deliver_if_room(command)
                    .map_err(|full| Status::resource_exhausted(full.to_string()))?;
                Source::Entity(Some(pending))
            }
            Route::Action(request) => {
                Source::Action(Box::new(Exchange::open(self, request).await?))
            }
        }))
    }

    /// Waits until everything is settled, and until the entities have fallen asleep.
    pub async fn fall_asleep(&self) {
        self.settling.close();
        self.settling.wait().await;
        // spec: passivation.idle-half-close
        self.entities.passivate_all().await;
    }

    /// How many entities are awake.
    pub fn awake(&self) -> usize {
        self.entities.len()
    }

    /// Tells entities from actions, and nobody else does.
    fn route(&self, invocation: Invocation) -> Result<Route, Status> {
        let Invocation {
            method,
            messages,
            metadata,
            timeout,
            trace,
            may_leave,
        } = invocation;
        match &method.callee {
            Callee::Entity { state_model, key } => {
                let Messages::One { type_url, value } = messages else {
                    return Err(Status::internal("a command has one request"));
                };
                let entity = EntityRef {
                    // spec: entity-keys.scoped-by-persistence-id
                    persistence_id: Arc::clone(&method.entity.persistence_id),
                    id: key.entity_id(&value)?,
                };
                let (caller, pending) = Caller::new(may_leave, self.limits.relay_timeout);
                let command = Command {
                    state_model: *state_model,
                    method,
                    entity,
                    type_url,
                    value,
                    metadata,
                    trace,
                    caller,
                };
                Ok(Route::Entity(command, pending))
            }
            Callee::Action(_) => Ok(Route::Action(ActionRequest {
                method,
                messages,
                metadata,
                timeout,
                trace,
            })),
        }
    }

    /// Runs the side effects of a reply; they run on if this is dropped meanwhile.
    async fn run_effects(self: &Arc<Self>, effects: Vec<SideEffect>, origin: &Origin) {
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
                let _ = Box::pin(pending.answer()).await;
            }
        }
    }

    /// What the client action of a reply comes to.
    async fn conclude(self: &Arc<Self>, action: Action, origin: &Origin) -> Answer {
        match action {
            Action::Reply(reply) => Ok(reply.into()),
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
        pending.answer().await
    }

    /// The method of a forward or side effect, if it exists and isn't too far away.
    fn find(
        &self,
        what: &'static str,
        service: &str,
        command: &str,
        origin: &Origin,
    ) -> Result<Arc<Method>, Status> {
        let limit = self.limits.hop_limit;
        if origin.trace.hops() >= limit {
            // spec: effects.hop-limit, effects.hop-limit-reported
            let way = format!("{}{service}/{command}", origin.trace.after(&origin.method));
            self.report(&Remark::TooManyHops { what, limit, way }, origin);
            return Err(Status::unknown("forwards and side effects went too far"));
        }
        let catalog = self.catalog();
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
            self.report(&unknown, origin);
            Status::unknown(answer)
        })
    }

    /// Starts what a forward or side effect asks for.
    fn start(self: &Arc<Self>, target: Target, origin: &Origin) -> Result<Pending, Status> {
        let method = self.find(target.what, &target.service, &target.command, origin)?;
        let trace = origin.trace.after(&origin.method);
        let route = self.route(Invocation {
            method,
            messages: target.payload.into(),
            // spec: metadata.effects-carry-their-own
            metadata: target.metadata,
            timeout: None,
            trace,
            may_leave: false,
        });
        let route = route.inspect_err(|status| {
            let refused = Remark::RefusedTarget {
                what: target.what,
                service: target.service,
                command: target.command,
                reason: status.message().to_owned(),
            };
            self.report(&refused, origin);
        });
        Ok(match route? {
            Route::Entity(command, pending) => {
                self.entities.deliver(command);
                pending
            }
            Route::Action(request) => self.start_action(request, target.discarded, origin),
        })
    }

    fn start_action(
        self: &Arc<Self>,
        request: ActionRequest,
        discarded: bool,
        origin: &Origin,
    ) -> Pending {
        let method = &request.method;
        if method.streams().output && !discarded {
            let many_for_one = Remark::ManyForOne {
                service: method.entity.service_name.to_string(),
                command: method.name.clone(),
            };
            self.report(&many_for_one, origin);
        }
        let (caller, pending) = Caller::new(false, self.limits.relay_timeout);
        let router = Arc::clone(self);
        self.settling.spawn(async move {
            let answer = Exchange::answer(&router, request, discarded);
            caller.answer(Box::pin(answer).await);
        });
        pending
    }

    /// Reports something about an entity's stream or an action's call.
    fn report(&self, what: impl std::fmt::Display, origin: &Origin) {
        self.function.report(origin.report(what));
    }
}

impl Settle for Router {
    fn settle(self: Arc<Self>, consequences: Consequences, origin: Origin, caller: Caller) {
        let Consequences { effects, action } = consequences;
        let direct = match action {
            Action::Reply(reply) if effects.is_empty() => Ok(reply.into()),
            Action::Failure(failure) if effects.is_empty() => Err(failed(failure)),
            action => {
                let answer = caller.continued();
                let router = Arc::clone(&self);
                // In a task of its own: neither the entity nor the caller's leaving may stop it.
                self.settling.spawn(async move {
                    router.run_in_order(effects, &origin).await;
                    let _ = answer.send(router.conclude(action, &origin).await);
                });
                return;
            }
        };
        caller.answer(direct);
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

fn failed(failure: Failure) -> Status {
    // spec: failures.description-reaches-client
    Status::unknown(failure.description)
}
