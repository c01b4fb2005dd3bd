//! One gRPC call to the user function: messages out and in, without knowledge of what they mean.
//!
//! It is made directly on an HTTP/2 stream. An entity's stream needs what client libraries hide:
//! to send before the first response headers, to half-close, to reset, to wait for flow control,
//! and to tell a stream that was reset from a connection that was lost.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use prost::Message;
use tonic::{Code, Status};

use super::connection::Permit;

/// How long a call may take, as gRPC says it.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// What precedes each message: a flag for compression, and the length.
const PREFIX: usize = 5;

/// How much small messages are worth a frame of their own, in bytes.
const ENOUGH: usize = 16 * 1024;

/// Both directions of a call. To drop it before it has ended resets it.
pub struct Call {
    /// From the proxy to the user function.
    pub sender: Sender,
    /// From the user function to the proxy.
    pub receiver: Receiver,
    /// The call's place among the streams of its connection, given back last.
    _permit: Permit,
}

impl Call {
    /// Its two directions, each for itself; the call's place stays taken while the receiving one
    /// lives.
    pub fn split(self) -> (Sender, Receiver) {
        let mut receiver = self.receiver;
        receiver.permit = Some(self._permit);
        (self.sender, receiver)
    }

    pub(super) fn new(
        sender: SendStream<Bytes>,
        response: ResponseFuture,
        permit: Permit,
        max_message_size: usize,
    ) -> Self {
        Self {
            sender: Sender(sender),
            receiver: Receiver {
                phase: Phase::Headers(response),
                messages: Cutter::new(max_message_size),
                permit: None,
            },
            _permit: permit,
        }
    }
}

impl Permit {
    /// Opens the stream: a gRPC call to this path.
    pub async fn open(self, path: &str, timeout: Option<Duration>) -> Result<Call, String> {
        let connection = &self.0;
        let mut request = http::Request::post(format!("http://{}{path}", connection.authority))
            .version(http::Version::HTTP_2)
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .header(http::header::USER_AGENT, USER_AGENT);
        if let Some(timeout) = timeout {
            request = request.header(GRPC_TIMEOUT, timeout_text(timeout));
        }
        let request = request.body(()).map_err(|error| error.to_string())?;
        let opened = async {
            let mut requests = connection.requests.clone().ready().await?;
            requests.send_request(request, false)
        };
        let (response, sender) = opened.await.map_err(|error| {
            // Nobody else need try: it is closed, or about to be.
            connection.close();
            error.to_string()
        })?;
        let max = connection.max_message_size;
        Ok(Call::new(sender, response, self, max))
    }

    /// A unary call; the answer, or why there is none.
    pub async fn unary<A: Message + Default>(
        self,
        path: &str,
        request: &impl Message,
    ) -> Result<A, String> {
        let mut call = self.open(path, None).await?;
        let mut frame = Frame::new(request.encoded_len());
        request
            .encode(frame.head())
            .map_err(|error| error.to_string())?;
        call.sender
            .send(frame)
            .await
            .map_err(|error| error.to_string())?;
        call.sender.half_close();
        let answer = match call.receiver.next().await {
            Incoming::Message(answer) => answer,
            Incoming::End(end) => return Err(format!("{path} wasn't answered: {end}")),
        };
        match call.receiver.next().await {
            Incoming::End(End::Status(status)) if status.code() == tonic::Code::Ok => {}
            Incoming::End(end) => return Err(format!("{path} failed: {end}")),
            Incoming::Message(_) => return Err(format!("{path} was answered twice")),
        }
        A::decode(answer).map_err(|error| format!("the answer of {path} can't be decoded: {error}"))
    }
}

/// A `grpc-timeout`: a number of at most eight digits, and its unit.
fn timeout_text(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos();
    let units = [
        (1_000_000_000, 'S'),
        (1_000_000, 'm'),
        (1_000, 'u'),
        (1, 'n'),
    ];
    let exact = units
        .iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit) && nanos / unit <= MOST);
    // Else as exact as eight digits are.
    let coarser = || units.iter().rfind(|(unit, _)| nanos / unit <= MOST);
    match exact.or_else(coarser) {
        Some((unit, letter)) => format!("{}{letter}", nanos / unit),
        None => format!("{}H", (nanos / 3_600_000_000_000).min(MOST)),
    }
}

