//! What the requirements of the specification came to, and how much of it was checked.

use super::{Outcome, Report, ScenarioResult};
use crate::party::{Party, Role};
use crate::requirement::{Level, Requirement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What one requirement came to in this run.
#[derive(Clone, Debug, PartialEq)]
pub struct RequirementResult {
    /// `chapter.slug`.
    pub name: String,
    /// From its keyword.
    pub level: Level,
    /// Whom it binds.
    pub party: Party,
    /// The normative sentence.
    pub sentence: String,
    /// The chapter's file.
    pub chapter: String,
    /// The roles in which its check was evaluated with its premise true.
    pub checked: Vec<Role>,
    /// What came out.
    pub standing: Standing,
    /// Why it can't be checked on the wire, if it can't.
    pub untestable: Option<String>,
}

impl RequirementResult {
    /// How a requirement stands after these scenarios, of which some checked it in these roles.
    pub fn new(
        requirement: &Requirement,
        checked: Vec<Role>,
        results: &[ScenarioResult],
    ) -> RequirementResult {
        let mut standing = if checked.is_empty() {
            Standing::NotChecked
        } else {
            Standing::Kept
        };
        for result in results
            .iter()
            .filter(|result| result.finds(&requirement.name))
        {
            standing = standing.max(match (&result.outcome, requirement.level) {
                (Outcome::Waived { .. }, _) => Standing::Waived,
                (_, Level::Must) => Standing::Broken,
                _ => Standing::Warned,
            });
        }
        RequirementResult {
            name: requirement.name.clone(),
            level: requirement.level,
            party: requirement.party,
            sentence: requirement.sentence.clone(),
            chapter: requirement.chapter.clone(),
            checked,
            standing,
            untestable: requirement.untestable.clone(),
        }
    }
}

/// How the system under test stands with a requirement. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// No check of it was evaluated.
    NotChecked,
    /// It was checked and nothing was found.
    Kept,
    /// A finding names it, and a waiver excuses every scenario that found it.
    Waived,
    /// A SHOULD isn't followed.
    Warned,
    /// A MUST is broken.
    Broken,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::NotChecked => "not checked",
            Standing::Kept => "kept",
            Standing::Waived => "waived",
            Standing::Warned => "warning",
            Standing::Broken => "broken",
        })
    }
}

/// How much of one chapter was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The chapter's file.
    pub chapter: &'a str,
    /// MUST and MUST NOT.
    pub must: Share,
    /// SHOULD and SHOULD NOT.
    pub should: Share,
    /// MAY.
    pub may: Share,
}

/// Some of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub checked: usize,
    /// Of how many.
    pub all: usize,
}

impl fmt::Display for Share {
    /// `3/4`; `-` where there is nothing to check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all {
            0 => f.pad("-"),
            all => f.pad(&format!("{}/{all}", self.checked)),
        }
    }
}

impl Report {
    /// Does a requirement on this party bind something that was under test?
    pub fn tests(&self, party: Party) -> bool {
        self.roles.iter().any(|role| match role {
            Role::Sdk => party == Party::Function,
            Role::Proxy => party == Party::Proxy,
            Role::Stack => party != Party::Client,
        })
    }

    /// The requirements that bind what was under test.
    pub fn relevant(&self) -> impl Iterator<Item = &RequirementResult> {
        self.requirements.iter().filter(|r| self.tests(r.party))
    }

    /// By chapter and level: how many of the relevant requirements were checked, and how many there are that can
    /// be.
    pub fn coverage(&self) -> Vec<Coverage<'_>> {
        let chapters: BTreeSet<&str> = self.relevant().map(|r| r.chapter.as_str()).collect();
        let level = |chapter: &str, level: Level| {
            let mut share = Share::default();
            for r in self
                .relevant()
                .filter(|r| r.chapter == chapter && r.level == level)
            {
                share.checked += usize::from(!r.checked.is_empty());
                share.all += usize::from(r.untestable.is_none() || !r.checked.is_empty());
            }
            share
        };
        let row = |chapter| Coverage {
            chapter,
            must: level(chapter, Level::Must),
            should: level(chapter, Level::Should),
            may: level(chapter, Level::May),
        };
        chapters.into_iter().map(row).collect()
    }

    /// Names of relevant requirements that no check was evaluated for though one could be, by chapter.
    pub fn unchecked(&self) -> Vec<&RequirementResult> {
        self.relevant()
            .filter(|r| r.checked.is_empty() && r.untestable.is_none())
            .collect()
    }
}
