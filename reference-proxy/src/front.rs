//! Where clients come in: accepts connections and hands each request to the door of its protocol.
//!
//! A [`Door`] is an adapter. It makes one [`ClientCall`](call::ClientCall) of a request, and a
//! response of what that is answered with; nothing behind it knows which door a call came through.

pub mod call;
pub mod grpc;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

/// How often a silent client is asked whether it is still there, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How much a client may send ahead in one call, and on all of a connection.
const WINDOWS: (u32, u32) = (64 << 10, 16 << 20);
/// How many calls a client may have open on a connection.
const STREAMS: u32 = 10_000;
/// The pause after a connection could not be accepted: there are too many, and it takes time until
/// some are gone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A protocol that clients speak.
pub trait Door: Send + Sync + 'static {
    /// Whether a request is of this protocol.
    fn is_for(&self, request: &Request<Incoming>) -> bool;

    /// Answers a request.
    fn handle(&self, request: Request<Incoming>) -> BoxFuture<'_, Response<Body>>;
}

/// The doors; of those that a request is for, the first gets it.
type Doors = Arc<[Box<dyn Door>]>;

/// The listener and what is behind it.
pub struct Front {
    listener: TcpListener,
    doors: Doors,
}

impl Front {
    /// Binds the doors to an address; whoever knocks waits until [`Front::serve`].
    pub async fn bind(address: SocketAddr, doors: Vec<Box<dyn Door>>) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            doors: doors.into(),
        })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is stopped, and then until the last call that was under way has ended.
    pub async fn serve(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((socket, _)) => {
                    let connection =
                        serve_connection(socket, Arc::clone(&self.doors), stop.clone());
                    connections.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        connections.close();
        connections.wait().await;
    }
}

async fn serve_connection(socket: TcpStream, doors: Doors, stop: CancellationToken) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!("a connection was gone at once: {error}");
        return;
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_concurrent_streams(STREAMS);
    let service = service_fn(move |request| handle(Arc::clone(&doors), request));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client's connection broke: {error}");
    }
}

async fn handle(doors: Doors, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let door = doors.iter().find(|door| door.is_for(&request));
    Ok(match door {
        Some(door) => door.handle(request).await,
        None => no_door(),
    })
}

fn no_door() -> Response<Body> {
    let text = "this door speaks gRPC: content type application/grpc over HTTP/2\n";
    let mut response = Response::new(Body::new(text.to_owned()));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
