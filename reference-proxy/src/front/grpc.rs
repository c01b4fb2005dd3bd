//! gRPC for services that are known only by their descriptors: requests and responses pass as the
//! bytes that they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use cloudstate_protocol::cloudstate::Metadata;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::{
    ClientStreamingService, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::{Request, Response, Status, Streaming};

use super::Door;
use super::call::ClientCall;
use crate::catalog::Streams;
use crate::function::call::GRPC_TIMEOUT;
use crate::router::{Messages, Router};
use crate::wire::metadata::headers_of;

/// The door for gRPC.
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
    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        // spec: serving.trailers-always
        let (path, headers) = (request.uri().path(), request.headers());
        let timeout = headers.get(GRPC_TIMEOUT).and_then(timeout_of);
        let call = match ClientCall::new(&self.router, path, headers, timeout) {
            Ok(call) => call,
            Err(status) => return status.into_http(),
        };
        let mut grpc =
            tonic::server::Grpc::new(Raw).max_decoding_message_size(self.max_message_size);
        let Streams { input, output } = call.streams();
        let once = Once(Some(call));
        match (input, output) {
            (false, false) => grpc.unary(once, request).await,
            (true, false) => grpc.client_streaming(once, request).await,
            (false, true) => grpc.server_streaming(once, request).await,
            (true, true) => grpc.streaming(once, request).await,
        }
    }
}

impl Door for Grpc {
    fn is_for(&self, request: &http::Request<Incoming>) -> bool {
        let content_type = request.headers().get(CONTENT_TYPE);
        content_type.is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
    }

    fn handle(&self, request: http::Request<Incoming>) -> BoxFuture<'_, http::Response<Body>> {
        self.answer(request).boxed()
    }
}

/// How long a client waits, by its `grpc-timeout`.
fn timeout_of(timeout: &HeaderValue) -> Option<Duration> {
    let text = timeout.to_str().ok()?;
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = count.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A call in the shape in which the library wants services: it is called once.
struct Once(Option<ClientCall>);

type One = BoxFuture<'static, Result<Response<Bytes>, Status>>;
type Elements = BoxStream<'static, Result<Bytes, Status>>;
type Many = BoxFuture<'static, Result<Response<Elements>, Status>>;

impl Once {
    fn take(&mut self) -> Result<ClientCall, Status> {
        self.0
            .take()
            .ok_or_else(|| Status::internal("a call was made twice"))
    }

    fn one(&mut self, messages: Messages) -> One {
        let call = self.take();
        async move {
            let answer = call?.one(messages).await?;
            Ok(response(answer.metadata, answer.payload))
        }
        .boxed()
    }

    fn many(&mut self, messages: Messages) -> Many {
        let call = self.take();
        async move {
            let answers = call?.many(messages).await?;
            Ok(response(answers.metadata, answers.messages))
        }
        .boxed()
    }
}

impl UnaryService<Bytes> for Once {
    type Response = Bytes;
    type Future = One;

    fn call(&mut self, request: Request<Bytes>) -> One {
        self.one(request.into_inner().into())
    }
}

impl ClientStreamingService<Bytes> for Once {
    type Response = Bytes;
    type Future = One;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> One {
        self.one(Messages::Many(request.into_inner().boxed()))
    }
}

impl ServerStreamingService<Bytes> for Once {
    type Response = Bytes;
    type ResponseStream = Elements;
    type Future = Many;

    fn call(&mut self, request: Request<Bytes>) -> Many {
        self.many(request.into_inner().into())
    }
}

impl StreamingService<Bytes> for Once {
    type Response = Bytes;
    type ResponseStream = Elements;
    type Future = Many;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Many {
        self.many(Messages::Many(request.into_inner().boxed()))
    }
}

fn response<T>(metadata: Option<Metadata>, body: T) -> Response<T> {
    let headers = metadata.map(headers_of).unwrap_or_default();
    let metadata = MetadataMap::from_headers(headers);
    Response::from_parts(metadata, body, http::Extensions::new())
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
        let within =
            |text: &'static str| Some(timeout_of(&HeaderValue::from_static(text))?.as_millis());
        assert_eq!(within("100m"), Some(100));
        assert_eq!(within("2S"), Some(2000));
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
