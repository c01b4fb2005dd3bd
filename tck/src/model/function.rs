//! (3) The model function: a user function like any other, made of the oracle. It is the subject that the kit
//! is tried on, and half of a stack when no other function is at hand.

mod action;

use super::session::{Session, SessionStep, Stateful};
use super::spec::entity_spec;
use super::{event_sourced, value_entity};
use cloudstate_protocol::action::action_protocol_server::ActionProtocolServer;
use cloudstate_protocol::cloudstate::entity_discovery_server::{
    EntityDiscovery, EntityDiscoveryServer,
};
use cloudstate_protocol::cloudstate::{EntitySpec, ProxyInfo, UserFunctionError};
use cloudstate_protocol::eventsourced::event_sourced_server::{EventSourced, EventSourcedServer};
use cloudstate_protocol::eventsourced::{EventSourcedStreamIn, EventSourcedStreamOut};
use cloudstate_protocol::names::{ACTION, ENTITY_DISCOVERY, EVENT_SOURCED, VALUE_ENTITY};
use cloudstate_protocol::valueentity::value_entity_server::{ValueEntity, ValueEntityServer};
use cloudstate_protocol::valueentity::{ValueEntityStreamIn, ValueEntityStreamOut};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use std::future::Future;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

/// Serves the model services until `shutdown`, which also ends the open streams.
///
/// # Errors
/// The transport gives up.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    serve_as(entity_spec(), listener, shutdown).await
}

/// Serves the same, and announces this.
pub(crate) async fn serve_as(
    spec: EntitySpec,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let shutdown = shutdown.boxed().shared();
    let function = Function {
        spec,
        shutdown: shutdown.clone(),
    };
    let limit = crate::protocol::MESSAGE_LIMIT;
    let event_sourced = EventSourcedServer::new(function.clone())
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let values = ValueEntityServer::new(function.clone())
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let actions = ActionProtocolServer::new(function.clone())
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let discovery = EntityDiscoveryServer::new(function);
    let service = service_fn(move |request: http::Request<Body>| {
        // Handles on one function: a clone for each call, as tonic's own router makes it.
        let (mut discovery, mut event_sourced) = (discovery.clone(), event_sourced.clone());
        let (mut values, mut actions) = (values.clone(), actions.clone());
        async move {
            match request.uri().path().split('/').nth(1) {
                Some(ENTITY_DISCOVERY) => discovery.call(request).await,
                Some(EVENT_SOURCED) => event_sourced.call(request).await,
                Some(VALUE_ENTITY) => values.call(request).await,
                Some(ACTION) => actions.call(request).await,
                _ => Ok(Status::unimplemented("").into_http()),
            }
        }
    });
    Server::builder()
        // Answers are small and awaited: Nagle's algorithm would hold each back.
        .serve_with_incoming_shutdown(
            service,
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            shutdown,
        )
        .await
}

#[derive(Clone)]
struct Function {
    spec: EntitySpec,
    shutdown: Shared<BoxFuture<'static, ()>>,
}

#[tonic::async_trait]
impl EntityDiscovery for Function {
    async fn discover(&self, _: Request<ProxyInfo>) -> Result<Response<EntitySpec>, Status> {
        Ok(Response::new(self.spec.clone()))
    }

    async fn report_error(
        &self,
        request: Request<UserFunctionError>,
    ) -> Result<Response<()>, Status> {
        eprintln!("the proxy reports: {}", request.into_inner().message);
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl EventSourced for Function {
    type handleStream = BoxStream<'static, Result<EventSourcedStreamOut, Status>>;

    async fn handle(
        &self,
        request: Request<Streaming<EventSourcedStreamIn>>,
    ) -> Result<Response<Self::handleStream>, Status> {
        Ok(self.entity::<event_sourced::EventSourcedEntity>(request))
    }
}

#[tonic::async_trait]
impl ValueEntity for Function {
    type handleStream = BoxStream<'static, Result<ValueEntityStreamOut, Status>>;

    async fn handle(
        &self,
        request: Request<Streaming<ValueEntityStreamIn>>,
    ) -> Result<Response<Self::handleStream>, Status> {
        Ok(self.entity::<value_entity::ValueEntity>(request))
    }
}

impl Function {
    /// The stream of a stateful entity.
    fn entity<E>(
        &self,
        request: Request<Streaming<E::In>>,
    ) -> Response<BoxStream<'static, Result<E::Out, Status>>>
    where
        E: Stateful<In: Send, Out: Send> + Send + Sync + 'static,
    {
        let answers = answers::<E>(request.into_inner()).map(Ok);
        Response::new(answers.take_until(self.shutdown.clone()).boxed())
    }
}

/// The function's side of a stream: made when it is asked for, without a queue in between.
fn answers<E>(incoming: Streaming<E::In>) -> impl Stream<Item = E::Out> + Send
where
    E: Stateful<In: Send, Out: Send> + Send + Sync + 'static,
{
    stream::unfold(Some((incoming, Session::<E>::default())), |open| async {
        let (mut incoming, mut session) = open?;
        loop {
            let step = match incoming.message().await {
                Ok(Some(message)) => session.receive(message),
                Ok(None) => return None,
                Err(status) => session.unreadable(status.message()),
            };
            match step {
                SessionStep::Wait => {}
                SessionStep::Send(out) => return Some((out, Some((incoming, session)))),
                SessionStep::Fail(out) => return Some((out, None)),
            }
        }
    })
}

#[cfg(test)]
mod tests;
