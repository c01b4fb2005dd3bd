//! A user function for the tests: the event sourced TCK model, and misbehaviour on request.
//!
//! A `fail` action whose message begins with `!` asks for what [`Stream::misbehave`] lists; with
//! `!wait` the command is answered as usual, but not before [`Function::release`]. Everything that
//! arrives is recorded.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cloudstate_protocol::action::action_protocol_server::ActionProtocolServer;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::cloudstate::entity_discovery_server::{
    EntityDiscovery, EntityDiscoveryServer,
};
use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use cloudstate_protocol::cloudstate::{
    ClientAction, Command, Entity, EntityPassivationStrategy, EntitySpec, Failure, Forward,
    Metadata, MetadataEntry, ProxyInfo, Reply, ServiceInfo, SideEffect, TimeoutPassivationStrategy,
    UserFunctionError,
};
use cloudstate_protocol::descriptors::descriptor_set_for;
use cloudstate_protocol::eventsourced::event_sourced_server::{EventSourced, EventSourcedServer};
use cloudstate_protocol::eventsourced::{
    EventSourcedReply, EventSourcedStreamIn, EventSourcedStreamOut,
    event_sourced_stream_in::Message as In, event_sourced_stream_out::Message as Out,
};
use cloudstate_protocol::names::EVENT_SOURCED;
use cloudstate_protocol::names::tck::{
    EVENT_SOURCED_CONFIGURED, EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO,
};
use cloudstate_protocol::tck::model::request_action::Action as Do;
use cloudstate_protocol::tck::model::{Persisted, Request, Response};
use cloudstate_tck::system::Port;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use prost::Message;
use prost_types::Any;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request as Call, Response as Answer, Status, Streaming};

use super::actions::function::Actions;
use super::actions::{effect_on_two, forward_to_two};

/// What the user function saw.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// The messages of each stream, in the order in which the streams were opened.
    pub streams: Vec<Vec<In>>,
    /// The texts of `reportError`.
    pub reports: Vec<String>,
    /// How often the specification was asked for.
    pub discoveries: Vec<ProxyInfo>,
    /// How many streams were half-closed by the proxy.
    pub half_closed: usize,
    /// How many streams are open.
    pub open: usize,
}

impl Seen {
    /// The streams of one entity.
    pub fn of(&self, id: &str) -> Vec<Vec<In>> {
        let is_of = |stream: &&Vec<In>| match stream.first() {
            Some(In::Init(init)) => init.entity_id == id,
            _ => false,
        };
        self.streams.iter().filter(is_of).cloned().collect()
    }
}

/// A user function that runs until it is dropped.
pub struct Function {
    pub address: SocketAddr,
    /// For another function in its place.
    pub port: Arc<Port>,
    seen: watch::Sender<Seen>,
    released: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

/// How the user function is set up.
#[derive(Clone)]
pub struct Setup {
    pub spec: EntitySpec,
    pub max_streams: Option<u32>,
    pub snapshot_every: usize,
    /// Whether streams are read only after [`Function::release`], apart from their first message.
    pub slow_reader: bool,
    /// Who is handed the calls of actions.
    pub actions: Option<Actions>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            spec: spec(),
            max_streams: None,
            snapshot_every: 0,
            slow_reader: false,
            actions: None,
        }
    }
}

/// The specification of the three event sourced models; the last has a short timeout.
pub fn spec() -> EntitySpec {
    let services = [
        EVENT_SOURCED_MODEL,
        EVENT_SOURCED_TWO,
        EVENT_SOURCED_CONFIGURED,
    ];
    let entity = |service: &str| Entity {
        entity_type: EVENT_SOURCED.to_owned(),
        service_name: service.to_owned(),
        persistence_id: service.to_owned(),
        passivation_strategy: (service == EVENT_SOURCED_CONFIGURED).then_some(
            EntityPassivationStrategy {
                strategy: Some(Strategy::Timeout(TimeoutPassivationStrategy {
                    timeout: 50,
                })),
            },
        ),
    };
    EntitySpec {
        proto: descriptor_set_for(&services).unwrap(),
        entities: services.map(entity).to_vec(),
        service_info: Some(ServiceInfo {
            protocol_minor_version: 2,
            ..ServiceInfo::default()
        }),
    }
}

impl Function {
    pub fn start(setup: Setup) -> Self {
        Self::start_at(Arc::new(Port::free().unwrap()), setup)
    }

