//! (3)(7) Generated scenarios and their shrinking.
//!
//! A seed gives inputs of the models ([`mod@generate`]), the models' answers make them charts ([`mod@expand`]),
//! and where such a chart fails, fewer and simpler inputs are tried until the failure is small
//! ([`mod@shrink`]).

pub mod expand;
pub mod generate;
pub mod shrink;

pub use shrink::{Budget, shrink};

use crate::scenario::Scenario;
use expand::expand;
use generate::{Inputs, Tree};

/// A generated scenario that remembers what it was made from.
pub struct Generated {
    scenario: Scenario,
    tree: Tree,
}

/// The first `count` scenarios of a seed.
pub fn generate(seed: u64, count: usize) -> Vec<Generated> {
    let generated = |(index, tree): (usize, Tree)| {
        let number = index + 1;
        let title = format!("Generated scenario {number} of seed {seed}");
        let scenario = expand(format!("seed-{seed}-{number}"), title, &tree.current());
        Generated { scenario, tree }
    };
    generate::trees(seed, count)
        .into_iter()
        .enumerate()
        .map(generated)
        .collect()
}

impl Generated {
    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The same scenario with other inputs.
    fn with(&self, plan: &Inputs) -> Scenario {
        expand(self.scenario.id.clone(), self.scenario.title.clone(), plan)
    }
}
