//! The function's answer against the chart's, or the model's.

use super::aspect::{Aspect, Aspects};
use super::mismatches;
use crate::finding::Mismatch;
use crate::judge::collector::{Case, Collector};
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::{Aligned, StreamState};
use crate::protocol::EntityType;
use crate::requirement::{RequirementName, names};
use crate::scenario::Answer;
use crate::scenario::form::answer_of;
use crate::scenario::message::NOTHING;
use crate::script;
use crate::script::CallPlan;
use crate::yaml::{Node, Span, Value};

/// An answer to a command.
pub(super) fn check(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    index: usize,
    entity_type: EntityType,
) {
    let script = collector.case.script;
    let Some(mut answer) = expected(&collector.case, index) else {
        return;
    };
    let call = &script.calls[index];
    if answer.failure.is_some() && call.key.is_some() {
        answer.restart.get_or_insert_with(either_restart);
    }
    choice(collector, aligned, call, answer.restart.as_ref());
    let node = script::answer_node(script, call, entity_type, &answer, aligned.command_id);
    let name = entity_type.message(Party::Function);
    let mismatches = mismatches(&collector.case, aligned, &node, name);
    let Some(telling) = telling(&mismatches) else {
        return;
    };
    match requirement(collector, aligned, call, telling, is_uneven(&mismatches)) {
        Ok(requirement) => {
            let text = "the function's answer is not the one expected";
            let objection = Objection::to(aligned, Party::Function, text).with(mismatches);
            collector.object(requirement, objection);
        }
        Err(text) => collector.fault(aligned.entry, text),
    }
}

/// What the chart says, or else the model.
fn expected(case: &Case<'_>, call: usize) -> Option<Answer> {
    let written = case.script.calls[call].answer.clone();
    let span = case.script.scenario.span;
    written.or_else(|| {
        let reply = case.play.model_answer(call)?;
        Some(answer_of(span, &reply, &case.script.package))
    })
}

/// Whether a function asks for a restart is its own choice, unless the chart says so.
fn either_restart() -> Node {
    let span = Span::default();
    let both = [false, true].map(|restart| Node::new(span, Value::Bool(restart)));
    Node::map(span, [("$either", Node::list(span, both))])
}

/// Where the chart leaves a choice, the report says which was taken.
fn choice(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    restart: Option<&Node>,
) {
    if restart.and_then(Node::operator).is_none() {
        return;
    }
    if let Some(reply) = collector.case.reply(call, aligned.entry) {
        let choice = if reply.restarts() {
            "asks for a restart"
        } else {
            "does not ask for a restart"
        };
        collector.chose(names::FAILURES_RESTART_REQUESTED, choice);
    }
}

/// The difference that says the most. What is there and shouldn't be is told last: it may stand where the expected is
/// missing.
fn telling(mismatches: &[Mismatch]) -> Option<&Mismatch> {
    let missing = mismatches.iter().find(|found| found.expected != NOTHING);
    missing.or(mismatches.first())
}

/// Something of a list is missing, or too many.
fn is_uneven(mismatches: &[Mismatch]) -> bool {
    mismatches.iter().any(|found| {
        let whole = found.path.ends_with(']') || found.path.ends_with("side_effects");
        whole && is_one_sided(found)
    })
}

/// Which requirement the answer breaks; an error, if the kit can't tell.
fn requirement(
    collector: &Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    telling: &Mismatch,
    uneven: bool,
) -> Result<RequirementName, String> {
    let path = telling.path.as_str();
    let ids = [
        ("reply.command_id", names::COMMANDS_ANSWER_ID),
        (
            "reply.client_action.failure.command_id",
            names::FAILURES_FAILURE_COMMAND_ID,
        ),
        ("failure.command_id", names::ACTIONS_FAILURE_HAS_NO_ID),
    ];
    if let Some((_, name)) = ids.iter().find(|(id, _)| path == *id) {
        return Ok(*name);
    }
    let aspect = match Aspect::of(path) {
        // Nothing was to fail.
        Aspect::Failure if telling.expected == NOTHING => Aspect::Message,
        aspect => aspect,
    };
    let model = || Ok(Aspects::of(call)?.about(aspect));
    // A snapshot that is missing, or too many, says nothing about what would have been in it.
    if path == "reply.snapshot" && is_one_sided(telling) {
        return model();
    }
    let replayed = replayed(&collector.case, aligned);
    let concerned = |name: RequirementName| match name {
        names::EVENT_SOURCED_APPLIES_REPLAYED_EVENTS | names::VALUE_ENTITIES_STARTS_FROM_INIT => {
            replayed
        }
        // Where one is missing, or there is one too many, their order isn't what is wrong.
        names::EFFECTS_FUNCTION_EFFECT_ORDER => !uneven,
        _ => true,
    };
    let verified = collector.verified_by(aligned.index, Party::Function);
    let mut verified = verified.into_iter();
    let named = verified.find(|name| aspect.is_of(*name) && concerned(*name));
    named.map_or_else(model, Ok)
}

/// It is missing, or too many.
fn is_one_sided(found: &Mismatch) -> bool {
    [found.expected.as_str(), &found.received].contains(&NOTHING)
}

/// The entry's stream began with something that was stored.
fn replayed(case: &Case<'_>, aligned: &Aligned) -> bool {
    match case.stream(aligned.entry) {
        Some(StreamState::Entity(track)) => track.activation.is_replay(),
        _ => false,
    }
}
