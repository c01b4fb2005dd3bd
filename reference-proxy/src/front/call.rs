//! A client's call, as every door sees it: found by its path, held to the client's deadline, and
//! answered message by message. What a door speaks is its own affair.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudstate_protocol::cloudstate::Metadata;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::catalog::{Method, Streams};
use crate::command::{Answer, Response};
use crate::router::{Answers, Messages, Request, Router};
use crate::wire::metadata::metadata_of;

/// One call of one method.
pub struct ClientCall {
    router: Arc<Router>,
    method: Arc<Method>,
    /// The client's headers, as `cloudstate.Metadata`.
    metadata: Option<Bytes>,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

/// The answers of a method that gives any number of them.
pub struct StreamedAnswers {
    /// The first one's metadata, which becomes the headers.
    pub metadata: Option<Metadata>,
    /// The messages. To drop them before the end gives up the call.
    pub messages: BoxStream<'static, Result<Bytes, Status>>,
}

impl ClientCall {
    /// The call of the method at this path, `/<service>/<method>`, by a client that waits so long.
    pub fn new(
        router: &Arc<Router>,
        path: &str,
        headers: &HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Self, Status> {
        let catalog = router.catalog().ok_or_else(|| {
            Status::unavailable("the user function has no specification that can be served")
        })?;
        let method = catalog.at(path).ok_or_else(|| {
            // spec: serving.unknown-method
            let reason = format!("{path} isn't served; only methods of announced entities are");
            Status::unimplemented(reason)
        })?;
        Ok(Self {
            router: Arc::clone(router),
            method: Arc::clone(method),
            metadata: metadata_of(headers),
            timeout,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        })
    }

    /// Which sides send any number of messages.
    pub fn streams(&self) -> Streams {
        self.method.streams()
    }

    /// Calls a method that gives one answer.
    pub async fn one(self, messages: Messages) -> Answer {
        let deadline = self.deadline;
        in_time(deadline, async { self.open(messages).await?.one().await }).await
    }

    /// Calls a method that gives any number of answers, and waits for the first.
    pub async fn many(self, messages: Messages) -> Result<StreamedAnswers, Status> {
        let deadline = self.deadline;
        let mut answers = in_time(deadline, self.open(messages)).await?;
        let first = in_time(deadline, async { answers.next().await.transpose() }).await?;
        let Some(Response { payload, metadata }) = first else {
            return Ok(StreamedAnswers {
                metadata: None,
                messages: futures_util::stream::empty().boxed(),
            });
        };
        let first = futures_util::stream::once(std::future::ready(Ok(payload)));
        Ok(StreamedAnswers {
            metadata,
            messages: first.chain(rest(answers, deadline)).boxed(),
        })
    }

    async fn open(self, messages: Messages) -> Result<Answers, Status> {
        let request = Request {
            method: self.method,
            messages,
            metadata: self.metadata,
            timeout: self.timeout,
        };
        self.router.open(request).await
    }
}

/// The answers as they come. They are dropped with the last, which gives up a call that isn't over.
fn rest(
    answers: Answers,
    deadline: Option<Instant>,
) -> impl futures_util::Stream<Item = Result<Bytes, Status>> {
    futures_util::stream::unfold(Some(answers), move |answers| async move {
        let mut answers = answers?;
        let next = async { answers.next().await.transpose() };
        match in_time(deadline, next).await {
            Ok(next) => next.map(|response| (Ok(response.payload), Some(answers))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

/// What is awaited no longer than the client waits.
async fn in_time<T>(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else {
        return answer.await;
    };
    match timeout_at(deadline, answer).await {
        // The user function keeps the deadline too, and may be the first to end the call, with a
        // status of its own.
        Ok(Err(_)) if Instant::now() >= deadline => Err(too_late()),
        Ok(answer) => answer,
        Err(_) => Err(too_late()),
    }
}

fn too_late() -> Status {
    // spec: actions.deadline
    Status::deadline_exceeded("the client's deadline has passed")
}
