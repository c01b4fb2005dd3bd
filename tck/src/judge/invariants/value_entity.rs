//! What is stored of value entities: the last value, or none.

use super::history::{History, Replayed, StateRules};
use crate::judge::evaluation::Evaluation;
use crate::protocol::{Begin, Change, Reply};
use crate::requirement::{RequirementName, names};
use prost_types::Any;

/// The rules of the type.
#[derive(Debug)]
pub(super) struct ValueRules;

impl StateRules for ValueRules {
    fn history(&self) -> Box<dyn History> {
        Box::<ValueHistory>::default()
    }

    fn of_init(&self, begin: &Begin) -> Vec<Evaluation> {
        let text = "init has no state, not even an empty one";
        let name = names::VALUE_ENTITIES_INIT_STATE_PRESENT;
        vec![Evaluation::new(name, begin.present, text)]
    }

    fn of_reply(&self, reply: &Reply) -> Vec<Evaluation> {
        let Some(change) = &reply.value else {
            return Vec::new();
        };
        vec![
            Evaluation::new(
                names::VALUE_ENTITIES_STATE_ACTION_SET,
                *change != Change::Unset,
                "the reply has a state action without a member",
            ),
            Evaluation::new(
                names::VALUE_ENTITIES_UPDATE_HAS_VALUE,
                *change != Change::Update(None),
                "the reply has an update without a value",
            ),
        ]
    }
}

/// What an entity's value can be.
#[derive(Debug, Default)]
struct ValueHistory {
    /// For certain, unless one of the later writes took effect.
    value: Option<Any>,
    /// Something was stored before.
    written: bool,
    writes: Vec<ValueWrite>,
    /// What the value was before.
    replaced: Vec<Option<Any>>,
    /// The last reply changed nothing.
    unchanged: bool,
    /// The proxy was killed since the last replay.
    killed: bool,
    /// Values that must never be stored, and why.
    refused: Vec<(Option<Any>, RequirementName)>,
}

/// One reply's change.
#[derive(Debug)]
struct ValueWrite {
    value: Option<Any>,
    /// The entry of the reply.
    entry: u64,
}

fn changed(reply: &Reply) -> Option<Option<Any>> {
    match reply.value.as_ref()? {
        Change::Update(value) => value.clone().map(Some),
        Change::Delete => Some(None),
        Change::Unset => None,
    }
}

impl History for ValueHistory {
    fn keep(&mut self, reply: &Reply, entry: u64) {
        let write = changed(reply).map(|value| ValueWrite { value, entry });
        self.unchanged = write.is_none();
        self.writes.extend(write);
    }

    fn killed(&mut self) {
        self.killed = true;
    }

    fn refuse(&mut self, reply: &Reply, why: RequirementName) {
        self.refused
            .extend(changed(reply).map(|value| (value, why)));
    }

    fn confirm(&mut self, is: &dyn Fn(u64) -> bool) {
        let Some(last) = self.writes.iter().rposition(|write| is(write.entry)) else {
            return;
        };
        for write in self.writes.drain(..=last) {
            let before = std::mem::replace(&mut self.value, write.value);
            self.replaced.extend(self.written.then_some(before));
            self.written = true;
        }
    }

    fn compare(&self, replayed: &Replayed) -> Vec<Evaluation> {
        let seen = &replayed.begin.value;
        let known = *seen == self.value || self.writes.iter().any(|write| write.value == *seen);
        if !self.written && self.writes.is_empty() && self.refused.is_empty() {
            let text = "an entity that nothing was stored for has a value";
            let name = names::VALUE_ENTITIES_INIT_VALUE_ABSENT;
            return vec![Evaluation::new(name, known, text)];
        }
        let mut rules = Vec::new();
        if known {
            let refused = self.refused.iter();
            rules.extend(refused.map(|(_, why)| Evaluation::kept(*why)));
            if !self.replaced.is_empty() {
                rules.push(Evaluation::kept(names::VALUE_ENTITIES_UPDATE_REPLACES));
            }
        }
        let text = "init has not the value that was stored";
        rules.push(Evaluation::new(self.concerned(seen, known), known, text));
        rules
    }

    fn settle(&mut self, replayed: &Replayed) {
        self.written |= !self.writes.is_empty();
        self.value.clone_from(&replayed.begin.value);
        self.writes.clear();
        self.killed = false;
    }
}

impl ValueHistory {
    /// What is at stake with the value in an init, which is `known` to be one that is stored.
    fn concerned(&self, seen: &Option<Any>, known: bool) -> RequirementName {
        let refused = self.refused.iter().find(|(value, _)| value == seen);
        match (refused, &self.value) {
            (Some((_, why)), _) if !known => *why,
            _ if !self.written && self.writes.is_empty() => names::VALUE_ENTITIES_INIT_VALUE_ABSENT,
            _ if self.killed => names::VALUE_ENTITIES_SURVIVES_KILL,
            (_, None) if self.written => names::VALUE_ENTITIES_DELETE_REMOVES,
            _ if !known && self.replaced.contains(seen) => names::VALUE_ENTITIES_UPDATE_REPLACES,
            _ if self.unchanged && (known || seen.is_none()) => {
                names::VALUE_ENTITIES_NO_ACTION_NO_CHANGE
            }
            _ => names::VALUE_ENTITIES_INIT_HAS_STORED_VALUE,
        }
    }
}