    /// In a runtime of its own, so that everything can be taken away at once.
    pub fn start_at(port: Arc<Port>, setup: Setup) -> Self {
        let seen = watch::Sender::new(Seen::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let listener = port.listen().unwrap();
        drop(entered);
        let released = watch::Sender::new(false);
        let service = Service {
            setup: Arc::new(Mutex::new(setup.clone())),
            seen: seen.clone(),
            released: released.clone(),
        };
        runtime.spawn(async move {
            tonic::transport::Server::builder()
                .max_concurrent_streams(setup.max_streams)
                .add_service(EntityDiscoveryServer::new(service.clone()))
                .add_optional_service(setup.actions.map(ActionProtocolServer::new))
                .add_service(EventSourcedServer::new(service).max_decoding_message_size(32 << 20))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        });
        Self {
            address: port.address(),
            port,
            seen,
            released,
            runtime: Some(runtime),
        }
    }

    /// Lets everything go on that waits for it, now and later.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until something was seen.
    pub async fn until(&self, condition: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let met = seen.wait_for(|seen| condition(seen));
        let met = tokio::time::timeout(std::time::Duration::from_secs(10), met).await;
        met.expect("it was not seen in time").unwrap().clone()
    }

    /// Takes it away: connections, streams, all.
    pub fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.port.close();
            // Nobody listens there any more when this returns. It blocks, which a thread of the test's
            // own runtime mustn't.
            let stop = || runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            std::thread::scope(|scope| scope.spawn(stop).join().unwrap());
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Clone)]
struct Service {
    setup: Arc<Mutex<Setup>>,
    seen: watch::Sender<Seen>,
    released: watch::Sender<bool>,
}

#[tonic::async_trait]
impl EntityDiscovery for Service {
    async fn discover(&self, call: Call<ProxyInfo>) -> Result<Answer<EntitySpec>, Status> {
        self.seen
            .send_modify(|seen| seen.discoveries.push(call.into_inner()));
        Ok(Answer::new(self.setup.lock().unwrap().spec.clone()))
    }

    async fn report_error(&self, call: Call<UserFunctionError>) -> Result<Answer<()>, Status> {
        let text = call.into_inner().message;
        self.seen.send_modify(|seen| seen.reports.push(text));
        Ok(Answer::new(()))
    }
}

#[tonic::async_trait]
#[allow(non_camel_case_types)]
impl EventSourced for Service {
    type handleStream = BoxStream<'static, Result<EventSourcedStreamOut, Status>>;

    async fn handle(
        &self,
        call: Call<Streaming<EventSourcedStreamIn>>,
    ) -> Result<Answer<Self::handleStream>, Status> {
        let mut index = 0;
        self.seen.send_modify(|seen| {
            index = seen.streams.len();
            seen.streams.push(Vec::new());
            seen.open += 1;
        });
        let (answers, out) = mpsc::unbounded_channel();
        let setup = self.setup.lock().unwrap().clone();
        let stream = Stream {
            index,
            seen: self.seen.clone(),
            released: self.released.subscribe(),
            slow_reader: setup.slow_reader,
            snapshot_every: setup.snapshot_every,
            lingers: false,
            state: String::new(),
            events: 0,
            answers,
        };
        tokio::spawn(stream.run(call.into_inner()));
        Ok(Answer::new(UnboundedReceiverStream::new(out).boxed()))
    }
}

struct Stream {
    index: usize,
    seen: watch::Sender<Seen>,
    released: watch::Receiver<bool>,
    slow_reader: bool,
    snapshot_every: usize,
    /// Whether the stream is left open after a half-close.
    lingers: bool,
    state: String,
    events: usize,
    answers: mpsc::UnboundedSender<Result<EventSourcedStreamOut, Status>>,
}

impl Stream {
    async fn run(mut self, mut messages: Streaming<EventSourcedStreamIn>) {
        loop {
            let message = match messages.message().await {
                Ok(Some(message)) => message.message.unwrap(),
                Ok(None) => {
                    self.seen.send_modify(|seen| seen.half_closed += 1);
                    if self.lingers {
                        self.answers.closed().await;
                    }
                    break;
                }
                Err(_) => break,
            };
            let index = self.index;
            self.seen
                .send_modify(|seen| seen.streams[index].push(message.clone()));
            match message {
                In::Init(init) => {
                    if self.slow_reader {
                        self.released.wait_for(|released| *released).await.unwrap();
                    }
                    if let Some(snapshot) = init.snapshot.and_then(|s| s.snapshot) {
                        self.state = Persisted::decode(&*snapshot.value).unwrap().value;
                    }
                }
                In::Event(event) => self.apply(&event.payload.unwrap()),
                In::Command(command) => {
                    if !self.command(&command) {
                        break;
                    }
                }
            }
        }
        self.seen.send_modify(|seen| seen.open -= 1);
    }

