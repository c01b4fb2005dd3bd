//! Reads one rule.

use super::super::{Direction, Rule, When};
use super::action::ActionReader;
use super::types::{MethodTypes, any_fits, build, check, listed, types};
use crate::yaml::{Cursor, SourceError, Value};
use std::ops::RangeInclusive;

const KEYS: [&str; 6] = ["on", "when", "call", "nth", "from", "do"];
const DIRECTIONS: [(&str, Direction); 4] = [
    ("client-to-proxy", Direction::ClientToProxy),
    ("proxy-to-client", Direction::ProxyToClient),
    ("proxy-to-function", Direction::ProxyToFunction),
    ("function-to-proxy", Direction::FunctionToProxy),
];

/// A rule, checked against the types that can pass in its direction.
pub(super) fn rule(at: Cursor<'_>) -> Result<Rule, SourceError> {
    at.keys("a rule", &KEYS)?;
    let on = direction(at.need("on", "a rule")?)?;
    let times = times(at)?;
    let mut types = types(on);
    let call = at.optional("call", |call| method(call, &mut types))?;
    let when = when(at.need("when", "a rule")?, &mut types)?;
    let actions = ActionReader {
        on,
        when: &when,
        types: &types,
    };
    let action = actions.read(at.need("do", "a rule")?)?;
    Ok(Rule {
        call,
        ..Rule::new(on, when, times, action)
    })
}

fn direction(at: Cursor<'_>) -> Result<Direction, SourceError> {
    let found = DIRECTIONS
        .iter()
        .find(|(name, _)| at.node.as_text() == Some(name));
    let names = || DIRECTIONS.map(|(name, _)| name).join(", ");
    found.map_or_else(
        || at.error("this is no way", Some(&format!("one of {}", names()))),
        |(_, direction)| Ok(*direction),
    )
}

/// Which of the times that what it waits for passes: one, or one and all later ones.
fn times(rule: Cursor<'_>) -> Result<RangeInclusive<usize>, SourceError> {
    let nth = rule.optional("nth", Ok)?;
    let from = rule.optional("from", Ok)?;
    match (nth, from) {
        (None, None) => Ok(1..=usize::MAX),
        (Some(nth), None) => count(nth).map(|nth| nth..=nth),
        (None, Some(from)) => count(from).map(|from| from..=usize::MAX),
        (Some(_), Some(from)) => from.error(
            "nth is one time, from is that and all later ones",
            Some("write one of them"),
        ),
    }
}

fn count(at: Cursor<'_>) -> Result<usize, SourceError> {
    match at.parsed("a number from 1")? {
        0 => at.error("a number from 1 is expected here", None),
        count => Ok(count),
    }
}

/// Leaves those types that calls of this method have.
fn method(at: Cursor<'_>, types: &mut Vec<MethodTypes>) -> Result<String, SourceError> {
    let name = at.text()?;
    if !types.iter().any(|types| types.method == name) {
        let methods = types.iter().map(|types| types.method.as_str()).collect();
        let help = format!("methods: {}", listed(methods));
        return at.error(format!("no method {name} is called this way"), Some(&help));
    }
    types.retain(|types| types.method == name);
    Ok(name)
}

/// Leaves those types that the pattern fits.
fn when(at: Cursor<'_>, types: &mut Vec<MethodTypes>) -> Result<When, SourceError> {
    match (at.node.as_text(), &at.node.value) {
        (Some("empty"), _) => Ok(When::Empty),
        (Some("half-close"), _) => Ok(When::HalfClose),
        (Some("end"), _) => Ok(When::End),
        (Some("reset"), _) => Ok(When::Reset),
        (_, Value::Map(_)) => {
            let checked = check(
                types,
                |types| &types.passing,
                |passing| build(at.node, passing),
            );
            any_fits(at, &checked, at.node.span)?;
            types.retain(|types| build(at.node, &types.passing).is_ok());
            Ok(When::Message(at.node.clone()))
        }
        _ => at.error(
            "a rule can't wait for that",
            Some("empty, half-close, end, reset, or a message as a map"),
        ),
    }
}
