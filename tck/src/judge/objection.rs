//! Who deviates, where, and how.

use crate::finding::Mismatch;
use crate::party::Party;
use crate::play::Aligned;

/// A finding before its requirement is looked up.
#[derive(Clone, Debug)]
pub(super) struct Objection {
    /// The party.
    pub blame: Party,
    /// One sentence.
    pub summary: String,
    /// Differences, if contents differ.
    pub mismatches: Vec<Mismatch>,
    /// The move of the script.
    pub index: Option<usize>,
    /// The entry.
    pub entry: u64,
}

impl Objection {
    /// To an entry.
    pub fn new(blame: Party, entry: u64, summary: impl Into<String>) -> Objection {
        Objection {
            blame,
            summary: summary.into(),
            mismatches: Vec::new(),
            index: None,
            entry,
        }
    }

    /// To an entry that is a move of the script.
    pub fn to(aligned: &Aligned, blame: Party, summary: impl Into<String>) -> Objection {
        Objection::new(blame, aligned.entry, summary).at_move(aligned.index)
    }

    /// The same, about a move of the script, if it is about one.
    pub fn at_move(mut self, index: impl Into<Option<usize>>) -> Objection {
        self.index = index.into();
        self
    }

    /// The same, with what differs.
    pub fn with(mut self, mismatches: impl IntoIterator<Item = Mismatch>) -> Objection {
        self.mismatches.extend(mismatches);
        self
    }
}
