//! Actions: the four kinds of calls, how they end from either side, and how a slow reader stops the writer.

pub mod function;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cloudstate_protocol::action::action_response::Response as Member;
use cloudstate_protocol::action::{ActionCommand, ActionResponse};
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use cloudstate_protocol::cloudstate::{
    Entity, Failure, Forward as ForwardTo, Metadata, MetadataEntry, Reply, SideEffect,
};
use cloudstate_protocol::descriptors::descriptor_set_for;
use cloudstate_protocol::names::tck::{
    EVENT_SOURCED_CONFIGURED, EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO,
};
use cloudstate_protocol::tck::model::action::action_tck_model_client::ActionTckModelClient;
use cloudstate_protocol::tck::model::action::{
    OtherRequest, ProcessGroup, ProcessStep, Reply as ReplyStep, Request as Asked,
    Response as Answered, process_step,
};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use prost::Message;
use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;

use super::*;
use function::{Actions, Calls, Kind};

const MODEL: &str = "cloudstate.tck.model.action.ActionTckModel";
const TWO: &str = "cloudstate.tck.model.action.ActionTwo";

type Counter = Arc<AtomicUsize>;

/// What has to happen, and not at any certain time.
async fn soon<T>(happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(Duration::from_secs(10), happens).await;
    happened.expect("it did not happen in time")
}

/// A user function with actions next to its entities.
fn setup() -> (Setup, Calls) {
    let (actions, calls) = Actions::new();
    let mut spec = crate::function::spec();
    spec.proto = descriptor_set_for(&[
        MODEL,
        TWO,
        EVENT_SOURCED_MODEL,
        EVENT_SOURCED_TWO,
        EVENT_SOURCED_CONFIGURED,
    ])
    .unwrap();
    spec.entities.extend([MODEL, TWO].map(|service| Entity {
        entity_type: ACTION.to_owned(),
        service_name: service.to_owned(),
        ..Entity::default()
    }));
    let setup = Setup {
        spec,
        actions: Some(actions),
        ..Setup::default()
    };
    (setup, calls)
}

/// Together in one, so that a test has a name for each that it uses.
struct Actor {
    function: Function,
    calls: Calls,
    proxy: Proxy,
}

impl Actor {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (setup, calls) = setup();
        let function = Function::start(setup);
        let proxy = Proxy::start(function.address, change).await;
        Self {
            function,
            calls,
            proxy,
        }
    }

    fn client(&self) -> ActionTckModelClient<Channel> {
        ActionTckModelClient::new(self.proxy.channel.clone())
    }

    /// The client's side of a call of any kind, on its way.
    fn call<S>(&self, kind: Kind, requests: S) -> tokio::task::JoinHandle<Outcome>
    where
        S: Stream<Item = Asked> + Send + Unpin + 'static,
    {
        tokio::spawn(call(self.client(), kind, requests))
    }
}

/// What a client got: messages, and in the end a status.
#[derive(Debug)]
struct Outcome {
    messages: Vec<String>,
    status: Status,
}

impl Outcome {
    #[track_caller]
    fn assert(&self, messages: &[&str], code: Code, text: &str) {
        assert_eq!(self.messages, messages);
        assert_eq!((self.status.code(), self.status.message()), (code, text));
    }
}

async fn call(
    mut client: ActionTckModelClient<Channel>,
    kind: Kind,
    mut requests: impl Stream<Item = Asked> + Send + Unpin + 'static,
) -> Outcome {
    let mut messages = Vec::new();
    let status = match kind {
        Kind::Unary => one(
            client.process_unary(requests.next().await.unwrap()).await,
            &mut messages,
        ),
        Kind::In => one(client.process_streamed_in(requests).await, &mut messages),
        Kind::Out => {
            let request = requests.next().await.unwrap();
            many(client.process_streamed_out(request).await, &mut messages).await
        }
        Kind::Both => many(client.process_streamed(requests).await, &mut messages).await,
    };
    Outcome {
        messages,
        status: status.err().unwrap_or_else(|| Status::ok("")),
    }
}

