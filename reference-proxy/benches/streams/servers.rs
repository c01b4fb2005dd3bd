//! What the streams arrive at: a plain gRPC server of the model, and a user function that does the same behind the
//! proxy. The reply that a request asks for says how many answers it wants.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloudstate_protocol::action::action_protocol_server::{ActionProtocol, ActionProtocolServer};
use cloudstate_protocol::action::{ActionCommand, ActionResponse, action_response};
use cloudstate_protocol::cloudstate::entity_discovery_server::{
    EntityDiscovery, EntityDiscoveryServer,
};
use cloudstate_protocol::cloudstate::{
    Entity, EntitySpec, ProxyInfo, Reply, ServiceInfo, UserFunctionError,
};
use cloudstate_protocol::descriptors::descriptor_set_for;
use cloudstate_protocol::names::{ACTION, PROTOCOL_VERSION};
use cloudstate_protocol::payload::{pack, unpack};
use cloudstate_protocol::tck::model::action::action_tck_model_server::{
    ActionTckModel, ActionTckModelServer,
};
use cloudstate_protocol::tck::model::action::{
    ProcessGroup, ProcessStep, Reply as Wanted, Request as Do, Response as Done, process_step,
};
use futures_util::{Stream, StreamExt, stream};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// How many messages the user function has sent.
pub static SENT: AtomicUsize = AtomicUsize::new(0);
/// How many messages the client's stream has been asked for.
pub static TAKEN: AtomicUsize = AtomicUsize::new(0);

const SERVICE: &str = "cloudstate.tck.model.action.ActionTckModel";

/// Servers that run as long as the process does.
pub struct Servers {
    /// Where the plain server listens.
    pub direct: SocketAddr,
    /// Where the user function listens.
    pub function: SocketAddr,
}

impl Servers {
    /// Starts both, on ports that the system picks.
    pub fn start() -> std::io::Result<Self> {
        let (direct, incoming) = bind()?;
        let server = Server::builder().add_service(ActionTckModelServer::new(Direct));
        tokio::spawn(server.serve_with_incoming(incoming));
        let (function, incoming) = bind()?;
        let server = Server::builder()
            .add_service(EntityDiscoveryServer::new(Function))
            .add_service(ActionProtocolServer::new(Function));
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(Self { direct, function })
    }
}

fn bind() -> std::io::Result<(SocketAddr, TcpIncoming)> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let incoming = incoming.with_nodelay(Some(true));
    Ok((incoming.local_addr()?, incoming))
}

/// A request for so many answers.
pub fn of_length(messages: usize) -> Do {
    let reply = process_step::Step::Reply(Wanted {
        message: messages.to_string(),
    });
    Do {
        groups: vec![ProcessGroup {
            steps: vec![ProcessStep { step: Some(reply) }],
        }],
    }
}

/// A request for answers without end; of a stream of requests, that it isn't read.
pub fn endless() -> Do {
    of_length(usize::MAX)
}

fn wanted(request: &Do) -> usize {
    let step = request.groups.first().and_then(|group| group.steps.first());
    match step.and_then(|step| step.step.as_ref()) {
        Some(process_step::Step::Reply(wanted)) => wanted.message.parse().unwrap_or(0),
        _ => 0,
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Direct;

#[tonic::async_trait]
impl ActionTckModel for Direct {
    async fn process_unary(&self, _: Request<Do>) -> Result<Response<Done>, Status> {
        Ok(Response::new(Done::default()))
    }

    async fn process_streamed_in(
        &self,
        request: Request<Streaming<Do>>,
    ) -> Result<Response<Done>, Status> {
        let mut requests = request.into_inner();
        while requests.message().await?.is_some() {}
        Ok(Response::new(Done::default()))
    }

    type ProcessStreamedOutStream = Answers<Done>;

    async fn process_streamed_out(
        &self,
        request: Request<Do>,
    ) -> Result<Response<Answers<Done>>, Status> {
        let answers = stream::repeat_with(|| Ok(Done::default()));
        Ok(Response::new(
            answers.take(wanted(request.get_ref())).boxed(),
        ))
    }

    type ProcessStreamedStream = Answers<Done>;

    async fn process_streamed(
        &self,
        request: Request<Streaming<Do>>,
    ) -> Result<Response<Answers<Done>>, Status> {
        let answers = request
            .into_inner()
            .map(|request| request.map(|_| Done::default()));
        Ok(Response::new(answers.boxed()))
    }
}

struct Function;

#[tonic::async_trait]
impl EntityDiscovery for Function {
    async fn discover(&self, _: Request<ProxyInfo>) -> Result<Response<EntitySpec>, Status> {
        let proto = descriptor_set_for(&[SERVICE]);
        let proto = proto.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(EntitySpec {
            proto,
            entities: vec![Entity {
                entity_type: ACTION.to_owned(),
                service_name: SERVICE.to_owned(),
                ..Entity::default()
            }],
            service_info: Some(ServiceInfo {
                protocol_major_version: PROTOCOL_VERSION.0,
                protocol_minor_version: PROTOCOL_VERSION.1,
                ..ServiceInfo::default()
            }),
        }))
    }

    async fn report_error(&self, _: Request<UserFunctionError>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

fn response() -> ActionResponse {
    let reply = Reply {
        payload: Some(pack(&Done::default())),
        metadata: None,
    };
    ActionResponse {
        response: Some(action_response::Response::Reply(reply)),
        side_effects: Vec::new(),
    }
}

fn request_in(command: &ActionCommand) -> Do {
    let payload = command.payload.clone().unwrap_or_default();
    unpack(&payload).unwrap_or_default()
}

#[tonic::async_trait]
impl ActionProtocol for Function {
    async fn handle_unary(
        &self,
        _: Request<ActionCommand>,
    ) -> Result<Response<ActionResponse>, Status> {
        Ok(Response::new(response()))
    }

    async fn handle_streamed_in(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<ActionResponse>, Status> {
        let mut commands = request.into_inner();
        while let Some(command) = commands.message().await? {
            if wanted(&request_in(&command)) == usize::MAX {
                std::future::pending::<()>().await;
            }
        }
        Ok(Response::new(response()))
    }

    type handleStreamedOutStream = Answers<ActionResponse>;

    async fn handle_streamed_out(
        &self,
        request: Request<ActionCommand>,
    ) -> Result<Response<Answers<ActionResponse>>, Status> {
        let wanted = wanted(&request_in(request.get_ref()));
        let answers = stream::repeat_with(|| {
            SENT.fetch_add(1, Ordering::Relaxed);
            Ok(response())
        });
        Ok(Response::new(answers.take(wanted).boxed()))
    }

    type handleStreamedStream = Answers<ActionResponse>;

    async fn handle_streamed(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<Answers<ActionResponse>>, Status> {
        // The first message has no request.
        let commands = request.into_inner().skip(1);
        Ok(Response::new(
            commands.map(|command| command.map(|_| response())).boxed(),
        ))
    }
}
