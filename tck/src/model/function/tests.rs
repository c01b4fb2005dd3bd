use super::*;
use crate::model::event_sourced::EventSourcedEntity;
use crate::model::pack;
use crate::wire::Connection;
use bytes::Bytes;
use cloudstate_protocol::action::action_protocol_client::ActionProtocolClient;
use cloudstate_protocol::action::action_protocol_server::ActionProtocol;
use cloudstate_protocol::action::{ActionCommand, ActionResponse};
use cloudstate_protocol::cloudstate::entity_discovery_client::EntityDiscoveryClient;
use cloudstate_protocol::cloudstate::{Command, Failure};
use cloudstate_protocol::eventsourced::event_sourced_client::EventSourcedClient;
use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::eventsourced::event_sourced_stream_out::Message as Out;
use cloudstate_protocol::eventsourced::{
    EventSourcedEvent, EventSourcedInit, EventSourcedReply, EventSourcedSnapshot,
};
use cloudstate_protocol::tck::model::action as action_model;
use cloudstate_protocol::tck::model::valueentity as value_model;
use cloudstate_protocol::tck::model::{Emit, Persisted, RequestAction, request_action};
use cloudstate_protocol::valueentity::value_entity_client::ValueEntityClient;
use cloudstate_protocol::valueentity::value_entity_stream_in::Message as ValueIn;
use cloudstate_protocol::valueentity::value_entity_stream_out::Message as ValueOut;
use cloudstate_protocol::valueentity::{ValueEntityInit, ValueEntityInitState};
use prost::Message as _;
use prost_types::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};

const MODEL: &str = "cloudstate.tck.model.EventSourcedTckModel";

/// A served function, and a connection to it.
struct Served {
    address: SocketAddr,
    channel: Channel,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// The proxy's end of an entity's stream.
struct Proxy {
    to_function: mpsc::UnboundedSender<EventSourcedStreamIn>,
    from_function: Streaming<EventSourcedStreamOut>,
}

impl Served {
    async fn start() -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, stopped.map(drop)));
        let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Served {
            address,
            channel,
            stop,
            server,
        }
    }

    async fn open(&self) -> Proxy {
        let (to_function, messages) = mpsc::unbounded_channel();
        let mut client = EventSourcedClient::new(self.channel.clone());
        let response = client
            .handle(UnboundedReceiverStream::new(messages))
            .await
            .unwrap();
        Proxy {
            to_function,
            from_function: response.into_inner(),
        }
    }

    /// A stream after its init.
    async fn activate(&self, snapshot: Option<EventSourcedSnapshot>) -> Proxy {
        let proxy = self.open().await;
        let (service_name, entity_id) = (MODEL.to_owned(), "entity".to_owned());
        proxy.send(In::Init(EventSourcedInit {
            service_name,
            entity_id,
            snapshot,
        }));
        proxy
    }
}

impl Proxy {
    fn send(&self, message: impl Into<Option<In>>) {
        self.to_function
            .send(EventSourcedStreamIn {
                message: message.into(),
            })
            .unwrap();
    }

    async fn receive(&mut self) -> Out {
        self.from_function
            .message()
            .await
            .unwrap()
            .unwrap()
            .message
            .unwrap()
    }

    async fn reply(&mut self) -> EventSourcedReply {
        match self.receive().await {
            Out::Reply(reply) => reply,
            Out::Failure(failure) => panic!("expected a reply, got {failure:?}"),
        }
    }

    /// The failure that gives the stream up, and the stream's proper end.
    async fn failure(mut self) -> Failure {
        let Out::Failure(failure) = self.receive().await else {
            panic!("expected a failure")
        };
        assert_eq!(self.from_function.message().await.unwrap(), None);
        failure
    }

    /// Half-close, and the stream's proper end.
    async fn passivate(self) {
        let Proxy {
            to_function,
            mut from_function,
        } = self;
        drop(to_function);
        assert_eq!(from_function.message().await.unwrap(), None);
    }
}

