//! What the client got, against the chart where it says so, and against what the function answered.

use super::{deadline, hex, metadata};
use crate::finding::Mismatch;
use crate::judge::collector::{Case, Collector};
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::{Aligned, StreamState};
use crate::protocol::Reply;
use crate::requirement::{Level, RequirementName, Requirements, names};
use crate::scenario::message;
use crate::script::{CallPlan, MoveKind, Returns};
use crate::status::{DEADLINE_EXCEEDED, STATUS, UNKNOWN, status_name};
use crate::transcript::What;
use crate::yaml::Node;
use bytes::Bytes;
use cloudstate_protocol::cloudstate::Failure;
use cloudstate_protocol::cloudstate::client_action::Action;
use prost_reflect::{DynamicMessage, MessageDescriptor};

/// What a client got.
struct ClientResult {
    messages: Vec<Bytes>,
    code: i32,
    text: String,
    trailers: bool,
}

/// The end of a client's call.
pub(super) fn check(collector: &mut Collector<'_>, aligned: &Aligned, index: usize) {
    let Some(got) = received(&collector.case, aligned, index) else {
        return;
    };
    if got.code == DEADLINE_EXCEEDED {
        deadline::of_return(collector, aligned);
    }
    let call = &collector.case.script.calls[index];
    let written = call.returns_written || call.kind.streams_out();
    if written && !matches!(call.returns, Returns::Model) {
        metadata::of_reply(collector, aligned, index);
        as_written(collector, aligned, index, &got);
    } else {
        as_answered(collector, aligned, index, &got);
        metadata::of_reply(collector, aligned, index);
    }
}

fn received(case: &Case<'_>, aligned: &Aligned, call: usize) -> Option<ClientResult> {
    let What::End {
        code,
        message,
        trailers,
    } = &case.entry(aligned.entry)?.what
    else {
        return None;
    };
    let Some(StreamState::Front { messages, .. }) = case.play.front(call) else {
        return None;
    };
    Some(ClientResult {
        messages: messages.iter().map(|entry| case.bytes(*entry)).collect(),
        code: *code,
        text: message.clone(),
        trailers: *trailers,
    })
}

/// Against what the chart says.
fn as_written(collector: &mut Collector<'_>, aligned: &Aligned, index: usize, got: &ClientResult) {
    by_itself(collector, aligned, index);
    let case = collector.case;
    let call = &case.script.calls[index];
    let default = if call.kind.streams_out() {
        names::ACTIONS_STREAM_STATUS
    } else if call.entity_type.is_none() {
        names::SERVING_UNKNOWN_METHOD
    } else if misbehaves(&case) {
        names::FAILURES_VIOLATION_ANSWERS_CLIENT
    } else {
        names::COMMANDS_REPLY_UNCHANGED
    };
    let requirement = collector.verified_or(aligned, Party::Proxy, default);
    collector.covered(requirement);
    let mismatches = against(&case, call, &call.returns, got);
    if !mismatches.is_empty() {
        let text = "the client did not get what it should";
        let objection = Objection::to(aligned, Party::Proxy, text).with(mismatches);
        collector.object(requirement, objection);
    }
}

/// The chart has the function do what is none of its answers.
fn misbehaves(case: &Case<'_>) -> bool {
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
    let mut moves = case.script.moves.iter();
    moves.any(|this| this.from() == Party::Function && raw(&this.kind))
}

/// The proxy answered a command that the function never got. It may, where the chart says so; what should be is a
/// warning.
fn by_itself(collector: &mut Collector<'_>, aligned: &Aligned, index: usize) {
    let case = collector.case;
    let is = |kind: &MoveKind| matches!(kind, MoveKind::Command(call) if *call == index);
    let mut moves = case.script.moves.iter();
    let Some(command) = moves.position(|this| is(&this.kind)) else {
        return;
    };
    if case.play.entry_of(command) != Some(aligned.entry) {
        return;
    }
    let should = |name: &RequirementName| {
        let known = Requirements::embedded().get(name.as_str());
        known.is_some_and(|requirement| requirement.level == Level::Should)
    };
    let verified = collector.verified_by(aligned.index, Party::Proxy);
    if let Some(requirement) = verified.into_iter().find(should) {
        let text = "the proxy answered a command that was waiting instead of delivering it";
        collector.object(requirement, Objection::to(aligned, Party::Proxy, text));
    }
}

