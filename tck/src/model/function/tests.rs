use super::*;
use crate::model::event_sourced::Entity;
use crate::model::pack;
use crate::wire::Connection;
use bytes::Bytes;
use cloudstate_protocol::cloudstate::entity_discovery_client::EntityDiscoveryClient;
use cloudstate_protocol::cloudstate::{Command, Failure};
use cloudstate_protocol::eventsourced::event_sourced_client::EventSourcedClient;
use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::eventsourced::event_sourced_stream_out::Message as Out;
use cloudstate_protocol::eventsourced::{
    EventSourcedEvent, EventSourcedInit, EventSourcedReply, EventSourcedSnapshot,
};
use cloudstate_protocol::tck::model::{Emit, Persisted, RequestAction, request_action};
use prost::Message as _;
use prost_types::Any;
use std::net::SocketAddr;
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
    let mut oracle = Entity::new(MODEL).unwrap();

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