fn emitting(values: &[&str]) -> Any {
    let emit = |value: &&str| RequestAction {
        action: Some(request_action::Action::Emit(Emit {
            value: (*value).to_owned(),
        })),
    };
    pack(&cloudstate_protocol::tck::model::Request {
        id: "entity".to_owned(),
        actions: values.iter().map(emit).collect(),
    })
}

fn command(id: i64, payload: Any) -> Command {
    Command {
        entity_id: "entity".to_owned(),
        id,
        name: "Process".to_owned(),
        payload: Some(payload),
        ..Default::default()
    }
}

fn persisted(value: &str) -> Any {
    pack(&Persisted {
        value: value.to_owned(),
    })
}

#[tokio::test]
async fn an_entity_lives_through_passivation() {
    let served = Served::start().await;
    let mut oracle = EventSourcedEntity::new(MODEL).unwrap();

    let mut proxy = served.activate(None).await;
    for (id, values) in [(1, &["A", "B"][..]), (2, &["C", "D", "E"]), (3, &["F"])] {
        proxy.send(In::Command(command(id, emitting(values))));
        let expected = oracle
            .handle("Process", &emitting(values))
            .unwrap()
            .into_reply(id);
        assert_eq!(proxy.reply().await, expected);
    }
    proxy.passivate().await;

    let (snapshot_sequence, snapshot) = (5, Some(persisted("ABCDE")));
    let snapshot = EventSourcedSnapshot {
        snapshot_sequence,
        snapshot,
    };
    let mut proxy = served.activate(Some(snapshot)).await;
    let payload = Some(persisted("F"));
    proxy.send(In::Event(EventSourcedEvent {
        sequence: 6,
        payload,
    }));
    proxy.send(In::Command(command(1, emitting(&[]))));
    let expected = oracle
        .handle("Process", &emitting(&[]))
        .unwrap()
        .into_reply(1);
    assert_eq!(proxy.reply().await, expected);
    proxy.passivate().await;
}

#[tokio::test]
async fn a_broken_protocol_ends_the_stream_with_a_failure() {
    let served = Served::start().await;

    let proxy = served.open().await;
    proxy.send(In::Command(command(1, emitting(&[]))));
    assert_eq!(proxy.failure().await.command_id, 1);

    let proxy = served.activate(None).await;
    proxy.send(None);
    assert_eq!(
        proxy.failure().await.description,
        "Protocol error: an empty message"
    );

    let proxy = served.activate(None).await;
    proxy.send(In::Command(command(
        1,
        Any {
            value: vec![0xff],
            ..emitting(&[])
        },
    )));
    assert_eq!(proxy.failure().await.command_id, 1);
}

