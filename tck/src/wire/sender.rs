//! The sending half of a call, and the HTTP/2 body that it fills.

use super::status::trailers;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use std::io;
use std::pin::Pin;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

/// Messages that wait to be written to one stream before the sender has to wait.
const QUEUE: usize = 256;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>;
/// What is sent: of a request or of a response.
pub(super) type Body = StreamBody<Frames>;
type FrameSender = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

/// A body, how to fill it, and what becomes of it.
pub(super) fn queue() -> (FrameSender, Body, Sending) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (alive, dropped) = oneshot::channel::<()>();
    let sending = Sending {
        dropped,
        frames: sender.downgrade(),
    };
    // Many small messages travel in few DATA frames: an HTTP/2 peer may take a flood of frames for an attack.
    let merged = ReceiverStream::new(receiver)
        .ready_chunks(QUEUE)
        .flat_map(move |ready| {
            let _alive = &alive;
            stream::iter(merge(ready))
        });
    (sender, StreamBody::new(Box::pin(merged)), sending)
}

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) dropped: oneshot::Receiver<()>,
    pub(super) frames: mpsc::WeakSender<Result<Frame<Bytes>, io::Error>>,
}

/// Frames of data that follow each other become one.
fn merge(ready: Vec<Result<Frame<Bytes>, io::Error>>) -> Vec<Result<Frame<Bytes>, io::Error>> {
    let mut merged = Vec::new();
    let mut data = Vec::new();
    let flush = |data: &mut Vec<Bytes>, merged: &mut Vec<_>| match data.len() {
        0 => {}
        1 => merged.extend(data.pop().map(|one| Ok(Frame::data(one)))),
        _ => merged.push(Ok(Frame::data(Bytes::from(std::mem::take(data).concat())))),
    };
    for frame in ready {
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => data.push(bytes),
            Ok(Err(other)) => {
                flush(&mut data, &mut merged);
                merged.push(Ok(other));
            }
            Err(error) => {
                flush(&mut data, &mut merged);
                merged.push(Err(error));
            }
        }
    }
    flush(&mut data, &mut merged);
    merged
}

/// How a server leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// Closes it.
    Now,
    /// Takes no more streams, and closes it after the last.
    Later,
}

/// The sending half of a call, of either side.
#[derive(Debug)]
pub struct Sender {
    frames: Option<FrameSender>,
    /// Of the callee's side: its connection.
    connection: Option<mpsc::UnboundedSender<HangUp>>,
}

impl Sender {
    /// Caller: what is sent goes into the request.
    pub(super) fn of_request(frames: FrameSender) -> Sender {
        Sender {
            frames: Some(frames),
            connection: None,
        }
    }

    /// IncomingCall side: what is sent goes into the response, on this connection.
    pub(super) fn of_response(
        frames: FrameSender,
        connection: mpsc::UnboundedSender<HangUp>,
    ) -> Sender {
        Sender {
            frames: Some(frames),
            connection: Some(connection),
        }
    }

    /// A sender whose call is over: it drops everything.
    pub fn closed() -> Sender {
        Sender {
            frames: None,
            connection: None,
        }
    }

    /// IncomingCall side: leaves the connection that the call came on.
    pub fn hang_up(&mut self, how: HangUp) {
        if let Some(connection) = &self.connection {
            let _ = connection.send(how);
        }
    }

    /// Sends one message. What a peer that is gone would have got is dropped; its end is told by the receiver.
    pub async fn send(&mut self, message: Bytes) {
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(message.len() as u32);
        frame.put(message);
        self.send_raw(frame.freeze()).await;
    }

    /// Sends bytes as they are, without a gRPC prefix.
    pub async fn send_raw(&mut self, bytes: Bytes) {
        if let Some(frames) = &self.frames {
            let _ = frames.send(Ok(Frame::data(bytes))).await;
        }
    }

    /// Caller: half-closes.
    pub fn finish(&mut self) {
        self.frames = None;
    }

    /// IncomingCall side: ends the call with a status in trailers.
    pub async fn end(&mut self, code: i32, message: &str) {
        if let Some(frames) = self.frames.take() {
            let _ = frames
                .send(Ok(Frame::trailers(trailers(code, message))))
                .await;
        }
    }

    /// Resets the stream.
    pub async fn reset(&mut self) {
        if let Some(frames) = self.frames.take() {
            let _ = frames.send(Err(io::Error::other("reset by the kit"))).await;
        }
    }
}
