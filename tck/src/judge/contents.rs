//! Contents of messages: what came against what the chart says should have come.

mod deadline;
mod metadata;

use super::{Bench, Objection};
use crate::finding::Mismatch;
use crate::party::Party;
use crate::play::{Activation, Aligned, Stream};
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::{FromFunction, FromProxy};
use crate::requirement::{Level, RequirementName, Requirements, names};
use crate::scenario::message::{self, NOTHING, Scope};
use crate::scenario::replay::replay_of;
use crate::script;
use crate::script::{CallPlan, MoveKind, Origin, Returns};
use crate::status::{DEADLINE_EXCEEDED, STATUS, UNKNOWN, status_name};
use crate::transcript::What;
use crate::yaml::{Node, Span, Value};
use bytes::Bytes;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::cloudstate::{EntitySpec, UserFunctionError};
use prost::Message as _;
use prost_reflect::DynamicMessage;

/// Compares every aligned entry with its move.
pub fn check(bench: &mut Bench<'_>) {
    for aligned in bench.case.play.aligned() {
        let script = bench.case.script;
        let this = &script.moves[aligned.index];
        if this.by_kit(script.role) {
            continue;
        }
        match &this.kind {
            MoveKind::Command(call) => command(bench, aligned, &script.calls[*call]),
            MoveKind::Deliver(call, number) => {
                let call = &script.calls[*call];
                delivered(bench, aligned, call, &call.requests[*number]);
            }
            MoveKind::Pass(call) => passed(bench, aligned, *call),
            MoveKind::Answer(call) => answer(bench, aligned, &script.calls[*call]),
            MoveKind::Return(call) => returned(bench, aligned, *call),
            MoveKind::Message { from, node, place } => {
                raw(bench, aligned, *from, node, place.entity_type());
            }
            MoveKind::Reported(text) => reported(bench, aligned, text.as_ref()),
            MoveKind::Discover(Some(node)) => {
                compare(
                    bench,
                    aligned,
                    Party::Proxy,
                    node,
                    "cloudstate.ProxyInfo",
                    names::DISCOVERY_ANNOUNCES_VERSION,
                );
            }
            MoveKind::Spec(node) => spec(bench, aligned, node.as_ref()),
            _ => {}
        }
        evaluated(bench, aligned, this.from());
    }
}

/// What the step verifies was evaluated, once the entry is there.
fn evaluated(bench: &mut Bench<'_>, aligned: &Aligned, party: Party) {
    for name in bench.verified_by(aligned.index, party) {
        bench.covered(name);
    }
}

fn bytes_of(bench: &Bench<'_>, entry: u64) -> Bytes {
    let entry = usize::try_from(entry)
        .ok()
        .and_then(|at| bench.case.transcript.entries.get(at));
    match entry.map(|entry| &entry.what) {
        Some(What::Message { bytes }) => bytes.clone(),
        _ => Bytes::new(),
    }
}

fn objection(aligned: &Aligned, blame: Party, summary: impl Into<String>) -> Objection {
    Objection {
        blame,
        summary: summary.into(),
        mismatches: Vec::new(),
        index: Some(aligned.index),
        entry: Some(aligned.entry),
    }
}

fn differs(path: &str, expected: impl ToString, received: impl ToString) -> Mismatch {
    Mismatch {
        path: path.to_owned(),
        expected: expected.to_string(),
        received: received.to_string(),
    }
}

/// A message of the function, by the type of its entity.
fn read_out(bench: &Bench<'_>, call: &CallPlan, entry: u64) -> FromFunction {
    let entity_type = call.entity_type.unwrap_or(EntityType::EventSourced);
    protocol::read_out(entity_type, &bytes_of(bench, entry))
}

/// One thing that follows from the call: requirement, field, what it should be, what it is.
type Follows<'a> = (RequirementName, &'a str, String, String);

fn follows(bench: &mut Bench<'_>, aligned: &Aligned, all: Vec<Follows<'_>>) {
    for (requirement, path, expected, received) in all {
        bench.covered(requirement);
        if expected != received {
            let text = format!("the command's {path} is not the client's");
            let mut objection = objection(aligned, Party::Proxy, text);
            let [expected, received] = [expected, received].map(|text| shortened(&text));
            objection.mismatches.push(differs(path, expected, received));
            bench.object(requirement, objection);
        }
    }
}

