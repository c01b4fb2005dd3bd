//! (3) The four calls of actions. A response is made when it is asked for, and a request read when its responses
//! have gone: nothing piles up in between.

use super::Function;
use crate::model::ModelError;
use crate::model::action::{ActionOutcome, Method};
use crate::protocol::Kind;
use cloudstate_protocol::action::action_protocol_server::ActionProtocol;
use cloudstate_protocol::action::{ActionCommand, ActionResponse};
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use std::future::{Future, ready};
use tonic::{Request, Response, Status, Streaming};

type Responses = BoxStream<'static, Result<ActionResponse, Status>>;

#[tonic::async_trait]
impl ActionProtocol for Function {
    type handleStreamedOutStream = Responses;
    type handleStreamedStream = Responses;

    async fn handle_unary(
        &self,
        request: Request<ActionCommand>,
    ) -> Result<Response<ActionResponse>, Status> {
        let command = request.into_inner();
        let method = named(&command, Kind::Unary)?;
        let mut outcome = ActionOutcome::default();
        combine(method, &mut outcome, command)?;
        Ok(Response::new(outcome.into_response()))
    }

    async fn handle_streamed_in(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<ActionResponse>, Status> {
        let combined = async {
            let (method, mut requests) = opened(request.into_inner(), Kind::StreamedIn).await?;
            let mut outcome = ActionOutcome::default();
            while let Some(command) = requests.message().await? {
                combine(method, &mut outcome, command)?;
            }
            Ok(Response::new(outcome.into_response()))
        };
        self.until_shutdown(combined).await
    }

    async fn handle_streamed_out(
        &self,
        request: Request<ActionCommand>,
    ) -> Result<Response<Responses>, Status> {
        let command = request.into_inner();
        let method = named(&command, Kind::StreamedOut)?;
        let responses = responses(method, command)?;
        Ok(Response::new(self.stream_until_shutdown(responses)))
    }

    async fn handle_streamed(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<Responses>, Status> {
        // The call is open from the start: its headers don't wait for the first command.
        let opened = stream::once(opened(request.into_inner(), Kind::Streamed));
        let answered = opened.map_ok(|(method, requests)| {
            let answer = move |command| ready(responses(method, command));
            requests.and_then(answer).try_flatten()
        });
        let responses = answered.try_flatten();
        Ok(Response::new(self.stream_until_shutdown(responses)))
    }
}

impl Function {
    async fn until_shutdown<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        tokio::select! {
            done = work => done,
            () = self.shutdown.clone() => Err(shut_down()),
        }
    }

    /// A stream that is cut short must not look complete.
    fn stream_until_shutdown(
        &self,
        responses: impl Stream<Item = Result<ActionResponse, Status>> + Send + 'static,
    ) -> Responses {
        let function = self.clone();
        let next = move |mut responses: Responses| {
            let function = function.clone();
            async move {
                let next = function.until_shutdown(responses.try_next()).await?;
                Ok(next.map(|response| (response, responses)))
            }
        };
        stream::try_unfold(responses.boxed(), next).boxed()
    }
}

fn shut_down() -> Status {
    Status::unavailable("the user function shuts down")
}

/// The method that a command names, which has to be one of this call.
fn named(command: &ActionCommand, kind: Kind) -> Result<Method, Status> {
    let method = Method::named(&command.service_name, &command.name).map_err(refused)?;
    if method.kind() != kind {
        return Err(Status::invalid_argument(format!(
            "Protocol error: {}/{} is a method for another of the four calls",
            command.service_name, command.name
        )));
    }
    Ok(method)
}

/// The method of a call that streams requests, and the requests.
async fn opened(
    mut commands: Streaming<ActionCommand>,
    kind: Kind,
) -> Result<(Method, Streaming<ActionCommand>), Status> {
    let Some(first) = commands.message().await? else {
        return Err(Status::invalid_argument(
            "Protocol error: the call ended before it named its method",
        ));
    };
    if first.payload.is_some() {
        return Err(Status::invalid_argument(
            "Protocol error: a request beside the names of service and method",
        ));
    }
    Ok((named(&first, kind)?, commands))
}

fn combine(
    method: Method,
    outcome: &mut ActionOutcome,
    command: ActionCommand,
) -> Result<(), Status> {
    let payload = command.payload.unwrap_or_default();
    method.combine(outcome, &payload).map_err(refused)
}

fn responses(
    method: Method,
    command: ActionCommand,
) -> Result<impl Stream<Item = Result<ActionResponse, Status>> + Send + use<>, Status> {
    let payload = command.payload.unwrap_or_default();
    let outcomes = method.outcomes(&payload).map_err(refused)?;
    Ok(stream::iter(
        outcomes.map(|outcome| Ok(outcome.into_response())),
    ))
}

fn refused(error: ModelError) -> Status {
    Status::invalid_argument(format!("Protocol error: {error}"))
}
