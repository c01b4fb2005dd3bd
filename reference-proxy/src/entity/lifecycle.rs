//! The life of an entity that answers one command at a time.
//!
//! ```text
//!  asleep ── command ──▶ activating ──▶ a command is outstanding ◀──▶ idle
//!    ▲                       │                    │                    │
//!    └── the stream ended ───┴────────────────────┴── half-closed ◀────┘
//! ```
//!
//! An entity is a task, and an awakening is a call of `Entity::awake`: one stream, from its
//! opening until it has ended. Whatever the reason for the end, the next command starts with a new
//! stream and the whole past. There is no other recovery.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tonic::Status;

use super::event_sourced::EventSourced;
use super::mailbox::{Mail, Mailbox};
use super::reading::{Broken, reply_in, unasked};
use super::registry::Entities;
use super::value::ValueEntity;
use super::{Behaviour, Change, EntityReply, NotActivated, Surroundings};
use crate::catalog::{EntityType, StateModel};
use crate::command::{Command, Origin};
use crate::function::Unreachable;
use crate::function::call::{Call, Frame, Incoming};
use crate::journal::{EntityRef, LogError};
use crate::violation::{Remark, Violation, on_stream};
use crate::wire::Action;

/// What clients read when the user function broke a rule or gave up.
const GAVE_UP: &str = "the user function failed while the command was outstanding";

/// The task of an entity: runs until nothing is left to do.
///
/// Each awakening is of the type that its command says: the user function may have been replaced
/// since the last by one where the same entities are of another type.
pub async fn run(
    entity: EntityRef,
    mailbox: Mailbox,
    entities: Arc<Entities>,
    around: Arc<Surroundings>,
) {
    let mut entity = Entity {
        entity,
        mailbox,
        entities,
        around,
    };
    let mut carried = None;
    while let Some(command) = carried.take().or_else(|| entity.next_or_leave()) {
        carried = match command.state_model {
            StateModel::EventSourced => entity.awake::<EventSourced>(command).await,
            StateModel::Value => entity.awake::<ValueEntity>(command).await,
        };
    }
}

struct Entity {
    entity: EntityRef,
    mailbox: Mailbox,
    entities: Arc<Entities>,
    around: Arc<Surroundings>,
}

/// One awakening: what is known of the stream and the entity behind it.
struct Awakening<'a, B: Behaviour> {
    entity: &'a EntityRef,
    around: &'a Surroundings,
    /// What the stream was opened for.
    entity_type: Arc<EntityType>,
    call: Call,
    state: B::State,
    /// How many commands were sent on the stream.
    sent: u64,
}

/// A command's way to the user function and what came back.
struct RoundTrip {
    incoming: Incoming,
    /// Whether all of the command was sent before.
    sent: bool,
}

/// What comes after a reply.
enum Next {
    /// The stream stays.
    Stay,
    /// The function's state isn't right; a new stream is needed.
    Restart,
    /// The stream is of no more use.
    Reset,
}

/// What ends an idle entity's waiting.
enum Waking {
    Mail(Option<Mail>),
    Function(Incoming),
    Timeout,
}

impl Entity {
    /// The next command; where there is none the entity is asleep from now on.
    fn next_or_leave(&mut self) -> Option<Box<Command>> {
        let entities = &self.entities;
        while let Some(mail) = entities.next_or_leave(&self.entity, &mut self.mailbox) {
            if let Mail::Command(command) = mail
                && !command.caller.has_left()
            {
                return Some(command);
            }
        }
        None
    }

    /// Opens a stream for a command and stays until the stream has ended. Returns a command that
    /// needs a stream of its own.
    async fn awake<B: Behaviour>(&mut self, command: Box<Command>) -> Option<Box<Command>> {
        let mut call = match self.around.function.open(B::HANDLE).await {
            Ok(call) => call,
            Err(unreachable) => {
                self.unreachable(*command, &unreachable);
                return None;
            }
        };
        let entity_type = Arc::clone(&command.method.entity);
        match activate::<B>(&self.entity, &entity_type, &self.around, &mut call).await {
            Ok(state) => {
                let awakening = Awakening::<B> {
                    entity: &self.entity,
                    around: &self.around,
                    entity_type,
                    call,
                    state,
                    sent: 0,
                };
                awakening.serve(command, &mut self.mailbox).await
            }
            Err(status) => {
                // spec: failures.activation-failure
                call.sender.reset();
                command.caller.answer(Err(status));
                None
            }
        }
    }

    /// Answers the command that needed a stream, and those behind it: they would fare no better.
    fn unreachable(&mut self, command: Command, reason: &Unreachable) {
        // spec: commands.function-lost-unavailable
        let status = Status::unavailable(reason.to_string());
        command.caller.answer(Err(status.clone()));
        while let Some(mail) = self.mailbox.next_now() {
            if let Mail::Command(command) = mail {
                command.caller.answer(Err(status.clone()));
            }
        }
    }
}

