//! The known failures that a system file declares, and whether they still are.

use serde::{Deserialize, Serialize};

/// Known failures, and whether they still are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waivers {
    /// Those that excused something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<UsedWaiver>,
    /// Those that did not: they fail the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<StaleWaiver>,
}

/// A waiver that did its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedWaiver {
    /// What it matches, as the system file has it.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// The full names of the scenarios it excused.
    pub excused: Vec<String>,
}

/// A waiver that should be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleWaiver {
    /// What it matches, as the system file has it.
    pub pattern: String,
    /// Why it was there.
    pub reason: String,
    /// The full names of scenarios that it matches and that pass; empty: it matches nothing.
    pub passing: Vec<String>,
}

impl StaleWaiver {
    /// What is wrong with it, as a sentence without a full stop.
    pub fn problem(&self) -> String {
        if self.passing.is_empty() {
            "it matches no scenario of this run".to_owned()
        } else {
            format!(
                "it expects a failure, and this passes: {}",
                self.passing.join(", ")
            )
        }
    }
}
