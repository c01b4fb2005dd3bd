//! Conversations through a whole proxy: a client and a user function, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod actions;
mod door;
mod function;
mod lifetime;
mod lost;
mod process;
mod routing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloudstate_protocol::eventsourced::event_sourced_stream_in::Message as In;
use cloudstate_protocol::names::{ACTION, EVENT_SOURCED, VALUE_ENTITY};
use cloudstate_protocol::tck::model::event_sourced_configured_client::EventSourcedConfiguredClient;
use cloudstate_protocol::tck::model::event_sourced_tck_model_client::EventSourcedTckModelClient;
use cloudstate_protocol::tck::model::event_sourced_two_client::EventSourcedTwoClient;
use cloudstate_protocol::tck::model::request_action::Action as Do;
use cloudstate_protocol::tck::model::valueentity::{
    Request as ValueEntityRequest, value_entity_two_client::ValueEntityTwoClient,
};
use cloudstate_protocol::tck::model::{
    Effect, Emit, Fail, Forward, Request, RequestAction, Response,
};
use cloudstate_reference_proxy::config::Config;
use cloudstate_reference_proxy::journal::ShardLog;
use cloudstate_reference_proxy::journal::memory::MemoryLog;
use cloudstate_reference_proxy::{Parts, serve};
use function::{Function, Setup};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A running proxy; dropped, it is asked to stop.
struct Proxy {
    address: SocketAddr,
    channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    stopped: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(function: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(Arc::new(MemoryLog::default()), function, change).await
    }

