//! (5) The judge: the same play over the transcript, and the invariants: findings, blame, verdict. Pure.
//!
//! Contents are compared here and nowhere else. Every finding names one requirement: the invariant's own, or
//! the one that the step (or scenario) verifies, or else the one that holds for that kind of message.

mod collector;
mod contents;
mod evaluation;
pub(crate) mod invariants;
mod objection;
mod order;
mod stopped;

use self::collector::{Case, Collector};
use crate::finding::{Finding, Severity, Verdict};
use crate::play::Play;
use crate::requirement::RequirementName;
use crate::script::Script;
use crate::transcript::Transcript;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the judge says of one play.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The first is the root, unless it is marked a consequence.
    pub findings: Vec<Finding>,
    /// Requirements whose check was evaluated with its premise true.
    pub covered: BTreeSet<RequirementName>,
    /// Where the specification leaves a choice: what was chosen.
    pub choices: BTreeSet<ChoiceTaken>,
    /// The kit or the scenario is at fault.
    pub error: Option<String>,
    /// Messages may have crossed; with pauses of [`QUIET`](crate::play::QUIET) they wouldn't.
    pub hurried: bool,
}

/// A permission, and what the party that has it made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChoiceTaken {
    /// What leaves the choice.
    pub requirement: RequirementName,
    /// What was chosen, as the end of a sentence about the party.
    pub choice: &'static str,
}

impl Judgement {
    /// The worst of the findings.
    pub fn verdict(&self) -> Verdict {
        let of = |finding: &Finding| match (finding.severity, finding.blame) {
            (Severity::Warning, _) => Verdict::Pass,
            (Severity::Failure, Some(_)) => Verdict::Fail,
            (Severity::Failure, None) => Verdict::Inconclusive,
        };
        let counted = self.findings.iter().filter(|finding| !finding.consequence);
        let worst = counted.map(of).max().unwrap_or(Verdict::Pass);
        if self.error.is_some() {
            Verdict::Error
        } else {
            worst
        }
    }

    /// The finding that the others follow from.
    pub fn root(&self) -> Option<&Finding> {
        let failures = |f: &&Finding| !f.consequence && f.severity == Severity::Failure;
        self.findings
            .iter()
            .find(failures)
            .or(self.findings.first())
    }
}

/// Judges a transcript by its script.
pub fn judge(script: &Arc<Script>, transcript: &Transcript) -> Judgement {
    let mut play = Play::new(script.clone());
    for entry in &transcript.entries {
        play.observe(entry);
    }
    let mut collector = Collector::new(Case {
        script,
        play: &play,
        transcript,
    });
    invariants::check(&mut collector);
    // What came too early can't be what it should be: that it came early is the finding.
    order::check(&mut collector);
    contents::check(&mut collector);
    stopped::check(&mut collector);
    collector.conclude()
}

#[cfg(test)]
mod tests;
