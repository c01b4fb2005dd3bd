//! Rules that hold on every stream, whatever the chart. Each carries one requirement and blames the sender.
//!
//! On a stream where the kit broke a rule because the chart says so, they stop, and only the chart speaks.

mod action;
pub mod discovery;
mod entity;
mod event_sourced;
mod value_entity;

use crate::judge::{Bench, Objection};
use crate::party::Party;

/// All invariants over the transcript of one play.
pub fn check(bench: &mut Bench<'_>) {
    entity::check(bench);
    action::check(bench);
}

/// An objection to one entry.
pub(crate) fn at(entry: u64, blame: Party, summary: impl Into<String>) -> Objection {
    Objection {
        blame,
        summary: summary.into(),
        mismatches: Vec::new(),
        index: None,
        entry: Some(entry),
    }
}
