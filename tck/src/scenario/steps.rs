//! Walks over the steps of a chart.

use crate::scenario::{Step, StepKind};

/// All steps, those inside others too; what effects and forwards hold is another matter.
pub(crate) fn each<'s>(steps: &'s [Step], see: &mut impl FnMut(&'s Step)) {
    for step in steps {
        see(step);
        match &step.kind {
            StepKind::Call(call) | StepKind::Consume(call) => {
                each(&call.during, see);
                let lines = call.stream.iter().flat_map(|stream| &stream.lines);
                for step in lines.filter_map(|line| line.step.as_deref()) {
                    each(std::slice::from_ref(step), see);
                }
                each(
                    call.then
                        .as_deref()
                        .map(std::slice::from_ref)
                        .unwrap_or_default(),
                    see,
                );
                each(&call.answer.unordered, see);
            }
            StepKind::Streamed { answer, .. } | StepKind::Cancel { answer, .. } => {
                each(&answer.unordered, see);
            }
            StepKind::None(steps) | StepKind::Concurrent { each: steps, .. } => each(steps, see),
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter().for_each(|list| each(list, see));
            }
            _ => {}
        }
    }
}
