//! Calls over real sockets, from both sides.

use super::*;
use bytes::Bytes;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (calls, mut incoming) = mpsc::unbounded_channel::<IncomingCall>();
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
    let (calls, mut incoming) = mpsc::unbounded_channel::<IncomingCall>();
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
    let (calls, mut incoming) = mpsc::unbounded_channel::<IncomingCall>();
    tokio::spawn(serve(listener, calls));
    let connection = Connection::open(address).await.unwrap();
    let (mut sender, mut receiver) = connection.call("/a/b", &[]);
    let asked = tokio::spawn(async move { receiver.next().await });
    let mut call = incoming.recv().await.unwrap();
    sender.reset().await;
    assert!(matches!(call.receiver.next().await, Event::End(s) if !s.trailers));
    asked.abort();
}
