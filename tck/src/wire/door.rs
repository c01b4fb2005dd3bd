//! A door is an adapter: it turns a client's call, on whatever wire, into the same acts and events.
//!
//! Nothing above the wire knows which door a call goes through. To be one, an adapter implements the three traits here
//! and is added to [`connect`] and to the list of [doors](Door). What it must give:
//!
//! - **Open**: a call by its gRPC path and its metadata, of a method that exists in the descriptors. Opening waits for
//!   nothing: the request may leave with its first message or its end. An adapter finds everything that its wire needs
//!   and gRPC doesn't (a URL and a verb, a content type) in the descriptors by itself.
//! - **Acts**: messages are protobuf as on gRPC, whatever leaves; a half-close after the last; a reset, which the other
//!   side must be able to tell from a half-close. A wire that can't do one of them (a stream of requests over HTTP/1) has
//!   to be kept from scenarios that need it: that is for the expansion to say, not for the adapter to bend.
//! - **Events**: [`Event::Headers`] at most once and first, each [`Event::Message`] as protobuf again, and
//!   [`Event::End`] exactly once and last, with the status that the wire says or stands for. What can't be read (no JSON,
//!   an unknown field) is an end with a status of the kit's own making, [`Status::trailers`](super::Status::trailers)
//!   false, that says what was read. An order or a gap that the wire really shows is never smoothed over.
//! - **Life**: calls on one connection are independent of each other; dropping the receiver cancels the call.

use super::{Connection, Event, Receiver, Sender};
use crate::door::Door;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Connects to a proxy by one of its doors.
///
/// # Errors
/// The address refuses, or doesn't speak what this door speaks.
pub async fn connect(door: Door, address: SocketAddr) -> io::Result<Arc<dyn DoorConnection>> {
    match door {
        Door::Grpc => Ok(Arc::new(Connection::open(address).await?)),
    }
}

/// A connection by a door.
pub trait DoorConnection: Debug + Send + Sync {
    /// Begins a call; nothing is awaited.
    fn call(
        &self,
        path: &str,
        metadata: &[(String, String)],
    ) -> (Box<dyn CallSender>, Box<dyn CallReceiver>);

    /// The connection is gone; a new one is needed.
    fn is_closed(&self) -> bool;
}

/// What a caller sends on one call. After the end of the call everything is dropped.
pub trait CallSender: Debug + Send + Sync {
    /// Sends one message.
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, ()>;

    /// Sends bytes as they are where the frame of a message is due: what isn't a message on this wire.
    fn send_raw(&mut self, bytes: Bytes) -> BoxFuture<'_, ()>;

    /// Half-closes: there are no more messages.
    fn finish(&mut self);

    /// Gives the call up.
    fn reset(&mut self) -> BoxFuture<'_, ()>;
}

/// What a caller receives on one call.
pub trait CallReceiver: Debug + Send {
    /// The next event, up to [`Event::End`].
    fn next(&mut self) -> BoxFuture<'_, Event>;
}

impl DoorConnection for Connection {
    fn call(
        &self,
        path: &str,
        metadata: &[(String, String)],
    ) -> (Box<dyn CallSender>, Box<dyn CallReceiver>) {
        let (sender, receiver) = Connection::call(self, path, metadata);
        (Box::new(sender), Box::new(receiver))
    }

    fn is_closed(&self) -> bool {
        Connection::is_closed(self)
    }
}

impl CallSender for Sender {
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, ()> {
        Sender::send(self, message).boxed()
    }

    fn send_raw(&mut self, bytes: Bytes) -> BoxFuture<'_, ()> {
        Sender::send_raw(self, bytes).boxed()
    }

    fn finish(&mut self) {
        Sender::finish(self);
    }

    fn reset(&mut self) -> BoxFuture<'_, ()> {
        Sender::reset(self).boxed()
    }
}

impl CallReceiver for Receiver {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Receiver::next(self).boxed()
    }
}
