//! The actions of the user function for the tests. It decides nothing: each call goes to the test, which reads its
//! requests and gives its answers by hand.

use cloudstate_protocol::action::action_protocol_server::ActionProtocol;
use cloudstate_protocol::action::{ActionCommand, ActionResponse};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::soon;

/// Which of its calls the user function was called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unary,
    In,
    Out,
    Both,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Unary, Self::In, Self::Out, Self::Both];
}

type Requests = BoxStream<'static, Result<ActionCommand, Status>>;
type Given = Result<ActionResponse, Status>;

/// A call that the proxy has made, in the hands of the test. Dropped, it ends; with OK where that's possible.
pub struct Accepted {
    pub kind: Kind,
    pub headers: MetadataMap,
    requests: Requests,
    answers: mpsc::Sender<Given>,
}

impl Accepted {
    /// The next request; none after the half-close.
    pub async fn request(&mut self) -> Option<ActionCommand> {
        let request = soon(self.requests.next()).await;
        request.map(|request| request.unwrap())
    }

    /// Answers; waits as long as the answer before this hasn't left for the transport.
    pub async fn answer(&self, answer: ActionResponse) {
        self.answers.send(Ok(answer)).await.unwrap();
    }

    /// Whether the answer could be given; it can't be after the call is over.
    pub async fn try_answer(&self, answer: ActionResponse) -> bool {
        self.answers.send(Ok(answer)).await.is_ok()
    }

    /// Ends the call with this status.
    pub async fn end(self, status: Status) {
        self.answers.send(Err(status)).await.unwrap();
    }

    /// Its two sides, each for itself.
    pub fn split(self) -> (mpsc::Sender<Given>, Requests) {
        (self.answers, self.requests)
    }

    /// Waits until the proxy has cancelled the call.
    pub async fn cancelled(&self) {
        soon(self.answers.closed()).await;
    }
}

/// The calls as the proxy makes them.
pub struct Calls(mpsc::UnboundedReceiver<Accepted>);

impl Calls {
    pub async fn next(&mut self) -> Accepted {
        soon(self.0.recv()).await.unwrap()
    }

    /// A call of this kind, which must be the next one.
    pub async fn next_of(&mut self, kind: Kind) -> Accepted {
        let call = self.next().await;
        assert_eq!(call.kind, kind);
        call
    }

    /// Whether there is no call that nobody has taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The service: hands over what it is called with.
#[derive(Clone)]
pub struct Actions(mpsc::UnboundedSender<Accepted>);

impl Actions {
    pub fn new() -> (Self, Calls) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Calls(receiver))
    }

    fn accept(
        &self,
        kind: Kind,
        headers: MetadataMap,
        requests: Requests,
    ) -> Result<mpsc::Receiver<Given>, Status> {
        // One at a time, so that a writer that is stopped notices soon.
        let (answers, given) = mpsc::channel(1);
        let call = Accepted {
            kind,
            headers,
            requests,
            answers,
        };
        let nobody = |_| Status::unimplemented("the test expects no call");
        self.0.send(call).map_err(nobody)?;
        Ok(given)
    }

    fn accept_one(
        &self,
        kind: Kind,
        request: Request<ActionCommand>,
    ) -> Result<mpsc::Receiver<Given>, Status> {
        let (headers, _, command) = request.into_parts();
        let requests = once(std::future::ready(Ok(command))).boxed();
        self.accept(kind, headers, requests)
    }

    fn accept_stream(
        &self,
        kind: Kind,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<mpsc::Receiver<Given>, Status> {
        let (headers, _, commands) = request.into_parts();
        self.accept(kind, headers, commands.boxed())
    }
}

async fn one(mut given: mpsc::Receiver<Given>) -> Result<Response<ActionResponse>, Status> {
    let nothing = || Err(Status::internal("the test gave no answer"));
    given
        .recv()
        .await
        .unwrap_or_else(nothing)
        .map(Response::new)
}

#[tonic::async_trait]
impl ActionProtocol for Actions {
    async fn handle_unary(
        &self,
        request: Request<ActionCommand>,
    ) -> Result<Response<ActionResponse>, Status> {
        one(self.accept_one(Kind::Unary, request)?).await
    }

    async fn handle_streamed_in(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<ActionResponse>, Status> {
        one(self.accept_stream(Kind::In, request)?).await
    }

    type handleStreamedOutStream = ReceiverStream<Given>;

    async fn handle_streamed_out(
        &self,
        request: Request<ActionCommand>,
    ) -> Result<Response<Self::handleStreamedOutStream>, Status> {
        let given = self.accept_one(Kind::Out, request)?;
        Ok(Response::new(ReceiverStream::new(given)))
    }

    type handleStreamedStream = ReceiverStream<Given>;

    async fn handle_streamed(
        &self,
        request: Request<Streaming<ActionCommand>>,
    ) -> Result<Response<Self::handleStreamedStream>, Status> {
        let given = self.accept_stream(Kind::Both, request)?;
        Ok(Response::new(ReceiverStream::new(given)))
    }
}