/// A command: everything in it follows from the call.
fn command(bench: &mut Bench<'_>, aligned: &Aligned, call: &CallPlan) {
    let entity_type = call.entity_type.unwrap_or(EntityType::EventSourced);
    let FromProxy::Command(command) =
        protocol::read_in(entity_type, &bytes_of(bench, aligned.entry))
    else {
        return;
    };
    let unchanged = match call.origin {
        Origin::Client | Origin::Element { .. } => names::COMMANDS_PAYLOAD_UNCHANGED,
        Origin::Effect { .. } => names::EFFECTS_EFFECT_PAYLOAD_UNCHANGED,
        Origin::Forward { .. } => names::EFFECTS_FORWARD_PAYLOAD_UNCHANGED,
    };
    let mut all = vec![(
        names::COMMANDS_BARE_METHOD_NAME,
        "name",
        call.method.clone(),
        command.name,
    )];
    let mut verified = bench.verified_by(aligned.index, Party::Proxy).into_iter();
    let key = verified.find(|name| name.chapter() == "entity-keys");
    match &call.key {
        Some(wanted) => all.insert(
            0,
            (
                key.unwrap_or(names::ENTITY_KEYS_KEY_OPTION),
                "entity_id",
                wanted.entity.clone(),
                command.entity,
            ),
        ),
        None => all.push((
            names::ACTIONS_FIRST_NAMES_COMMAND,
            "service_name",
            call.service().to_owned(),
            command.service,
        )),
    }
    if !call.kind.streams_in() {
        let payload = command.payload.unwrap_or_default();
        let wanted = script::payload(call, &[]).type_url;
        all.push((
            names::COMMANDS_PAYLOAD_TYPE,
            "payload.type_url",
            wanted,
            payload.type_url,
        ));
        all.push((
            unchanged,
            "payload.value",
            bits(&call.payload),
            bits(&payload.value),
        ));
    }
    follows(bench, aligned, all);
    if let Origin::Effect { .. } = call.origin {
        bench.covered(names::EFFECTS_EXECUTED);
    }
    metadata::of_command(bench, aligned, call, &command.metadata);
    if let (Some(node), Some(activation)) = (&call.replay, &aligned.activation) {
        replay(bench, aligned, node, activation);
    }
    survived(bench, aligned, call);
}

/// A command that waited for one that was failed comes on the same stream: the entity was never idle.
fn survived(bench: &mut Bench<'_>, aligned: &Aligned, call: &CallPlan) {
    let script = bench.case.script;
    let answered = |before: &usize| match script.moves[*before].kind {
        MoveKind::Answer(answered) => Some(answered),
        _ => None,
    };
    let before = &script.moves[aligned.index].after;
    let failed = before.iter().any(|before| {
        let Some(other) = answered(before).map(|index| &script.calls[index]) else {
            return false;
        };
        let entry = bench.case.play.entry_of(*before);
        other.key.is_some()
            && other.key == call.key
            && matches!(
                entry.map(|entry| read_out(bench, other, entry)),
                Some(FromFunction::Reply(reply))
                    if reply.failure().is_some_and(|failure| !failure.restart) && !reply.stores()
            )
    });
    if !failed {
        return;
    }
    bench.covered(names::FAILURES_STREAM_SURVIVES);
    if aligned.activation.is_some() {
        let text = "the proxy left the stream for a new one, though nothing asked for that";
        bench.object(
            names::FAILURES_STREAM_SURVIVES,
            objection(aligned, Party::Proxy, text),
        );
    }
}

/// A request of a stream.
fn delivered(bench: &mut Bench<'_>, aligned: &Aligned, call: &CallPlan, request: &Bytes) {
    let read = protocol::read_in(EntityType::Action, &bytes_of(bench, aligned.entry));
    let (FromProxy::Request(message) | FromProxy::Command(message)) = read else {
        return;
    };
    let payload = message.payload.unwrap_or_default();
    let wanted = script::payload(call, &[]).type_url;
    let unchanged = names::COMMANDS_PAYLOAD_UNCHANGED;
    let all = vec![
        (
            names::COMMANDS_PAYLOAD_TYPE,
            "payload.type_url",
            wanted,
            payload.type_url,
        ),
        (
            unchanged,
            "payload.value",
            bits(request),
            bits(&payload.value),
        ),
    ];
    follows(bench, aligned, all);
}

/// All of it, for comparison; shown [`shortened`].
fn bits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .take(48)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if bytes.len() > 48 {
        format!("{text}… ({} bytes)", bytes.len())
    } else {
        text
    }
}

