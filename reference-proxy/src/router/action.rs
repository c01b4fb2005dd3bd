//! Actions: calls without state, one call of the user function for each.
//!
//! An [`Exchange`] is such a call: requests go out as they come, and [`Exchange::next`] takes one
//! response after the other, carries out its side effects, and gives what it comes to. Nothing is
//! read before it can be passed on, so that a slow reader slows the writer; to drop the exchange
//! cancels the call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use futures_util::future::Fuse;
use futures_util::{FutureExt, Stream, StreamExt};
use prost::{Message, Oneof};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{Messages, Router};
use crate::catalog::Method;
use crate::command::{Answer, Origin, Response};
use crate::function::call::{End, Frame, Incoming, Receiver, Sender};
use crate::trace::Trace;
use crate::violation::Violation;
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
pub struct ActionRequest {
    /// What is called.
    pub method: Arc<Method>,
    /// What is sent.
    pub messages: Messages,
    /// A `cloudstate.Metadata`.
    pub metadata: Option<Bytes>,
    /// How long the client waits.
    pub timeout: Option<Duration>,
    /// How it came to this.
    pub trace: Trace,
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
    /// Calls the user function.
    pub async fn open(router: &Arc<Router>, request: ActionRequest) -> Result<Self, Status> {
        // spec: actions.call-kind
        let path = request.method.streams().path();
        let call = router.function.open_with(path, request.timeout).await;
        let call = call.map_err(|unreachable| Status::unavailable(unreachable.to_string()))?;
        let (sender, receiver) = call.split();
        let head = Head {
            method: request.method,
            metadata: request.metadata,
        };
        let (requests, broken) = match request.messages {
            Messages::One { type_url, value } => {
                let type_url = type_url.unwrap_or_else(|| head.type_url());
                send_one(sender, &head, &Payload { type_url, value }).await;
                (None, oneshot::channel().1)
            }
            Messages::Many(messages) => {
                let (fail, broken) = oneshot::channel();
                let pass = pass_on(sender, head.frame(None), head.type_url(), messages, fail);
                // In a task of its own: requests go on while a response waits for its reader.
                let requests = AbortOnDropHandle::new(tokio::spawn(pass));
                (Some(requests), broken)
            }
        };
        Ok(Self {
            router: Arc::clone(router),
            origin: Origin {
                method: head.method,
                entity: None,
                trace: request.trace,
            },
            receiver,
            broken: broken.fuse(),
            forwarded: None,
            _requests: requests,
        })
    }

    /// The answer of a forward or side effect whose target is an action.
    pub async fn answer(router: &Arc<Router>, request: ActionRequest, discard: bool) -> Answer {
        let streams = request.method.streams().output;
        if streams && !discard {
            // spec: effects.streamed-forward-refused
            return Err(Status::unknown(
                "a method with one answer was forwarded to one that streams",
            ));
        }
        let exchange = Self::open(router, request).await?;
        match streams {
            true => exchange.drain().await,
            false => exchange.one().await,
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
    async fn drain(mut self) -> Answer {
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
            Member::Reply(reply) => Ok(reply.into()),
            // spec: actions.failure-ends-call
            Member::Failure(failure) => Err(Status::unknown(failure.description)),
            Member::Forward(forward) => return self.forward(forward).await,
        })
    }

    /// The target of a forward answers, one message or many.
    async fn forward(&mut self, forward: Forward) -> Option<Answer> {
        let (service, command) = (&forward.service_name, &forward.command_name);
        let streams = self.origin.method.streams().output;
        let target = match self.router.find("forward", service, command, &self.origin) {
            Ok(target) if streams && target.streams().output => target,
            Ok(_) => {
                let action = Action::Forward(forward);
                return Some(self.router.conclude(action, &self.origin).await);
            }
            Err(status) => return Some(Err(status)),
        };
        let request = ActionRequest {
            method: target,
            messages: forward.payload.into(),
            metadata: forward.metadata,
            timeout: None,
            trace: self.origin.trace.after(&self.origin.method),
        };
        match Box::pin(Self::open(&self.router, request)).await {
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

/// What the first message of a call says.
struct Head {
    method: Arc<Method>,
    metadata: Option<Bytes>,
}

impl Head {
    /// The type of the method's requests.
    fn type_url(&self) -> Bytes {
        Bytes::from(self.method.input.clone())
    }

    fn frame(&self, payload: Option<&Payload>) -> Frame {
        // spec: actions.first-names-command
        wire::ActionCommand {
            service: &self.method.entity.service_name,
            name: &self.method.name,
            payload,
            metadata: self.metadata.as_ref(),
        }
        .frame()
    }
}

/// Sends the one request that there is.
async fn send_one(mut sender: Sender, head: &Head, payload: &Payload) {
    // Where sending fails the receiver knows why.
    // spec: actions.one-command, effects.streamed-target
    let _ = if head.method.streams().input {
        match sender.send(head.frame(None)).await {
            Ok(()) => sender.send(wire::action_request(payload)).await,
            closed => closed,
        }
    } else {
        sender.send(head.frame(Some(payload))).await
    };
    sender.half_close();
}

/// Passes requests on as they come and as the user function takes them.
async fn pass_on(
    mut sender: Sender,
    // spec: actions.named-at-once, actions.first-without-payload
    first: Frame,
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
