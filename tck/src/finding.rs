//! Findings: what deviates, which sentence says so, and who is to blame.

use crate::party::Party;
use crate::yaml::Span;
use serde::{Deserialize, Serialize};

/// How a scenario ended. Only ever gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to object to.
    Pass,
    /// It can't be told who is to blame.
    Inconclusive,
    /// The system under test deviates from a MUST.
    Fail,
    /// The kit or its surroundings failed; never counted against the system under test.
    Error,
}

/// How grave a finding is; it follows from the requirement's keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A SHOULD is not followed.
    Warning,
    /// A MUST is broken.
    Failure,
}

/// One deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The requirement's name.
    pub requirement: String,
    /// From its keyword.
    pub severity: Severity,
    /// Who deviates; `None`: it can't be told.
    pub blame: Option<Party>,
    /// What happened, one sentence without a full stop.
    pub summary: String,
    /// Where contents differ: path, expected, received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
    /// The step of the chart, as its span in the scenario's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Span>,
    /// The entry of the transcript that shows it (for silence: the deadline's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// It follows from an earlier finding of another party, and isn't counted.
    #[serde(default)]
    pub consequence: bool,
}

/// Where contents differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// For example `reply.events[1].value`; empty: the whole message.
    pub path: String,
    /// As the scenario writes it.
    pub expected: String,
    /// As it would write what came.
    pub received: String,
}

impl Mismatch {
    /// What should be and what is, at a path.
    pub fn new(path: &str, expected: impl ToString, received: impl ToString) -> Mismatch {
        Mismatch {
            path: path.to_owned(),
            expected: expected.to_string(),
            received: received.to_string(),
        }
    }
}