fn replay(bench: &mut Bench<'_>, aligned: &Aligned, node: &Node, seen: &Activation) {
    let script = bench.case.script;
    let scope = Scope {
        package: &script.package,
        bindings: &script.bindings,
    };
    let Ok(Some(expected)) = replay_of(node, &scope) else {
        return;
    };
    let sequence = |snapshot: &Option<(i64, prost_types::Any)>| snapshot.as_ref().map(|(s, _)| *s);
    let events: Vec<(i64, prost_types::Any)> = expected
        .replay()
        .map(|(sequence, any)| (sequence, any.clone()))
        .collect();
    let begin = &seen.begin;
    let same = expected.snapshot == begin.snapshot && expected.value == begin.value;
    if same && events == seen.events {
        return;
    }
    if expected.value != begin.value {
        let show = |value: &Option<prost_types::Any>| match value {
            None => "no value".to_owned(),
            Some(any) => format!("{} {}", any.type_url, hex(&any.value)),
        };
        let mut objection = objection(aligned, Party::Proxy, "init has not the expected value");
        let (expected, received) = (show(&expected.value), show(&begin.value));
        objection
            .mismatches
            .push(differs("init.state.value", expected, received));
        let verified = bench.verified_by(aligned.index, Party::Proxy);
        let name = verified
            .first()
            .copied()
            .unwrap_or(names::VALUE_ENTITIES_INIT_HAS_STORED_VALUE);
        return bench.object(name, objection);
    }
    let show = |snapshot: Option<i64>, events: &[(i64, prost_types::Any)]| {
        let numbers: Vec<String> = events.iter().take(12).map(|(s, _)| s.to_string()).collect();
        format!(
            "snapshot {snapshot:?}, {} events [{}]",
            events.len(),
            numbers.join(", ")
        )
    };
    let mut objection = objection(aligned, Party::Proxy, "the replay is not the one expected");
    objection.mismatches.push(differs(
        "replay",
        show(sequence(&expected.snapshot), &events),
        show(sequence(&begin.snapshot), &seen.events),
    ));
    let verified = bench.verified_by(aligned.index, Party::Proxy);
    let name = verified
        .first()
        .copied()
        .unwrap_or(names::EVENT_SOURCED_REPLAY_FROM_LATEST_SNAPSHOT);
    bench.object(name, objection);
}

/// The function's answer against the chart's, or the model's.
fn answer(bench: &mut Bench<'_>, aligned: &Aligned, call: &CallPlan) {
    let script = bench.case.script;
    let Some(mut answer) = call.answer.clone() else {
        return;
    };
    if answer.failure.is_some() && call.key.is_some() {
        answer.restart.get_or_insert_with(either_restart);
    }
    let entity_type = call.entity_type.unwrap_or(EntityType::EventSourced);
    let node = script::answer_node(script, call, entity_type, &answer, aligned.command_id);
    let mismatches = mismatches(bench, aligned, &node, entity_type.message(Party::Function));
    choice(bench, aligned, call, answer.restart.as_ref());
    if mismatches.is_empty() {
        return;
    }
    // What is there and shouldn't be is told last: it may stand where the expected is missing.
    let missing = mismatches.iter().find(|found| found.expected != NOTHING);
    let telling = missing.unwrap_or(&mismatches[0]);
    let whole = |path: &str| path.ends_with(']') || path.ends_with("side_effects");
    let one_sided = |found: &Mismatch| {
        whole(&found.path) && [found.expected.as_str(), &found.received].contains(&NOTHING)
    };
    let uneven = mismatches.iter().any(one_sided);
    let requirement = answer_requirement(bench, aligned, call, telling, uneven);
    let mut objection = objection(
        aligned,
        Party::Function,
        "the function's answer is not the one expected",
    );
    objection.mismatches = mismatches;
    bench.object(requirement, objection);
}

/// Whether a function asks for a restart is its own business, unless the chart says so.
fn either_restart() -> Node {
    let span = Span::default();
    let both = [false, true].map(|restart| Node::new(span, Value::Bool(restart)));
    Node::map(span, [("$either", Node::list(span, both))])
}

/// Where the chart leaves a choice, the report says which was taken.
fn choice(bench: &mut Bench<'_>, aligned: &Aligned, call: &CallPlan, restart: Option<&Node>) {
    if restart.and_then(Node::operator).is_none() {
        return;
    }
    if let FromFunction::Reply(reply) = read_out(bench, call, aligned.entry) {
        let choice = if reply.restarts() {
            "asks for a restart"
        } else {
            "does not ask for a restart"
        };
        bench.chose(names::FAILURES_RESTART_REQUESTED, choice);
    }
}

/// What a deviation in an answer is about, by where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    Failure,
    Snapshot,
    Effects,
    Forward,
    Events,
    Message,
    /// The first reply after a replay.
    State,
    /// What becomes of a value.
    Value,
}

