//! What the proxy passes on to the function: everything in it follows from the client's call.

use super::{hex, metadata};
use crate::finding::Mismatch;
use crate::judge::collector::Collector;
use crate::judge::evaluation::Evaluation;
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::{Activation, Aligned};
use crate::protocol;
use crate::protocol::{Command, EntityType, FromProxy};
use crate::requirement::{RequirementName, names};
use crate::scenario::replay::replay_of;
use crate::script;
use crate::script::{CallPlan, MoveKind, Origin};
use crate::yaml::Node;
use bytes::Bytes;
use prost_types::Any;

/// A command, and what was replayed before it.
pub(super) fn check(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    entity_type: EntityType,
) {
    let bytes = collector.case.bytes(aligned.entry);
    let FromProxy::Command(command) = protocol::read_in(entity_type, &bytes) else {
        return;
    };
    follows(
        collector,
        aligned,
        fields(collector, aligned, call, &command),
    );
    if let Origin::Effect { .. } = call.origin {
        collector.covered(names::EFFECTS_EXECUTED);
    }
    metadata::of_command(collector, aligned, call, &command.metadata);
    if let (Some(node), Some(activation)) = (&call.replay, &aligned.activation) {
        replay(collector, aligned, node, activation);
    }
    survived(collector, aligned, call);
}

/// The fields of a command that follow from its call, the most telling first.
fn fields(
    collector: &Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    command: &Command,
) -> Vec<Evaluation> {
    let mut verified = collector
        .verified_by(aligned.index, Party::Proxy)
        .into_iter();
    let key_rule = verified.find(|name| name.chapter() == "entity-keys");
    let key_rule = key_rule.unwrap_or(names::ENTITY_KEYS_KEY_OPTION);
    let mut all = Vec::new();
    if let Some(key) = &call.key {
        all.push(same(key_rule, "entity_id", &key.entity, &command.entity));
    }
    let name = names::COMMANDS_BARE_METHOD_NAME;
    all.push(same(name, "name", &call.method, &command.name));
    if call.key.is_none() {
        let name = names::ACTIONS_FIRST_NAMES_COMMAND;
        all.push(same(name, "service_name", call.service(), &command.service));
    }
    if !call.kind.streams_in() {
        let unchanged = match call.origin {
            Origin::Client | Origin::Element { .. } => names::COMMANDS_PAYLOAD_UNCHANGED,
            Origin::Effect { .. } => names::EFFECTS_EFFECT_PAYLOAD_UNCHANGED,
            Origin::Forward { .. } => names::EFFECTS_FORWARD_PAYLOAD_UNCHANGED,
        };
        all.extend(payload(call, &call.payload, command, unchanged));
    }
    all
}

/// A request of a stream.
pub(super) fn delivered(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    request: &Bytes,
) {
    let bytes = collector.case.bytes(aligned.entry);
    let read = protocol::read_in(EntityType::Action, &bytes);
    let (FromProxy::Request(message) | FromProxy::Command(message)) = read else {
        return;
    };
    let unchanged = names::COMMANDS_PAYLOAD_UNCHANGED;
    follows(
        collector,
        aligned,
        payload(call, request, &message, unchanged),
    );
}

fn payload(
    call: &CallPlan,
    request: &[u8],
    command: &Command,
    unchanged: RequirementName,
) -> Vec<Evaluation> {
    let nothing = Any::default();
    let received = command.payload.as_ref().unwrap_or(&nothing);
    let type_url = script::payload(call, &[]).type_url;
    let typed = names::COMMANDS_PAYLOAD_TYPE;
    vec![
        same(typed, "payload.type_url", &type_url, &received.type_url),
        same(
            unchanged,
            "payload.value",
            &bits(request),
            &bits(&received.value),
        ),
    ]
}

/// A field of the command that has to be the client's.
fn same(requirement: RequirementName, path: &str, expected: &str, received: &str) -> Evaluation {
    let text = format!("the command's {path} is not the client's");
    let mismatch = Mismatch::new(path, shortened(expected), shortened(received));
    Evaluation::new(requirement, expected == received, text).showing(mismatch)
}

fn follows(collector: &mut Collector<'_>, aligned: &Aligned, fields: Vec<Evaluation>) {
    for field in fields {
        collector.covered(field.requirement);
        if let Some(breach) = field.breach {
            let objection = breach.by(Party::Proxy, aligned.entry);
            collector.object(field.requirement, objection.at_move(aligned.index));
        }
    }
}

/// All of it, for comparison; shown [`shortened`].
fn bits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// A command that waited for one that was failed comes on the same stream: the entity was never idle.
fn survived(collector: &mut Collector<'_>, aligned: &Aligned, call: &CallPlan) {
    let case = collector.case;
    let failed = |before: &usize| {
        let MoveKind::Answer(answered) = case.script.moves[*before].kind else {
            return false;
        };
        let other = &case.script.calls[answered];
        let entry = case.play.entry_of(*before);
        let reply = entry.and_then(|entry| case.reply(other, entry));
        let unharmed = reply.is_some_and(|reply| {
            !reply.stores() && reply.failure().is_some_and(|failure| !failure.restart)
        });
        other.key.is_some() && other.key == call.key && unharmed
    };
    let mut before = case.script.moves[aligned.index].after.iter();
    if !before.any(failed) {
        return;
    }
    collector.covered(names::FAILURES_STREAM_SURVIVES);
    if aligned.activation.is_some() {
        let text = "the proxy left the stream for a new one, though nothing asked for that";
        let objection = Objection::to(aligned, Party::Proxy, text);
        collector.object(names::FAILURES_STREAM_SURVIVES, objection);
    }
}

/// What the chart says must be replayed.
fn replay(collector: &mut Collector<'_>, aligned: &Aligned, node: &Node, seen: &Activation) {
    let Ok(Some(expected)) = replay_of(node, &collector.case.scope()) else {
        return;
    };
    let begin = &seen.begin;
    let (default, text, mismatch) = if expected.value != begin.value {
        let show = |value: &Option<Any>| match value {
            None => "no value".to_owned(),
            Some(any) => format!("{} {}", any.type_url, hex(&any.value)),
        };
        (
            names::VALUE_ENTITIES_INIT_HAS_STORED_VALUE,
            "init has not the expected value",
            Mismatch::new(
                "init.state.value",
                show(&expected.value),
                show(&begin.value),
            ),
        )
    } else {
        let events = expected.replay();
        let events: Vec<_> = events
            .map(|(sequence, event)| (sequence, event.clone()))
            .collect();
        if expected.snapshot == begin.snapshot && events == seen.events {
            return;
        }
        (
            names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT,
            "the replay is not the one expected",
            Mismatch::new(
                "replay",
                numbers(&expected.snapshot, &events),
                numbers(&begin.snapshot, &seen.events),
            ),
        )
    };
    let requirement = collector.verified_or(aligned, Party::Proxy, default);
    let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
    collector.object(requirement, objection);
}

/// The sequence numbers of a replay, for a person.
fn numbers(snapshot: &Option<(i64, Any)>, events: &[(i64, Any)]) -> String {
    let snapshot = snapshot.as_ref().map(|(sequence, _)| *sequence);
    let first = events.iter().take(12);
    let numbers: Vec<String> = first.map(|(sequence, _)| sequence.to_string()).collect();
    format!(
        "snapshot {snapshot:?}, {} events [{}]",
        events.len(),
        numbers.join(", ")
    )
}