    async fn start_with(
        log: Arc<dyn ShardLog>,
        function: SocketAddr,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            function: function.to_string(),
            ..Config::default()
        };
        change(&mut config);
        let (ready, address) = oneshot::channel();
        let (stop, stopping) = oneshot::channel::<()>();
        let stopped = tokio::spawn(async move {
            let ready = |address| ready.send(address).unwrap();
            let stopping = async { drop(stopping.await) };
            let parts = Parts {
                config,
                log,
                doors: vec![Box::new(|router| Box::new(door::Plain(Arc::clone(router))))],
            };
            serve(parts, ready, stopping).await.unwrap();
        });
        let address = address.await.unwrap();
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            address,
            channel,
            stop: Some(stop),
            stopped,
        }
    }

    fn model(&self) -> EventSourcedTckModelClient<Channel> {
        EventSourcedTckModelClient::new(self.channel.clone()).max_decoding_message_size(8 << 20)
    }

    async fn process(&self, id: &str, actions: Vec<Do>) -> Result<String, Status> {
        let answer = self.model().process(request(id, actions)).await?;
        Ok(message(answer.into_inner()))
    }

    async fn two(&self, id: &str, actions: Vec<Do>) -> Result<String, Status> {
        let mut client = EventSourcedTwoClient::new(self.channel.clone());
        let answer = client.call(request(id, actions)).await?;
        Ok(message(answer.into_inner()))
    }

    /// As `process`, again and again as long as it isn't served.
    async fn eventually(&self, id: &str, actions: Vec<Do>) -> String {
        let served = async {
            loop {
                match self.process(id, actions.clone()).await {
                    Ok(answer) => return answer,
                    Err(status) if status.code() == Code::Unknown => panic!("{status}"),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let soon = tokio::time::timeout(Duration::from_secs(10), served);
        soon.await.expect("it is not served")
    }

    async fn brief(&self, id: &str, actions: Vec<Do>) -> Result<String, Status> {
        let mut client = EventSourcedConfiguredClient::new(self.channel.clone());
        let answer = client.call(request(id, actions)).await?;
        Ok(message(answer.into_inner()))
    }
}

fn message(response: Response) -> String {
    response.message
}

fn request(id: &str, actions: Vec<Do>) -> Request {
    let actions = actions.into_iter().map(|action| RequestAction {
        action: Some(action),
    });
    Request {
        id: id.to_owned(),
        actions: actions.collect(),
    }
}

fn emit(value: &str) -> Do {
    Do::Emit(Emit {
        value: value.to_owned(),
    })
}

fn fail(message: &str) -> Do {
    Do::Fail(Fail {
        message: message.to_owned(),
    })
}

fn effect(id: &str, synchronous: bool) -> Do {
    Do::Effect(Effect {
        id: id.to_owned(),
        synchronous,
    })
}

fn forward(id: &str) -> Do {
    Do::Forward(Forward { id: id.to_owned() })
}

async fn start(setup: Setup) -> (Function, Proxy) {
    let function = Function::start(setup);
    let proxy = Proxy::start(function.address, |_| {}).await;
    (function, proxy)
}

/// What a stream carried, in short.
fn brief(stream: &[In]) -> Vec<String> {
    let told = stream.iter().map(|message| match message {
        In::Init(init) => match &init.snapshot {
            Some(snapshot) => format!("init from {}", snapshot.snapshot_sequence),
            None => "init".to_owned(),
        },
        In::Event(event) => format!("event {}", event.sequence),
        In::Command(command) => format!("command {} {}", command.id, command.name),
    });
    told.collect()
}

#[tokio::test]
async fn commands_are_answered_in_turn_on_one_stream() {
    let (function, proxy) = start(Setup::default()).await;
    assert_eq!(proxy.process("a", vec![emit("x")]).await.unwrap(), "x");
    assert_eq!(
        proxy
            .process("a", vec![emit("y"), emit("z")])
            .await
            .unwrap(),
        "xyz"
    );
    let streams = function.seen().of("a");
    assert_eq!(streams.len(), 1);
    assert_eq!(
        brief(&streams[0]),
        ["init", "command 1 Process", "command 2 Process"]
    );
    let In::Command(command) = &streams[0][1] else {
        unreachable!()
    };
    assert_eq!(command.entity_id, "a");
    let type_url = &command.payload.as_ref().unwrap().type_url;
    assert_eq!(type_url, "type.googleapis.com/cloudstate.tck.model.Request");
    let info = &function.seen().discoveries[0];
    assert_eq!(
        (info.protocol_major_version, info.protocol_minor_version),
        (0, 2)
    );
    assert_eq!(
        info.supported_entity_types,
        [EVENT_SOURCED, VALUE_ENTITY, ACTION]
    );
}

#[tokio::test]
async fn a_passivated_entity_is_replayed() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.brief("a", vec![emit("x"), emit("y")]).await.unwrap();
    function.until(|seen| seen.half_closed == 1).await;
    assert_eq!(proxy.brief("a", vec![emit("z")]).await.unwrap(), "xyz");
    let streams = function.seen().of("a");
    assert_eq!(
        brief(&streams[1]),
        ["init", "event 1", "event 2", "command 1 Call"]
    );
}

#[tokio::test]
async fn a_replay_begins_with_the_latest_snapshot() {
    let setup = Setup {
        snapshot_every: 2,
        ..Setup::default()
    };
    let (function, proxy) = start(setup).await;
    proxy
        .brief("a", vec![emit("x"), emit("y"), emit("z")])
        .await
        .unwrap();
    proxy.brief("a", vec![emit("w")]).await.unwrap();
    function.until(|seen| seen.half_closed == 1).await;
    assert_eq!(proxy.brief("a", vec![]).await.unwrap(), "xyzw");
    let streams = function.seen().of("a");
    assert_eq!(
        brief(&streams[1]),
        ["init from 3", "event 4", "command 1 Call"]
    );
}

#[tokio::test]
async fn a_long_history_is_replayed_to_the_end() {
    let (function, proxy) = start(Setup::default()).await;
    for _ in 0..3 {
        let events = (0..400).map(|_| emit(&"x".repeat(2000))).collect();
        proxy.brief("a", events).await.unwrap();
    }
    function.until(|seen| seen.half_closed >= 1).await;
    let state = proxy.brief("a", vec![]).await.unwrap();
    assert_eq!(state.len(), 1200 * 2000);
}

#[tokio::test]
async fn a_failed_command_leaves_no_events_and_its_effects_run() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let refused = proxy.process("a", vec![fail("no")]).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, "no"));
    assert_eq!(function.seen().of("a").len(), 1, "the stream survives");

    let refused = proxy
        .process("a", vec![emit("y"), fail("never")])
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unknown, "never")
    );
    assert_eq!(proxy.process("a", vec![emit("z")]).await.unwrap(), "xz");
    let streams = function.seen().of("a");
    assert_eq!(brief(&streams[1]), ["init", "event 1", "command 1 Process"]);
}

