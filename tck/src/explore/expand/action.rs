//! (3) Calls of actions as steps: unary ones as those of entities, streamed ones line by line.

use super::{Chart, HERE, step};
use crate::explore::generate::action::{Call, Input, Request};
use crate::model::oracle;
use crate::protocol::Kind;
use crate::protocol::Reply;
use crate::scenario::{Step, StepKind, Stream, StreamLine};
use crate::yaml::Node;
use prost_types::Any;

impl Chart {
    pub(super) fn actions(&mut self, inputs: &[Input]) -> Vec<Step> {
        inputs
            .iter()
            .map(|input| step(self.action(input)))
            .collect()
    }

    fn action(&mut self, input: &Input) -> StepKind {
        match input {
            Input::Process(call) => self.process(call),
            Input::Two(target) => {
                let two = self.models.two;
                let request = Node::map(HERE, [("id", self.target(*target))]);
                let payload = self.payload(two, two.method(), &request);
                let reply =
                    payload.and_then(|payload| oracle::answer(two.name, two.method(), &[payload]));
                self.call(&self.models.call_two(), Some(request), reply, None)
            }
        }
    }

    fn process(&mut self, call: &Call) -> StepKind {
        let requests: Vec<Node> = call.requests.iter().map(|r| self.groups(r)).collect();
        let (model, method) = (self.models.model, call.kind.method());
        let payloads = requests.iter();
        let payloads: Vec<Any> = payloads
            .filter_map(|request| self.payload(model, method, request))
            .collect();
        let reply = || oracle::answer(model.name, method, &payloads);
        let responses = |at: usize| -> Vec<Reply> {
            let payload = payloads.get(at);
            let replies = payload.and_then(|payload| oracle::respond(model.name, method, payload));
            replies.unwrap_or_default()
        };
        match call.kind {
            Kind::Unary => {
                let request = requests.into_iter().next();
                self.call(method, request, reply(), None)
            }
            Kind::StreamedIn => {
                let lines = requests.into_iter().map(asking).collect();
                self.call(method, None, reply(), stream(lines, call))
            }
            Kind::StreamedOut => {
                let lines = responses(0).iter().map(|r| self.answering(r)).collect();
                let request = requests.into_iter().next();
                self.call(method, request, None, stream(lines, call))
            }
            Kind::Streamed => {
                let (mut lines, mut waiting) = (Vec::new(), Vec::new());
                for (at, request) in requests.into_iter().enumerate() {
                    lines.push(asking(request));
                    waiting.extend(responses(at).iter().map(|r| self.answering(r)));
                    if !call.requests[at].overtaken {
                        lines.append(&mut waiting);
                    }
                }
                self.call(method, None, None, stream(lines, call))
            }
        }
    }

    fn groups(&mut self, request: &Request) -> Node {
        let groups = request.groups.iter();
        let groups: Vec<Node> = groups
            .map(|asks| Node::map(HERE, self.asks("steps", asks)))
            .collect();
        let groups = (!groups.is_empty()).then(|| ("groups", Node::list(HERE, groups)));
        Node::map(HERE, groups)
    }

    fn answering(&self, reply: &Reply) -> StreamLine {
        StreamLine {
            span: HERE,
            request: None,
            answer: Some(self.answer(reply)),
            step: None,
        }
    }
}

fn asking(request: Node) -> StreamLine {
    StreamLine {
        span: HERE,
        request: Some(request),
        answer: None,
        step: None,
    }
}

fn stream(lines: Vec<StreamLine>, call: &Call) -> Option<Stream> {
    Some(Stream {
        lines,
        burst: call.burst,
        ends: None,
    })
}