impl Aspect {
    fn of(path: &str) -> Aspect {
        let prefixes = [
            ("reply.client_action.failure", Aspect::Failure),
            ("reply.client_action.forward", Aspect::Forward),
            ("reply.snapshot", Aspect::Snapshot),
            ("reply.side_effects", Aspect::Effects),
            ("reply.events", Aspect::Events),
            ("reply.state_action", Aspect::Value),
            ("failure", Aspect::Failure),
            ("forward", Aspect::Forward),
            ("side_effects", Aspect::Effects),
        ];
        let found = prefixes.iter().find(|(prefix, _)| path.starts_with(prefix));
        found.map_or(Aspect::Message, |(_, aspect)| *aspect)
    }

    /// Is this requirement about it? What else a step verifies is not to blame for this.
    fn is_of(self, requirement: RequirementName) -> bool {
        let (name, chapter) = (requirement.as_str(), requirement.chapter());
        let model = chapter == "tck-models";
        match self {
            Aspect::Failure => model && name.ends_with("-fail"),
            Aspect::Forward => model && name.ends_with("-forward"),
            Aspect::Snapshot => name.contains("snapshot"),
            Aspect::Effects => {
                let effects = [
                    names::EFFECTS_FUNCTION_EFFECT_ORDER,
                    names::ACTIONS_FUNCTION_KEEPS_EFFECTS,
                ];
                effects.contains(&requirement) || model && name.ends_with("-effect")
            }
            _ => {
                let state = ["event-sourced", "value-entities", "actions", "tck-models"];
                state.contains(&chapter) && !name.contains("snapshot")
            }
        }
    }

    /// What the model says of it, for steps that verify something else.
    pub(super) fn model(self, call: &CallPlan) -> RequirementName {
        let service = call.service();
        match (call.entity_type, self) {
            (Some(EntityType::Value), _) if service.ends_with("Two") => {
                names::TCK_MODELS_VALUE_ENTITY_TWO_ANSWERS_EMPTY
            }
            (Some(EntityType::Value), _) if service.ends_with("Configured") => {
                names::TCK_MODELS_VALUE_ENTITY_CONFIGURED_ANSWERS_EMPTY
            }
            (Some(EntityType::Action), _) if service.ends_with("Two") => {
                names::TCK_MODELS_ACTION_TWO_ANSWERS_EMPTY
            }
            (_, _) if service.ends_with("Two") => names::TCK_MODELS_TWO_ANSWERS_EMPTY,
            (_, _) if service.ends_with("Configured") => names::TCK_MODELS_CONFIGURED_ANSWERS_EMPTY,
            (Some(EntityType::Value), Aspect::Failure) => names::TCK_MODELS_VALUE_ENTITY_FAIL,
            (Some(EntityType::Value), Aspect::Forward) => names::TCK_MODELS_VALUE_ENTITY_FORWARD,
            (Some(EntityType::Value), Aspect::Effects) => names::TCK_MODELS_VALUE_ENTITY_EFFECT,
            (Some(EntityType::Value), Aspect::Value) => names::TCK_MODELS_VALUE_ENTITY_UPDATE,
            (Some(EntityType::Value), Aspect::State) => names::VALUE_ENTITIES_STARTS_FROM_INIT,
            (Some(EntityType::Value), _) => names::TCK_MODELS_VALUE_ENTITY_STATE,
            (Some(EntityType::Action), Aspect::Failure) => names::TCK_MODELS_ACTION_FAIL,
            (Some(EntityType::Action), Aspect::Forward) => names::TCK_MODELS_ACTION_FORWARD,
            (Some(EntityType::Action), Aspect::Effects) => names::TCK_MODELS_ACTION_EFFECT,
            (Some(EntityType::Action), _) => names::TCK_MODELS_ACTION_REPLY,
            (_, Aspect::Failure) => names::TCK_MODELS_EVENT_SOURCED_FAIL,
            (_, Aspect::Forward) => names::TCK_MODELS_EVENT_SOURCED_FORWARD,
            (_, Aspect::Snapshot) => names::TCK_MODELS_EVENT_SOURCED_SNAPSHOT_EVERY_FIVE,
            (_, Aspect::Effects) => names::TCK_MODELS_EVENT_SOURCED_EFFECT,
            (_, Aspect::Events) => names::TCK_MODELS_EVENT_SOURCED_EMIT,
            (_, Aspect::State) => names::EVENT_SOURCED_APPLIES_REPLAYED_EVENTS,
            (_, Aspect::Message | Aspect::Value) => names::TCK_MODELS_EVENT_SOURCED_STATE,
        }
    }
}

