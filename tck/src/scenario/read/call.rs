//! Calls and what is answered to them.

use super::super::keys::{self, KeyKind};
use super::super::{Answer, Call, Stream, StreamLine, message};
use super::Reader;
use super::kind::{head_span, is_answer, list, misfit, truth};
use crate::protocol::{StateContent, StatePart, state_parts};
use crate::yaml::node::NodeKey;
use crate::yaml::{Node, Value};

impl Reader<'_> {
    pub(super) fn call(&mut self, node: &Node, target: &Node) -> Call {
        let stream = self.stream(node);
        for key in ["burst", "ends"] {
            if let (None, Some(value)) = (&stream, node.get(key)) {
                self.error(
                    value.span,
                    format!("{key} belongs to a stream, and there is none"),
                    None,
                );
            }
        }
        let then = node
            .get("then")
            .filter(|step| misfit(step, KeyKind::Step).is_none());
        Call {
            span: head_span(node),
            target: target.as_text().unwrap_or_default().to_owned(),
            alias: node.get("as").and_then(Node::as_text).map(str::to_owned),
            id: node.get("id").cloned(),
            node: node.get("node").cloned(),
            request: node.get("request").cloned(),
            metadata: node.get("metadata").cloned(),
            during: self.steps(node.get("during")),
            returns: node.get("returns").cloned(),
            replay: node.get("replay").cloned(),
            synchronous: truth(node, "synchronous"),
            answer: self.answer(node),
            stream,
            then: then.and_then(|step| self.step(step)).map(Box::new),
        }
    }

    fn stream(&mut self, node: &Node) -> Option<Stream> {
        let lines = message::items(node.get("stream")?);
        let lines = lines.iter().map(|line| self.line(line)).collect();
        Some(Stream {
            lines,
            burst: truth(node, "burst"),
            ends: node.get("ends").cloned(),
        })
    }

    fn line(&mut self, node: &Node) -> StreamLine {
        let step = keys::LINE_STEPS.iter().any(|key| node.get(key).is_some());
        if step || node.as_text().is_some() {
            return StreamLine {
                span: head_span(node),
                request: None,
                answer: None,
                step: self.step(node).map(Box::new),
            };
        }
        self.keys(node, "a line of a stream", &[keys::LINE, keys::ANSWER]);
        let answer = self.answer(node);
        let request = node.get("request").cloned();
        if request.is_some() != answer.is_unwritten() {
            self.error(
                head_span(node),
                "a line of a stream is a request, an answer or a raw step",
                None,
            );
        }
        StreamLine {
            span: head_span(node),
            request,
            answer: (!answer.is_unwritten()).then_some(answer),
            step: None,
        }
    }

    /// The answer in a map that has other keys too.
    pub(super) fn answer(&mut self, node: &Node) -> Answer {
        let mut parts: Vec<(NodeKey, Node)> = Vec::new();
        let mut unordered = Vec::new();
        self.parts(node, &mut parts);
        for line in list(node.get("unordered")) {
            if is_answer(line) {
                self.keys(line, "a part of an answer", &[keys::ANSWER]);
                self.parts(line, &mut parts);
            } else {
                unordered.extend(self.step(line));
            }
        }
        let node = Node::new(head_span(node), Value::Map(parts));
        let answer = Answer {
            reply: node.get("reply").cloned(),
            forward: node
                .get("forward")
                .and_then(|call| self.nested(call))
                .map(Box::new),
            failure: node.get("failure").cloned(),
            nothing: truth(&node, "nothing"),
            metadata: node.get("reply_metadata").cloned(),
            state: state(&node),
            effects: list(node.get("effects"))
                .iter()
                .filter_map(|call| self.nested(call))
                .collect(),
            restart: node.get("restart").cloned(),
            unordered,
        };
        self.one_thing(&node, &answer);
        answer
    }

    fn parts(&mut self, node: &Node, parts: &mut Vec<(NodeKey, Node)>) {
        for (key, value) in node.entries().unwrap_or_default() {
            if key.text == "unordered" || !keys::ANSWER.iter().any(|doc| doc.key == key.text) {
                continue;
            }
            if parts.iter().any(|(other, _)| other.text == key.text) {
                self.error(
                    key.span,
                    format!("{} stands twice in this answer", key.text),
                    None,
                );
            }
            parts.push((key.clone(), value.clone()));
        }
    }

    fn one_thing(&mut self, node: &Node, answer: &Answer) {
        let given = [
            ("reply", answer.reply.is_some()),
            ("forward", answer.forward.is_some()),
            ("failure", answer.failure.is_some()),
            ("nothing", answer.nothing),
        ];
        let given: Vec<&str> = given
            .iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| *key)
            .collect();
        if given.len() > 1 {
            let text = format!("an answer is one of {}", given.join(" and "));
            self.error(
                node.span,
                text,
                "reply, forward, failure or nothing".to_owned(),
            );
        }
        if let (None, Some(restart)) = (&answer.failure, &answer.restart) {
            self.error(restart.span, "only a failure asks for a restart", None);
        }
    }

    fn nested(&mut self, node: &Node) -> Option<Call> {
        self.keys(
            node,
            "a side effect or forward",
            &[keys::NESTED, keys::ANSWER],
        );
        Some(self.call(node, node.get("call")?))
    }
}

/// What an answer says of the state.
fn state(node: &Node) -> Vec<(&'static str, Node)> {
    let written = |part: StatePart| {
        let value = match part.content {
            StateContent::Flag => {
                truth(node, part.key).then(|| Node::new(node.span, Value::Bool(true)))
            }
            StateContent::Any | StateContent::Anys(_) | StateContent::Message(_) => {
                node.get(part.key).cloned()
            }
        };
        Some((part.key, value?))
    };
    state_parts().into_iter().filter_map(written).collect()
}
