//! Where a chart leaves the kit a choice: which alternatives it takes.

use crate::party::{Party, Role};
use crate::scenario::{Answer, Scenario, Step, StepKind};
use crate::yaml::Node;

/// How often the chart is played in this role: once for each alternative of a choice that the kit has.
pub fn choices(scenario: &Scenario, role: Role) -> usize {
    if !role.kit_plays(Party::Function) {
        return 1;
    }
    let mut most = 1;
    each_answer(&scenario.chart, &mut |answer| {
        if let Some(("$either", Some(options))) = answer.restart.as_ref().and_then(Node::operator) {
            most = most.max(options.items().map_or(1, <[Node]>::len));
        }
    });
    most
}

fn each_answer(steps: &[Step], see: &mut impl FnMut(&Answer)) {
    for step in steps {
        match &step.kind {
            StepKind::Call(call) => {
                see(&call.answer);
                let lines = call.stream.iter().flat_map(|stream| &stream.lines);
                lines
                    .filter_map(|line| line.answer.as_ref())
                    .for_each(&mut *see);
            }
            StepKind::Concurrent { each, .. } => each_answer(each, see),
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter().for_each(|list| each_answer(list, see));
            }
            _ => {}
        }
    }
}