fn answer_requirement(
    bench: &Bench<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    first: &Mismatch,
    uneven: bool,
) -> RequirementName {
    let path = first.path.as_str();
    let fixed = [
        ("reply.command_id", names::COMMANDS_ANSWER_ID),
        (
            "reply.client_action.failure.command_id",
            names::FAILURES_FAILURE_COMMAND_ID,
        ),
        ("failure.command_id", names::ACTIONS_FAILURE_HAS_NO_ID),
    ];
    if let Some((_, name)) = fixed.iter().find(|(prefix, _)| path == *prefix) {
        return *name;
    }
    let aspect = match Aspect::of(path) {
        // Nothing was to fail.
        Aspect::Failure if first.expected == NOTHING => Aspect::Message,
        aspect => aspect,
    };
    // A snapshot that is missing, or too many, says nothing about what would have been in it.
    if path == "reply.snapshot" && [first.expected.as_str(), &first.received].contains(&NOTHING) {
        return aspect.model(call);
    }
    let verified = bench.verified_by(aligned.index, Party::Function);
    let replayed = replayed(bench, aligned);
    let concerned = |name: &RequirementName| match *name {
        _ if OF_REPLAYS.contains(name) => replayed,
        // Where one is missing, or there is one too many, their order isn't what is wrong.
        names::EFFECTS_FUNCTION_EFFECT_ORDER => !uneven,
        _ => true,
    };
    let name = verified
        .into_iter()
        .find(|name| aspect.is_of(*name) && concerned(name));
    name.unwrap_or_else(|| aspect.model(call))
}

/// What is required of a function's state where there was a replay.
const OF_REPLAYS: [RequirementName; 2] = [
    names::EVENT_SOURCED_APPLIES_REPLAYED_EVENTS,
    names::VALUE_ENTITIES_STARTS_FROM_INIT,
];

/// The entry's stream began with something that was stored.
fn replayed(bench: &Bench<'_>, aligned: &Aligned) -> bool {
    let at = usize::try_from(aligned.entry).ok();
    let entry = at.and_then(|at| bench.case.transcript.entries.get(at));
    let stream = entry.and_then(|entry| bench.case.play.stream(entry.stream?));
    matches!(stream, Some(Stream::Entity(track)) if track.activation.is_replay())
}

fn mismatches(bench: &Bench<'_>, aligned: &Aligned, node: &Node, name: &str) -> Vec<Mismatch> {
    let script = bench.case.script;
    let bytes = bytes_of(bench, aligned.entry);
    let Some(descriptor) = crate::services::descriptor_pool().get_message_by_name(name) else {
        return vec![differs("", name, "a type that the kit doesn't know")];
    };
    match DynamicMessage::decode(descriptor.clone(), bytes) {
        Err(error) => vec![differs("", name, error)],
        Ok(actual) => {
            let scope = Scope {
                package: &script.package,
                bindings: &script.bindings,
            };
            message::compare(node, &descriptor, &actual, &scope)
        }
    }
}

fn compare(
    bench: &mut Bench<'_>,
    aligned: &Aligned,
    blame: Party,
    node: &Node,
    name: &str,
    default: RequirementName,
) {
    let mismatches = mismatches(bench, aligned, node, name);
    let verified = bench.verified_by(aligned.index, blame);
    let requirement = verified.first().copied().unwrap_or(default);
    bench.covered(requirement);
    if !mismatches.is_empty() {
        let short = name.rsplit('.').next().unwrap_or(name);
        let mut objection = objection(
            aligned,
            blame,
            format!("the {short} is not the one expected"),
        );
        objection.mismatches = mismatches;
        bench.object(requirement, objection);
    }
}

fn raw(
    bench: &mut Bench<'_>,
    aligned: &Aligned,
    from: Party,
    node: &Node,
    entity_type: EntityType,
) {
    let name = entity_type.message(from);
    compare(
        bench,
        aligned,
        from,
        node,
        name,
        names::COMMANDS_ANSWER_EVERY_COMMAND,
    );
}

fn reported(bench: &mut Bench<'_>, aligned: &Aligned, text: Option<&Node>) {
    if let Some(pattern) = text {
        let node = Node::map(pattern.span, [("message", pattern.clone())]);
        compare(
            bench,
            aligned,
            Party::Proxy,
            &node,
            "cloudstate.UserFunctionError",
            names::FAILURES_VIOLATION_REPORTED,
        );
    }
    let script = bench.case.script;
    if script.scenario.spec.is_some() {
        return;
    }
    let report = UserFunctionError::decode(bytes_of(bench, aligned.entry))
        .unwrap_or_default()
        .message;
    if script.has_actions() {
        return reported_call(bench, aligned, report);
    }
    bench.covered(names::DISCOVERY_REPORT_NAMES_THE_ENTITY);
    if !(report.contains(&script.key.service) && report.contains(&script.key.entity)) {
        let mut objection = objection(
            aligned,
            Party::Proxy,
            "the report doesn't say which entity it is about",
        );
        let expected = format!(
            "a text with {} and {}",
            script.key.service, script.key.entity
        );
        objection
            .mismatches
            .push(differs("message", expected, report));
        bench.object(names::DISCOVERY_REPORT_NAMES_THE_ENTITY, objection);
    }
}