#[tokio::test]
async fn forwards_answer_and_effects_run_in_order() {
    let (function, proxy) = start(Setup::default()).await;
    let actions = vec![
        emit("x"),
        effect("b", true),
        effect("c", false),
        effect("c", false),
        forward("d"),
    ];
    assert_eq!(proxy.process("a", actions).await.unwrap(), "");
    let seen = function
        .until(|seen| seen.of("c").iter().flatten().count() == 3)
        .await;
    assert_eq!(brief(&seen.of("b")[0]), ["init", "command 1 Call"]);
    assert_eq!(brief(&seen.of("d")[0]), ["init", "command 1 Call"]);
    assert_eq!(seen.reports, Vec::<String>::new());
}

#[tokio::test]
async fn unknown_targets_are_reported_and_only_a_forward_fails() {
    let (function, proxy) = start(Setup::default()).await;
    assert_eq!(
        proxy
            .process("a", vec![fail("!effect-nowhere")])
            .await
            .unwrap(),
        "fine"
    );
    let failed = proxy
        .process("a", vec![fail("!forward-nowhere")])
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Code::Unknown);
    let seen = function.until(|seen| seen.reports.len() == 2).await;
    let all = seen.reports.join("\n");
    for part in [
        "EventSourcedTwo",
        "Nothing",
        "no.Where",
        "EventSourcedTckModel",
        "\"a\"",
    ] {
        assert!(all.contains(part), "{part} isn't in {all}");
    }
}

#[tokio::test]
async fn violations_end_the_stream_and_are_reported() {
    for how in ["!other-id", "!no-action", "!empty"] {
        let (function, proxy) = start(Setup::default()).await;
        proxy.process("a", vec![emit("x")]).await.unwrap();
        let (broken, waiting) = tokio::join!(
            proxy.process("a", vec![fail(how)]),
            proxy.process("a", vec![emit("y")]),
        );
        assert_eq!(broken.unwrap_err().code(), Code::Unknown, "{how}");
        assert_eq!(waiting.unwrap(), "xy", "{how}");
        let seen = function.until(|seen| seen.reports.len() == 1).await;
        let report = &seen.reports[0];
        assert!(
            report.contains("cloudstate.tck.model.EventSourcedTckModel"),
            "{report}"
        );
        assert!(report.contains("\"a\""), "{report}");
        assert_eq!(seen.of("a").len(), 2, "{how}");
    }
}

#[tokio::test]
async fn a_second_reply_is_reported_once_and_answers_nobody() {
    let (function, proxy) = start(Setup::default()).await;
    assert_eq!(
        proxy.process("a", vec![fail("!twice")]).await.unwrap(),
        "fine"
    );
    function
        .until(|seen| seen.reports.len() == 1 && seen.open == 0)
        .await;
    assert_eq!(proxy.process("a", vec![emit("x")]).await.unwrap(), "x");
    assert_eq!(function.seen().reports.len(), 1);
}

#[tokio::test]
async fn a_given_up_stream_answers_unknown_and_is_not_reported() {
    for how in ["!failure", "!end", "!status"] {
        let (function, proxy) = start(Setup::default()).await;
        let lost = proxy.process("a", vec![fail(how)]).await.unwrap_err();
        assert_eq!(lost.code(), Code::Unknown, "{how}");
        assert_eq!(
            proxy.process("a", vec![emit("x")]).await.unwrap(),
            "x",
            "{how}"
        );
        assert!(function.seen().reports.is_empty(), "{how}");
    }
}

#[tokio::test]
async fn a_snapshot_without_events_is_ignored_and_reported() {
    let (function, proxy) = start(Setup::default()).await;
    assert_eq!(
        proxy.brief("a", vec![fail("!snapshot")]).await.unwrap(),
        "fine"
    );
    let seen = function
        .until(|seen| !seen.reports.is_empty() && seen.half_closed == 1)
        .await;
    assert!(seen.reports[0].contains("snapshot"), "{}", seen.reports[0]);
    proxy.brief("a", vec![]).await.unwrap();
    assert_eq!(brief(&function.seen().of("a")[1])[0], "init");
}