#[tokio::test]
async fn a_stream_that_ends_without_a_message_is_completed() {
    Served::start().await.open().await.passivate().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_answered_with_a_failure() {
    let served = Served::start().await;
    let connection = Connection::open(served.address).await.unwrap();
    let path = "/cloudstate.eventsourced.EventSourced/handle";
    let (answers, status) = connection.unary(path, Bytes::from_static(b"\xff")).await;
    assert_eq!((answers.len(), status.code), (1, 0));
    let answer = EventSourcedStreamOut::decode(answers[0].clone())
        .unwrap()
        .message;
    let Some(Out::Failure(failure)) = answer else {
        panic!("expected a failure, got {answer:?}")
    };
    assert!(
        failure.description.contains("cannot be read"),
        "{}",
        failure.description
    );
}

#[tokio::test]
async fn discovery_is_answered_again_and_again() {
    let served = Served::start().await;
    let mut client = EntityDiscoveryClient::new(served.channel.clone());
    for _ in 0..2 {
        let spec = client
            .discover(ProxyInfo::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(spec, entity_spec());
    }
    client
        .report_error(UserFunctionError {
            message: "a test".to_owned(),
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn shutdown_ends_open_streams() {
    let served = Served::start().await;
    let mut proxy = served.activate(None).await;
    proxy.send(In::Command(command(1, emitting(&["A"]))));
    proxy.reply().await;
    served.stop.send(()).unwrap();
    assert_eq!(proxy.from_function.message().await.unwrap(), None);
    drop((proxy, served.channel));
    served.server.await.unwrap().unwrap();
}

// === Value entities ===

#[tokio::test]
async fn a_value_entity_begins_with_what_is_stored() {
    let served = Served::start().await;
    let service = "cloudstate.tck.model.valueentity.ValueEntityTckModel";
    let value = Some(pack(&value_model::Persisted {
        value: "A".to_owned(),
    }));
    let init = ValueIn::Init(ValueEntityInit {
        service_name: service.to_owned(),
        entity_id: "entity".to_owned(),
        state: Some(ValueEntityInitState { value }),
    });
    let request = pack(&value_model::Request::default());
    let messages = [init, ValueIn::Command(command(1, request.clone()))];
    let messages = messages.map(|message| ValueEntityStreamIn {
        message: Some(message),
    });
    let mut client = ValueEntityClient::new(served.channel.clone());
    let mut answers = client
        .handle(stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let Some(ValueOut::Reply(reply)) = answers.message().await.unwrap().unwrap().message else {
        panic!("expected a reply")
    };
    let mut oracle = value_entity::ValueEntity::new(service).unwrap();
    oracle
        .restore(&pack(&value_model::Persisted {
            value: "A".to_owned(),
        }))
        .unwrap();
    let expected = oracle.handle("Process", &request).unwrap().into_reply(1);
    assert_eq!(reply, expected);
    assert_eq!(answers.message().await.unwrap(), None);
}

// === Actions ===

const ACTION: &str = "cloudstate.tck.model.action.ActionTckModel";

fn naming(method: &str, payload: Option<Any>) -> ActionCommand {
    ActionCommand {
        service_name: ACTION.to_owned(),
        name: method.to_owned(),
        payload,
        metadata: None,
    }
}

fn further(payload: Any) -> ActionCommand {
    ActionCommand {
        payload: Some(payload),
        ..ActionCommand::default()
    }
}

/// A request with one group for each message, which is replied.
fn replying(messages: &[&str]) -> Any {
    use action_model::process_step::Step;
    let group = |message: &&str| action_model::ProcessGroup {
        steps: vec![action_model::ProcessStep {
            step: Some(Step::Reply(action_model::Reply {
                message: (*message).to_owned(),
            })),
        }],
    };
    pack(&action_model::Request {
        groups: messages.iter().map(group).collect(),
    })
}

fn responded(method: &str, request: &Any) -> Vec<ActionResponse> {
    let outcomes = crate::model::action::respond(ACTION, method, request).unwrap();
    outcomes
        .into_iter()
        .map(crate::model::action::ActionOutcome::into_response)
        .collect()
}

async fn rest(mut responses: Streaming<ActionResponse>) -> Vec<ActionResponse> {
    let mut all = Vec::new();
    while let Some(response) = responses.message().await.unwrap() {
        all.push(response);
    }
    all
}

#[tokio::test]
async fn one_request_is_answered_once_or_often() {
    let served = Served::start().await;
    let mut client = ActionProtocolClient::new(served.channel.clone());
    let request = replying(&["one", "two"]);
    let unary = client
        .handle_unary(naming("ProcessUnary", Some(request.clone())))
        .await
        .unwrap();
    assert_eq!(
        [unary.into_inner()],
        responded("ProcessUnary", &request)[..]
    );
    let streamed = client
        .handle_streamed_out(naming("ProcessStreamedOut", Some(request.clone())))
        .await
        .unwrap();
    assert_eq!(
        rest(streamed.into_inner()).await,
        responded("ProcessStreamedOut", &request)
    );
}

#[tokio::test]
async fn many_requests_are_answered_at_their_end() {
    let served = Served::start().await;
    let mut client = ActionProtocolClient::new(served.channel.clone());
    let name = || naming("ProcessStreamedIn", None);
    let requests = [name(), further(replying(&["one"])), further(replying(&[]))];
    let response = client
        .handle_streamed_in(stream::iter(requests))
        .await
        .unwrap();
    assert_eq!(
        [response.into_inner()],
        responded("ProcessStreamedIn", &replying(&["one"]))[..]
    );
    let none = client
        .handle_streamed_in(stream::iter([name()]))
        .await
        .unwrap();
    assert_eq!(none.into_inner(), ActionResponse::default());
}

#[tokio::test]
async fn a_duplex_call_answers_each_request_as_it_comes() {
    let served = Served::start().await;
    let mut client = ActionProtocolClient::new(served.channel.clone());
    let (to_function, commands) = mpsc::unbounded_channel();
    // The call is open before anything was sent on it.
    let response = client.handle_streamed(UnboundedReceiverStream::new(commands));
    let mut responses = response.await.unwrap().into_inner();
    to_function.send(naming("ProcessStreamed", None)).unwrap();
    for request in [replying(&["one", "two"]), replying(&[]), replying(&["x"])] {
        to_function.send(further(request.clone())).unwrap();
        for expected in responded("ProcessStreamed", &request) {
            assert_eq!(responses.message().await.unwrap(), Some(expected));
        }
    }
    drop(to_function);
    assert_eq!(responses.message().await.unwrap(), None);
}

struct Commands;

impl tonic::codec::Decoder for Commands {
    type Item = ActionCommand;
    type Error = Status;

    fn decode(
        &mut self,
        bytes: &mut tonic::codec::DecodeBuf<'_>,
    ) -> Result<Option<ActionCommand>, Status> {
        ActionCommand::decode(bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// An endless call, and how many of its messages were read.
fn endless(method: &str, request: Any) -> (Request<Streaming<ActionCommand>>, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    let first = stream::iter([naming(method, None)]);
    let frames = first.chain(stream::repeat(further(request)));
    let body = frames.map(move |command| {
        counter.fetch_add(1, Ordering::SeqCst);
        let message = command.encode_to_vec();
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend(message);
        Ok::<_, Status>(http_body::Frame::data(Bytes::from(frame)))
    });
    let body = http_body_util::StreamBody::new(body);
    let streaming = Streaming::new_request(Commands, body, None, None);
    (Request::new(streaming), read)
}

#[tokio::test]
async fn a_request_is_read_when_the_responses_before_it_have_gone() {
    let function = Function {
        spec: EntitySpec::default(),
        shutdown: std::future::pending().boxed().shared(),
    };
    let (request, read) = endless("ProcessStreamed", replying(&["one", "two"]));
    let mut responses = ActionProtocol::handle_streamed(&function, request)
        .await
        .unwrap()
        .into_inner();
    for requests in [1, 1, 2, 2, 3] {
        responses.next().await.unwrap().unwrap();
        assert_eq!(read.load(Ordering::SeqCst), 1 + requests);
    }
}

#[tokio::test]
async fn a_call_that_breaks_the_protocol_is_refused() {
    let served = Served::start().await;
    let mut client = ActionProtocolClient::new(served.channel.clone());
    let payload = || Some(replying(&[]));
    for (wrong, text) in [
        (naming("Nothing", payload()), "has no method \"Nothing\""),
        (naming("ProcessStreamed", payload()), "another of the four"),
        (naming("ProcessUnary", None), "expected a payload of type"),
    ] {
        let status = client.handle_unary(wrong).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(text), "{}", status.message());
    }
    let streams = [
        vec![],
        vec![naming("ProcessStreamedIn", payload())],
        vec![
            naming("ProcessStreamedIn", None),
            further(persisted("not a request")),
        ],
    ];
    for commands in streams {
        let status = client
            .handle_streamed_in(stream::iter(commands))
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn shutdown_gives_up_open_calls_of_actions() {
    let served = Served::start().await;
    let mut client = ActionProtocolClient::new(served.channel.clone());
    let (to_function, commands) = mpsc::unbounded_channel();
    let response = client.handle_streamed(UnboundedReceiverStream::new(commands));
    let mut responses = response.await.unwrap().into_inner();
    to_function.send(naming("ProcessStreamed", None)).unwrap();
    to_function.send(further(replying(&["one"]))).unwrap();
    responses.message().await.unwrap().unwrap();
    served.stop.send(()).unwrap();
    let status = responses.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    drop((responses, to_function, client, served.channel));
    served.server.await.unwrap().unwrap();
}