fn one(
    answer: Result<tonic::Response<Answered>, Status>,
    messages: &mut Vec<String>,
) -> Result<(), Status> {
    messages.push(answer?.into_inner().message);
    Ok(())
}

async fn many(
    answers: Result<tonic::Response<tonic::Streaming<Answered>>, Status>,
    messages: &mut Vec<String>,
) -> Result<(), Status> {
    let mut answers = answers?.into_inner();
    while let Some(answer) = answers.message().await? {
        messages.push(answer.message);
    }
    Ok(())
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/cloudstate.tck.model.action.{name}"),
        value: message.encode_to_vec(),
    }
}

/// A request that can be told from others.
fn asked(what: &str) -> Asked {
    let reply = ReplyStep {
        message: what.to_owned(),
    };
    Asked {
        groups: vec![ProcessGroup {
            steps: vec![ProcessStep {
                step: Some(process_step::Step::Reply(reply)),
            }],
        }],
    }
}

fn answered(message: &str) -> Any {
    let message = message.to_owned();
    any("Response", &Answered { message })
}

fn response(member: Member) -> ActionResponse {
    ActionResponse {
        response: Some(member),
        side_effects: Vec::new(),
    }
}

fn reply(message: &str) -> ActionResponse {
    response(Member::Reply(Reply {
        payload: Some(answered(message)),
        metadata: None,
    }))
}

fn failure(description: &str) -> ActionResponse {
    response(Member::Failure(Failure {
        description: description.to_owned(),
        ..Failure::default()
    }))
}

fn other(id: &str) -> Any {
    any("OtherRequest", &OtherRequest { id: id.to_owned() })
}

fn forward_to(service: &str, command: &str, payload: Any) -> ActionResponse {
    response(Member::Forward(forward(service, command, payload)))
}

fn forward(service: &str, command: &str, payload: Any) -> ForwardTo {
    ForwardTo {
        service_name: service.to_owned(),
        command_name: command.to_owned(),
        payload: Some(payload),
        metadata: None,
    }
}

/// What an action gets from an entity.
pub fn forward_to_two(id: &str) -> ForwardTo {
    forward(TWO, "Call", other(id))
}

/// A side effect on the other action.
pub fn effect_on_two(id: &str, synchronous: bool) -> SideEffect {
    SideEffect {
        service_name: TWO.to_owned(),
        command_name: "Call".to_owned(),
        payload: Some(other(id)),
        synchronous,
        metadata: None,
    }
}

#[track_caller]
fn assert_named(command: &ActionCommand, name: &str) {
    assert_eq!(command.service_name, MODEL);
    assert_eq!(command.name, name);
}

#[track_caller]
fn assert_request(command: &ActionCommand, what: &str) {
    assert_eq!(command.payload, Some(any("Request", &asked(what))));
}

/// A further request: nothing but the payload.
#[track_caller]
fn assert_further(command: &ActionCommand, what: &str) {
    let payload = Some(any("Request", &asked(what)));
    let only = ActionCommand {
        payload,
        ..ActionCommand::default()
    };
    assert_eq!(command, &only);
}

#[tokio::test]
async fn a_unary_call_is_one_request_and_one_reply() {
    let mut actor = Actor::start().await;
    let client = actor.call(Kind::Unary, stream::iter([asked("a")]));
    let mut call = actor.calls.next_of(Kind::Unary).await;
    let command = call.request().await.unwrap();
    assert_named(&command, "ProcessUnary");
    assert_request(&command, "a");
    call.answer(reply("one")).await;
    client.await.unwrap().assert(&["one"], Code::Ok, "");
    assert!(actor.function.seen().reports.is_empty());
}