/// What the caller of a command hears whose change isn't stored, or maybe is.
fn not_stored(error: &LogError) -> Status {
    match error {
        LogError::Unknown(_) => {
            Status::unavailable("whether what the command changed was stored isn't known")
        }
        LogError::Fenced { .. } | LogError::Held { .. } => {
            Status::unavailable("another proxy has taken over the entity; nothing was stored")
        }
        LogError::Conflict(_) | LogError::Failed(_) => {
            Status::internal("what the command changed could not be stored")
        }
    }
}

/// Tells the past, unless the user function makes an end of it.
async fn activate<B: Behaviour>(
    entity: &EntityRef,
    entity_type: &EntityType,
    around: &Surroundings,
    call: &mut Call,
) -> Result<B::State, Status> {
    let Call {
        sender, receiver, ..
    } = call;
    let journal = &around.journal;
    let replay = B::activate(entity, &entity_type.service_name, journal, sender);
    let early = tokio::select! {
        activated = replay => match activated {
            Ok(state) => return Ok(state),
            Err(NotActivated::Journal(error)) => {
                tracing::error!(?entity, "an entity could not be activated: {error}");
                // The command was not sent, so it may be tried again.
                return Err(Status::unavailable("the history of the entity can't be read"));
            }
            Err(NotActivated::Stream(_)) => receiver.next().await,
        },
        early = receiver.next() => early,
    };
    let broken = unasked::<B>(early);
    if let Some(violation) = &broken.violation {
        report(around, entity, entity_type, violation);
    }
    Err(if broken.connection_lost {
        Status::unavailable("the connection to the user function was lost")
    } else {
        Status::unknown(GAVE_UP)
    })
}

fn report(
    around: &Surroundings,
    entity: &EntityRef,
    entity_type: &EntityType,
    violation: &Violation,
) {
    // spec: failures.violation-reported
    let text = on_stream(violation, &entity_type.service_name, &entity.id);
    around.function.report(text);
}

