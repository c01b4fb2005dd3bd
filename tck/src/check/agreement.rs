//! The function's side of a chart against the model: what a chart says a function answers is what the model
//! answers, unless the chart says that the function departs from it.

use crate::fill::{Statement, WrittenAnswer, fill, standing_for_themselves};
use crate::finding::Mismatch;
use crate::party::Party;
use crate::protocol::state_parts;
use crate::scenario::form::Form;
use crate::scenario::message;
use crate::scenario::message::{Bindings, Scope};
use crate::scenario::{Answer, Scenario};
use crate::services;
use crate::services::descriptor_pool;
use crate::yaml::{SourceError, Span};
use prost_reflect::DynamicMessage;

const DEPARTS: &str = "mark the scenario `scripted: function` if it departs from the model";

/// Where a chart and the model say different things. The scenario must have been checked otherwise.
pub fn agree_with_model(scenario: &Scenario) -> Vec<SourceError> {
    // A proxy that departs from the rules can bring a function into any state.
    if matches!(scenario.scripted, Some(Party::Function | Party::Proxy)) {
        return Vec::new();
    }
    let mut names = standing_for_themselves(scenario);
    let statements = fill(scenario, &names).statements;
    names.insert("client".to_owned(), "$client".to_owned());
    let mut agreement = Agreement {
        scenario,
        names,
        errors: Vec::new(),
    };
    for statement in statements {
        agreement.statement(statement);
    }
    agreement.errors
}

struct Agreement<'a> {
    scenario: &'a Scenario,
    names: Bindings,
    errors: Vec<SourceError>,
}

impl Agreement<'_> {
    fn statement(&mut self, statement: Statement) {
        let departs = Some(DEPARTS.to_owned());
        match statement {
            Statement::Answer(written) => self.compare(*written),
            Statement::NoMoreAnswers(span) => {
                self.error(span, "the model has no more answers here", departs);
            }
            Statement::MoreAnswers(span, count) => {
                self.error(span, format!("the model has {count} more answers"), departs);
            }
            Statement::NoAnswer(span) => {
                self.error(span, "the model has no answer to this", None);
            }
            Statement::BadReplay(span, text) => self.error(span, text, None),
        }
    }

    /// A written answer against the model's.
    fn compare(&mut self, written: WrittenAnswer) {
        let WrittenAnswer {
            span,
            answer,
            method,
            reply,
        } = written;
        let Some(entity_type) = services::entity_type(method.parent_service().full_name()) else {
            return;
        };
        let id = i64::from(entity_type.has_entities());
        let name = entity_type.message(Party::Function);
        let Some(descriptor) = descriptor_pool().get_message_by_name(name) else {
            return;
        };
        let bytes = entity_type.protocol().reply(reply.for_command(id));
        let Ok(actual) = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()) else {
            return;
        };
        let expected = Form {
            scenario: self.scenario,
            entity_type,
            output: Some(&method.output()),
            answer: &answer,
            command_id: id,
        };
        let scope = Scope {
            package: self.scenario.package(),
            bindings: &self.names,
        };
        for mismatch in message::compare(&expected.message(), &descriptor, &actual, &scope) {
            self.differs(span, &answer, &mismatch);
        }
    }

    fn differs(&mut self, span: Span, answer: &Answer, mismatch: &Mismatch) {
        let Mismatch {
            path,
            expected,
            received,
        } = mismatch;
        let span = place(span, answer, path);
        let text = format!("the model says otherwise about {path}: {received}, not {expected}");
        // Here a name stands for itself, which a message writes with two dollars.
        let text = text.replace("$$", "$");
        self.error(span, text, Some(DEPARTS.to_owned()));
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        let source = self.scenario.source.clone();
        self.errors.push(SourceError {
            source,
            span,
            message: message.into(),
            help,
        });
    }
}

/// The part of the chart that a path in the reply is about.
fn place(span: Span, answer: &Answer, path: &str) -> Span {
    let path = path.strip_prefix("reply.").unwrap_or(path);
    let outer = |key: &str| {
        let part = state_parts().into_iter().find(|part| part.key == key);
        part.and_then(|part| part.path.first().copied())
    };
    let state = answer.state.iter();
    let state = state.filter_map(|(key, node)| Some((outer(key)?, Some(node))));
    let mut parts = [
        ("client_action.reply", answer.reply.as_ref()),
        ("client_action.failure.restart", answer.restart.as_ref()),
        ("client_action.failure", answer.failure.as_ref()),
    ]
    .into_iter()
    .chain(state);
    let part = parts
        .find(|(prefix, _)| path.starts_with(prefix))
        .and_then(|(_, node)| node);
    let nested = match path
        .strip_prefix("side_effects[")
        .and_then(|rest| rest.split(']').next())
    {
        Some(index) => index
            .parse()
            .ok()
            .and_then(|index: usize| answer.effects.get(index)),
        None => answer
            .forward
            .as_deref()
            .filter(|_| path.starts_with("client_action.forward")),
    };
    part.map(|node| node.span)
        .or(nested.map(|call| call.span))
        .unwrap_or(span)
}