/// A report about an action's call names service and command.
fn reported_call(bench: &mut Bench<'_>, aligned: &Aligned, report: String) {
    let calls = bench.case.script.calls.iter();
    let mut named = calls.filter(|call| call.key.is_none() && call.entity_type.is_some());
    let requirement = names::ACTIONS_MALFORMED_RESPONSE;
    if !named.any(|call| report.contains(call.service()) && report.contains(&call.method)) {
        let text = "the report doesn't say which command it is about";
        let mut objection = objection(aligned, Party::Proxy, text);
        let expected = "a text with the names of service and command";
        objection
            .mismatches
            .push(differs("message", expected, report));
        bench.object(requirement, objection);
    }
}

/// An entity spec is held against the requirements that the step verifies, each for itself.
fn spec(bench: &mut Bench<'_>, aligned: &Aligned, node: Option<&Node>) {
    if let Some(node) = node.filter(|node| node.operator().is_none()) {
        compare(
            bench,
            aligned,
            Party::Function,
            node,
            "cloudstate.EntitySpec",
            names::DISCOVERY_REPEATABLE,
        );
    }
    let verified = bench.verified_by(aligned.index, Party::Function);
    let spec = match EntitySpec::decode(bytes_of(bench, aligned.entry)) {
        Ok(spec) => spec,
        Err(error) => {
            let summary = format!("the entity spec can't be decoded: {error}");
            return bench.object(
                names::DISCOVERY_REPEATABLE,
                objection(aligned, Party::Function, summary),
            );
        }
    };
    let mut problems = crate::judge::invariants::discovery::check(&spec);
    problems.push((names::DISCOVERY_REPEATABLE, changed(bench, aligned, &spec)));
    for (requirement, problem) in problems {
        if verified.contains(&requirement) {
            bench.covered(requirement);
            if let Some(problem) = problem {
                bench.object(requirement, objection(aligned, Party::Function, problem));
            }
        }
    }
}

/// The answer to an earlier `discover` was another one.
fn changed(bench: &Bench<'_>, aligned: &Aligned, spec: &EntitySpec) -> Option<String> {
    let script = bench.case.script;
    let first = bench
        .case
        .play
        .aligned()
        .iter()
        .find(|other| matches!(script.moves[other.index].kind, MoveKind::Spec(_)))?;
    let earlier = EntitySpec::decode(bytes_of(bench, first.entry)).ok()?;
    let sorted = |spec: &EntitySpec| {
        let mut entities = spec.entities.clone();
        entities.sort_by(|a, b| a.service_name.cmp(&b.service_name));
        entities
    };
    (first.entry < aligned.entry && sorted(&earlier) != sorted(spec))
        .then(|| "the entities are not those of the first answer".to_owned())
}

/// What a client got.
struct Outcome {
    messages: Vec<Bytes>,
    code: i32,
    text: String,
    trailers: bool,
}

fn outcome(bench: &Bench<'_>, aligned: &Aligned, call: usize) -> Option<Outcome> {
    let entries = &bench.case.transcript.entries;
    let at = usize::try_from(aligned.entry).ok()?;
    let What::End {
        code,
        message,
        trailers,
    } = &entries.get(at)?.what
    else {
        return None;
    };
    let Some(Stream::Front { messages, .. }) = bench.case.play.front(call) else {
        return None;
    };
    let messages = messages
        .iter()
        .map(|entry| bytes_of(bench, *entry))
        .collect();
    Some(Outcome {
        messages,
        code: *code,
        text: message.clone(),
        trailers: *trailers,
    })
}

/// What the client got, against the chart where it says so, and against what the function answered.
fn returned(bench: &mut Bench<'_>, aligned: &Aligned, index: usize) {
    let Some(got) = outcome(bench, aligned, index) else {
        return;
    };
    if got.code == DEADLINE_EXCEEDED {
        deadline::of_return(bench, aligned);
    }
    let call = &bench.case.script.calls[index];
    let streamed = call.kind.streams_out();
    let written = !matches!(call.returns, Returns::Model) && (call.returns_written || streamed);
    if written {
        metadata::of_reply(bench, aligned, index);
        let problem = against(bench, call, &call.returns, &got);
        let verified = bench.verified_by(aligned.index, Party::Proxy);
        by_itself(bench, aligned, index, &verified);
        let default = if streamed {
            names::ACTIONS_STREAM_STATUS
        } else if call.entity_type.is_some() && misbehaves(bench) {
            names::FAILURES_VIOLATION_ANSWERS_CLIENT
        } else if call.entity_type.is_some() {
            names::COMMANDS_REPLY_UNCHANGED
        } else {
            names::SERVING_UNKNOWN_METHOD
        };
        let requirement = verified.first().copied().unwrap_or(default);
        bench.covered(requirement);
        if let Some(mismatches) = problem {
            let mut objection = objection(
                aligned,
                Party::Proxy,
                "the client did not get what it should",
            );
            objection.mismatches = mismatches;
            bench.object(requirement, objection);
        }
        return;
    }
    passed_on(bench, aligned, index, &got);
    metadata::of_reply(bench, aligned, index);
}

