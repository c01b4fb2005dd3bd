//! Calls that the kit makes outside of any scenario: discovery, readiness.

use crate::status::status_name;
use crate::wire::Connection;
use bytes::Bytes;
use std::fmt;

/// Why such a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnaryError {
    /// It ended with another status than OK.
    Status {
        /// The call.
        path: String,
        /// The status code.
        code: i32,
        /// Its message.
        message: String,
    },
    /// Its answer isn't a message of the expected type.
    Unreadable {
        /// The call.
        path: String,
        /// What is wrong.
        error: prost::DecodeError,
    },
    /// It had not one answer.
    Answers {
        /// The call.
        path: String,
        /// How many it had.
        count: usize,
    },
}

impl fmt::Display for UnaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnaryError::Status {
                path,
                code,
                message,
            } => write!(f, "{path} ended with {} {message}", status_name(*code)),
            UnaryError::Unreadable { path, error } => write!(f, "{path}: {error}"),
            UnaryError::Answers { path, count } => {
                write!(f, "{path} answered {count} messages instead of one")
            }
        }
    }
}

impl std::error::Error for UnaryError {}

/// Makes one.
///
/// # Errors
/// It didn't end with OK and one message of this type.
pub async fn unary<M: prost::Message + Default>(
    connection: &Connection,
    path: &str,
    request: &impl prost::Message,
) -> Result<M, UnaryError> {
    let (messages, status) = connection
        .unary(path, Bytes::from(request.encode_to_vec()))
        .await;
    let path = path.to_owned();
    if status.code != 0 {
        return Err(UnaryError::Status {
            path,
            code: status.code,
            message: status.message,
        });
    }
    match messages.as_slice() {
        [message] => {
            M::decode(message.clone()).map_err(|error| UnaryError::Unreadable { path, error })
        }
        other => Err(UnaryError::Answers {
            path,
            count: other.len(),
        }),
    }
}