/// A message with its prefix. What is long and needn't be copied is the tail.
pub struct Frame {
    head: BytesMut,
    tail: Bytes,
}

impl Frame {
    /// A frame for a message of this length, whose bytes are then put into it.
    pub fn new(length: usize) -> Self {
        let mut head = BytesMut::with_capacity(PREFIX + length);
        head.put_u8(0);
        head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        Self {
            head,
            tail: Bytes::new(),
        }
    }

    /// A frame for a message of this length that ends with `tail`.
    pub fn with_tail(length: usize, tail: Bytes) -> Self {
        /// From here on another DATA frame costs less than the copy.
        const WORTH_IT: usize = 8 * 1024;
        if tail.len() < WORTH_IT {
            return Self::new(length);
        }
        let mut frame = Self::new(length - tail.len());
        frame.head[1..PREFIX]
            .copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        frame.tail = tail;
        frame
    }

    /// Where the message is written, up to its tail.
    pub fn head(&mut self) -> &mut BytesMut {
        &mut self.head
    }

    /// The message alone, in one piece.
    #[cfg(test)]
    pub fn message(&self) -> Vec<u8> {
        [&self.head[PREFIX..], &self.tail].concat()
    }

    /// Writes what was given as the tail, unless it goes out by itself.
    pub fn put_tail(&mut self, tail: &[u8]) {
        if self.tail.is_empty() {
            self.head.put_slice(tail);
        }
    }
}

/// The stream is closed for what the proxy has to send; the receiver knows why.
#[derive(Debug, thiserror::Error)]
#[error("the stream to the user function is closed")]
pub struct Closed;

/// The sending side of a [`Call`].
pub struct Sender(SendStream<Bytes>);

impl Sender {
    /// Sends a message, no faster than the user function's flow control lets it.
    pub async fn send(&mut self, frame: Frame) -> Result<(), Closed> {
        // spec: event-sourced.replay-any-length
        self.write(frame.head.freeze()).await?;
        self.write(frame.tail).await
    }

    /// Sends messages, many small ones in few DATA frames: libraries take a flood of small frames, which nobody
    /// reads at once, for an attack.
    pub async fn send_all(
        &mut self,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<(), Closed> {
        let mut together = BytesMut::new();
        for frame in frames {
            together.extend_from_slice(&frame.head);
            if !frame.tail.is_empty() || together.len() >= ENOUGH {
                self.write(together.split().freeze()).await?;
                self.write(frame.tail).await?;
            }
        }
        self.write(together.freeze()).await
    }

    async fn write(&mut self, mut data: Bytes) -> Result<(), Closed> {
        while !data.is_empty() {
            self.0.reserve_capacity(data.len());
            let granted = self.granted().await?.min(data.len());
            self.0
                .send_data(data.split_to(granted), false)
                .map_err(|_| Closed)?;
        }
        Ok(())
    }

    async fn granted(&mut self) -> Result<usize, Closed> {
        loop {
            let capacity = self.0.capacity();
            if capacity > 0 {
                return Ok(capacity);
            }
            let more = poll_fn(|cx| self.0.poll_capacity(cx)).await;
            more.ok_or(Closed)?.map_err(|_| Closed)?;
        }
    }

    /// Ends the proxy's side in order.
    pub fn half_close(&mut self) {
        // It fails only where the stream is closed already.
        let _ = self.0.send_data(Bytes::new(), true);
    }

    /// Ends both sides at once.
    pub fn reset(&mut self) {
        self.0.send_reset(Reason::CANCEL);
    }
}

/// What arrives from the user function.
#[derive(Debug)]
pub enum Incoming {
    /// A message, still encoded.
    Message(Bytes),
    /// Nothing more will come.
    End(End),
}

/// How a call ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The user function sent a status.
    #[error("it ended with {:?} {:?}", .0.code(), .0.message())]
    Status(Status),
    /// The user function reset the stream.
    #[error("it was reset with {0:?}")]
    Reset(Reason),
    /// The connection is gone, and every stream on it.
    #[error("its connection was lost: {0}")]
    ConnectionLost(h2::Error),
    /// What came can't be read as gRPC.
    #[error("it isn't gRPC: {0}")]
    Garbage(String),
}