/// The chart has the function do what is none of its answers.
fn misbehaves(bench: &Bench<'_>) -> bool {
    let raw = |kind: &MoveKind| {
        matches!(
            kind,
            MoveKind::Message { .. }
                | MoveKind::Ends { .. }
                | MoveKind::Resets { .. }
                | MoveKind::Fault { .. }
                | MoveKind::Kill(_)
        )
    };
    let mut moves = bench.case.script.moves.iter();
    moves.any(|this| this.from() == Party::Function && raw(&this.kind))
}

/// The proxy answered a command that the function never got. It may, where the chart says so; what should be is a
/// warning.
fn by_itself(bench: &mut Bench<'_>, aligned: &Aligned, index: usize, verified: &[RequirementName]) {
    let script = bench.case.script;
    let command = |kind: &MoveKind| matches!(kind, MoveKind::Command(call) if *call == index);
    let Some(command) = script.moves.iter().position(|this| command(&this.kind)) else {
        return;
    };
    let should = verified.iter().find(|name| {
        let requirement = Requirements::embedded().get(name.as_str());
        requirement.is_some_and(|requirement| requirement.level == Level::Should)
    });
    if let (Some(name), true) = (
        should,
        bench.case.play.entry_of(command) == Some(aligned.entry),
    ) {
        let summary = "the proxy answered a command that was waiting instead of delivering it";
        bench.object(*name, objection(aligned, Party::Proxy, summary));
    }
}

fn shown(bench: &Bench<'_>, call: &CallPlan, got: &Outcome) -> String {
    let script = bench.case.script;
    let status = format!(
        "{{ status: {}, message: {:?} }}",
        status_name(got.code),
        got.text
    );
    match (got.code, got.messages.as_slice(), &call.output) {
        (0, [message], Some(output)) => {
            match DynamicMessage::decode(output.clone(), message.clone()) {
                Ok(message) => message::summary(&message, &script.package, 200),
                Err(_) => hex(message),
            }
        }
        (0, messages, _) => format!("status OK and {} messages", messages.len()),
        _ if !got.trailers => format!("no gRPC status ({})", got.text),
        _ => status,
    }
}

/// `None`: it is what the chart says.
fn against(
    bench: &Bench<'_>,
    call: &CallPlan,
    returns: &Returns,
    got: &Outcome,
) -> Option<Vec<Mismatch>> {
    let script = bench.case.script;
    let scope = Scope {
        package: &script.package,
        bindings: &script.bindings,
    };
    match returns {
        Returns::Anything | Returns::Model => None,
        Returns::Either(options) => {
            let problems: Vec<_> = options
                .iter()
                .map(|option| against(bench, call, option, got))
                .collect();
            if problems.iter().any(Option::is_none) {
                None
            } else {
                problems.into_iter().flatten().next()
            }
        }
        Returns::Status { codes, message } => {
            let expected = if codes.is_empty() {
                "any status but OK".to_owned()
            } else {
                let names = codes
                    .iter()
                    .filter_map(|c| STATUS.get(*c as usize).copied());
                names.collect::<Vec<_>>().join(" or ")
            };
            let code = if codes.is_empty() {
                got.code != 0
            } else {
                codes.contains(&got.code)
            };
            if !code {
                return Some(vec![differs("status", expected, shown(bench, call, got))]);
            }
            let pattern = message.as_ref()?;
            let problem = message::compare_text(pattern, &got.text, &scope)?;
            Some(vec![differs("message", problem, &got.text)])
        }
        Returns::Message(node) => match (got.code, got.messages.as_slice(), &call.output) {
            (0, [bytes], Some(output)) => {
                match DynamicMessage::decode(output.clone(), bytes.clone()) {
                    Ok(actual) => {
                        let found = message::compare(node, output, &actual, &scope);
                        (!found.is_empty()).then_some(found)
                    }
                    Err(error) => Some(vec![differs("", output.full_name(), error)]),
                }
            }
            _ => Some(vec![differs(
                "",
                "one message and status OK",
                shown(bench, call, got),
            )]),
        },
    }
}

