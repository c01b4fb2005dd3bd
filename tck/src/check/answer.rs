//! What a function answers, what was replayed to it, and what the client gets.

use crate::check::Checker;
use crate::protocol::{StateContent, state_parts};
use crate::scenario::Answer;
use crate::services;
use crate::status::STATUS;
use crate::yaml::source::allowed;
use crate::yaml::{Node, Span, Value};
use prost_reflect::{MessageDescriptor, MethodDescriptor};

impl Checker<'_> {
    pub(super) fn answer(
        &mut self,
        span: Span,
        answer: &Answer,
        method: Option<&MethodDescriptor>,
    ) {
        if let (Some(reply), Some(method)) = (&answer.reply, method) {
            self.typed(reply, &method.output());
        }
        self.text(answer.failure.as_ref());
        if let Some(metadata) = &answer.metadata {
            self.message(metadata, "cloudstate.Metadata");
        }
        if let Some(restart) = &answer.restart {
            self.restart(restart);
        }
        self.state(span, answer, method);
        for call in answer.effects.iter().chain(answer.forward.as_deref()) {
            self.call(call);
        }
        self.steps(&answer.unordered);
    }

    /// What changes the state, by the type of entity that does it.
    fn state(&mut self, span: Span, answer: &Answer, method: Option<&MethodDescriptor>) {
        let service = method.map(MethodDescriptor::parent_service);
        let entity_type = service.and_then(|service| services::entity_type(service.full_name()));
        for (key, node) in &answer.state {
            if let Some(entity_type) = entity_type
                && !entity_type
                    .state_parts()
                    .iter()
                    .any(|part| part.key == *key)
            {
                let keys: Vec<&str> = entity_type
                    .state_parts()
                    .iter()
                    .map(|part| part.key)
                    .collect();
                let help = if keys.is_empty() {
                    "it has no state".to_owned()
                } else {
                    format!("allowed: {}", keys.join(", "))
                };
                // A flag stands for nothing by itself.
                let span = if matches!(node.value, Value::Bool(_)) {
                    span
                } else {
                    node.span
                };
                let text = format!("{} answers with no {key}", entity_type.noun());
                self.error(span, text, Some(help));
            }
            match state_parts()
                .iter()
                .find(|part| part.key == *key)
                .map(|part| part.content)
            {
                Some(StateContent::Any) => self.any(node),
                Some(StateContent::Anys(holder)) => self.anys(key, node, holder),
                Some(StateContent::Message(name)) => self.message(node, name),
                Some(StateContent::Flag) | None => {}
            }
        }
    }

    fn restart(&mut self, node: &Node) {
        let options = match node.operator() {
            Some(("$any", _)) => return,
            Some(("$either", Some(options))) => options.items().unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        for option in options {
            if !matches!(option.value, Value::Bool(_)) {
                let help = "or { $either: [false, true] }".to_owned();
                self.error(option.span, "true or false is expected here", Some(help));
            }
        }
    }

    /// A list of payloads, in the notation of a field that holds such a list.
    fn anys(&mut self, key: &'static str, list: &Node, holder: &str) {
        let holding = Node::map(list.span, [(key, list.clone())]);
        self.message(&holding, holder);
    }

    fn events(&mut self, events: &Node) {
        self.anys(
            "events",
            events,
            "cloudstate.eventsourced.EventSourcedReply",
        );
    }

    pub(super) fn replay(&mut self, replay: &Node, method: &MethodDescriptor) {
        let Some(entity_type) = services::entity_type(method.parent_service().full_name()) else {
            return;
        };
        for (key, value) in replay
            .entries()
            .filter(|_| replay.operator().is_none())
            .unwrap_or_default()
        {
            match key.text.as_str() {
                name if !entity_type.replay_keys().contains(&name) => {
                    let help = allowed(name, entity_type.replay_keys().iter().copied());
                    let text = format!("{} is replayed no {name}", entity_type.noun());
                    self.error(key.span, text, Some(help));
                }
                "events" => self.replayed_events(value),
                "snapshot" => self.snapshot(value),
                "delta" => self.message(value, "cloudstate.crdt.CrdtDelta"),
                _ => self.any(value),
            }
        }
    }

    /// A list, or a map by sequence number.
    fn replayed_events(&mut self, events: &Node) {
        let Value::Map(entries) = &events.value else {
            return self.events(events);
        };
        if events.operator().is_some() {
            return self.events(events);
        }
        let mut last: Option<u64> = None;
        for (key, event) in entries {
            let number: Option<u64> = key.text.parse().ok().filter(|number| *number > 0);
            let follows = last.is_none_or(|last| number == last.checked_add(1));
            if number.is_none() || !follows {
                self.error(
                    key.span,
                    "events are listed by sequence numbers without gaps",
                    None,
                );
            }
            last = number.or(last);
            self.any(event);
        }
    }

    fn snapshot(&mut self, node: &Node) {
        let sequence = node
            .get("sequence")
            .and_then(Node::as_text)
            .and_then(|text| text.parse::<u32>().ok());
        match (sequence, node.get("value")) {
            (Some(_), Some(value)) => self.any(value),
            _ => {
                let help =
                    "for example { sequence: 5, value: { Persisted: { value: A } } }".to_owned();
                self.error(
                    node.span,
                    "a replayed snapshot has its sequence and its value",
                    Some(help),
                );
            }
        }
    }

    // === What the client gets ===

    pub(super) fn returns(&mut self, node: &Node, output: Option<&MessageDescriptor>) {
        if let Some(("$either", Some(options))) = node.operator() {
            return options
                .items()
                .unwrap_or_default()
                .iter()
                .for_each(|node| self.returns(node, output));
        }
        if node.operator().is_some() || node.as_text() == Some("nothing") {
            return;
        }
        match output {
            _ if node.get("status").is_some() => self.status(node),
            Some(output) => self.typed(node, output),
            None => self.error(
                node.span,
                "what an unknown method returns is a status",
                None,
            ),
        }
    }

    /// `{ status, message }`
    pub(super) fn status(&mut self, node: &Node) {
        for (key, value) in node.entries().unwrap_or_default() {
            match key.text.as_str() {
                "status" => self.codes(value),
                "message" => self.text(Some(value)),
                other => {
                    let help = Some(allowed(other, ["status", "message"].into_iter()));
                    self.error(key.span, format!("a status has no {other}"), help);
                }
            }
        }
        if node.get("status").is_none() {
            self.error(
                node.span,
                "a status is written as { status: UNKNOWN, message: … }",
                None,
            );
        }
    }

    fn codes(&mut self, node: &Node) {
        let names = match node.operator() {
            Some(("$either", Some(options))) => options.items().unwrap_or_default(),
            Some(("$any", _)) => return,
            _ => std::slice::from_ref(node),
        };
        for name in names {
            let text = name.as_text().unwrap_or_default();
            if !STATUS.contains(&text) {
                let help = Some(allowed(text, STATUS.into_iter()));
                self.error(name.span, "this is no gRPC status", help);
            }
        }
    }
}
