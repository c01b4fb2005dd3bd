//! (3) What the TCK models mean, as pure functions: the oracle; and a user function made of it.

pub mod event_sourced;
pub mod function;
pub mod session;
pub mod spec;

use cloudstate_protocol::tck::model::{Persisted, Request, Response};
use prost::Message;
use prost_types::Any;

/// What a model cannot make sense of. A proxy that obeys the protocol never causes one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A command of another service.
    #[error("{service} has no method {method:?}; it has {known:?}")]
    Command {
        /// The service.
        service: &'static str,
        /// The method that was asked for.
        method: String,
        /// The one that there is.
        known: &'static str,
    },
    /// Another message than belongs here.
    #[error("expected {expected:?}, got {type_url:?}")]
    PayloadType {
        /// The type URL that belongs here.
        expected: &'static str,
        /// The type URL that was there.
        type_url: String,
    },
    /// Bytes that are not a message of their type.
    #[error("the payload is no {expected:?}: {reason}")]
    PayloadBytes {
        /// Its type URL.
        expected: &'static str,
        /// What the decoder says.
        reason: String,
    },
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
    /// An event or snapshot for a service that emits none.
    #[error("{service} persists nothing, so nothing of it can be replayed")]
    NothingPersisted {
        /// The service.
        service: &'static str,
    },
    /// Sequence numbers are used up.
    #[error("the journal has no sequence numbers left")]
    JournalFull,
}

/// A message of the event sourced models, as an `Any` names it.
pub(crate) trait Packed: Message + Default {
    const TYPE_URL: &'static str;
}

impl Packed for Request {
    const TYPE_URL: &'static str = "type.googleapis.com/cloudstate.tck.model.Request";
}

impl Packed for Response {
    const TYPE_URL: &'static str = "type.googleapis.com/cloudstate.tck.model.Response";
}

impl Packed for Persisted {
    const TYPE_URL: &'static str = "type.googleapis.com/cloudstate.tck.model.Persisted";
}

pub(crate) fn pack<M: Packed>(message: &M) -> Any {
    Any {
        type_url: M::TYPE_URL.to_owned(),
        value: message.encode_to_vec(),
    }
}

fn unpack<M: Packed>(any: &Any) -> Result<M, ModelError> {
    if any.type_url != M::TYPE_URL {
        return Err(ModelError::PayloadType {
            expected: M::TYPE_URL,
            type_url: any.type_url.clone(),
        });
    }
    M::decode(any.value.as_slice()).map_err(|error| ModelError::PayloadBytes {
        expected: M::TYPE_URL,
        reason: error.to_string(),
    })
}