#[tokio::test]
async fn streamed_in_requests_follow_their_name_and_one_reply_follows_them() {
    let mut actor = Actor::start().await;
    let (requests, sent) = mpsc::channel(1);
    let client = actor.call(Kind::In, ReceiverStream::new(sent));
    let mut call = actor.calls.next_of(Kind::In).await;
    // Before the client has said anything.
    let first = call.request().await.unwrap();
    assert_named(&first, "ProcessStreamedIn");
    assert_eq!(first.payload, None);
    for what in ["a", "b"] {
        requests.send(asked(what)).await.unwrap();
        assert_further(&call.request().await.unwrap(), what);
    }
    drop(requests);
    assert_eq!(call.request().await, None);
    call.answer(reply("one")).await;
    client.await.unwrap().assert(&["one"], Code::Ok, "");
}

#[tokio::test]
async fn streamed_out_answers_arrive_one_by_one() {
    let mut actor = Actor::start().await;
    let mut client = actor.client();
    let client = tokio::spawn(async move { client.process_streamed_out(asked("a")).await });
    let mut call = actor.calls.next_of(Kind::Out).await;
    let command = call.request().await.unwrap();
    assert_named(&command, "ProcessStreamedOut");
    assert_request(&command, "a");
    call.answer(reply("one")).await;
    let mut answers = soon(client).await.unwrap().unwrap().into_inner();
    for (message, next) in [("one", "two"), ("two", "three")] {
        let answer = soon(answers.message()).await.unwrap();
        assert_eq!(answer.unwrap().message, message);
        call.answer(reply(next)).await;
    }
    drop(call);
    assert_eq!(answers.message().await.unwrap().unwrap().message, "three");
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn both_sides_stream_in_any_order_and_each_ends_its_own() {
    let mut actor = Actor::start().await;
    let (requests, sent) = mpsc::channel(1);
    let client = actor.call(Kind::Both, ReceiverStream::new(sent));
    let mut call = actor.calls.next_of(Kind::Both).await;
    let first = call.request().await.unwrap();
    assert_named(&first, "ProcessStreamed");
    assert_eq!(first.payload, None);
    // Nothing was asked yet.
    call.answer(reply("zero")).await;
    for what in ["a", "b"] {
        requests.send(asked(what)).await.unwrap();
        assert_further(&call.request().await.unwrap(), what);
        call.answer(reply(what)).await;
    }
    drop(requests);
    assert_eq!(call.request().await, None);
    call.answer(reply("more")).await;
    drop(call);
    let got = client.await.unwrap();
    got.assert(&["zero", "a", "b", "more"], Code::Ok, "");
}

#[tokio::test]
async fn streams_without_messages_are_answered() {
    let mut actor = Actor::start().await;
    for kind in [Kind::In, Kind::Both] {
        let client = actor.call(kind, stream::empty());
        let mut call = actor.calls.next_of(kind).await;
        assert!(call.request().await.is_some());
        assert_eq!(call.request().await, None);
        call.answer(reply("none")).await;
        drop(call);
        client.await.unwrap().assert(&["none"], Code::Ok, "");
    }
    for kind in [Kind::Out, Kind::Both] {
        let client = actor.call(kind, stream::iter([asked("a")]));
        drop(actor.calls.next_of(kind).await);
        client.await.unwrap().assert(&[], Code::Ok, "");
    }
}

#[tokio::test]
async fn a_response_without_a_reply_is_skipped_and_no_reply_at_all_is_no_success() {
    let mut actor = Actor::start().await;
    for kind in Kind::ALL {
        let client = actor.call(kind, stream::iter([asked("a")]));
        let call = actor.calls.next_of(kind).await;
        call.answer(ActionResponse::default()).await;
        if matches!(kind, Kind::Out | Kind::Both) {
            call.answer(reply("one")).await;
            drop(call);
            client.await.unwrap().assert(&["one"], Code::Ok, "");
        } else {
            assert_ne!(client.await.unwrap().status.code(), Code::Ok);
        }
    }
}

#[tokio::test]
async fn a_failure_ends_the_call_and_drops_what_follows() {
    let mut actor = Actor::start().await;
    for kind in Kind::ALL {
        let client = actor.call(kind, stream::iter([asked("a")]).chain(stream::pending()));
        let call = actor.calls.next_of(kind).await;
        let mut before: &[&str] = &[];
        if matches!(kind, Kind::Out | Kind::Both) {
            call.answer(reply("one")).await;
            before = &["one"];
        }
        call.answer(failure("refused")).await;
        if !before.is_empty() {
            // As many as it likes: at some time the call is over.
            soon(async { while call.try_answer(reply("late")).await {} }).await;
        }
        call.cancelled().await;
        let got = soon(client).await.unwrap();
        got.assert(before, Code::Unknown, "refused");
    }
}

#[tokio::test]
async fn the_functions_status_is_the_clients() {
    let mut actor = Actor::start().await;
    for kind in Kind::ALL {
        // The client hasn't ended its side, and needn't.
        let client = actor.call(kind, stream::iter([asked("a")]).chain(stream::pending()));
        let call = actor.calls.next_of(kind).await;
        let mut before: &[&str] = &[];
        if matches!(kind, Kind::Out | Kind::Both) {
            call.answer(reply("one")).await;
            before = &["one"];
        }
        call.end(Status::not_found("gone, 100 % of it: ü")).await;
        let got = soon(client).await.unwrap();
        got.assert(before, Code::NotFound, "gone, 100 % of it: ü");
    }
}

#[tokio::test]
async fn a_client_whose_call_is_over_is_told_to_send_no_more() {
    let mut actor = Actor::start().await;
    for kind in [Kind::In, Kind::Both] {
        let (requests, sent) = mpsc::channel(1);
        let client = actor.call(kind, ReceiverStream::new(sent));
        let mut call = actor.calls.next_of(kind).await;
        requests.send(asked("a")).await.unwrap();
        assert!(call.request().await.is_some());
        call.answer(reply("enough")).await;
        drop(call);
        let got = soon(client).await.unwrap();
        got.assert(&["enough"], Code::Ok, "");
        soon(requests.closed()).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_functions_call() {
    let mut actor = Actor::start().await;
    for kind in Kind::ALL {
        let client = actor.call(kind, stream::iter([asked("a")]).chain(stream::pending()));
        let call = actor.calls.next_of(kind).await;
        client.abort();
        call.cancelled().await;
    }
    // With an answer that it has, too.
    for kind in [Kind::Out, Kind::Both] {
        let mut client = actor.client();
        let (requests, sent) = mpsc::channel(1);
        let open = async {
            match kind {
                Kind::Out => client.process_streamed_out(asked("a")).await,
                _ => client.process_streamed(ReceiverStream::new(sent)).await,
            }
        };
        let taken = async {
            let call = actor.calls.next_of(kind).await;
            call.answer(reply("one")).await;
            call
        };
        let (answers, call) = soon(async { tokio::join!(open, taken) }).await;
        let mut answers = answers.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        // The client's library cancels a call when it has neither end of it.
        drop((answers, requests));
        call.cancelled().await;
    }
}

#[tokio::test]
async fn a_function_that_is_gone_is_unavailable() {
    let mut actor = Actor::start().await;
    let mut clients = Vec::new();
    for kind in Kind::ALL {
        let client = actor.call(kind, stream::iter([asked("a")]).chain(stream::pending()));
        // They are held until the connection is gone.
        clients.push((client, actor.calls.next_of(kind).await));
    }
    actor.function.kill();
    for (client, _call) in clients {
        let got = soon(client).await.unwrap();
        assert_eq!(got.status.code(), Code::Unavailable, "{}", got.status);
    }
}

/// The client's side of a call, without what gRPC libraries add to a deadline: whether there was a message, and the
/// status.
async fn call_until(actor: &SocketAddr, path: &str, timeout: &str) -> (bool, Code) {
    let socket = tokio::net::TcpStream::connect(actor).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{actor}/{MODEL}/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    // One empty message; streams stay open for more.
    let ends = !matches!(path, "ProcessStreamedIn" | "ProcessStreamed");
    body.send_data(Bytes::from_static(&[0; 5]), ends).unwrap();
    let response = soon(response).await.unwrap();
    if let Some(status) = Status::from_header_map(response.headers()) {
        return (false, status.code());
    }
    let mut body = response.into_body();
    let mut some = false;
    while let Some(data) = soon(body.data()).await {
        some |= !data.unwrap().is_empty();
    }
    let trailers = body.trailers().await.unwrap().unwrap();
    (some, Status::from_header_map(&trailers).unwrap().code())
}

#[tokio::test]
async fn a_deadline_ends_both_calls() {
    let mut actor = Actor::start().await;
    for (kind, path) in [
        (Kind::Unary, "ProcessUnary"),
        (Kind::In, "ProcessStreamedIn"),
        (Kind::Out, "ProcessStreamedOut"),
        (Kind::Both, "ProcessStreamed"),
    ] {
        let address = actor.proxy.address;
        let client = tokio::spawn(async move { call_until(&address, path, "200m").await });
        let call = actor.calls.next_of(kind).await;
        assert_eq!(call.headers.get("grpc-timeout").unwrap(), "200m");
        let streams = matches!(kind, Kind::Out | Kind::Both);
        if streams {
            call.answer(reply("one")).await;
        }
        call.cancelled().await;
        let (some, code) = client.await.unwrap();
        assert_eq!((some, code), (streams, Code::DeadlineExceeded), "{kind:?}");
    }
    assert!(actor.function.seen().reports.is_empty());
}

/// The user function keeps the deadline too, and may say so first: the client hears of its deadline all the same.
#[tokio::test]
async fn a_deadline_is_the_clients_whoever_notices_first() {
    let actor = Actor::start().await;
    let address = actor.proxy.address;
    let calls = (0..200).map(|n| {
        let timeout = format!("{}u", 50_000 + 97 * n);
        async move { call_until(&address, "ProcessUnary", &timeout).await }
    });
    for (_, code) in soon(futures_util::future::join_all(calls)).await {
        assert_eq!(code, Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn metadata_travels_with_the_first_message_of_each_side() {
    let mut actor = Actor::start().await;
    for kind in Kind::ALL {
        let mut client = actor.client();
        let client = tokio::spawn(async move { headers_of(&mut client, kind).await });
        let mut call = actor.calls.next_of(kind).await;
        let command = call.request().await.unwrap();
        let entries = command.metadata.unwrap().entries;
        let of = |name| entries.iter().filter(move |entry| entry.key == name);
        let values = |name| {
            of(name)
                .map(|e| e.value.clone().unwrap())
                .collect::<Vec<_>>()
        };
        let text = |value: &str| Value::StringValue(value.to_owned());
        assert_eq!(values("x-asked"), [text("1"), text("2")]);
        assert_eq!(values("x-data-bin"), [Value::BytesValue(vec![0, 255])]);
        for name in ["te", "content-type", "user-agent", "grpc-timeout"] {
            assert_eq!(of(name).count(), 0, "{name}");
        }
        call.answer(told("first")).await;
        if matches!(kind, Kind::Out | Kind::Both) {
            call.answer(told("second")).await;
        }
        drop(call);
        let headers = soon(client).await.unwrap();
        let values = headers.get_all("x-told").iter().collect::<Vec<_>>();
        assert_eq!(values, ["first"], "{kind:?}");
    }
}

/// A reply with metadata.
fn told(value: &str) -> ActionResponse {
    let entry = MetadataEntry {
        key: "X-Told".to_owned(),
        value: Some(Value::StringValue(value.to_owned())),
    };
    response(Member::Reply(Reply {
        payload: Some(answered("one")),
        metadata: Some(Metadata {
            entries: vec![entry],
        }),
    }))
}

/// Calls with metadata; the headers of the response.
async fn headers_of(
    client: &mut ActionTckModelClient<Channel>,
    kind: Kind,
) -> tonic::metadata::MetadataMap {
    fn with_metadata<T>(message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.append("x-asked", "1".parse().unwrap());
        metadata.append("x-asked", "2".parse().unwrap());
        metadata.append_bin("x-data-bin", MetadataValue::from_bytes(&[0, 255]));
        request
    }
    let one = || with_metadata(asked("a"));
    let many = || with_metadata(stream::iter([asked("a")]));
    match kind {
        Kind::Unary => client
            .process_unary(one())
            .await
            .unwrap()
            .metadata()
            .clone(),
        Kind::In => {
            let answer = client.process_streamed_in(many()).await;
            answer.unwrap().metadata().clone()
        }
        Kind::Out => {
            let answers = client.process_streamed_out(one()).await;
            answers.unwrap().metadata().clone()
        }
        Kind::Both => {
            let answers = client.process_streamed(many()).await;
            answers.unwrap().metadata().clone()
        }
    }
}

#[tokio::test]
async fn forwards_and_effects_happen_at_their_place_in_a_stream() {
    let mut actor = Actor::start().await;
    let client = actor.call(Kind::Both, stream::iter([asked("a")]));
    let call = actor.calls.next_of(Kind::Both).await;
    let calls = &mut actor.calls;
    call.answer(ActionResponse {
        side_effects: vec![effect_on_two("effect", true)],
        ..reply("one")
    })
    .await;
    // An action, a streamed one, and an entity: their answers take the place of the element.
    call.answer(forward_to(TWO, "Call", other("forward"))).await;
    let mut effect = calls.next_of(Kind::Unary).await;
    assert_eq!(
        effect.request().await.unwrap().payload,
        Some(other("effect"))
    );
    // It is awaited: nothing of what follows has happened.
    assert!(calls.is_empty() && !client.is_finished());
    effect.answer(reply("discarded")).await;
    let mut target = calls.next_of(Kind::Unary).await;
    let command = target.request().await.unwrap();
    assert_eq!(command.service_name, TWO);
    assert_eq!(command.payload, Some(other("forward")));
    target.answer(reply("two")).await;
    let streamed = any("Request", &asked("streamed"));
    call.answer(forward_to(MODEL, "ProcessStreamedOut", streamed))
        .await;
    let target = calls.next_of(Kind::Out).await;
    for message in ["three", "four"] {
        target.answer(reply(message)).await;
    }
    drop(target);
    let to_entity = Any {
        type_url: "type.googleapis.com/cloudstate.tck.model.Request".to_owned(),
        value: request("entity", vec![emit("five")]).encode_to_vec(),
    };
    call.answer(forward_to(EVENT_SOURCED_TWO, "Call", to_entity))
        .await;
    call.answer(reply("six")).await;
    drop(call);
    let got = soon(client).await.unwrap();
    got.assert(
        &["one", "two", "three", "four", "five", "six"],
        Code::Ok,
        "",
    );
    assert!(actor.function.seen().reports.is_empty());
}

#[tokio::test]
async fn an_entity_forwards_to_an_action_after_its_effect_on_one() {
    let mut actor = Actor::start().await;
    let client = actor.proxy.process("a", vec![fail("!through-actions")]);
    let calls = &mut actor.calls;
    let function = async {
        for (id, answer) in [("effect", failure("no matter")), ("forward", reply("two"))] {
            let mut call = calls.next_of(Kind::Unary).await;
            let command = call.request().await.unwrap();
            assert_eq!((&*command.service_name, &*command.name), (TWO, "Call"));
            assert_eq!(command.payload, Some(other(id)));
            assert_eq!(command.metadata, None);
            assert!(calls.is_empty());
            call.answer(answer).await;
        }
    };
    let (got, ()) = soon(async { tokio::join!(client, function) }).await;
    assert_eq!(got.unwrap(), "two");
}

#[tokio::test]
async fn a_forward_to_many_answers_is_refused_where_one_is_expected() {
    let mut actor = Actor::start().await;
    let client = actor.call(Kind::Unary, stream::iter([asked("a")]));
    let call = actor.calls.next_of(Kind::Unary).await;
    let streamed = any("Request", &asked("streamed"));
    call.answer(forward_to(MODEL, "ProcessStreamedOut", streamed))
        .await;
    let got = soon(client).await.unwrap();
    assert_ne!(got.status.code(), Code::Ok);
    let seen = actor.function.until(|seen| seen.reports.len() == 1).await;
    assert!(
        seen.reports[0].contains("ProcessStreamedOut"),
        "{}",
        seen.reports[0]
    );
}

#[tokio::test]
async fn actions_that_forward_in_a_circle_come_to_an_end() {
    let mut actor = Actor::start_with(|config| config.hop_limit = 8).await;
    for kind in [Kind::Unary, Kind::Both] {
        let client = actor.call(kind, stream::iter([asked("a")]));
        let first = actor.calls.next_of(kind).await;
        first.answer(forward_to(TWO, "Call", other("a"))).await;
        for _ in 0..8 {
            let call = actor.calls.next_of(Kind::Unary).await;
            call.answer(forward_to(TWO, "Call", other("a"))).await;
        }
        let got = soon(client).await.unwrap();
        assert_eq!(got.status.code(), Code::Unknown, "{}", got.status);
        assert!(actor.calls.is_empty());
    }
    let seen = actor.function.until(|seen| seen.reports.len() == 2).await;
    let way = format!("{MODEL}/ProcessUnary -> {TWO}/Call -> ");
    assert!(seen.reports[0].contains(&way), "{}", seen.reports[0]);
}

/// How many bytes a message of the next test has.
const LARGE: usize = 64 << 10;
/// More of them than windows, and messages on their way, amount to; far fewer than there are to send.
const STALLED: usize = 80;
const ALL: usize = 200;

/// Many calls through the same proxy: whoever could write more has had the time for it.
async fn fence(actor: &mut Actor) {
    for _ in 0..100 {
        let client = actor.call(Kind::Unary, stream::iter([asked("fence")]));
        let call = actor.calls.next_of(Kind::Unary).await;
        call.answer(reply("fence")).await;
        soon(client).await.unwrap();
    }
}

/// Nothing is taken faster than the other side reads, however long that takes, and nothing is lost by it.
#[tokio::test]
async fn a_slow_reader_stops_the_writer_and_then_gets_everything() {
    let mut actor = Actor::start().await;
    let large = "x".repeat(LARGE);
    let (requests, sent) = mpsc::channel(1);
    let mut client = actor.client();
    let client =
        tokio::spawn(async move { client.process_streamed(ReceiverStream::new(sent)).await });
    let mut call = actor.calls.next_of(Kind::Both).await;
    assert!(call.request().await.is_some());
    call.answer(reply("0")).await;
    let mut answers = soon(client).await.unwrap().unwrap().into_inner();

    // Nobody reads on either side.
    let (asking, answering) = (Counter::default(), Counter::default());
    let (asks, count) = (asked(&large), asking.clone());
    let asks = tokio::spawn(async move {
        for _ in 0..ALL {
            requests.send(asks.clone()).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (answer, count) = (reply(&large), answering.clone());
    let (writer, mut reader) = call.split();
    let writes = tokio::spawn(async move {
        for _ in 0..ALL {
            writer.send(Ok(answer.clone())).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    fence(&mut actor).await;
    for count in [&asking, &answering] {
        let count = count.load(Ordering::Relaxed);
        assert!(0 < count && count < STALLED, "{count} messages were sent");
    }

    // One side reads, and the other stays where it was.
    let mut got = 0;
    while soon(reader.next()).await.is_some() {
        got += 1;
    }
    assert_eq!(got, ALL);
    asks.await.unwrap();
    assert!(answering.load(Ordering::Relaxed) < STALLED);
    got = 0;
    while soon(answers.message()).await.unwrap().is_some() {
        got += 1;
    }
    assert_eq!(got, 1 + ALL);
    writes.await.unwrap();
}
