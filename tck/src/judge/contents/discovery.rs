//! What is said at discovery: entity specs, and reports of what a function did wrong.

use super::compare;
use crate::finding::Mismatch;
use crate::judge::collector::{Case, Collector};
use crate::judge::evaluation::Evaluation;
use crate::judge::invariants;
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::Aligned;
use crate::requirement::names;
use crate::script::MoveKind;
use crate::yaml::Node;
use cloudstate_protocol::cloudstate::{EntitySpec, UserFunctionError};
use prost::Message as _;

/// A call of `reportError`. It says what it is about.
pub(super) fn reported(collector: &mut Collector<'_>, aligned: &Aligned, text: Option<&Node>) {
    if let Some(pattern) = text {
        let node = Node::map(pattern.span, [("message", pattern.clone())]);
        let (name, default) = (
            "cloudstate.UserFunctionError",
            names::FAILURES_VIOLATION_REPORTED,
        );
        compare(collector, aligned, Party::Proxy, &node, name, default);
    }
    let script = collector.case.script;
    if script.scenario.spec.is_some() {
        return;
    }
    let report = UserFunctionError::decode(collector.case.bytes(aligned.entry));
    let report = report.unwrap_or_default().message;
    if script.has_actions() {
        return reported_call(collector, aligned, report);
    }
    let requirement = names::DISCOVERY_REPORT_NAMES_THE_ENTITY;
    collector.covered(requirement);
    let key = &script.key;
    if !(report.contains(&key.service) && report.contains(&key.entity)) {
        let text = "the report doesn't say which entity it is about";
        let expected = format!("a text with {} and {}", key.service, key.entity);
        let mismatch = Mismatch::new("message", expected, report);
        let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
        collector.object(requirement, objection);
    }
}

/// A report about an action's call names service and command.
fn reported_call(collector: &mut Collector<'_>, aligned: &Aligned, report: String) {
    let calls = collector.case.script.calls.iter();
    let mut named = calls.filter(|call| call.key.is_none() && call.entity_type.is_some());
    if !named.any(|call| report.contains(call.service()) && report.contains(&call.method)) {
        let text = "the report doesn't say which command it is about";
        let expected = "a text with the names of service and command";
        let mismatch = Mismatch::new("message", expected, report);
        let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
        collector.object(names::ACTIONS_MALFORMED_RESPONSE, objection);
    }
}

/// An entity spec is held against the requirements that the step verifies, each for itself.
pub(super) fn spec(collector: &mut Collector<'_>, aligned: &Aligned, node: Option<&Node>) {
    let requirement = names::DISCOVERY_REPEATABLE;
    if let Some(node) = node.filter(|node| node.operator().is_none()) {
        let name = "cloudstate.EntitySpec";
        compare(collector, aligned, Party::Function, node, name, requirement);
    }
    let spec = match EntitySpec::decode(collector.case.bytes(aligned.entry)) {
        Ok(spec) => spec,
        Err(error) => {
            let text = format!("the entity spec can't be decoded: {error}");
            let objection = Objection::to(aligned, Party::Function, text);
            return collector.object(requirement, objection);
        }
    };
    let verified = collector.verified_by(aligned.index, Party::Function);
    let mut all = invariants::discovery::check(&spec);
    let text = "the entities are not those of the first answer";
    let same = is_as_before(&collector.case, aligned, &spec);
    all.push(Evaluation::new(requirement, same, text));
    for evaluation in all {
        if !verified.contains(&evaluation.requirement) {
            continue;
        }
        collector.covered(evaluation.requirement);
        if let Some(breach) = evaluation.breach {
            let objection = breach.by(Party::Function, aligned.entry);
            collector.object(evaluation.requirement, objection.at_move(aligned.index));
        }
    }
}

/// No earlier `discover` was answered with other entities.
fn is_as_before(case: &Case<'_>, aligned: &Aligned, spec: &EntitySpec) -> bool {
    let is_spec = |kind: &MoveKind| matches!(kind, MoveKind::Spec(_));
    let mut all = case.play.aligned().iter();
    let first = all.find(|other| is_spec(&case.script.moves[other.index].kind));
    let earlier = first
        .filter(|first| first.entry < aligned.entry)
        .and_then(|first| EntitySpec::decode(case.bytes(first.entry)).ok());
    let sorted = |spec: &EntitySpec| {
        let mut entities = spec.entities.clone();
        entities.sort_by(|a, b| a.service_name.cmp(&b.service_name));
        entities
    };
    earlier.is_none_or(|earlier| sorted(&earlier) == sorted(spec))
}