/// How it differs from what the chart says; not at all, if that is any of several.
fn against(
    case: &Case<'_>,
    call: &CallPlan,
    returns: &Returns,
    got: &ClientResult,
) -> Vec<Mismatch> {
    match returns {
        Returns::Anything | Returns::Model => Vec::new(),
        Returns::Either(options) => {
            let all = options
                .iter()
                .map(|option| against(case, call, option, got));
            let all: Vec<_> = all.collect();
            if all.iter().any(Vec::is_empty) {
                Vec::new()
            } else {
                all.into_iter().next().unwrap_or_default()
            }
        }
        Returns::Status { codes, message } => {
            let found = against_status(case, call, codes, message.as_ref(), got);
            found.into_iter().collect()
        }
        Returns::Message(node) => match (got.code, got.messages.as_slice(), &call.output) {
            (0, [bytes], Some(output)) => against_message(case, node, output, bytes),
            _ => {
                let (expected, got) = ("one message and status OK", shown(case, call, got));
                vec![Mismatch::new("", expected, got)]
            }
        },
    }
}

fn against_status(
    case: &Case<'_>,
    call: &CallPlan,
    codes: &[i32],
    message: Option<&Node>,
    got: &ClientResult,
) -> Option<Mismatch> {
    let (expected, is) = if codes.is_empty() {
        ("any status but OK".to_owned(), got.code != 0)
    } else {
        let name = |code: &i32| STATUS.get(*code as usize).copied();
        let names: Vec<_> = codes.iter().filter_map(name).collect();
        (names.join(" or "), codes.contains(&got.code))
    };
    if !is {
        return Some(Mismatch::new("status", expected, shown(case, call, got)));
    }
    let problem = message::compare_text(message?, &got.text, &case.scope())?;
    Some(Mismatch::new("message", problem, &got.text))
}

fn against_message(
    case: &Case<'_>,
    node: &Node,
    output: &MessageDescriptor,
    bytes: &Bytes,
) -> Vec<Mismatch> {
    match DynamicMessage::decode(output.clone(), bytes.clone()) {
        Ok(actual) => message::compare(node, output, &actual, &case.scope()),
        Err(error) => vec![Mismatch::new("", output.full_name(), error)],
    }
}

/// What a client got, for a person.
fn shown(case: &Case<'_>, call: &CallPlan, got: &ClientResult) -> String {
    match (got.code, got.messages.as_slice(), &call.output) {
        (0, [message], Some(output)) => {
            match DynamicMessage::decode(output.clone(), message.clone()) {
                Ok(message) => message::summary(&message, &case.script.package, 200),
                Err(_) => hex(message),
            }
        }
        (0, messages, _) => format!("status OK and {} messages", messages.len()),
        _ if !got.trailers => format!("no gRPC status ({})", got.text),
        _ => status(status_name(got.code), &got.text),
    }
}

fn status(name: impl std::fmt::Display, message: &str) -> String {
    format!("{{ status: {name}, message: {message:?} }}")
}

/// What must reach the client because the function answered so.
struct Due {
    requirement: RequirementName,
    expected: String,
    /// It did.
    met: bool,
}

/// Against what the function answered.
fn as_answered(collector: &mut Collector<'_>, aligned: &Aligned, index: usize, got: &ClientResult) {
    let case = collector.case;
    let Some((last, reply)) = case.last_reply(index) else {
        return;
    };
    let call = &case.script.calls[index];
    let due = match &reply.action {
        Some(Action::Reply(answer)) => {
            let payload = answer.payload.clone().unwrap_or_default();
            due_message(&case, call, payload.value.into(), last != index, got)
        }
        Some(Action::Failure(failure)) => due_failure(failure, got),
        None if call.is_action() => Due {
            requirement: names::ACTIONS_NO_REPLY_STATUS,
            expected: "any status but OK".to_owned(),
            met: got.code != 0,
        },
        Some(Action::Forward(_)) | None => return,
    };
    let requirement = if !due.met && of_another(&case, index, got) {
        names::COMMANDS_ANSWERS_ITS_CALLER
    } else if !got.trailers {
        names::SERVING_TRAILERS_ALWAYS
    } else if got.code == 0 && got.messages.len() != 1 && payload_of(reply).is_some() {
        names::SERVING_UNARY_ONE_MESSAGE
    } else {
        due.requirement
    };
    for covered in [
        requirement,
        names::COMMANDS_ANSWERS_ITS_CALLER,
        names::SERVING_TRAILERS_ALWAYS,
        names::SERVING_UNARY_ONE_MESSAGE,
    ] {
        collector.covered(covered);
    }
    if !due.met {
        let text = "the client did not get what the function answered";
        let mismatch = Mismatch::new("", due.expected, shown(&case, call, got));
        let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
        collector.object(requirement, objection);
    }
}