impl End {
    /// Whether the user function ended the call as calls should end.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::Ok)
    }

    fn of(error: h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Reset(reason),
            _ => Self::ConnectionLost(error),
        }
    }
}

/// The receiving side of a [`Call`].
pub struct Receiver {
    phase: Phase,
    messages: Cutter,
    /// Of a call that was split.
    permit: Option<Permit>,
}

enum Phase {
    Headers(ResponseFuture),
    Body(RecvStream),
}

impl Receiver {
    /// The next message, or the end. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.messages.next() {
                Ok(Some(message)) => return Incoming::Message(message),
                Ok(None) => {}
                Err(garbage) => return Incoming::End(End::Garbage(garbage)),
            }
            if let Err(end) = self.read().await {
                return Incoming::End(end);
            }
        }
    }

    async fn read(&mut self) -> Result<(), End> {
        match &mut self.phase {
            Phase::Headers(response) => {
                let (head, body) = response.await.map_err(End::of)?.into_parts();
                // A call that ends without a message has its trailers here.
                if let Some(status) = Status::from_header_map(&head.headers) {
                    return Err(End::Status(status));
                }
                if head.status != StatusCode::OK {
                    let status = head.status;
                    return Err(End::Garbage(format!(
                        "the response has HTTP status {status}"
                    )));
                }
                self.phase = Phase::Body(body);
                Ok(())
            }
            Phase::Body(body) => match poll_fn(|cx| body.poll_data(cx)).await {
                Some(data) => {
                    let data = data.map_err(End::of)?;
                    body.flow_control()
                        .release_capacity(data.len())
                        .map_err(End::of)?;
                    self.messages.push(data);
                    Ok(())
                }
                None if self.messages.is_incomplete() => {
                    Err(End::Garbage("it ends inside a message".to_owned()))
                }
                None => Err(trailers(body).await),
            },
        }
    }
}

async fn trailers(body: &mut RecvStream) -> End {
    match poll_fn(|cx| body.poll_trailers(cx)).await {
        Ok(trailers) => {
            let status = trailers.as_ref().and_then(Status::from_header_map);
            End::Status(status.unwrap_or_else(|| Status::unknown("there is no grpc-status")))
        }
        Err(error) => End::of(error),
    }
}

/// Cuts what was received into messages. A message that arrived in one piece isn't copied.
struct Cutter {
    max_size: usize,
    /// What was received and not cut yet.
    data: Bytes,
    /// The beginning of a message whose rest is to come.
    partial: BytesMut,
}

impl Cutter {
    fn new(max_size: usize) -> Self {
        Self {
            max_size,
            data: Bytes::new(),
            partial: BytesMut::new(),
        }
    }

    /// Whether the beginning of a message waits for its rest.
    fn is_incomplete(&self) -> bool {
        !self.partial.is_empty() || !self.data.is_empty()
    }

    /// Only called when `next` had nothing left to cut.
    fn push(&mut self, data: Bytes) {
        if self.partial.is_empty() {
            self.data = data;
        } else {
            self.partial.extend_from_slice(&data);
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, String> {
        let partial = !self.partial.is_empty();
        let available: &[u8] = if partial { &self.partial } else { &self.data };
        let Some(length) = self.message_length(available)? else {
            self.keep();
            return Ok(None);
        };
        if available.len() < PREFIX + length {
            self.keep();
            self.partial.reserve(PREFIX + length - self.partial.len());
            return Ok(None);
        }
        if partial {
            self.data = std::mem::take(&mut self.partial).freeze();
        }
        self.data.advance(PREFIX);
        Ok(Some(self.data.split_to(length)))
    }

    fn message_length(&self, mut prefix: &[u8]) -> Result<Option<usize>, String> {
        if prefix.len() < PREFIX {
            return Ok(None);
        }
        if prefix.get_u8() != 0 {
            return Err("a message is compressed, which the proxy didn't offer".to_owned());
        }
        let length = prefix.get_u32() as usize;
        if length > self.max_size {
            let max = self.max_size;
            return Err(format!("a message has {length} bytes; {max} are allowed"));
        }
        Ok(Some(length))
    }

    fn keep(&mut self) {
        if !self.data.is_empty() {
            self.partial.extend_from_slice(&self.data);
            self.data.clear();
        }
    }
}

#[cfg(test)]
mod tests;
