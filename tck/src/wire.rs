//! (4) gRPC on HTTP/2, message by message, with nothing hidden: the kit must see, and be able to make, what a
//! library would smooth over (missing trailers, resets, malformed frames).
//!
//! Messages are bytes here; what they mean is decided above. See the gRPC over HTTP/2 specification.

mod client;
pub mod door;
mod metadata;
mod receiver;
mod sender;
mod server;
mod status;
#[cfg(test)]
mod tests;

pub use client::Connection;
pub use metadata::Metadata;
pub use receiver::Receiver;
pub use sender::{HangUp, Sender};
pub use server::{IncomingCall, relay, serve};
pub use status::Status;

use bytes::Bytes;

/// HTTP/2 window of a stream; large enough that a replay isn't held up by round trips.
const WINDOW: u32 = 1 << 20;

/// What comes from a peer on one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The response's headers (callers only).
    Headers(Metadata),
    /// One message.
    Message(Bytes),
    /// The caller is done (callees only).
    HalfClose,
    /// The call is over.
    End(Status),
}
