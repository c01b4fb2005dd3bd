//! What the calls arrive at: an echo server, and a user function that does as little.

use std::net::SocketAddr;
use std::pin::Pin;

use cloudstate_protocol::cloudstate::entity_discovery_server::{
    EntityDiscovery, EntityDiscoveryServer,
};
use cloudstate_protocol::cloudstate::{
    ClientAction, Command, Entity, EntitySpec, ProxyInfo, Reply, ServiceInfo, UserFunctionError,
    client_action,
};
use cloudstate_protocol::descriptors::descriptor_set_for;
use cloudstate_protocol::eventsourced::event_sourced_server::{EventSourced, EventSourcedServer};
use cloudstate_protocol::eventsourced::{
    EventSourcedReply, EventSourcedStreamIn, EventSourcedStreamOut, event_sourced_stream_in,
    event_sourced_stream_out,
};
use cloudstate_protocol::names::{EVENT_SOURCED, PROTOCOL_VERSION, tck};
use cloudstate_protocol::payload::{pack, unpack};
use cloudstate_protocol::tck::model::event_sourced_tck_model_server::{
    EventSourcedTckModel, EventSourcedTckModelServer,
};
use cloudstate_protocol::tck::model::{Persisted, Request as Do, Response as Done, request_action};
use futures_util::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Servers that run as long as the process does.
pub struct Servers {
    /// Where the echo server listens.
    pub echo: SocketAddr,
    /// Where the user function listens.
    pub function: SocketAddr,
}

impl Servers {
    /// Starts both, on ports that the system picks.
    pub fn start() -> std::io::Result<Self> {
        let (echo, incoming) = bind()?;
        let server = Server::builder().add_service(EventSourcedTckModelServer::new(Echo));
        tokio::spawn(server.serve_with_incoming(incoming));
        let (function, incoming) = bind()?;
        let server = Server::builder()
            .add_service(EntityDiscoveryServer::new(Function))
            .add_service(EventSourcedServer::new(Function));
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(Self { echo, function })
    }
}

fn bind() -> std::io::Result<(SocketAddr, TcpIncoming)> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let incoming = incoming.with_nodelay(Some(true));
    Ok((incoming.local_addr()?, incoming))
}

/// What an action emits, if it does.
fn emitted(request: &Do) -> Option<&str> {
    match request.actions.first()?.action.as_ref()? {
        request_action::Action::Emit(emit) => Some(&emit.value),
        _ => None,
    }
}

fn answer(request: &Do) -> Done {
    let message = emitted(request).unwrap_or_default().to_owned();
    Done { message }
}

struct Echo;

#[tonic::async_trait]
impl EventSourcedTckModel for Echo {
    async fn process(&self, request: Request<Do>) -> Result<Response<Done>, Status> {
        Ok(Response::new(answer(request.get_ref())))
    }
}

struct Function;

#[tonic::async_trait]
impl EntityDiscovery for Function {
    async fn discover(&self, _: Request<ProxyInfo>) -> Result<Response<EntitySpec>, Status> {
        let proto = descriptor_set_for(&[tck::EVENT_SOURCED_MODEL])
            .map_err(|error| Status::internal(error.to_string()))?;
        let entity = Entity {
            entity_type: EVENT_SOURCED.to_owned(),
            service_name: tck::EVENT_SOURCED_MODEL.to_owned(),
            persistence_id: tck::EVENT_SOURCED_MODEL_ID.to_owned(),
            ..Entity::default()
        };
        let info = ServiceInfo {
            protocol_major_version: PROTOCOL_VERSION.0,
            protocol_minor_version: PROTOCOL_VERSION.1,
            ..ServiceInfo::default()
        };
        Ok(Response::new(EntitySpec {
            proto,
            entities: vec![entity],
            service_info: Some(info),
        }))
    }

    async fn report_error(
        &self,
        request: Request<UserFunctionError>,
    ) -> Result<Response<()>, Status> {
        eprintln!("the proxy reports: {}", request.get_ref().message);
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl EventSourced for Function {
    type handleStream = Pin<Box<dyn Stream<Item = Result<EventSourcedStreamOut, Status>> + Send>>;

    async fn handle(
        &self,
        request: Request<Streaming<EventSourcedStreamIn>>,
    ) -> Result<Response<Self::handleStream>, Status> {
        let replies = request.into_inner().filter_map(|message| async {
            match message.map(|message| message.message) {
                Ok(Some(event_sourced_stream_in::Message::Command(command))) => {
                    Some(reply(&command))
                }
                Ok(_) => None,
                Err(status) => Some(Err(status)),
            }
        });
        Ok(Response::new(replies.boxed()))
    }
}

fn reply(command: &Command) -> Result<EventSourcedStreamOut, Status> {
    let invalid = |error: String| Status::invalid_argument(error);
    let payload = command.payload.as_ref();
    let payload = payload.ok_or_else(|| invalid("a command without payload".to_owned()))?;
    let request: Do = unpack(payload).map_err(|error| invalid(error.to_string()))?;
    let event = emitted(&request).map(|value| {
        pack(&Persisted {
            value: value.to_owned(),
        })
    });
    let reply = Reply {
        payload: Some(pack(&answer(&request))),
        ..Reply::default()
    };
    let reply = EventSourcedReply {
        command_id: command.id,
        client_action: Some(ClientAction {
            action: Some(client_action::Action::Reply(reply)),
        }),
        events: event.into_iter().collect(),
        ..EventSourcedReply::default()
    };
    Ok(EventSourcedStreamOut {
        message: Some(event_sourced_stream_out::Message::Reply(reply)),
    })
}
