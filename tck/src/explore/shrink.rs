//! (7) From a failing generated scenario to a small one that fails as well.
//!
//! What shrinks are the inputs; answers are expanded anew for every candidate, so that each is a chart in its
//! own right. What failing means is the caller's business: the same requirement and party as before.

use super::Generated;
use super::generate::Inputs;
use crate::scenario::Scenario;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How much shrinking may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Candidates that are played.
    pub candidates: usize,
    /// How long it may take. A candidate in play is cut off then.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            candidates: 200,
            time: Duration::from_secs(30),
        }
    }
}

/// Looks for a smaller scenario that fails too; the original if there is none.
///
/// The caller has made sure that the original fails again and again: shrinking follows every verdict. Which
/// scenario it finds depends on those alone, unless time runs out.
pub async fn shrink<F>(generated: Generated, mut fails: F, budget: Budget) -> Scenario
where
    F: AsyncFnMut(&Scenario) -> bool,
{
    let deadline = Instant::now() + budget.time;
    let mut smallest = generated.scenario().clone();
    let mut search = Search::new(generated);
    for _ in 0..budget.candidates {
        let Some(candidate) = search.candidate() else {
            break;
        };
        let Ok(failed) = timeout_at(deadline, fails(&candidate)).await else {
            break;
        };
        search.settle(failed);
        if failed {
            smallest = candidate;
        }
    }
    smallest
}

/// The way through the candidates: simpler after a failure, a step back after none.
struct Search {
    generated: Generated,
    /// What is known. The way crosses itself: a step back leads to a failure that was seen.
    verdicts: HashMap<Inputs, bool>,
    /// The last candidate failed.
    failed: bool,
}

impl Search {
    fn new(generated: Generated) -> Search {
        let verdicts = HashMap::from([(generated.tree.current(), true)]);
        Search {
            generated,
            verdicts,
            failed: true,
        }
    }

    /// The next one that isn't settled yet.
    fn candidate(&mut self) -> Option<Scenario> {
        loop {
            let tree = &mut self.generated.tree;
            let more = if self.failed {
                tree.simplify()
            } else {
                tree.complicate()
            };
            if !more {
                return None;
            }
            let plan = self.generated.tree.current();
            match self.verdicts.get(&plan) {
                Some(failed) => self.failed = *failed,
                None => return Some(self.generated.with(&plan)),
            }
        }
    }

    fn settle(&mut self, failed: bool) {
        self.verdicts.insert(self.generated.tree.current(), failed);
        self.failed = failed;
    }
}

#[cfg(test)]
mod tests;