fn due_message(
    case: &Case<'_>,
    call: &CallPlan,
    payload: Bytes,
    forwarded: bool,
    got: &ClientResult,
) -> Due {
    let met = got.code == 0 && matches!(got.messages.as_slice(), [one] if *one == payload);
    let due = ClientResult {
        messages: vec![payload],
        code: 0,
        text: String::new(),
        trailers: true,
    };
    Due {
        requirement: reply_requirement(forwarded),
        expected: shown(case, call, &due),
        met,
    }
}

fn due_failure(failure: &Failure, got: &ClientResult) -> Due {
    Due {
        requirement: names::FAILURES_DESCRIPTION_REACHES_CLIENT,
        expected: status("UNKNOWN", &failure.description),
        met: got.code == UNKNOWN && got.text == failure.description,
    }
}

fn reply_requirement(forwarded: bool) -> RequirementName {
    if forwarded {
        names::EFFECTS_FORWARD_ANSWERS_CLIENT
    } else {
        names::COMMANDS_REPLY_UNCHANGED
    }
}

/// The client got what another client's command was answered.
fn of_another(case: &Case<'_>, index: usize, got: &ClientResult) -> bool {
    let [message] = got.messages.as_slice() else {
        return false;
    };
    let mut others = (0..case.script.calls.len()).filter(|other| *other != index);
    others.any(|other| {
        let reply = case.last_reply(other).map(|(_, reply)| reply);
        reply
            .and_then(payload_of)
            .is_some_and(|payload| payload == *message)
    })
}

/// The payload of a reply that has one.
fn payload_of(reply: Reply) -> Option<Vec<u8>> {
    match reply.action? {
        Action::Reply(reply) => Some(reply.payload?.value),
        Action::Forward(_) | Action::Failure(_) => None,
    }
}

/// What the messages that were passed on to the client of this one should have been, with their entries.
fn passed_on(case: &Case<'_>, aligned: &Aligned) -> Vec<(u64, Vec<u8>)> {
    let script = case.script;
    let client = |other: &Aligned| match script.moves[other.index].kind {
        MoveKind::Pass(call) => Some((script.client_call(call), call)),
        _ => None,
    };
    let Some((this, _)) = client(aligned) else {
        return Vec::new();
    };
    let all = case.play.aligned().iter();
    let same = all.filter_map(|other| Some((other.entry, client(other)?)));
    let same = same.filter(|(_, (client, _))| *client == this);
    let answered = same.filter_map(|(entry, (_, call))| {
        let (_, reply) = case.last_reply(call)?;
        Some((entry, payload_of(reply)?))
    });
    answered.collect()
}

fn differed_before(case: &Case<'_>, aligned: &Aligned) -> bool {
    let all = passed_on(case, aligned).into_iter();
    let mut before = all.filter(|(entry, _)| *entry < aligned.entry);
    before.any(|(entry, expected)| expected != case.bytes(entry))
}

/// It is one of the answers, at another place.
fn is_answered(case: &Case<'_>, aligned: &Aligned, got: &Bytes) -> bool {
    let all = passed_on(case, aligned);
    all.iter().any(|(_, expected)| expected == got)
}

/// A message of a streamed answer must have reached the client as it was.
pub(super) fn passed(collector: &mut Collector<'_>, aligned: &Aligned, index: usize) {
    let Some((last, reply)) = collector.case.last_reply(index) else {
        return;
    };
    let Some(Action::Reply(reply)) = reply.action else {
        return;
    };
    let unchanged = reply_requirement(last != index);
    collector.covered(unchanged);
    collector.covered(names::ACTIONS_ELEMENTS_PASSED_ON);
    let expected = reply.payload.unwrap_or_default().value;
    let got = collector.case.bytes(aligned.entry);
    // What comes behind the first difference is held against nothing: each would differ from that at its place.
    if expected != got && !differed_before(&collector.case, aligned) {
        let (requirement, text) = if is_answered(&collector.case, aligned, &got) {
            let text = "the client got the function's answers in another order";
            (names::ACTIONS_ELEMENTS_PASSED_ON, text)
        } else {
            let text = "the client did not get what the function answered";
            (unchanged, text)
        };
        let mismatch = Mismatch::new("", hex(&expected), hex(&got));
        let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
        collector.object(requirement, objection);
    }
}
