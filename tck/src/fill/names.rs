//! Names in what the model answers: where a name stands for itself, it must be one afterwards too.

use crate::scenario::message::Bindings;
use crate::scenario::{Answer, Call, Scenario};
use crate::yaml::{Node, Value};

/// The names of a scenario, each for its own text: `$id` is `$id`.
pub fn standing_for_themselves(scenario: &Scenario) -> Bindings {
    let names = scenario.ids.iter().map(String::as_str).chain(["id"]);
    names
        .map(|name| (name.to_owned(), format!("${name}")))
        .collect()
}

/// A message has `$name` as a text of its own, so its node is `$$name`.
pub(super) fn restore(answer: &mut Answer, names: &Bindings) {
    let own = |(name, value): (&String, &String)| {
        let is = value.strip_prefix('$') == Some(name.as_str());
        is.then(|| (format!("$${name}"), format!("${name}")))
    };
    let own: Vec<(String, String)> = names.iter().filter_map(own).collect();
    if !own.is_empty() {
        in_answer(answer, &own);
    }
}

fn in_answer(answer: &mut Answer, own: &[(String, String)]) {
    let state = answer.state.iter_mut().map(|(_, node)| node);
    let texts = [&mut answer.reply, &mut answer.failure, &mut answer.metadata];
    for node in texts.into_iter().flatten().chain(state) {
        in_node(node, own);
    }
    let forward = answer.forward.as_deref_mut();
    for Call { request, .. } in answer.effects.iter_mut().chain(forward) {
        request.iter_mut().for_each(|node| in_node(node, own));
    }
}

fn in_node(node: &mut Node, own: &[(String, String)]) {
    match &mut node.value {
        Value::Text(text) if text.contains("$$") => {
            for (written, name) in own {
                *text = text.replace(written, name);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|node| in_node(node, own)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| in_node(node, own)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