/// The call at the end of the forwards, and the entry of its answer.
fn last_answer(bench: &Bench<'_>, mut index: usize) -> Option<(usize, u64)> {
    let script = bench.case.script;
    index = script.last(index);
    let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(call) if *call == index);
    let found = (0..script.moves.len()).find(|at| is(&script.moves[*at].kind))?;
    Some((index, bench.case.play.entry_of(found)?))
}

/// What the function answered must have reached the client as it was.
fn passed_on(bench: &mut Bench<'_>, aligned: &Aligned, index: usize, got: &Outcome) {
    let Some((last, entry)) = last_answer(bench, index) else {
        return;
    };
    let answered = &bench.case.script.calls[last];
    let FromFunction::Reply(reply) = read_out(bench, answered, entry) else {
        return;
    };
    let call = &bench.case.script.calls[index];
    let forwarded = last != index;
    let (requirement, expected, equal) = match &reply.action {
        Some(Action::Reply(reply)) => {
            let payload = reply.payload.clone().unwrap_or_default().value;
            let equal =
                got.code == 0 && matches!(got.messages.as_slice(), [one] if *one == payload);
            let name = if forwarded {
                names::EFFECTS_FORWARD_ANSWERS_CLIENT
            } else {
                names::COMMANDS_REPLY_UNCHANGED
            };
            let expected = Outcome {
                messages: vec![payload.into()],
                code: 0,
                text: String::new(),
                trailers: true,
            };
            (name, shown(bench, call, &expected), equal)
        }
        Some(Action::Failure(failure)) => {
            let equal = got.code == UNKNOWN && got.text == failure.description;
            let expected = format!("{{ status: UNKNOWN, message: {:?} }}", failure.description);
            (names::FAILURES_DESCRIPTION_REACHES_CLIENT, expected, equal)
        }
        None if call.entity_type == Some(EntityType::Action) => {
            let expected = "any status but OK".to_owned();
            (names::ACTIONS_NO_REPLY_STATUS, expected, got.code != 0)
        }
        _ => return,
    };
    let requirement = if !equal && of_another(bench, index, got) {
        names::COMMANDS_ANSWERS_ITS_CALLER
    } else if !got.trailers {
        names::SERVING_TRAILERS_ALWAYS
    } else if got.code == 0 && got.messages.len() != 1 && reply.failure().is_none() {
        names::SERVING_UNARY_ONE_MESSAGE
    } else {
        requirement
    };
    for covered in [
        requirement,
        names::COMMANDS_ANSWERS_ITS_CALLER,
        names::SERVING_TRAILERS_ALWAYS,
        names::SERVING_UNARY_ONE_MESSAGE,
    ] {
        bench.covered(covered);
    }
    if !equal {
        let mut objection = objection(
            aligned,
            Party::Proxy,
            "the client did not get what the function answered",
        );
        objection
            .mismatches
            .push(differs("", expected, shown(bench, call, got)));
        bench.object(requirement, objection);
    }
}

/// A message of a streamed answer must have reached the client as it was.
fn passed(bench: &mut Bench<'_>, aligned: &Aligned, index: usize) {
    let Some((last, entry)) = last_answer(bench, index) else {
        return;
    };
    let answered = &bench.case.script.calls[last];
    let FromFunction::Reply(reply) = read_out(bench, answered, entry) else {
        return;
    };
    let Some(Action::Reply(reply)) = reply.action else {
        return;
    };
    let name = if last == index {
        names::COMMANDS_REPLY_UNCHANGED
    } else {
        names::EFFECTS_FORWARD_ANSWERS_CLIENT
    };
    bench.covered(name);
    bench.covered(names::ACTIONS_ELEMENTS_PASSED_ON);
    let (expected, got) = (
        reply.payload.unwrap_or_default().value,
        bytes_of(bench, aligned.entry),
    );
    if expected != got {
        let text = "the client did not get what the function answered";
        let mut objection = objection(aligned, Party::Proxy, text);
        objection
            .mismatches
            .push(differs("", hex(&expected), hex(&got)));
        bench.object(name, objection);
    }
}

/// The client got what another client's command was answered.
fn of_another(bench: &Bench<'_>, index: usize, got: &Outcome) -> bool {
    let [message] = got.messages.as_slice() else {
        return false;
    };
    (0..bench.case.script.calls.len())
        .filter(|other| *other != index)
        .any(|other| {
            let answer = last_answer(bench, other)
                .map(|(last, entry)| read_out(bench, &bench.case.script.calls[last], entry));
            matches!(answer, Some(FromFunction::Reply(reply))
            if matches!(&reply.action, Some(Action::Reply(r))
                if r.payload.as_ref().is_some_and(|payload| payload.value == *message)))
        })
}
