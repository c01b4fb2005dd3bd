//! What is stored of value entities: the last value, or none.

use crate::judge::invariants::entity;
use crate::judge::invariants::entity::{Problem, Replay};
use crate::protocol::{Change, Reply};
use crate::requirement::{RequirementName, names};
use prost_types::Any;

/// What an entity's value can be.
#[derive(Debug, Default)]
pub(super) struct History {
    /// For certain, unless one of the later writes took effect.
    value: Option<Any>,
    /// Something was stored before.
    written: bool,
    writes: Vec<Write>,
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
struct Write {
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

/// The rules for the contents of a reply.
pub(super) fn reply_rules(reply: &Reply) -> Vec<(RequirementName, bool, &'static str)> {
    let Some(change) = &reply.value else {
        return Vec::new();
    };
    vec![
        (
            names::VALUE_ENTITIES_STATE_ACTION_SET,
            *change != Change::Unset,
            "the reply has a state action without a member",
        ),
        (
            names::VALUE_ENTITIES_UPDATE_HAS_VALUE,
            *change != Change::Update(None),
            "the reply has an update without a value",
        ),
    ]
}

impl entity::History for History {
    fn keep(&mut self, reply: &Reply, entry: u64) {
        let write = changed(reply).map(|value| Write { value, entry });
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

    fn compare(&self, replay: &Replay) -> Vec<(RequirementName, Problem)> {
        let seen = &replay.begin.value;
        let known = *seen == self.value || self.writes.iter().any(|write| write.value == *seen);
        if !self.written && self.writes.is_empty() && self.refused.is_empty() {
            let text = "an entity that nothing was stored for has a value".to_owned();
            let problem = (!known).then_some((None, text));
            return vec![(names::VALUE_ENTITIES_INIT_VALUE_ABSENT, problem)];
        }
        let refused = self.refused.iter().find(|(value, _)| value == seen);
        let name = match (refused, &self.value) {
            (Some((_, why)), _) if !known => *why,
            _ if self.killed => names::VALUE_ENTITIES_SURVIVES_KILL,
            (_, None) if self.written => names::VALUE_ENTITIES_DELETE_REMOVES,
            _ if !known && self.replaced.contains(seen) => names::VALUE_ENTITIES_UPDATE_REPLACES,
            _ if self.unchanged && (known || seen.is_none()) => {
                names::VALUE_ENTITIES_NO_ACTION_NO_CHANGE
            }
            _ => names::VALUE_ENTITIES_INIT_HAS_STORED_VALUE,
        };
        let text = "init has not the value that was stored".to_owned();
        let problem = (!known).then_some((None, text));
        let refused = self.refused.iter().filter(|_| known);
        let mut rules: Vec<_> = refused.map(|(_, why)| (*why, None)).collect();
        if known && !self.replaced.is_empty() {
            rules.push((names::VALUE_ENTITIES_UPDATE_REPLACES, None));
        }
        rules.push((name, problem));
        rules
    }

    fn settle(&mut self, replay: &Replay) {
        self.written |= !self.writes.is_empty();
        self.value.clone_from(&replay.begin.value);
        self.writes.clear();
        self.killed = false;
    }
}
