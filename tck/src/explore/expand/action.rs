//! (3) Calls of actions as steps: unary ones as those of entities, streamed ones line by line.

use super::{Chart, HERE, call, step};
use crate::explore::generate::action::{ActionInput, CallInput, Request};
use crate::scenario::{Step, StepKind, Stream, StreamLine};
use crate::yaml::Node;

impl Chart {
    pub(super) fn actions(&mut self, inputs: &[ActionInput]) -> Vec<Step> {
        inputs
            .iter()
            .map(|input| step(self.action(input)))
            .collect()
    }

    fn action(&mut self, input: &ActionInput) -> StepKind {
        match input {
            ActionInput::Process(asked) => self.process(asked),
            ActionInput::Two(target) => {
                let request = Node::map(HERE, [("id", self.target(*target))]);
                call(&self.models.call_two(), Some(request), None)
            }
        }
    }

    fn process(&mut self, asked: &CallInput) -> StepKind {
        let kind = asked.kind;
        let mut requests = asked.requests.iter().map(|request| self.groups(request));
        let request = if kind.streams_in() {
            None
        } else {
            requests.next()
        };
        let lines = requests.map(asking).collect();
        let stream = (kind.streams_in() || kind.streams_out()).then(|| Stream {
            lines,
            burst: asked.burst,
            ends: None,
        });
        call(kind.method(), request, stream)
    }

    fn groups(&mut self, request: &Request) -> Node {
        let groups = request.groups.iter();
        let groups: Vec<Node> = groups
            .map(|asks| Node::map(HERE, self.asks("steps", asks)))
            .collect();
        let groups = (!groups.is_empty()).then(|| ("groups", Node::list(HERE, groups)));
        Node::map(HERE, groups)
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

/// Puts the answers to requests that are overtaken behind the next that isn't.
pub(super) fn overtake(chart: &mut [Step], inputs: &[ActionInput]) {
    for (step, input) in chart.iter_mut().zip(inputs) {
        if let (StepKind::Call(call), ActionInput::Process(asked)) = (&mut step.kind, input)
            && let Some(stream) = &mut call.stream
            && asked.kind.streams_in()
        {
            stream.lines = overtaken(std::mem::take(&mut stream.lines), &asked.requests);
        }
    }
}

/// Each request in `lines` is followed by the answers to it.
fn overtaken(lines: Vec<StreamLine>, requests: &[Request]) -> Vec<StreamLine> {
    let mut waits = requests.iter().map(|request| request.overtaken);
    let (mut placed, mut waiting) = (Vec::new(), Vec::new());
    let mut wait = false;
    for line in lines {
        if line.request.is_none() {
            waiting.push(line);
            continue;
        }
        if !wait {
            placed.append(&mut waiting);
        }
        placed.push(line);
        wait = waits.next().unwrap_or_default();
    }
    placed.append(&mut waiting);
    placed
}
