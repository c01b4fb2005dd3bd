//! What came from the user function on an entity's stream: a reply, or why there can't be one.

use super::{Behaviour, EntityReply, FromFunction};
use crate::function::call::{End, Incoming};
use crate::violation::Violation;

/// Why a stream can't go on.
pub struct Broken {
    /// What is to be reported.
    pub violation: Option<Violation>,
    /// Whether it was the connection, of which the user function need not know.
    pub connection_lost: bool,
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self {
            violation: Some(violation),
            connection_lost: false,
        }
    }
}

impl From<End> for Broken {
    fn from(end: End) -> Self {
        tracing::debug!("a stream has ended: {end}");
        let connection_lost = matches!(end, End::ConnectionLost(_));
        let violation = match end {
            End::Garbage(garbage) => Some(Violation::NotGrpc(garbage)),
            End::Status(_) | End::Reset(_) | End::ConnectionLost(_) => None,
        };
        Self {
            violation,
            connection_lost,
        }
    }
}

/// The reply in what came from the user function.
pub fn reply_in<B: Behaviour>(incoming: Incoming) -> Result<EntityReply<B::Change>, Broken> {
    let message = match incoming {
        Incoming::Message(message) => message,
        Incoming::End(end) => return Err(end.into()),
    };
    match B::read(message) {
        Ok(FromFunction::Reply(reply)) => Ok(reply),
        Ok(FromFunction::Failure(description)) => {
            tracing::warn!(description, "the user function gave up a stream");
            Err(Broken {
                violation: None,
                connection_lost: false,
            })
        }
        Ok(FromFunction::Empty) => Err(Violation::EmptyMessage.into()),
        Err(error) => Err(Violation::Undecodable(error.to_string()).into()),
    }
}

/// What to make of something that came while no command was outstanding.
pub fn unasked<B: Behaviour>(incoming: Incoming) -> Broken {
    // spec: failures.violation-has-no-effect
    match reply_in::<B>(incoming) {
        Ok(reply) => Violation::UnaskedReply(reply.command_id).into(),
        Err(broken) => broken,
    }
}
