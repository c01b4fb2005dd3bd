//! Stateful entities: one task for each that is awake.
//!
//! [`registry`] finds or wakes the entity of a command, and puts the command into its [`mailbox`].
//! [`lifecycle`] is what all types of entities that answer one command at a time have in common,
//! and [`Behaviour`] is what they don't: each type is a module that implements it. What an entity
//! needs of the proxy around it are its [`Surroundings`].

pub mod event_sourced;
pub mod lifecycle;
pub mod mailbox;
mod reading;
pub mod registry;
pub mod value;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::command::{Caller, Command, Consequences, Origin};
use crate::function::Function;
use crate::function::call::{Closed, Frame, Sender};
use crate::journal::{Claimed, EntityRef, LogError};
use crate::violation::{Remark, Violation};

/// What an entity needs of the proxy around it.
pub struct Surroundings {
    /// Where it opens its streams.
    pub function: Arc<Function>,
    /// Where it keeps its state.
    pub journal: Arc<Claimed>,
    /// How long the user function may take to end a stream that was half-closed.
    pub half_close_timeout: Duration,
    /// Who takes what is left of a reply. It has the entities, so that they don't have it.
    pub settle: Weak<dyn Settle>,
}

/// Carries out what a reply asks for besides the entity's own, and answers the caller.
pub trait Settle: Send + Sync {
    /// Returns at once; the entity goes on with its next command.
    fn settle(self: Arc<Self>, consequences: Consequences, origin: Origin, caller: Caller);
}

/// What distinguishes a type of entity.
pub trait Behaviour: Send + 'static {
    /// Where its streams are opened.
    const HANDLE: &'static str;
    /// What is known of an entity while it is awake.
    type State: Send;
    /// What a reply does to the entity.
    type Change: Change;

    /// Begins a stream: says whose it is, and tells the past.
    fn activate(
        entity: &EntityRef,
        service_name: &str,
        journal: &Claimed,
        out: &mut Sender,
    ) -> impl Future<Output = Result<Self::State, NotActivated>> + Send;

    /// A message with the command, under this id.
    fn command(id: u64, command: &Command) -> Frame;

    /// Reads a message of the user function.
    fn read(message: Bytes) -> Result<FromFunction<Self::Change>, prost::DecodeError>;

    /// Makes what the reply did to the entity durable.
    fn persist(
        entity: &EntityRef,
        journal: &Claimed,
        state: &mut Self::State,
        change: Self::Change,
    ) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// What a reply does to an entity.
pub trait Change: Send {
    /// Whether it leaves the entity as it was.
    fn is_none(&self) -> bool;

    /// What is to be said about it.
    fn remark(&self, command_id: i64) -> Option<Remark>;

    /// Which rule it breaks.
    fn violation(&self, _command_id: i64) -> Option<Violation> {
        None
    }
}

/// Why a stream didn't get as far as its first command.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotActivated {
    #[error(transparent)]
    Journal(#[from] LogError),
    #[error(transparent)]
    Stream(#[from] Closed),
}

/// A message of the user function.
#[derive(Debug, PartialEq)]
pub enum FromFunction<C> {
    /// The answer to a command.
    Reply(EntityReply<C>),
    /// It gives up the stream.
    Failure(String),
    /// Nothing at all.
    Empty,
}

/// The answer to a command.
#[derive(Debug, PartialEq)]
pub struct EntityReply<C> {
    /// Which command.
    pub command_id: i64,
    /// What else it leads to; absent where the reply doesn't say what the client gets.
    pub consequences: Option<Consequences>,
    /// What it does to the entity.
    pub change: C,
}
