//! (4) gRPC on HTTP/2, message by message, with nothing hidden: the kit must see, and be able to make, what a
//! library would smooth over (missing trailers, resets, malformed frames).
//!
//! Messages are bytes here; what they mean is decided above. See the gRPC over HTTP/2 specification.

use crate::protocol::MESSAGE_LIMIT;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Messages that wait to be written to one stream before the sender has to wait.
const QUEUE: usize = 256;

/// HTTP/2 window of a stream; large enough that a replay isn't held up by round trips.
const WINDOW: u32 = 1 << 20;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>;
type Body = StreamBody<Frames>;

/// Headers and metadata: names in lower case.
pub type Metadata = Vec<(String, String)>;

/// What comes from a peer on one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The response's headers (callers only).
    Headers(Metadata),
    /// One message.
    Message(Bytes),
    /// The caller is done (called side only).
    HalfClose,
    /// The call is over.
    End(Status),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The gRPC status code.
    pub code: i32,
    /// Its message.
    pub message: String,
    /// It came as trailers; else the kit made it up from what the transport said.
    pub trailers: bool,
    /// Not the stream alone ended, but its connection.
    pub lost: bool,
}

impl Status {
    /// gRPC status OK, as trailers.
    pub fn ok() -> Status {
        Status {
            code: 0,
            message: String::new(),
            trailers: true,
            lost: false,
        }
    }

    fn broken(code: i32, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
            trailers: false,
            lost: false,
        }
    }

    /// What an error of the transport comes to.
    fn failed(code: i32, error: &hyper::Error) -> Status {
        let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
        Status {
            lost: !cause.is_some_and(h2::Error::is_reset),
            ..Status::broken(code, chain(error))
        }
    }
}

/// A connection to a gRPC server.
#[derive(Clone, Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    authority: String,
    alive: watch::Receiver<()>,
}

impl Connection {
    /// Connects, speaking HTTP/2 from the first byte.
    ///
    /// # Errors
    /// The address refuses, or what listens there doesn't speak HTTP/2.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 16)
            .max_concurrent_reset_streams(1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let (living, alive) = watch::channel(());
        tokio::spawn(async move {
            let _ = connection.await;
            drop(living);
        });
        Ok(Connection {
            sender,
            authority: address.to_string(),
            alive,
        })
    }

    /// Begins a call. Nothing is awaited here: many servers send headers only with their first message.
    pub fn call(&self, path: &str, metadata: &[(String, String)]) -> (Sender, Receiver) {
        let (frames, body, _) = queue();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.authority))
            .header("te", "trailers");
        if metadata.iter().all(|(name, _)| name != "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in metadata {
            request = request.header(name, value);
        }
        let mut sender = self.sender.clone();
        let response = async move {
            let request = request
                .body(body)
                .map_err(|error| Status::broken(14, error.to_string()))?;
            let failed = |error| Status::failed(14, &error);
            sender.ready().await.map_err(failed)?;
            sender.send_request(request).await.map_err(failed)
        };
        (
            Sender {
                frames: Some(frames),
                connection: None,
            },
            Receiver::awaiting(Box::pin(response)),
        )
    }

    /// The connection is gone; a new one is needed.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it is gone.
    pub async fn closed(&self) {
        let _ = self.alive.clone().changed().await;
    }

    /// One message there, and what comes back until the end.
    pub async fn unary(&self, path: &str, message: Bytes) -> (Vec<Bytes>, Status) {
        let (mut sender, mut receiver) = self.call(path, &[]);
        sender.send(message).await;
        sender.finish();
        let mut messages = Vec::new();
        loop {
            match receiver.next().await {
                Event::Message(bytes) => messages.push(bytes),
                Event::End(status) => return (messages, status),
                Event::Headers(_) | Event::HalfClose => {}
            }
        }
    }
}

type FrameSender = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

