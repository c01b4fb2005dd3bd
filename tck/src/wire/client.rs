//! The caller's side: a connection to a server, and calls on it.

use super::receiver::Receiver;
use super::sender::{Body, Sender, queue};
use super::status::Status;
use super::{Event, WINDOW};
use bytes::Bytes;
use http::{Method, Request};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::watch;

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
            Sender::of_request(frames),
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
