//! What differs from one type of stateful entity to the next: what is stored, and the rules of that.

use crate::judge::evaluation::Evaluation;
use crate::protocol::{Begin, Reply};
use crate::requirement::RequirementName;
use prost_types::Any;
use std::fmt::Debug;

/// What came before the first command of a stream.
#[derive(Debug, Default)]
pub(in crate::judge::invariants) struct Replayed {
    /// What init said of the state.
    pub begin: Begin,
    /// Sequence number of the last event (or the snapshot).
    pub sequence: i64,
    /// Events with their sequence numbers and entries.
    pub events: Vec<(i64, Any, u64)>,
}

/// The rules of one type for what is stored.
pub(in crate::judge::invariants) trait StateRules:
    Debug + Sync
{
    /// Of an entity that nothing is known of yet.
    fn history(&self) -> Box<dyn History>;
    /// Each rule for the state in an init whose premise holds.
    fn of_init(&self, begin: &Begin) -> Vec<Evaluation>;
    /// Each rule for the contents of a reply whose premise holds.
    fn of_reply(&self, reply: &Reply) -> Vec<Evaluation>;
}

/// What is stored for an entity, as far as can be told from what its function sent.
///
/// A reply is kept when it comes and confirmed when something shows that it took effect. In between its proxy may
/// have been killed, so that both with it and without it is right; the next replay settles which.
pub(in crate::judge::invariants) trait History: Debug {
    /// A reply that takes effect; certainly, once it is confirmed.
    fn keep(&mut self, reply: &Reply, entry: u64);
    /// A reply that must not take effect, and by which requirement.
    fn refuse(&mut self, reply: &Reply, why: RequirementName);
    /// The proxy was killed: what it gives back next is what it had made durable.
    fn killed(&mut self);
    /// The replies at these entries took effect.
    fn confirm(&mut self, is: &dyn Fn(u64) -> bool);
    /// Is the replay what is stored? Each rule whose premise holds.
    fn compare(&self, replayed: &Replayed) -> Vec<Evaluation>;
    /// What is known to be stored, once a replay has shown it.
    fn settle(&mut self, replayed: &Replayed);
}
