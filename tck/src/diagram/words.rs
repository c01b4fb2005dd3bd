//! Requests and answers in words, as a chart's rows have them.

use crate::scenario::message::flow;
use crate::scenario::{Answer, Call};
use crate::text::grouped;
use crate::yaml::{Node, Value};

pub(super) fn named(name: &str, node: Option<&Node>) -> String {
    match node {
        Some(node) => format!("{name} {}", flow(node)),
        None => name.to_owned(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes
        .iter()
        .take(32)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match bytes.len().checked_sub(32) {
        None | Some(0) => format!("bytes {digits}"),
        Some(more) => format!("bytes {digits}… ({} more)", grouped(more)),
    }
}

pub(super) fn request(call: &Call) -> Vec<String> {
    let mut first = named(&call.target, call.request.as_ref());
    for (word, node) in [("on node", &call.node), ("for the entity", &call.id)] {
        if let Some(node) = node {
            first.push_str(&format!(", {word} {}", flow(node)));
        }
    }
    if let Some(alias) = &call.alias {
        first.push_str(&format!(", as {alias}"));
    }
    let mut text = vec![first];
    text.extend(
        call.metadata
            .as_ref()
            .map(|metadata| named("metadata", Some(metadata))),
    );
    text
}

/// An answer, part by part.
pub(super) fn parts(answer: &Answer) -> Vec<String> {
    let mut text = Vec::new();
    let mut part = |name: &str, node: &Option<Node>| {
        if let Some(node) = node {
            text.push(named(name, Some(node)));
        }
    };
    part("reply", &answer.reply);
    part("failure", &answer.failure);
    part("restart", &answer.restart);
    part("metadata", &answer.metadata);
    let is_flag = |node: &Node| matches!(node.value, Value::Bool(_));
    for (key, node) in answer.state.iter().filter(|(_, node)| !is_flag(node)) {
        text.push(named(key, Some(node)));
    }
    if let Some(forward) = &answer.forward {
        text.push(format!("forward to {}", request(forward).join(", ")));
    }
    if answer.nothing {
        text.push("no reply".to_owned());
    }
    for (key, _) in answer.state.iter().filter(|(_, node)| is_flag(node)) {
        text.push((*key).to_owned());
    }
    for effect in &answer.effects {
        let kind = if effect.synchronous {
            "synchronous effect"
        } else {
            "effect"
        };
        text.push(format!("{kind} {}", request(effect).join(", ")));
    }
    if text.is_empty() {
        text.push("what the model answers".to_owned());
    }
    text
}

/// What the client gets for an answer, at the end of its forwards.
pub(super) fn returned(answer: &Answer) -> Option<String> {
    match (&answer.reply, &answer.failure, &answer.forward) {
        (Some(reply), _, _) => Some(flow(reply)),
        (_, Some(failure), _) => Some(format!("failure {}", flow(failure))),
        (_, _, Some(forward)) => match &forward.returns {
            Some(node) => Some(flow(node)),
            None => returned(&forward.answer),
        },
        _ if answer.nothing => Some("nothing".to_owned()),
        _ => None,
    }
}
