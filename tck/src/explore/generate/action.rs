//! (3) Random inputs of actions: calls of all four kinds, and how requests and responses of one call mix.

use super::{Ask, TargetId, ask, target};
use crate::protocol::Kind;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

/// A call of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActionInput {
    /// Of the model.
    Process(CallInput),
    /// Of the second action.
    Two(TargetId),
}

/// A call of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallInput {
    /// Which of the four.
    pub kind: Kind,
    /// One, where requests don't stream.
    pub requests: Vec<Request>,
    /// Nobody waits for anybody.
    pub burst: bool,
}

/// A request: groups, each of which is a response where responses stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Request {
    /// What each group asks for.
    pub groups: Vec<Vec<Ask>>,
    /// The next request is sent before the responses to this one have come.
    pub overtaken: bool,
}

/// Calls in one chart, at most.
const CALLS: usize = 4;

/// Requests of one call, at most.
const REQUESTS: usize = 4;

/// Groups in one request, at most.
const GROUPS: usize = 3;

/// Things that one group asks for, at most.
const ASKS: usize = 3;

pub(super) fn inputs() -> impl Strategy<Value = Vec<ActionInput>, Tree: Send + 'static> {
    let input = prop_oneof![
        6 => call().prop_map(ActionInput::Process),
        1 => target().prop_map(ActionInput::Two),
    ];
    vec(input, 1..=CALLS)
}

fn call() -> impl Strategy<Value = CallInput, Tree: Send + 'static> {
    let kind = prop_oneof![
        1 => Just(Kind::Unary),
        1 => Just(Kind::StreamedOut),
        1 => Just(Kind::StreamedIn),
        2 => Just(Kind::Streamed),
    ];
    (kind, vec(request(), 0..=REQUESTS), any::<bool>())
        .prop_map(|(kind, requests, burst)| effective(kind, requests, burst))
}

fn request() -> impl Strategy<Value = Request, Tree: Send + 'static> {
    let groups = vec(vec(ask(), 0..=ASKS), 0..=GROUPS);
    (groups, any::<bool>()).prop_map(|(groups, overtaken)| Request { groups, overtaken })
}

/// The call without what does nothing, so that different calls make different charts.
pub(super) fn effective(kind: Kind, mut requests: Vec<Request>, burst: bool) -> CallInput {
    if !kind.streams_in() {
        requests.truncate(1);
        requests.resize_with(1, Request::default);
    }
    if kind.streams_out() {
        end_with_failure(&mut requests);
    }
    let mut awaited = false;
    let last = requests.len().saturating_sub(1);
    for (index, request) in requests.iter_mut().enumerate() {
        awaited |= kind.streams_out() && !request.groups.is_empty();
        // Responses can only wait where there are some, and a request to come.
        request.overtaken &= awaited && index < last;
        awaited = request.overtaken;
    }
    CallInput {
        kind,
        requests,
        burst: burst && kind != Kind::Unary,
    }
}

/// A response that fails ends its call.
fn end_with_failure(requests: &mut Vec<Request>) {
    for (index, request) in requests.iter_mut().enumerate() {
        if let Some(failing) = request.groups.iter().position(|group| fails(group)) {
            request.groups.truncate(failing + 1);
            requests.truncate(index + 1);
            return;
        }
    }
}

/// What decides last is a failure.
fn fails(group: &[Ask]) -> bool {
    let decides = |ask: &&Ask| !matches!(ask, Ask::Effect(_) | Ask::AsynchronousEffect);
    matches!(group.iter().rev().find(decides), Some(Ask::Fail(_)))
}

#[cfg(test)]
mod tests;
