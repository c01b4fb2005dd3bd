//! Which scenarios need a subject of their own.

use crate::scenario::steps;
use crate::scenario::{Fault, Raw, Scenario, StepKind};
use crate::system::ProxyTimeout;

/// Does this scenario change or kill its subject, so that it needs one of its own?
pub fn needs_own_subject(scenario: &Scenario) -> bool {
    let set = |need: &String| ProxyTimeout::of(need).is_some();
    let mut own = scenario.spec.is_some() || scenario.needs.iter().any(set);
    steps::each(&scenario.chart, &mut |step| {
        own |= matches!(
            step.kind,
            StepKind::Kill(_)
                | StepKind::Start(_)
                | StepKind::Raw {
                    what: Raw::Fault(Fault::Disconnects | Fault::GoesAway),
                    ..
                }
        );
    });
    own
}
