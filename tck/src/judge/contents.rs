//! Contents of messages: what came against what the chart says should have come.

mod answer;
pub(super) mod aspect;
mod command;
mod deadline;
mod discovery;
mod metadata;
mod returned;

use super::collector::{Case, Collector};
use super::objection::Objection;
use crate::finding::Mismatch;
use crate::party::Party;
use crate::play::Aligned;
use crate::protocol::EntityType;
use crate::requirement::{RequirementName, names};
use crate::scenario::message;
use crate::script::{CallPlan, MoveKind};
use crate::services;
use crate::yaml::Node;
use prost_reflect::DynamicMessage;

/// Compares every aligned entry with its move.
pub(super) fn check(collector: &mut Collector<'_>) {
    let script = collector.case.script;
    for aligned in collector.case.play.aligned() {
        let this = &script.moves[aligned.index];
        if this.by_kit(script.role) {
            continue;
        }
        content(collector, aligned, &this.kind);
        // What the step verifies was evaluated, once the entry is there.
        for name in collector.verified_by(aligned.index, this.from()) {
            collector.covered(name);
        }
    }
}

fn content(collector: &mut Collector<'_>, aligned: &Aligned, kind: &MoveKind) {
    let script = collector.case.script;
    match kind {
        MoveKind::Command(call) => {
            let call = &script.calls[*call];
            if let Some(entity_type) = entity_type(collector, aligned, call) {
                command::check(collector, aligned, call, entity_type);
            }
        }
        MoveKind::Answer(index) => {
            let call = &script.calls[*index];
            if let Some(entity_type) = entity_type(collector, aligned, call) {
                answer::check(collector, aligned, *index, entity_type);
            }
        }
        MoveKind::Deliver(call, number) => {
            let call = &script.calls[*call];
            command::delivered(collector, aligned, call, &call.requests[*number]);
        }
        MoveKind::Pass(call) => returned::passed(collector, aligned, *call),
        MoveKind::Return(call) if collector.case.play.is_lost(*call) => {}
        MoveKind::Return(call) => returned::check(collector, aligned, *call),
        MoveKind::Message { from, node, place } => {
            let name = place.entity_type().message(*from);
            let default = names::COMMANDS_ANSWER_EVERY_COMMAND;
            compare(collector, aligned, *from, node, name, default);
        }
        MoveKind::Reported(text) => discovery::reported(collector, aligned, text.as_ref()),
        MoveKind::Discover(Some(node)) => {
            let (name, default) = ("cloudstate.ProxyInfo", names::DISCOVERY_ANNOUNCES_VERSION);
            compare(collector, aligned, Party::Proxy, node, name, default);
        }
        MoveKind::Spec(node) => discovery::spec(collector, aligned, node.as_ref()),
        // That they came is all there is to them.
        _ => {}
    }
}

/// The type of a call that reached a function. A call that a client makes by hand has none: it gets no further than
/// the proxy.
fn entity_type(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
) -> Option<EntityType> {
    if call.entity_type.is_none() {
        let text = format!("the kit doesn't know what {} is a call of", call.path);
        collector.fault(aligned.entry, text);
    }
    call.entity_type
}

/// A message of this type against the chart's; what the step verifies is its requirement, or else the default.
fn compare(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    blame: Party,
    node: &Node,
    name: &str,
    default: RequirementName,
) {
    let requirement = collector.verified_or(aligned, blame, default);
    collector.covered(requirement);
    let mismatches = mismatches(&collector.case, aligned, node, name);
    if !mismatches.is_empty() {
        let short = name.rsplit('.').next().unwrap_or(name);
        let text = format!("the {short} is not the one expected");
        let objection = Objection::to(aligned, blame, text).with(mismatches);
        collector.object(requirement, objection);
    }
}

fn mismatches(case: &Case<'_>, aligned: &Aligned, node: &Node, name: &str) -> Vec<Mismatch> {
    let Some(descriptor) = services::descriptor_pool().get_message_by_name(name) else {
        return vec![Mismatch::new("", name, "a type that the kit doesn't know")];
    };
    match DynamicMessage::decode(descriptor.clone(), case.bytes(aligned.entry)) {
        Err(error) => vec![Mismatch::new("", name, error)],
        Ok(actual) => message::compare(node, &descriptor, &actual, &case.scope()),
    }
}

/// Bytes for a person.
fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        format!("{text}… ({} bytes)", bytes.len())
    } else {
        text
    }
}
