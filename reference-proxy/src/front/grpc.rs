//! gRPC for services that are known only by their descriptors: requests and responses pass as the
//! bytes that they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use cloudstate_protocol::cloudstate::Metadata;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::{
    ClientStreamingService, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::{Request, Response, Status, Streaming};

use crate::action::{self, Exchange};
use crate::catalog::{Kind, Method, Streams};
use crate::function::call::GRPC_TIMEOUT;
use crate::router::{self, Answer, Router};
use crate::trace::Trace;
use crate::wire::{Payload, is_transport, metadata_of};

/// The gRPC side of the door.
pub struct Grpc {
    router: Arc<Router>,
    max_message_size: usize,
}

impl Grpc {
    /// A door to this router.
    pub fn new(router: Arc<Router>, max_message_size: usize) -> Self {
        Self {
            router,
            max_message_size,
        }
    }

    /// Answers one call; always with a `grpc-status`.
    pub async fn handle(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        // spec: serving.trailers-always
        let Some(catalog) = self.router.serving.borrow().clone() else {
            return Status::unavailable(
                "the user function has no specification that can be served",
            )
            .into_http();
        };
        let path = request.uri().path();
        let Some(method) = catalog.at(path) else {
            // spec: serving.unknown-method
            let reason = format!("{path} isn't served; only methods of announced entities are");
            return Status::unimplemented(reason).into_http();
        };
        let metadata = metadata_of(request.headers());
        let timeout = request.headers().get(GRPC_TIMEOUT).cloned();
        let deadline = timeout.as_ref().and_then(deadline_of);
        let call = Call {
            router: Arc::clone(&self.router),
            method: Arc::clone(method),
            metadata,
            timeout,
            deadline,
        };
        let mut grpc =
            tonic::server::Grpc::new(Raw).max_decoding_message_size(self.max_message_size);
        let Streams { input, output } = method.streams;
        match (input, output) {
            (false, false) => grpc.unary(call, request).await,
            (true, false) => grpc.client_streaming(call, request).await,
            (false, true) => grpc.server_streaming(call, request).await,
            (true, true) => grpc.streaming(call, request).await,
        }
    }
}

/// One call of one method.
#[derive(Clone)]
struct Call {
    router: Arc<Router>,
    method: Arc<Method>,
    /// The client's headers, as `cloudstate.Metadata`.
    metadata: Option<Bytes>,
    timeout: Option<HeaderValue>,
    deadline: Option<Instant>,
}

impl Call {
    fn request(&self) -> action::Request {
        action::Request {
            method: Arc::clone(&self.method),
            metadata: self.metadata.clone(),
            trace: Trace::default(),
            timeout: self.timeout.clone(),
        }
    }

    /// The request of a method whose client sends one.
    fn payload(&self, value: Bytes) -> Payload {
        let type_url = Bytes::from(self.method.input.clone());
        Payload { type_url, value }
    }

    async fn unary(self, value: Bytes) -> Answer {
        if self.method.entity.kind != Kind::Action {
            return self.router.call(&self.method, value, self.metadata).await;
        }
        let payload = self.payload(value);
        Exchange::of_one(&self.router, self.request(), payload)
            .await?
            .one()
            .await
    }
}

/// What is awaited no longer than the client waits.
async fn in_time<T>(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else {
        return answer.await;
    };
    match timeout_at(deadline, answer).await {
        // The user function keeps the deadline too, and may be the first to end the call, with a status of its own.
        Ok(Err(_)) if Instant::now() >= deadline => Err(too_late()),
        Ok(answer) => answer,
        Err(_) => Err(too_late()),
    }
}

fn too_late() -> Status {
    // spec: actions.deadline
    Status::deadline_exceeded("the client's deadline has passed")
}

/// When a `grpc-timeout` is over.
fn deadline_of(timeout: &HeaderValue) -> Option<Instant> {
    let text = timeout.to_str().ok()?;
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = count.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

type Elements = BoxStream<'static, Result<Bytes, Status>>;

/// The answers of an exchange as they come: the first one's metadata becomes the headers.
async fn stream(
    exchange: Result<Exchange, Status>,
    deadline: Option<Instant>,
) -> Result<Response<Elements>, Status> {
    let mut exchange = exchange?;
    let first = in_time(deadline, async { exchange.next().await.transpose() }).await?;
    let Some(first) = first else {
        return Ok(Response::new(futures_util::stream::empty().boxed()));
    };
    // The exchange is dropped with its last element, which cancels a call that isn't over.
    let rest = futures_util::stream::unfold(Some(exchange), move |exchange| async move {
        let mut exchange = exchange?;
        let next = async { exchange.next().await.transpose() };
        match in_time(deadline, next).await {
            Ok(next) => next.map(|response| (Ok(response.payload), Some(exchange))),
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(into_response(first).map(|payload| {
        let first = futures_util::stream::once(std::future::ready(Ok(payload)));
        first.chain(rest).boxed()
    }))
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let call = self.clone();
        let answer = in_time(call.deadline, call.unary(request.into_inner()));
        answer.map(|answer| answer.map(into_response)).boxed()
    }
}

impl ClientStreamingService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let call = self.clone();
        let answer = async move {
            Exchange::of_stream(&call.router, call.request(), request.into_inner())
                .await?
                .one()
                .await
        };
        let answer = in_time(self.deadline, answer);
        answer.map(|answer| answer.map(into_response)).boxed()
    }
}

impl ServerStreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Elements;
    type Future = BoxFuture<'static, Result<Response<Elements>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let call = self.clone();
        async move {
            let payload = call.payload(request.into_inner());
            let exchange = Exchange::of_one(&call.router, call.request(), payload);
            stream(in_time(call.deadline, exchange).await, call.deadline).await
        }
        .boxed()
    }
}

impl StreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Elements;
    type Future = BoxFuture<'static, Result<Response<Elements>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let call = self.clone();
        async move {
            let requests = request.into_inner();
            let exchange = Exchange::of_stream(&call.router, call.request(), requests);
            stream(in_time(call.deadline, exchange).await, call.deadline).await
        }
        .boxed()
    }
}

fn into_response(response: router::Response) -> Response<Bytes> {
    let headers = response.metadata.map(headers_of).unwrap_or_default();
    let metadata = MetadataMap::from_headers(headers);
    Response::from_parts(metadata, response.payload, http::Extensions::new())
}

/// The entries that can be headers: text, under names that HTTP allows and gRPC doesn't claim.
fn headers_of(metadata: Metadata) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in metadata.entries {
        let Some(Value::StringValue(value)) = entry.value else {
            continue;
        };
        let name = HeaderName::try_from(entry.key.as_str());
        match (name, HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) if !is_transport(name.as_str()) => {
                headers.append(name, value);
            }
            _ => tracing::debug!(key = entry.key, "an entry of metadata can't be a header"),
        }
    }
    headers
}

/// Messages as bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_count_and_a_unit_and_anything_else_is_none() {
        let within = |text: &'static str| {
            let deadline = deadline_of(&HeaderValue::from_static(text))?;
            Some(deadline.duration_since(Instant::now()).as_millis())
        };
        assert!(within("100m").is_some_and(|left| left <= 100));
        assert!(within("2S").is_some_and(|left| left > 1000));
        for text in [
            "",
            "m",
            "5",
            "-1S",
            "1x",
            "99999999999999999999S",
            "18446744073709551615H",
        ] {
            assert_eq!(within(text), None, "{text:?}");
        }
    }
}
