//! What a chart says must be replayed, as what is stored.

use crate::protocol::Stored;
use crate::scenario::message::{self, Scope};
use crate::yaml::Node;
use prost_types::Any;

/// A `replay` as written: `nothing`, `$any` (`None`), or snapshot and events.
///
/// # Errors
/// A payload that can't be built.
pub fn replay_of(node: &Node, scope: &Scope<'_>) -> Result<Option<Stored>, String> {
    if node.operator().is_some_and(|(name, _)| name == "$any") {
        return Ok(None);
    }
    let mut stored = Stored::default();
    let any = |node: &Node| message::build_any(node, scope).map_err(|error| error.to_string());
    if let Some(snapshot) = node.get("snapshot") {
        let sequence = snapshot
            .get("sequence")
            .and_then(Node::as_text)
            .and_then(|t| t.parse().ok());
        let sequence: i64 = sequence.ok_or("a replayed snapshot needs its `sequence`")?;
        let value = snapshot
            .get("value")
            .ok_or("a replayed snapshot needs its `value`")?;
        stored.snapshot = Some((sequence, any(value)?));
        stored.events = vec![Any::default(); usize::try_from(sequence).unwrap_or(0)];
    }
    if let Some(events) = node.get("events") {
        for event in message::items(events) {
            stored.events.push(any(&event)?);
        }
    }
    stored.value = node.get("state").map(any).transpose()?;
    Ok(Some(stored))
}
