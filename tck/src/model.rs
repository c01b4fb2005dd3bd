//! (3) What the TCK models mean, as pure functions: the oracle; and a user function made of it.

pub mod action;
pub mod event_sourced;
pub mod function;
pub mod oracle;
mod outcome;
pub mod session;
pub mod spec;
pub mod value_entity;

pub use outcome::Action;

pub(crate) use cloudstate_protocol::payload::pack;

use crate::services::Service;
use cloudstate_protocol::payload::{PayloadError, unpack};

/// What a model cannot make sense of. A proxy that obeys the protocol never causes one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A service of nobody, or of another entity type.
    #[error("there is no service {0:?} here")]
    Service(String),
    /// A command of another service.
    #[error("{service} has no method {method:?}; it has {known:?}")]
    Command {
        /// The service.
        service: &'static str,
        /// The method that was asked for.
        method: String,
        /// Those that there are.
        known: String,
    },
    /// A payload that does not belong here.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A snapshot where none can be.
    #[error(
        "a snapshot of event {sequence} after event {at}; it must come first, and follow an event"
    )]
    Snapshot {
        /// Where the entity was.
        at: i64,
        /// Where the snapshot is.
        sequence: i64,
    },
    /// An event out of order.
    #[error("expected event {expected}, got event {sequence}")]
    Sequence {
        /// The next sequence number.
        expected: i64,
        /// The one that came.
        sequence: i64,
    },
    /// State of a service that has none.
    #[error("{service} persists nothing, so nothing of it can be replayed")]
    NothingPersisted {
        /// The service.
        service: &'static str,
    },
    /// Sequence numbers are used up.
    #[error("the journal has no sequence numbers left")]
    JournalFull,
}

/// The command is one of this stateful service, which has one method.
fn expect_method(service: &Service, method: &str) -> Result<(), ModelError> {
    if method == service.method() {
        return Ok(());
    }
    Err(ModelError::Command {
        service: service.name,
        method: method.to_owned(),
        known: service.method().to_owned(),
    })
}

/// The service has state.
fn expect_state(service: &Service) -> Result<(), ModelError> {
    if service.is_model() {
        return Ok(());
    }
    Err(ModelError::NothingPersisted {
        service: service.name,
    })
}
