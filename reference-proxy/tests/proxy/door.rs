//! A second door, made outside of the proxy with nothing but what is public: a message is the body
//! of a POST, and its answer that of the response.

use bytes::Bytes;
use cloudstate_reference_proxy::front::Door;
use cloudstate_reference_proxy::front::call::ClientCall;
use cloudstate_reference_proxy::router::{Messages, Router};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::body::Body;

use super::*;

/// The content type of the door.
const PLAIN: &str = "application/x-plain";

/// The door, in every proxy of these tests.
pub struct Plain(pub Arc<Router>);

impl Plain {
    async fn answer(&self, request: http::Request<Incoming>) -> Result<Vec<u8>, Status> {
        let path = request.uri().path().to_owned();
        let call = ClientCall::new(&self.0, &path, request.headers(), None)?;
        let streams = call.streams().output;
        let body = request.into_body().collect().await;
        let body = body.map_err(|error| Status::internal(error.to_string()))?;
        let messages = Messages::from(body.to_bytes());
        if !streams {
            return Ok(call.one(messages).await?.payload.to_vec());
        }
        let answers: Vec<_> = call.many(messages).await?.messages.collect().await;
        let answers: Vec<Bytes> = answers.into_iter().collect::<Result<_, _>>()?;
        Ok(answers.concat())
    }
}

impl Door for Plain {
    fn is_for(&self, request: &http::Request<Incoming>) -> bool {
        request
            .headers()
            .get("content-type")
            .is_some_and(|t| t == PLAIN)
    }

    fn handle(&self, request: http::Request<Incoming>) -> BoxFuture<'_, http::Response<Body>> {
        async move {
            let (code, body) = match self.answer(request).await {
                Ok(answer) => (200, answer),
                Err(status) => (400, status.message().into()),
            };
            let body = http_body_util::Full::new(Bytes::from(body));
            let response = http::Response::builder().status(code);
            response.body(Body::new(body)).unwrap()
        }
        .boxed()
    }
}

/// What comes back of a POST: the status line and the body.
async fn post(proxy: &Proxy, path: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(proxy.address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: {PLAIN}\r\ncontent-length: {length}\r\n\r\n"
    );
    socket
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    let mut response = Vec::new();
    socket.read_to_end(&mut response).await.unwrap();
    let end = response.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(response[..end].to_vec()).unwrap();
    (
        head.lines().next().unwrap().to_owned(),
        response[end + 4..].to_vec(),
    )
}

#[tokio::test]
async fn a_second_door_leads_to_the_same_entities() {
    let (_function, proxy) = start(Setup::default()).await;
    let path = "/cloudstate.tck.model.EventSourcedTckModel/Process";
    let body = request("a", vec![emit("x")]).encode_to_vec();
    let (status, answer) = post(&proxy, path, &body).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(message(Response::decode(&*answer).unwrap()), "x");
    assert_eq!(proxy.process("a", vec![emit("y")]).await.unwrap(), "xy");
    let (status, text) = post(&proxy, "/a.Service/None", &body).await;
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(String::from_utf8(text).unwrap().contains("isn't served"));
}