impl<B: Behaviour> Awakening<'_, B> {
    /// Serves commands, beginning with this one, until the stream has ended.
    async fn serve(mut self, first: Box<Command>, mailbox: &mut Mailbox) -> Option<Box<Command>> {
        let mut idle_timer = Box::pin(sleep_until(self.idle_deadline()));
        let mut command = first;
        loop {
            match self.handle(*command).await {
                Next::Stay => {}
                Next::Restart => {
                    self.half_close().await;
                    return None;
                }
                Next::Reset => {
                    self.call.sender.reset();
                    return None;
                }
            }
            command = match self.idle(mailbox, idle_timer.as_mut()).await {
                Waking::Mail(Some(Mail::Command(next))) if self.is_for(&next) => next,
                Waking::Mail(Some(Mail::Command(next))) => {
                    self.half_close().await;
                    return Some(next);
                }
                // spec: passivation.idle-half-close
                Waking::Timeout | Waking::Mail(_) => {
                    self.half_close().await;
                    return None;
                }
                Waking::Function(incoming) => {
                    // spec: passivation.voluntary-end-accepted
                    self.ended_while_idle(incoming);
                    return None;
                }
            };
        }
    }

    /// Whether the stream is one for this command: after the user function was replaced, the same
    /// entities can have another service.
    fn is_for(&self, command: &Command) -> bool {
        Arc::ptr_eq(&self.entity_type, &command.method.entity)
            || self.entity_type == command.method.entity
    }

    /// Sends a command and does what the reply says.
    async fn handle(&mut self, command: Command) -> Next {
        self.sent += 1;
        let frame = B::command(self.sent, &command);
        let exchange = self.exchange(frame).await;
        match self.judge(exchange) {
            Ok(reply) => self.carry_out(reply, command).await,
            Err(broken) => {
                // spec: failures.violation-answers-client, failures.stream-failure-status,
                // failures.stream-lost, failures.connection-lost
                command.caller.answer(Err(Status::unknown(GAVE_UP)));
                if let Some(violation) = &broken.violation {
                    self.report(violation);
                }
                // spec: failures.violation-ends-stream
                Next::Reset
            }
        }
    }

    /// Sends a message and waits for what comes, which may be before all of it was sent.
    async fn exchange(&mut self, frame: Frame) -> RoundTrip {
        let Call {
            sender, receiver, ..
        } = &mut self.call;
        let sent = AtomicBool::new(false);
        let send = async {
            sent.store(sender.send(frame).await.is_ok(), Ordering::Relaxed);
            // Where sending fails the receiver knows why.
            std::future::pending::<Infallible>().await
        };
        let incoming = tokio::select! {
            biased;
            never = send => match never {},
            incoming = receiver.next() => incoming,
        };
        RoundTrip {
            incoming,
            sent: sent.load(Ordering::Relaxed),
        }
    }

    /// The reply to the outstanding command in what came from the user function.
    fn judge(&self, exchange: RoundTrip) -> Result<EntityReply<B::Change>, Broken> {
        let reply = reply_in::<B>(exchange.incoming)?;
        match self.objection(&reply, exchange.sent) {
            Some(violation) => Err(violation.into()),
            None => Ok(reply),
        }
    }

    fn objection(&self, reply: &EntityReply<B::Change>, asked: bool) -> Option<Violation> {
        let actual = reply.command_id;
        if !asked {
            return Some(Violation::UnaskedReply(actual));
        }
        if u64::try_from(actual) != Ok(self.sent) {
            let expected = self.sent;
            return Some(Violation::OtherCommand { expected, actual });
        }
        if reply.consequences.is_none() {
            return Some(Violation::NoClientAction(actual));
        }
        reply.change.violation(actual)
    }

    /// Stores, then lets the router do the rest.
    async fn carry_out(&mut self, reply: EntityReply<B::Change>, command: Command) -> Next {
        let Command {
            method,
            trace,
            caller,
            ..
        } = command;
        // The judge has seen to it that there are some.
        let Some(consequences) = reply.consequences else {
            return Next::Reset;
        };
        let origin = Origin {
            method,
            entity: Some(self.entity.clone()),
            trace,
        };
        let next = match &consequences.action {
            // spec: failures.failed-reply-not-persisted, failures.state-in-failure-restarts
            Action::Failure(failure) if failure.restart || !reply.change.is_none() => Next::Restart,
            Action::Failure(_) => Next::Stay,
            Action::Reply(_) | Action::Forward(_) => {
                if let Some(remark) = reply.change.remark(reply.command_id) {
                    self.around.function.report(origin.report(remark));
                }
                // spec: event-sourced.persist-before-reply, effects.after-persist
                let journal = &self.around.journal;
                let stored = B::persist(self.entity, journal, &mut self.state, reply.change).await;
                if let Err(error) = stored {
                    tracing::error!(entity = ?self.entity, "a change could not be stored: {error}");
                    caller.answer(Err(not_stored(&error)));
                    // Whatever was known of the entity is read anew.
                    return Next::Reset;
                }
                Next::Stay
            }
        };
        self.check_output(&consequences.action, &origin);
        // It is gone only where the proxy has stopped.
        if let Some(settle) = self.around.settle.upgrade() {
            settle.settle(consequences, origin, caller);
        }
        next
    }

    /// A reply of another type is passed on all the same, and reported once.
    fn check_output(&self, action: &Action, origin: &Origin) {
        let Action::Reply(reply) = action else { return };
        let Some(payload) = &reply.payload else {
            return;
        };
        let method = &origin.method;
        if payload.type_url == method.output.as_bytes()
            || method.wrong_output_reported.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let remark = Remark::OtherOutput {
            method: method.name.clone(),
            expected: method.output.clone(),
            actual: String::from_utf8_lossy(&payload.type_url).into_owned(),
        };
        self.around.function.report(origin.report(remark));
    }

    /// Waits for the next command, for the stream's end, or for too long.
    async fn idle(&mut self, mailbox: &mut Mailbox, mut timer: Pin<&mut Sleep>) -> Waking {
        let deadline = self.idle_deadline();
        loop {
            let waking = tokio::select! {
                biased;
                incoming = self.call.receiver.next() => Waking::Function(incoming),
                mail = mailbox.next() => Waking::Mail(mail),
                () = reached(deadline, timer.as_mut()) => Waking::Timeout,
            };
            match &waking {
                Waking::Mail(Some(Mail::Command(command))) if command.caller.has_left() => {}
                _ => return waking,
            }
        }
    }

    fn idle_deadline(&self) -> Instant {
        Instant::now() + self.entity_type.passivation_timeout
    }

    fn ended_while_idle(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::End(_) => self.call.sender.half_close(),
            Incoming::Message(_) => self.call.sender.reset(),
        }
        if let Some(violation) = &unasked::<B>(incoming).violation {
            self.report(violation);
        }
    }

    /// Ends the stream in order, or by force if the user function doesn't.
    async fn half_close(&mut self) {
        self.call.sender.half_close();
        let limit = self.around.half_close_timeout;
        match timeout(limit, self.call.receiver.next()).await {
            Ok(incoming) => self.ended_while_idle(incoming),
            Err(_) => {
                // spec: passivation.half-close-bounded
                tracing::warn!(entity = ?self.entity, "a half-closed stream was not ended in time");
                self.call.sender.reset();
            }
        }
    }

    fn report(&self, violation: &Violation) {
        report(self.around, self.entity, &self.entity_type, violation);
    }
}

/// Waits until the deadline. The timer may be set to an earlier one: to move it only when it fires
/// is cheaper than with every command.
async fn reached(deadline: Instant, mut timer: Pin<&mut Sleep>) {
    while Instant::now() < deadline || !timer.is_elapsed() {
        if timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().await;
    }
}
