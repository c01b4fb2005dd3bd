//! Rules that hold on every stream, whatever the chart. Each carries one requirement and blames the sender.
//!
//! On a stream where the kit broke a rule because the chart says so, they stop, and only the chart speaks.

mod action;
pub(crate) mod discovery;
mod history;
mod payloads;
mod event_sourced;
mod value_entity;
mod entity;

use super::collector::Collector;

/// All invariants over the transcript of one play.
pub(super) fn check(collector: &mut Collector<'_>) {
    entity::check(collector);
    action::check(collector);
}