/// A body, how to fill it, and what becomes of it.
fn queue() -> (FrameSender, Body, Sending) {
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
struct Sending {
    dropped: oneshot::Receiver<()>,
    frames: mpsc::WeakSender<Result<Frame<Bytes>, io::Error>>,
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

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
    /// Of the called side: its connection.
    connection: Option<mpsc::UnboundedSender<HangUp>>,
}

impl Sender {
    /// A sender whose call is over: it drops everything.
    pub fn closed() -> Sender {
        Sender {
            frames: None,
            connection: None,
        }
    }

    /// Called side: leaves the connection that the call came on.
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

    /// Called side: ends the call with a status in trailers.
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

fn trailers(code: i32, message: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty()
        && let Ok(value) = HeaderValue::from_str(&percent_encode(message))
    {
        map.insert("grpc-message", value);
    }
    map
}

/// The encoding of `grpc-message`: printable ASCII but `%` stays, every other byte is escaped.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            0x20..=0x7e => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The reverse; what isn't an escape stays as it is.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Status>> + Send>>;

/// The receiving half of a call, of either side. Dropping a caller's receiver cancels the call.
pub struct Receiver {
    state: State,
    buffer: BytesMut,
    /// The called side's half-close is an event of its own; a caller sees an end.
    called: bool,
    /// Of the called side: its answer.
    answer: Option<Sending>,
}

enum State {
    Awaiting(ResponseFuture),
    Body(Incoming),
    Over,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("called", &self.called)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    fn awaiting(response: ResponseFuture) -> Receiver {
        Receiver {
            state: State::Awaiting(response),
            buffer: BytesMut::new(),
            called: false,
            answer: None,
        }
    }

    /// A receiver with nothing more to give.
    pub fn ended() -> Receiver {
        Receiver {
            state: State::Over,
            buffer: BytesMut::new(),
            called: true,
            answer: None,
        }
    }

    fn of_request(body: Incoming, answer: Sending) -> Receiver {
        Receiver {
            state: State::Body(body),
            buffer: BytesMut::new(),
            called: true,
            answer: Some(answer),
        }
    }

    /// Called side, after the half-close: the caller resets the stream that it waits on. Never, if it is answered.
    pub async fn reset(&mut self) -> Event {
        if let Some(answer) = &mut self.answer {
            let _ = (&mut answer.dropped).await;
            let unanswered = answer.frames.upgrade().is_some();
            // It happens once, however often it is asked for.
            self.answer = None;
            if unanswered {
                return Event::End(Status::broken(1, "the caller has reset the stream"));
            }
        }
        std::future::pending().await
    }

    /// The next event. After an [`Event::End`], and on the called side after [`Event::HalfClose`], the call is
    /// over in this direction; asking again gives the end again.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.take_message() {
                Ok(Some(message)) => return Event::Message(message),
                Ok(None) => {}
                Err(text) => return self.over(Status::broken(13, text)),
            }
            match &mut self.state {
                State::Over if self.called => return Event::HalfClose,
                State::Over => return Event::End(Status::broken(1, "the call is over")),
                State::Awaiting(response) => match response.await {
                    Ok(response) => return self.response(response),
                    Err(status) => return self.over(status),
                },
                State::Body(body) => match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.buffer.extend_from_slice(&data),
                        Err(frame) => {
                            if let Some(status) = frame.trailers_ref().and_then(read_status) {
                                return self.over(status);
                            }
                        }
                    },
                    Some(Err(error)) => return self.over(Status::failed(1, &error)),
                    None if self.called && self.buffer.is_empty() => {
                        self.state = State::Over;
                        return Event::HalfClose;
                    }
                    None if self.called => {
                        return self.over(Status::broken(13, "the request ends inside a message"));
                    }
                    None => {
                        return self.over(Status::broken(13, "the response ends without trailers"));
                    }
                },
            }
        }
    }

    fn over(&mut self, status: Status) -> Event {
        self.state = State::Over;
        self.buffer.clear();
        Event::End(status)
    }

    fn response(&mut self, response: Response<Incoming>) -> Event {
        let (head, body) = response.into_parts();
        if let Some(status) = read_status(&head.headers) {
            return self.over(status);
        }
        let grpc = head
            .headers
            .get("content-type")
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if head.status != 200 || !grpc {
            let kind = head
                .headers
                .get("content-type")
                .map_or("nothing", |v| v.to_str().unwrap_or("?"));
            let text = format!(
                "the answer is HTTP {} with {kind}, not gRPC",
                head.status.as_u16()
            );
            return self.over(Status::broken(2, text));
        }
        self.state = State::Body(body);
        Event::Headers(metadata(&head.headers))
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, String> {
        let Some(prefix) = self.buffer.get(..5) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] != 0 {
            return Err("a compressed message, though no compression was offered".to_owned());
        }
        if length > MESSAGE_LIMIT {
            return Err(format!(
                "a message of {length} bytes; the kit's limit is {MESSAGE_LIMIT}"
            ));
        }
        if self.buffer.len() < 5 + length {
            return Ok(None);
        }
        self.buffer.advance(5);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn read_status(headers: &HeaderMap) -> Option<Status> {
    let code = headers
        .get("grpc-status")?
        .to_str()
        .ok()?
        .parse()
        .unwrap_or(2);
    let message = headers
        .get("grpc-message")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    Some(Status {
        code,
        message: percent_decode(message),
        trailers: true,
        lost: false,
    })
}

/// Headers that the transport owns, left out of metadata.
const TRANSPORT: [&str; 9] = [
    "content-type",
    "te",
    "user-agent",
    "content-length",
    "date",
    "accept-encoding",
    "grpc-accept-encoding",
    "grpc-encoding",
    "host",
];

fn metadata(headers: &HeaderMap) -> Metadata {
    let own = |name: &HeaderName| !TRANSPORT.contains(&name.as_str());
    let mut all: Metadata = headers
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    // Those of one name keep their order.
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// A call that came in.
#[derive(Debug)]
pub struct Called {
    /// `/package.Service/Method`.
    pub path: String,
    /// Request metadata.
    pub metadata: Metadata,
    /// What the caller sends.
    pub receiver: Receiver,
    /// What it is answered.
    pub sender: Sender,
    /// Of a relay: takes the metadata that the answer begins with; the caller waits for it.
    pub begin: Option<oneshot::Sender<Metadata>>,
}

/// Serves every call on the listener: each is given to `calls`, and its answer begins at once, without metadata.
/// Ends when the listener breaks or `calls` is closed. The task's end (or abort) closes all connections.
pub async fn serve(listener: TcpListener, calls: mpsc::UnboundedSender<Called>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(connection(stream, calls.clone(), false));
            }
            () = calls.closed() => return,
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection for a relay: answers begin when [`Called::begin`] is told how.
pub async fn relay(stream: TcpStream, calls: mpsc::UnboundedSender<Called>) {
    connection(stream, calls, true).await;
}

async fn connection(stream: TcpStream, calls: mpsc::UnboundedSender<Called>, relayed: bool) {
    let _ = stream.set_nodelay(true);
    let (hang_up, mut hung_up) = mpsc::unbounded_channel();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (calls, hang_up) = (calls.clone(), hang_up.clone());
        let (answer, begun) = accept(request, &calls, hang_up, relayed);
        async move { Ok::<_, Infallible>(begin(answer, begun).await) }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(100_000)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 16)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    loop {
        tokio::select! {
            _ = &mut serving => return,
            how = hung_up.recv() => match how {
                Some(HangUp::Later) => serving.as_mut().graceful_shutdown(),
                _ => return,
            },
        }
    }
}

/// The answer's body, and what it begins with, if it waits for that.
fn accept(
    request: Request<Incoming>,
    calls: &mpsc::UnboundedSender<Called>,
    connection: mpsc::UnboundedSender<HangUp>,
    relayed: bool,
) -> (Body, Option<oneshot::Receiver<Metadata>>) {
    let (head, body) = request.into_parts();
    let (frames, answer, sending) = queue();
    let (begin, begun) = relayed.then(oneshot::channel).unzip();
    let called = Called {
        path: head.uri.path().to_owned(),
        metadata: metadata(&head.headers),
        receiver: Receiver::of_request(body, sending),
        sender: Sender {
            frames: Some(frames),
            connection: Some(connection),
        },
        begin,
    };
    let _ = calls.send(called);
    (answer, begun)
}

async fn begin(answer: Body, begun: Option<oneshot::Receiver<Metadata>>) -> Response<Body> {
    let mut response = Response::new(answer);
    if let Some(begun) = begun {
        for (name, value) in begun.await.unwrap_or_default() {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
    }
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, mut incoming) = mpsc::unbounded_channel::<Called>();
        tokio::spawn(serve(listener, calls));
        tokio::spawn(async move {
            while let Some(mut call) = incoming.recv().await {
                tokio::spawn(async move {
                    loop {
                        match call.receiver.next().await {
                            Event::Message(bytes) => call.sender.send(bytes).await,
                            _ => return call.sender.end(5, "größer %").await,
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn messages_and_status_pass_both_ways() {
        let connection = Connection::open(echo().await).await.unwrap();
        let large = Bytes::from(vec![7; 3 << 20]);
        let (messages, status) = connection.unary("/a/b", large.clone()).await;
        assert_eq!(messages, [large]);
        assert_eq!(
            (status.code, status.message.as_str(), status.trailers),
            (5, "größer %", true)
        );
    }

    #[tokio::test]
    async fn a_reset_is_not_an_end_with_trailers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, mut incoming) = mpsc::unbounded_channel::<Called>();
        tokio::spawn(serve(listener, calls));
        let connection = Connection::open(address).await.unwrap();
        let (_sender, mut receiver) = connection.call("/a/b", &[]);
        let ended = tokio::spawn(async move {
            loop {
                if let Event::End(status) = receiver.next().await {
                    return status;
                }
            }
        });
        let mut call = incoming.recv().await.unwrap();
        call.sender.reset().await;
        assert!(!ended.await.unwrap().trailers);
    }

    #[tokio::test]
    async fn a_cancelled_call_is_seen_by_the_called() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, mut incoming) = mpsc::unbounded_channel::<Called>();
        tokio::spawn(serve(listener, calls));
        let connection = Connection::open(address).await.unwrap();
        let (mut sender, mut receiver) = connection.call("/a/b", &[]);
        let asked = tokio::spawn(async move { receiver.next().await });
        let mut call = incoming.recv().await.unwrap();
        sender.reset().await;
        assert!(matches!(call.receiver.next().await, Event::End(s) if !s.trailers));
        asked.abort();
    }
}
