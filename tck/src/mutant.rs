//! Mutants test the kit: a conforming party behind a relay that applies rules in YAML to what passes.
//!
//! A mutant is killed when its rules fired, the scenario passes without them, and the root finding with them
//! carries the mutant's requirement and party. A kill under another name is a failure of the kit.
//!
//! [`read`] finds in the files everything that could keep a rule from ever doing something; a [`Filter`] applies the
//! rules to one direction of one stream.

mod filter;
mod path;
mod read;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use path::FieldPath;
pub use read::{read, read_twins};

use crate::party::Party;
use crate::yaml::{Node, Source, SourceError, Span};
use bytes::Bytes;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Short names of message types in rules are looked up here.
const PACKAGE: &str = "cloudstate.tck.model";

/// A conforming party, broken in one way.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Unique, kebab-case.
    pub id: String,
    /// What it does wrong, as a sentence.
    pub title: String,
    /// The party that is broken.
    pub mutates: Party,
    /// What it breaks.
    pub requirement: String,
    /// The scenario that must catch it.
    pub killed_by: String,
    /// How.
    pub rules: Vec<Rule>,
    /// Its data folder is emptied when it is killed.
    pub forgets: bool,
    /// Where it stands.
    pub source: Arc<Source>,
    /// Where its id stands.
    pub span: Span,
}

/// A conforming party made to use one permission of the specification again and again: every scenario must pass with
/// it. What the kit objects to then is the kit's fault.
#[derive(Clone, Debug)]
pub struct EagerTwin {
    /// Unique, kebab-case.
    pub id: String,
    /// What it does, as a sentence.
    pub title: String,
    /// The party that does it.
    pub party: Party,
    /// What permits it.
    pub permission: String,
    /// How.
    pub rules: Vec<Rule>,
}

/// From whom to whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// client ▶ proxy.
    ClientToProxy,
    /// proxy ▶ client.
    ProxyToClient,
    /// proxy ▶ function.
    ProxyToFunction,
    /// function ▶ proxy.
    FunctionToProxy,
}

impl Direction {
    /// It is from the caller to the callee.
    pub fn is_call(self) -> bool {
        matches!(self, Direction::ClientToProxy | Direction::ProxyToFunction)
    }

    /// It is between client and proxy.
    fn is_front(self) -> bool {
        matches!(self, Direction::ClientToProxy | Direction::ProxyToClient)
    }
}

/// What a rule waits for, and what it does then.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In which direction.
    pub on: Direction,
    /// What passes.
    pub when: When,
    /// Only on calls of this method.
    pub call: Option<String>,
    /// Only these times, from 1.
    pub times: RangeInclusive<usize>,
    /// What is done.
    pub action: RuleAction,
    counted: Arc<AtomicUsize>,
    fired: Arc<AtomicUsize>,
}

/// What a rule waits for.
#[derive(Clone, Debug)]
pub enum When {
    /// A message with at least these fields: what isn't written doesn't matter, within an `Any` neither. A list
    /// is written as a whole. `$any` is whatever, but there; `$absent` is not there.
    Message(Node),
    /// A message with nothing set.
    Empty,
    /// The caller is done.
    HalfClose,
    /// The call ends.
    End,
    /// The sender resets the stream.
    Reset,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum RuleAction {
    /// It doesn't arrive.
    Drop,
    /// It arrives twice.
    Repeat,
    /// Fields get other values.
    Set(Vec<Assignment>),
    /// It arrives after the next message of its direction.
    Swap,
    /// This message arrives before it.
    Before(Node),
    /// This message arrives after it.
    After(Node),
    /// Instead of it the call ends, with this status and text.
    End(i32, String),
    /// It arrives, and then the call ends, with this status and text.
    ThenEnd(i32, String),
    /// Instead of it the stream is reset.
    Reset,
    /// A request is answered at once with this message, and goes on.
    Answer(Node),
    /// These bytes arrive instead of it.
    Bytes(Bytes),
    /// It arrives, and the caller is done.
    Finish,
}

/// A field and its new value: `null` takes it away, `{ $add: 1 }` counts from the old one.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which field.
    pub path: FieldPath,
    /// As a scenario would write it.
    pub value: Node,
}

/// What passes on a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Passing {
    /// A message.
    Message(Bytes),
    /// The caller is done.
    HalfClose,
    /// The call ends.
    End(i32, String),
    /// The stream is reset.
    Reset,
    /// To the caller, against the direction.
    Back(Bytes),
}

impl Mutant {
    /// The mutants that the kit brings.
    ///
    /// # Errors
    /// What is wrong in their files.
    pub fn embedded() -> Result<Vec<Mutant>, Vec<SourceError>> {
        let source = |(name, text): &(&str, &str)| Source {
            name: format!("fixtures/mutants/{name}"),
            text: (*text).to_owned(),
        };
        Mutant::of(crate::embedded::MUTANTS.iter().map(source))
    }

    /// The mutants of files.
    ///
    /// # Errors
    /// What is wrong in them, the first thing of each.
    pub fn of(files: impl IntoIterator<Item = Source>) -> Result<Vec<Mutant>, Vec<SourceError>> {
        let (mut mutants, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            match read(&Arc::new(file)) {
                Ok(read) => mutants.extend(read),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(mutants)
        } else {
            Err(errors)
        }
    }

    /// The rules, with counters of their own.
    pub fn fresh_rules(&self) -> Vec<Rule> {
        let fresh = |rule: &Rule| Rule {
            counted: Arc::default(),
            fired: Arc::default(),
            ..rule.clone()
        };
        self.rules.iter().map(fresh).collect()
    }
}

impl Rule {
    fn new(on: Direction, when: When, times: RangeInclusive<usize>, action: RuleAction) -> Rule {
        Rule {
            on,
            when,
            call: None,
            times,
            action,
            counted: Arc::default(),
            fired: Arc::default(),
        }
    }

    /// How often it changed something. One that sets a field to what it is has not fired.
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::Relaxed)
    }

    /// It is its turn, now that what it waits for passes.
    fn is_due(&self) -> bool {
        let count = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        self.times.contains(&count)
    }

    fn has_fired(&self) {
        self.fired.fetch_add(1, Ordering::Relaxed);
    }
}
