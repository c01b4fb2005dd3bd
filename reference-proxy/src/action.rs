//! Actions: calls without state, one call of the user function for each.
//!
//! An [`Exchange`] is such a call: requests go out as they come, and [`Exchange::next`] takes one
//! response after the other, carries out its side effects, and gives what it comes to. Nothing is
//! read before it can be passed on, so that a slow reader slows the writer; to drop the exchange
//! cancels the call.

use std::sync::Arc;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use futures_util::future::Fuse;
use futures_util::{FutureExt, Stream, StreamExt};
use http::HeaderValue;
use prost::{Message, Oneof};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::catalog::Method;
use crate::function::call::{End, Incoming, Receiver, Sender};
use crate::router::{Answer, Origin, Response, Router};
use crate::trace::Trace;
use crate::violation::{Remark, Violation};
use crate::wire::{self, Action, Forward, Payload, SideEffect};

/// How many requests that are there already go on together.
const TOGETHER: usize = 64;

/// `cloudstate.action.ActionResponse`.
#[derive(Clone, PartialEq, Message)]
struct ActionResponse {
    #[prost(oneof = "Member", tags = "1, 2, 3")]
    response: Option<Member>,
    #[prost(message, repeated, tag = "4")]
    side_effects: Vec<SideEffect>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Member {
    #[prost(message, tag = "1")]
    Failure(Failure),
    #[prost(message, tag = "2")]
    Reply(wire::Reply),
    #[prost(message, tag = "3")]
    Forward(Forward),
}

/// What is asked of an action.
pub struct Request {
    /// What is called.
    pub method: Arc<Method>,
    /// A `cloudstate.Metadata`.
    pub metadata: Option<Bytes>,
    /// How it came to this.
    pub trace: Trace,
    /// The client's `grpc-timeout`.
    pub timeout: Option<HeaderValue>,
}

/// A call of the user function.
pub struct Exchange {
    router: Arc<Router>,
    origin: Origin,
    receiver: Receiver,
    /// Why the requests broke off.
    broken: Fuse<oneshot::Receiver<Status>>,
    /// What the target of a forward answers, while it does.
    forwarded: Option<Box<Exchange>>,
    _requests: Option<AbortOnDropHandle<()>>,
}

impl Exchange {
    /// A call with one request.
    pub async fn of_one(
        router: &Arc<Router>,
        request: Request,
        payload: Payload,
    ) -> Result<Self, Status> {
        let (mut sender, receiver) = open(router, &request).await?;
        // Where sending fails the receiver knows why.
        // spec: actions.one-command, effects.streamed-target
        let _ = if request.method.streams.input {
            match sender.send(named(&request, None)).await {
                Ok(()) => sender.send(wire::action_request(&payload)).await,
                closed => closed,
            }
        } else {
            sender.send(named(&request, Some(&payload))).await
        };
        sender.half_close();
        Ok(Self::new(
            router,
            request,
            receiver,
            None,
            oneshot::channel().1,
        ))
    }

    /// A call with a stream of requests.
    pub async fn of_stream(
        router: &Arc<Router>,
        request: Request,
        requests: impl Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
    ) -> Result<Self, Status> {
        let (sender, receiver) = open(router, &request).await?;
        // spec: actions.named-at-once, actions.first-without-payload
        let first = named(&request, None);
        let type_url = Bytes::from(request.method.input.clone());
        let (fail, broken) = oneshot::channel();
        let pass = pass_on(sender, first, type_url, requests, fail);
        // In a task of its own: requests go on while a response waits for its reader.
        let requests = AbortOnDropHandle::new(tokio::spawn(pass));
        Ok(Self::new(router, request, receiver, Some(requests), broken))
    }

    fn new(
        router: &Arc<Router>,
        request: Request,
        receiver: Receiver,
        requests: Option<AbortOnDropHandle<()>>,
        broken: oneshot::Receiver<Status>,
    ) -> Self {
        Self {
            router: Arc::clone(router),
            origin: Origin {
                method: request.method,
                entity: None,
                trace: request.trace,
            },
            receiver,
            broken: broken.fuse(),
            forwarded: None,
            _requests: requests,
        }
    }

