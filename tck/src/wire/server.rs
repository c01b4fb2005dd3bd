//! The callee's side: serves what comes on a listener or on one connection, call by call.

use super::WINDOW;
use super::metadata::{Metadata, metadata};
use super::receiver::Receiver;
use super::sender::{Body, HangUp, Sender, queue};
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// A call that came in.
#[derive(Debug)]
pub struct IncomingCall {
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

/// When the answer to a call begins, with its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// At once, without metadata.
    AtOnce,
    /// When [`IncomingCall::begin`] is told with what metadata.
    WhenTold,
}

/// Serves every call on the listener: each is given to `calls`, and its answer begins at once, without metadata.
/// Ends when the listener breaks or `calls` is closed. The task's end (or abort) closes all connections.
pub async fn serve(listener: TcpListener, calls: mpsc::UnboundedSender<IncomingCall>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(connection(stream, calls.clone(), Begins::AtOnce));
            }
            () = calls.closed() => return,
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection for a relay: answers begin when [`IncomingCall::begin`] is told how.
pub async fn relay(stream: TcpStream, calls: mpsc::UnboundedSender<IncomingCall>) {
    connection(stream, calls, Begins::WhenTold).await;
}

async fn connection(stream: TcpStream, calls: mpsc::UnboundedSender<IncomingCall>, begins: Begins) {
    let _ = stream.set_nodelay(true);
    let (hang_up, mut hung_up) = mpsc::unbounded_channel();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (calls, hang_up) = (calls.clone(), hang_up.clone());
        let (answer, begun) = accept(request, &calls, hang_up, begins);
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
    calls: &mpsc::UnboundedSender<IncomingCall>,
    connection: mpsc::UnboundedSender<HangUp>,
    begins: Begins,
) -> (Body, Option<oneshot::Receiver<Metadata>>) {
    let (head, body) = request.into_parts();
    let (frames, answer, sending) = queue();
    let (begin, begun) = (begins == Begins::WhenTold).then(oneshot::channel).unzip();
    let called = IncomingCall {
        path: head.uri.path().to_owned(),
        metadata: metadata(&head.headers),
        receiver: Receiver::of_request(body, sending),
        sender: Sender::of_response(frames, connection),
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
