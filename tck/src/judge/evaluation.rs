//! A requirement whose premise holds, and what is wrong where it is broken.

use super::objection::Objection;
use crate::finding::Mismatch;
use crate::party::Party;
use crate::requirement::RequirementName;

/// One requirement, evaluated.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    /// The requirement.
    pub requirement: RequirementName,
    /// `None`: it is kept.
    pub breach: Option<Breach>,
}

/// How a requirement is broken.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    /// One sentence.
    summary: String,
    /// What differs, if something can be laid beside something.
    mismatch: Option<Mismatch>,
    /// The entry that shows it, unless it is the one at hand.
    entry: Option<u64>,
}

impl Evaluation {
    /// It is kept, or else broken as the text says.
    pub fn new(requirement: RequirementName, holds: bool, text: impl Into<String>) -> Evaluation {
        if holds {
            Evaluation::kept(requirement)
        } else {
            Evaluation::broken(requirement, text)
        }
    }

    /// Nothing to object to.
    pub fn kept(requirement: RequirementName) -> Evaluation {
        let breach = None;
        Evaluation {
            requirement,
            breach,
        }
    }

    /// A deviation, in a sentence.
    pub fn broken(requirement: RequirementName, text: impl Into<String>) -> Evaluation {
        let breach = Some(Breach {
            summary: text.into(),
            mismatch: None,
            entry: None,
        });
        Evaluation {
            requirement,
            breach,
        }
    }

    /// A field that must have this value, or else differs as the text says.
    pub fn equal<T: ToString + PartialEq>(
        requirement: RequirementName,
        path: &str,
        expected: T,
        received: T,
        text: impl Into<String>,
    ) -> Evaluation {
        let holds = expected == received;
        let differing = Mismatch::new(path, expected, received);
        Evaluation::new(requirement, holds, text).showing(differing)
    }

    /// The same; if it is broken, with what differs.
    pub fn showing(mut self, mismatch: Mismatch) -> Evaluation {
        if let Some(breach) = &mut self.breach {
            breach.mismatch = Some(mismatch);
        }
        self
    }

    /// The same; if it is broken, another entry than the one at hand shows it.
    pub fn seen_at(mut self, entry: u64) -> Evaluation {
        if let Some(breach) = &mut self.breach {
            breach.entry = Some(entry);
        }
        self
    }
}

impl Breach {
    /// The same as an objection to its sender; this entry is at hand.
    pub fn by(self, blame: Party, entry: u64) -> Objection {
        let entry = self.entry.unwrap_or(entry);
        Objection::new(blame, entry, self.summary).with(self.mismatch)
    }
}