    /// What the next response comes to; nothing when the call has ended well.
    pub async fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some(forwarded) = &mut self.forwarded {
                match Box::pin(forwarded.next()).await {
                    Some(answer) => return Some(answer),
                    None => self.forwarded = None,
                }
            }
            let response = match self.receive().await? {
                Ok(response) => response,
                Err(status) => return Some(Err(status)),
            };
            // spec: actions.empty-element-skipped
            if let Some(answer) = self.carry_out(response).await {
                return Some(answer);
            }
        }
    }

    /// The answer of a call that has one.
    pub async fn one(mut self) -> Answer {
        // spec: actions.no-reply-status
        let none = || Status::unknown("the action gave no reply");
        let answer = match self.receive().await {
            Some(response) => self.carry_out(response?).await,
            None => None,
        };
        let answer = answer.unwrap_or_else(|| Err(none()));
        match self.receive().await {
            None => answer,
            Some(Err(status)) => answer.and(Err(status)),
            Some(Ok(_)) => {
                self.report(&Violation::SecondResponse);
                answer
            }
        }
    }

    /// Everything up to the end, for nobody.
    pub async fn drain(mut self) -> Answer {
        while let Some(answer) = self.next().await {
            answer?;
        }
        Ok(Response::default())
    }

    async fn receive(&mut self) -> Option<Result<ActionResponse, Status>> {
        let incoming = tokio::select! {
            biased;
            Ok(status) = &mut self.broken => return Some(Err(status)),
            incoming = self.receiver.next() => incoming,
        };
        match incoming {
            Incoming::Message(message) => Some(ActionResponse::decode(message).map_err(|error| {
                // spec: actions.malformed-response
                self.report(&Violation::Undecodable(error.to_string()));
                Status::unknown("the user function's response can't be read")
            })),
            Incoming::End(end) if end.is_ok() => None,
            Incoming::End(end) => Some(Err(self.status_of(end))),
        }
    }

    fn status_of(&self, end: End) -> Status {
        match end {
            // spec: actions.status-passed-on
            End::Status(status) => Status::new(status.code(), status.message()),
            // spec: actions.lost-call
            End::Reset(reason) => {
                Status::unknown(format!("the user function reset the call: {reason}"))
            }
            End::ConnectionLost(_) => {
                Status::unavailable("the connection to the user function was lost")
            }
            End::Garbage(garbage) => {
                self.report(&Violation::NotGrpc(garbage));
                Status::unknown("the user function's response can't be read")
            }
        }
    }

    /// Runs the side effects, then says what the client gets.
    async fn carry_out(&mut self, response: ActionResponse) -> Option<Answer> {
        self.router
            .run_effects(response.side_effects, &self.origin)
            .await;
        Some(match response.response? {
            Member::Reply(reply) => Ok(Response::of(reply)),
            // spec: actions.failure-ends-call
            Member::Failure(failure) => Err(Status::unknown(failure.description)),
            Member::Forward(forward) => return self.forward(forward).await,
        })
    }

    /// The target of a forward answers, one message or many.
    async fn forward(&mut self, forward: Forward) -> Option<Answer> {
        let streams = self.origin.method.streams.output;
        let target = match self.router.target(&forward, &self.origin) {
            Ok(target) if streams && target.streams.output => target,
            Ok(_) => {
                let action = Action::Forward(forward);
                return Some(self.router.conclude(action, &self.origin).await);
            }
            Err(status) => return Some(Err(status)),
        };
        let request = Request {
            method: target,
            metadata: forward.metadata,
            trace: self.origin.trace.after(&self.origin.method),
            timeout: None,
        };
        let payload = forward.payload.unwrap_or_default();
        match Box::pin(Self::of_one(&self.router, request, payload)).await {
            Ok(exchange) => {
                self.forwarded = Some(Box::new(exchange));
                None
            }
            Err(status) => Some(Err(status)),
        }
    }

    fn report(&self, violation: &Violation) {
        self.router.report(violation, &self.origin);
    }
}

async fn open(router: &Arc<Router>, request: &Request) -> Result<(Sender, Receiver), Status> {
    // spec: actions.call-kind
    let path = request.method.streams.path();
    let timeout = request.timeout.as_ref();
    let call = router.function.open_with(path, timeout).await;
    let call = call.map_err(|unreachable| Status::unavailable(unreachable.to_string()))?;
    Ok(call.split())
}

/// The first message of a call.
fn named(request: &Request, payload: Option<&Payload>) -> crate::function::call::Frame {
    // spec: actions.first-names-command
    wire::ActionCommand {
        service: &request.method.entity.service_name,
        name: &request.method.name,
        payload,
        metadata: request.metadata.as_ref(),
    }
    .frame()
}

/// Passes requests on as they come and as the user function takes them.
async fn pass_on(
    mut sender: Sender,
    first: crate::function::call::Frame,
    type_url: Bytes,
    requests: impl Stream<Item = Result<Bytes, Status>> + Unpin,
    broken: oneshot::Sender<Status>,
) {
    if sender.send(first).await.is_err() {
        return;
    }
    let mut requests = requests.ready_chunks(TOGETHER);
    while let Some(ready) = requests.next().await {
        let mut failed = None;
        let frames = ready.into_iter().map_while(|request| match request {
            Ok(value) => {
                let type_url = type_url.clone();
                Some(wire::action_request(&Payload { type_url, value }))
            }
            Err(status) => {
                failed = Some(status);
                None
            }
        });
        // spec: actions.requests-passed-on, actions.backpressure
        if sender.send_all(frames).await.is_err() {
            return;
        }
        if let Some(status) = failed {
            // Nobody listens where the call is over already.
            let _ = broken.send(status);
            return;
        }
    }
    // spec: actions.half-close-passed-on
    sender.half_close();
}

/// The answer of a forward or side effect whose target is an action.
pub async fn answer(
    router: &Arc<Router>,
    request: Request,
    payload: Payload,
    discard: bool,
) -> Answer {
    let streams = request.method.streams.output;
    if streams && !discard {
        // spec: effects.streamed-forward-refused
        return Err(Status::unknown(
            "a method with one answer was forwarded to one that streams",
        ));
    }
    let exchange = Exchange::of_one(router, request, payload).await?;
    match streams {
        true => exchange.drain().await,
        false => exchange.one().await,
    }
}

/// What is said about a forward that can't answer.
pub fn many_for_one(target: &Method) -> Remark {
    Remark::ManyForOne {
        service: target.entity.service_name.to_string(),
        command: target.name.clone(),
    }
}