    fn apply(&mut self, event: &Any) {
        self.state += &Persisted::decode(&*event.value).unwrap().value;
        self.events += 1;
    }

    fn command(&mut self, command: &Command) -> bool {
        let payload = command.payload.as_ref().unwrap();
        let request = Request::decode(&*payload.value).unwrap();
        let mut reply = EventSourcedReply {
            command_id: command.id,
            ..EventSourcedReply::default()
        };
        let (mut action, mut waits) = (None, false);
        for wanted in request.actions {
            match wanted.action.unwrap() {
                Do::Emit(emit) => {
                    let event = persisted(&emit.value);
                    self.apply(&event);
                    reply.events.push(event);
                }
                Do::Forward(forward) => action = Some(Action::Forward(forward_to(&forward.id))),
                Do::Effect(effect) => {
                    reply.side_effects.push(SideEffect {
                        synchronous: effect.synchronous,
                        ..effect_on(&effect.id)
                    });
                }
                Do::Fail(fail) if fail.message == "!wait" => waits = true,
                Do::Fail(fail) if fail.message.starts_with('!') => {
                    return self.misbehave(&fail.message, command);
                }
                Do::Fail(fail) => {
                    let restart = !reply.events.is_empty();
                    reply.events.clear();
                    action = Some(Action::Failure(Failure {
                        command_id: command.id,
                        description: fail.message,
                        restart,
                    }));
                }
            }
        }
        let due = self.snapshot_every > 0 && self.events >= self.snapshot_every;
        if due && !reply.events.is_empty() {
            reply.snapshot = Some(persisted(&self.state));
            self.events = 0;
        }
        let own = || {
            Action::Reply(Reply {
                payload: Some(response(&self.state)),
                metadata: None,
            })
        };
        reply.client_action = Some(ClientAction {
            action: Some(action.unwrap_or_else(own)),
        });
        if waits {
            return self.say_later(Out::Reply(reply));
        }
        self.say(Out::Reply(reply))
    }

    fn say_later(&self, message: Out) -> bool {
        let (mut released, answers) = (self.released.clone(), self.answers.clone());
        let message = Some(message);
        tokio::spawn(async move {
            released.wait_for(|released| *released).await.unwrap();
            let _ = answers.send(Ok(EventSourcedStreamOut { message }));
        });
        true
    }

    fn say(&self, message: Out) -> bool {
        let message = Some(message);
        self.answers
            .send(Ok(EventSourcedStreamOut { message }))
            .is_ok()
    }