#[tokio::test]
async fn silence_ends_with_the_relay_timeout_and_blocks_only_its_entity() {
    let function = Function::start(Setup::default());
    let short = |config: &mut Config| config.relay_timeout = Duration::from_millis(200);
    let proxy = Proxy::start(function.address, short).await;
    let (silent, other) = tokio::join!(
        proxy.process("a", vec![fail("!silence")]),
        proxy.process("b", vec![emit("x")]),
    );
    assert_eq!(silent.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(other.unwrap(), "x");
    let waiting = proxy.process("a", vec![]).await.unwrap_err();
    assert_eq!(waiting.code(), Code::DeadlineExceeded);
    assert_eq!(
        brief(&function.seen().of("a")[0]),
        ["init", "command 1 Process"]
    );
}

#[tokio::test]
async fn a_lost_function_is_unavailable_and_comes_back_with_its_history() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let port = function.port.clone();
    let (outstanding, ()) = tokio::join!(proxy.process("a", vec![fail("!silence")]), async {
        function.until(|seen| seen.of("a")[0].len() == 3).await;
        function.kill();
    });
    let code = outstanding.unwrap_err().code();
    assert!(
        matches!(code, Code::Unknown | Code::Unavailable),
        "{code:?}"
    );
    let refused = proxy.process("a", vec![]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    let function = Function::start_at(port, Setup::default());
    function.until(|seen| !seen.discoveries.is_empty()).await;
    assert_eq!(proxy.process("a", vec![emit("y")]).await.unwrap(), "xy");
}

#[tokio::test]
async fn more_entities_live_than_a_connection_has_streams() {
    let setup = Setup {
        max_streams: Some(100),
        ..Setup::default()
    };
    let (function, proxy) = start(setup).await;
    let ids: Vec<String> = (0..250).map(|n| format!("entity-{n}")).collect();
    for _ in 0..2 {
        let calls = ids.iter().map(|id| proxy.process(id, vec![emit("x")]));
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
    }
    assert_eq!(function.seen().streams.len(), 250);
    assert_eq!(function.seen().open, 250);
}

#[tokio::test]
async fn requests_that_cannot_be_routed_are_answered() {
    let (function, proxy) = start(Setup::default()).await;
    let empty = proxy.process("", vec![]).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
    let mut undescribed = ValueEntityTwoClient::new(proxy.channel.clone());
    let unknown = undescribed
        .call(ValueEntityRequest::default())
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    let long = "é".repeat(512);
    proxy.process(&long, vec![]).await.unwrap();
    assert_eq!(function.seen().of(&long).len(), 1);
}

#[tokio::test]
async fn a_payload_of_four_megabytes_passes() {
    let (_function, proxy) = start(Setup::default()).await;
    let value = "x".repeat(3_999_900);
    assert_eq!(proxy.process("a", vec![emit(&value)]).await.unwrap(), value);
}

#[tokio::test]
async fn a_refused_specification_is_reported_and_asked_for_again() {
    let mut setup = Setup::default();
    setup.spec.service_info = None;
    let function = Function::start(setup);
    let address = function.address.to_string();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        function: address,
        ..Config::default()
    };
    let log = Arc::new(MemoryLog::default());
    let (stop, stopping) = oneshot::channel::<()>();
    let proxy = tokio::spawn(async move {
        let never = |_| panic!("it must not listen");
        let parts = Parts {
            config,
            log,
            doors: Vec::new(),
        };
        serve(parts, never, async { drop(stopping.await) }).await
    });
    let seen = function.until(|seen| seen.discoveries.len() >= 3).await;
    assert_eq!(seen.reports.len(), 1);
    assert!(seen.reports[0].contains("0.0") && seen.reports[0].contains("0.2"));
    stop.send(()).unwrap();
    proxy.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_proxy_half_closes_its_streams() {
    let (function, mut proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    drop(proxy.stop.take());
    drop(proxy.channel);
    proxy.stopped.await.unwrap();
    function.until(|seen| seen.half_closed == 1).await;
}
