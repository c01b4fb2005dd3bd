//! Reads what a rule does.

use super::super::{Assignment, Direction, FieldPath, RuleAction, When};
use super::types::{MethodTypes, any_fits, build, check};
use crate::scenario::message;
use crate::status::STATUS;
use crate::yaml::node::NodeKey;
use crate::yaml::{Cursor, Node, SourceError};
use bytes::Bytes;
use prost_reflect::MessageDescriptor;

const ACTIONS: &str = "drop, repeat, swap, finish, reset, or a map with one of set, bytes, before, after, end, then-end, answer";

/// What a rule can do, given what it can meet.
pub(super) struct ActionReader<'a> {
    pub on: Direction,
    pub when: &'a When,
    pub types: &'a [MethodTypes],
}

impl ActionReader<'_> {
    /// Reads one.
    pub fn read(&self, at: Cursor<'_>) -> Result<RuleAction, SourceError> {
        let action = match (at.node.as_text(), at.node.entries()) {
            (Some(word), _) => self.word(at, word)?,
            (_, Some([(key, value)])) => self.keyed(at, key, value)?,
            _ => return at.error("a rule can't do that", Some(ACTIONS)),
        };
        match self.when {
            When::Message(_) | When::Empty => Ok(action),
            When::HalfClose | When::End | When::Reset if is_for_messages(&action) => {
                at.error("this can be done to a message only", None)
            }
            When::HalfClose | When::End | When::Reset => Ok(action),
        }
    }

    fn word(&self, at: Cursor<'_>, word: &str) -> Result<RuleAction, SourceError> {
        match word {
            "drop" => Ok(RuleAction::Drop),
            "reset" => Ok(RuleAction::Reset),
            "repeat" => Ok(RuleAction::Repeat),
            "swap" => Ok(RuleAction::Swap),
            "finish" if self.on.is_call() => Ok(RuleAction::Finish),
            "finish" => at.error("only a caller is done: the called ends the call", None),
            _ => at.error("a rule can't do that", Some(ACTIONS)),
        }
    }

    fn keyed(
        &self,
        at: Cursor<'_>,
        key: &NodeKey,
        value: &Node,
    ) -> Result<RuleAction, SourceError> {
        let wrong = |message: &str, help: Option<&str>| {
            Err(at.failed(key.span, message, help.map(str::to_owned)))
        };
        let value = at.on(value);
        match key.text.as_str() {
            "set" => self.assignments(value).map(RuleAction::Set),
            "bytes" => bytes(value).map(RuleAction::Bytes),
            "before" => self
                .message(value, |types| &types.passing)
                .map(RuleAction::Before),
            "after" => self
                .message(value, |types| &types.passing)
                .map(RuleAction::After),
            "answer" if self.on.is_call() => self
                .message(value, |types| &types.opposite)
                .map(RuleAction::Answer),
            "answer" => wrong("only what a caller sends can be answered", None),
            "end" => end(value).map(|(code, text)| RuleAction::End(code, text)),
            "then-end" => end(value).map(|(code, text)| RuleAction::ThenEnd(code, text)),
            _ => wrong("a rule can't do that", Some(ACTIONS)),
        }
    }

    fn assignments(&self, at: Cursor<'_>) -> Result<Vec<Assignment>, SourceError> {
        let Some(entries) = at.node.entries().filter(|entries| !entries.is_empty()) else {
            let help = "for example { reply.command_id: 7 }";
            return at.error("set is written as a map of paths and values", Some(help));
        };
        entries
            .iter()
            .map(|(key, value)| self.assignment(at, key, value))
            .collect()
    }

    fn assignment(
        &self,
        at: Cursor<'_>,
        key: &NodeKey,
        value: &Node,
    ) -> Result<Assignment, SourceError> {
        let Some(path) = FieldPath::parse(&key.text) else {
            let help = Some("for example reply.events[0].Persisted.value".to_owned());
            return Err(at.failed(key.span, format!("{} is no path", key.text), help));
        };
        let checked = check(
            self.types,
            |types| &types.passing,
            |passing| path.check(key.span, value, passing),
        );
        any_fits(at, &checked, key.span)?;
        Ok(Assignment {
            path,
            value: value.clone(),
        })
    }

    /// A message of one of these types.
    fn message(
        &self,
        at: Cursor<'_>,
        of: impl Fn(&MethodTypes) -> &MessageDescriptor,
    ) -> Result<Node, SourceError> {
        let checked = check(self.types, of, |descriptor| build(at.node, descriptor));
        any_fits(at, &checked, at.node.span)?;
        Ok(at.node.clone())
    }
}

/// It makes sense only where a message passes.
fn is_for_messages(action: &RuleAction) -> bool {
    match action {
        RuleAction::Repeat
        | RuleAction::Swap
        | RuleAction::Finish
        | RuleAction::ThenEnd(..)
        | RuleAction::Set(_)
        | RuleAction::Bytes(_) => true,
        RuleAction::Drop
        | RuleAction::Reset
        | RuleAction::Before(_)
        | RuleAction::After(_)
        | RuleAction::Answer(_)
        | RuleAction::End(..) => false,
    }
}

fn bytes(at: Cursor<'_>) -> Result<Bytes, SourceError> {
    match at.node.as_text().and_then(message::hex_bytes) {
        Some(bytes) => Ok(bytes.into()),
        None => at.error(
            "bytes are written in hexadecimal",
            Some("for example { bytes: \"0aff\" }"),
        ),
    }
}

fn end(at: Cursor<'_>) -> Result<(i32, String), SourceError> {
    at.keys("an end", &["status", "message"])?;
    let status = at.need("status", "an end")?;
    let named = |name: &&str| status.node.as_text() == Some(name);
    let Some(code) = STATUS.iter().position(named) else {
        let help = format!("one of {}", STATUS.join(", "));
        return status.error("this is no gRPC status", Some(&help));
    };
    let message = at.optional("message", Cursor::text)?;
    Ok((code as i32, message.unwrap_or_default()))
}