    /// Returns whether the stream goes on.
    fn misbehave(&mut self, how: &str, command: &Command) -> bool {
        let id = command.id;
        let itself = command.payload.clone();
        let reply = |command_id, payload: Option<Any>| EventSourcedReply {
            command_id,
            client_action: payload.map(|payload| ClientAction {
                action: Some(Action::Reply(Reply {
                    payload: Some(payload),
                    metadata: None,
                })),
            }),
            ..EventSourcedReply::default()
        };
        let fine = Some(response("fine"));
        match how {
            "!silence" => true,
            "!linger" => {
                self.lingers = true;
                self.say(Out::Reply(reply(id, fine)))
            }
            "!metadata" => {
                let mut reply = reply(id, fine);
                let action = reply.client_action.as_mut().unwrap();
                if let Some(Action::Reply(reply)) = &mut action.action {
                    reply.metadata = Some(metadata());
                }
                self.say(Out::Reply(reply))
            }
            "!other-type" => {
                let payload = Any {
                    type_url: "type.googleapis.com/Something".to_owned(),
                    ..response("fine")
                };
                self.say(Out::Reply(reply(id, Some(payload))))
            }
            "!no-payload" => self.say(Out::Reply(EventSourcedReply {
                client_action: Some(ClientAction {
                    action: Some(Action::Reply(Reply::default())),
                }),
                ..reply(id, None)
            })),
            "!failure-with-event" => self.say(Out::Reply(EventSourcedReply {
                events: vec![persisted("never")],
                client_action: Some(ClientAction {
                    action: Some(Action::Failure(Failure {
                        description: "refused".to_owned(),
                        ..Failure::default()
                    })),
                }),
                side_effects: vec![effect_on("effect-of-failure")],
                ..reply(id, None)
            })),
            "!forward-to-itself" => self.say(Out::Reply(EventSourcedReply {
                client_action: Some(ClientAction {
                    action: Some(Action::Forward(Forward {
                        service_name: EVENT_SOURCED_MODEL.to_owned(),
                        command_name: "Process".to_owned(),
                        payload: itself,
                        metadata: None,
                    })),
                }),
                ..reply(id, None)
            })),
            "!through-actions" => self.say(Out::Reply(EventSourcedReply {
                side_effects: vec![effect_on_two("effect", true)],
                client_action: Some(ClientAction {
                    action: Some(Action::Forward(forward_to_two("forward"))),
                }),
                ..reply(id, None)
            })),
            "!effect-on-itself" => self.say(Out::Reply(EventSourcedReply {
                side_effects: vec![SideEffect {
                    service_name: EVENT_SOURCED_MODEL.to_owned(),
                    payload: Some(request_for(&command.entity_id)),
                    command_name: "Process".to_owned(),
                    synchronous: true,
                    metadata: Some(metadata()),
                }],
                ..reply(id, fine)
            })),
            "!effect-without-key" => self.say(Out::Reply(EventSourcedReply {
                side_effects: vec![effect_on("")],
                ..reply(id, fine)
            })),
            "!other-id" => self.say(Out::Reply(reply(id + 7, fine))),
            "!twice" => {
                self.say(Out::Reply(reply(id, fine.clone())))
                    && self.say(Out::Reply(reply(id, fine)))
            }
            "!no-action" => self.say(Out::Reply(reply(id, None))),
            "!empty" => self
                .answers
                .send(Ok(EventSourcedStreamOut { message: None }))
                .is_ok(),
            "!failure" => {
                self.say(Out::Failure(Failure::default()));
                false
            }
            "!end" => false,
            "!status" => {
                let _ = self.answers.send(Err(Status::aborted("so it is")));
                false
            }
            "!snapshot" => self.say(Out::Reply(EventSourcedReply {
                snapshot: Some(persisted("never")),
                ..reply(id, fine)
            })),
            "!effect-nowhere" => self.say(Out::Reply(EventSourcedReply {
                side_effects: vec![SideEffect {
                    command_name: "Nothing".to_owned(),
                    ..effect_on("x")
                }],
                ..reply(id, fine)
            })),
            "!forward-nowhere" => self.say(Out::Reply(EventSourcedReply {
                command_id: id,
                client_action: Some(ClientAction {
                    action: Some(Action::Forward(Forward {
                        service_name: "no.Where".to_owned(),
                        ..forward_to("x")
                    })),
                }),
                ..EventSourcedReply::default()
            })),
            other => panic!("nobody knows how to {other}"),
        }
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/cloudstate.tck.model.{name}"),
        value: message.encode_to_vec(),
    }
}

fn metadata() -> Metadata {
    let entry = |(key, value): (&str, &str)| MetadataEntry {
        key: key.to_owned(),
        value: Some(Value::StringValue(value.to_owned())),
    };
    let bytes = MetadataEntry {
        key: "x-bytes".to_owned(),
        value: Some(Value::BytesValue(b"b".to_vec())),
    };
    let entries = [
        ("x-told", "one"),
        ("X-Told", "two"),
        ("grpc-status", "7"),
        ("content-type", "text/html"),
        ("not a name", "x"),
        ("x-control", "a\u{1}b"),
    ];
    Metadata {
        entries: entries.map(entry).into_iter().chain([bytes]).collect(),
    }
}

pub fn persisted(value: &str) -> Any {
    let value = value.to_owned();
    any("Persisted", &Persisted { value })
}

fn response(message: &str) -> Any {
    let message = message.to_owned();
    any("Response", &Response { message })
}

fn request_for(id: &str) -> Any {
    let request = Request {
        id: id.to_owned(),
        actions: Vec::new(),
    };
    any("Request", &request)
}

fn forward_to(id: &str) -> Forward {
    Forward {
        service_name: EVENT_SOURCED_TWO.to_owned(),
        command_name: "Call".to_owned(),
        payload: Some(request_for(id)),
        metadata: None,
    }
}

fn effect_on(id: &str) -> SideEffect {
    SideEffect {
        service_name: EVENT_SOURCED_TWO.to_owned(),
        command_name: "Call".to_owned(),
        payload: Some(request_for(id)),
        ..SideEffect::default()
    }
}
