//! The message types that a rule can meet, and whether something fits them.

use super::super::{Direction, PACKAGE};
use crate::scenario::message::{self, Bindings, MessageError, Scope};
use crate::services::descriptor_pool;
use crate::yaml::{Cursor, Node, SourceError, Span};
use prost_reflect::MessageDescriptor;
use std::collections::BTreeSet;

/// What a method's caller and callee send, in the direction of a rule and against it.
pub(super) struct MethodTypes {
    pub method: String,
    pub passing: MessageDescriptor,
    pub opposite: MessageDescriptor,
}

/// The types of everything that can pass in a direction.
pub(super) fn types(on: Direction) -> Vec<MethodTypes> {
    let model = |name: &str| name.starts_with(&format!("{PACKAGE}."));
    let back = |name: &str| name.starts_with("cloudstate.") && !name.starts_with("cloudstate.tck.");
    descriptor_pool()
        .services()
        .filter(|service| {
            if on.is_front() {
                model(service.full_name())
            } else {
                back(service.full_name())
            }
        })
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let (passing, opposite) = if on.is_call() {
                (method.input(), method.output())
            } else {
                (method.output(), method.input())
            };
            MethodTypes {
                method: method.name().to_owned(),
                passing,
                opposite,
            }
        })
        .collect()
}

/// A type's name, and whether something fits it.
pub(super) type Checked = (String, Result<(), MessageError>);

/// Does this fit the types?
pub(super) fn check(
    types: &[MethodTypes],
    of: impl Fn(&MethodTypes) -> &MessageDescriptor,
    fits: impl Fn(&MessageDescriptor) -> Result<(), MessageError>,
) -> Vec<Checked> {
    types
        .iter()
        .map(of)
        .map(|descriptor| (descriptor.full_name().to_owned(), fits(descriptor)))
        .collect()
}

/// Can a message of this type be written so?
pub(super) fn build(node: &Node, descriptor: &MessageDescriptor) -> Result<(), MessageError> {
    let bindings = Bindings::new();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    message::build(node, descriptor, &scope).map(drop)
}

/// At least one type fits; else the error of the one that fits furthest.
pub(super) fn any_fits(at: Cursor<'_>, checked: &[Checked], span: Span) -> Result<(), SourceError> {
    if checked.iter().any(|(_, checked)| checked.is_ok()) {
        return Ok(());
    }
    let errors = || {
        checked
            .iter()
            .filter_map(|(name, checked)| Some((name, checked.as_ref().err()?)))
    };
    let furthest = errors().map(|(_, error)| error.span.start).max();
    let all: Vec<_> = errors()
        .filter(|(_, error)| Some(error.span.start) == furthest)
        .collect();
    // Of several types that are wrong in the same place, the one whose field was nearly named was meant.
    let near = |error: &MessageError| {
        error
            .help
            .as_ref()
            .is_some_and(|help| help.starts_with("did you"))
    };
    Err(
        match (all.iter().find(|(_, error)| near(error)), all.as_slice()) {
            (Some((_, error)), _) | (None, [(_, error)]) => {
                at.failed(error.span, error.message.clone(), error.help.clone())
            }
            (None, several) => {
                let names: BTreeSet<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                let help = format!("messages: {}", listed(names));
                let span = several.first().map_or(span, |(_, error)| error.span);
                at.failed(span, "this fits no message that goes this way", Some(help))
            }
        },
    )
}

/// Names as a sentence lists them.
pub(super) fn listed(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}
