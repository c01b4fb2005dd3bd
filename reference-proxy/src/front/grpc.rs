//! gRPC for services that are known only by their descriptors: requests and responses pass as the
//! bytes that they are.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use cloudstate_protocol::cloudstate::Metadata;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use crate::catalog::Method;
use crate::router::{self, Router};
use crate::wire::{CommandMetadata, is_transport};

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
        let call = Call {
            router: Arc::clone(&self.router),
            method: Arc::clone(method),
        };
        tonic::server::Grpc::new(Raw)
            .max_decoding_message_size(self.max_message_size)
            .unary(call, request)
            .await
    }
}

/// One call of one method.
struct Call {
    router: Arc<Router>,
    method: Arc<Method>,
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (router, method) = (Arc::clone(&self.router), Arc::clone(&self.method));
        async move {
            let (metadata, _, value) = request.into_parts();
            let metadata = CommandMetadata::Headers(metadata.into_headers());
            router
                .call(&method, value, metadata)
                .await
                .map(into_response)
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
