//! Why a play ended before its chart did, as a finding.

use super::collector::{Case, Collector};
use super::contents::aspect::{Aspect, Aspects};
use super::objection::Objection;
use crate::party::Party;
use crate::play::{Stop, StreamState};
use crate::requirement::{RequirementName, names};
use crate::script::{CallPlan, MoveKind, Origin, Script};
use crate::transcript::What;

/// Who stopped it, and by what.
pub(super) fn check(collector: &mut Collector<'_>) {
    let script = collector.case.script;
    match collector.case.play.stop() {
        None | Some(Stop::Broken(_)) => {}
        Some(Stop::Unexpected {
            entry,
            from,
            text,
            awaited,
            breaks,
        }) => {
            let waited = awaited.map(|index| script.describe(index));
            let waited = waited.unwrap_or_else(|| "the end".to_owned());
            let text = format!("the {from} sent {text}; expected {waited}");
            let objection = Objection::new(*from, *entry, text).at_move(*awaited);
            let requirement = match breaks {
                Some(name) => Ok(*name),
                None => unexpected(collector, *entry, *from, *awaited),
            };
            match requirement {
                Ok(requirement) => collector.object(requirement, objection),
                Err(text) => collector.fault(*entry, text),
            }
        }
        Some(Stop::Silence {
            entry,
            awaited: None,
        }) => {
            let text = "the function did not complete its side of a half-closed stream";
            let objection = Objection::new(Party::Function, *entry, text);
            collector.object(names::PASSIVATION_FUNCTION_COMPLETES, objection);
        }
        Some(Stop::Silence {
            entry,
            awaited: Some(index),
        }) => silence(collector, *entry, *index),
    }
}

/// A move that did not come.
fn silence(collector: &mut Collector<'_>, entry: u64, index: usize) {
    let script = collector.case.script;
    let this = &script.moves[index];
    let blame = this.from();
    let usual = silence_requirement(script, &this.kind);
    let verified = match this.kind {
        // That there is no answer says nothing about what would be in it.
        MoveKind::Answer(call) if script.calls[call].key.is_some() => Vec::new(),
        _ if is_of_call(&this.kind) => collector.verified_by_step(index, blame),
        _ => collector.verified_by(index, blame),
    };
    let requirement = match verified.first() {
        Some(first) if !verified.contains(&usual) => *first,
        _ => usual,
    };
    let text = format!("{} did not come", script.describe(index));
    let objection = Objection::new(blame, entry, text).at_move(index);
    collector.object(requirement, objection);
}

/// One of the moves that a call consists of; the others are steps of their own.
fn is_of_call(kind: &MoveKind) -> bool {
    matches!(
        kind,
        MoveKind::Request(_)
            | MoveKind::Command(_)
            | MoveKind::Answer(_)
            | MoveKind::Return(_)
            | MoveKind::Deliver(..)
            | MoveKind::Delivered(_)
            | MoveKind::Pass(_)
            | MoveKind::End(_)
            | MoveKind::Cancel(_)
    )
}

fn silence_requirement(script: &Script, kind: &MoveKind) -> RequirementName {
    match kind {
        MoveKind::Command(call) => match script.calls[*call].origin {
            Origin::Client => names::COMMANDS_REACHES_FUNCTION,
            Origin::Effect { .. } => names::EFFECTS_EXECUTED,
            Origin::Forward { .. } => names::EFFECTS_FORWARD_ANSWERS_CLIENT,
            Origin::Element { .. } => names::ACTIONS_ELEMENTS_PASSED_ON,
        },
        MoveKind::Deliver(..) => names::ACTIONS_REQUESTS_PASSED_ON,
        MoveKind::Delivered(_) => names::ACTIONS_HALF_CLOSE_PASSED_ON,
        MoveKind::Pass(_) => names::ACTIONS_ELEMENTS_PASSED_ON,
        MoveKind::End(_) => names::ACTIONS_FUNCTION_ENDS_CALL,
        MoveKind::Cancel(_) => names::ACTIONS_CANCELS_UNWANTED,
        MoveKind::Return(_) | MoveKind::Request(_) => names::COMMANDS_ANSWERS_ITS_CALLER,
        MoveKind::Answer(call) => unanswered(&script.calls[*call]),
        MoveKind::HalfClose(_) => names::PASSIVATION_IDLE_HALF_CLOSE,
        MoveKind::Complete(_) => names::PASSIVATION_FUNCTION_COMPLETES,
        MoveKind::Fails { .. } => names::COMMANDS_REJECTS_PROTOCOL_ERRORS,
        MoveKind::Acknowledged => names::DISCOVERY_ANSWERS_REPORT_ERROR,
        MoveKind::Reported(_) => names::FAILURES_VIOLATION_REPORTED,
        MoveKind::Ends {
            from: Party::Proxy, ..
        }
        | MoveKind::Resets {
            from: Party::Proxy, ..
        } => names::FAILURES_VIOLATION_ENDS_STREAM,
        MoveKind::Discover(_) => names::DISCOVERY_PROXY_CALLS_DISCOVER,
        MoveKind::Spec(_) => names::DISCOVERY_REPEATABLE,
        _ => names::COMMANDS_ANSWER_EVERY_COMMAND,
    }
}

/// On the stream of an entity silence blocks the entity. An action has none, and fails to do what its model says.
fn unanswered(call: &CallPlan) -> RequirementName {
    let model = call.is_action().then(|| Aspects::of(call).ok()).flatten();
    let about = model.map(|model| model.about(Aspect::Message));
    about.unwrap_or(names::COMMANDS_ANSWER_EVERY_COMMAND)
}

/// What a message that nobody waits for breaks; an error, if the kit can't tell.
fn unexpected(
    collector: &Collector<'_>,
    entry: u64,
    from: Party,
    awaited: Option<usize>,
) -> Result<RequirementName, String> {
    let case = &collector.case;
    if from == Party::Function && failed_before(case, entry) {
        return Ok(names::FAILURES_ENTITY_SURVIVES);
    }
    let verified = || {
        let verified = collector.verified_by(awaited?, from);
        verified.first().copied()
    };
    let kind = awaited.map(|index| &case.script.moves[index].kind);
    let Some(MoveKind::Answer(call)) = kind else {
        return Ok(verified().unwrap_or_else(|| by_place(case, entry, from)));
    };
    if from == Party::Proxy {
        return Ok(names::COMMANDS_DELIVERED_ONCE);
    }
    // Where the proxy departs from the rules on purpose, the chart is about how the function takes it.
    let about = if departed(case, entry) {
        verified()
    } else {
        None
    };
    match about {
        Some(about) => Ok(about),
        None => instead_of_answer(case, entry, &case.script.calls[*call]),
    }
}

/// The proxy, which is the kit, had sent something by hand before this entry.
fn departed(case: &Case<'_>, entry: u64) -> bool {
    let by_hand = |kind: &MoveKind| {
        matches!(
            kind,
            MoveKind::Message {
                from: Party::Proxy,
                ..
            } | MoveKind::Bytes {
                from: Party::Proxy,
                ..
            }
        )
    };
    let moves = case.script.moves.iter().enumerate();
    let mut made = moves.filter(|(_, this)| by_hand(&this.kind));
    case.script.scenario.scripted == Some(Party::Proxy)
        && made.any(|(index, _)| case.play.entry_of(index).is_some_and(|made| made < entry))
}

/// What it breaks by where it came.
fn by_place(case: &Case<'_>, entry: u64, from: Party) -> RequirementName {
    let what = case.entry(entry).map(|entry| &entry.what);
    match (from, case.stream(entry)) {
        (Party::Function, Some(StreamState::Action(_)))
            if matches!(what, Some(What::End { .. })) =>
        {
            names::ACTIONS_FUNCTION_ENDS_CALL
        }
        (Party::Function, Some(StreamState::Action(_))) => names::TCK_MODELS_ACTION_REPLY,
        (Party::Function, Some(StreamState::Entity(track))) if track.is_half_closed() => {
            names::PASSIVATION_FUNCTION_COMPLETES
        }
        (Party::Function, _) => names::COMMANDS_ANSWER_ONCE,
        (Party::Proxy, Some(StreamState::Front { .. })) => names::ACTIONS_ELEMENTS_PASSED_ON,
        _ => names::COMMANDS_DELIVERED_ONCE,
    }
}

/// What the function breaks that sends something else where an answer is due.
fn instead_of_answer(
    case: &Case<'_>,
    entry: u64,
    call: &CallPlan,
) -> Result<RequirementName, String> {
    let answer = call.answer.as_ref();
    let aspect = match case.stream(entry) {
        Some(StreamState::Entity(track)) if track.at_first_command_of_a_replay() => Aspect::State,
        _ if answer.is_some_and(|answer| answer.failure.is_some()) => Aspect::Failure,
        _ => Aspect::Message,
    };
    Ok(Aspects::of(call)?.about(aspect))
}

/// The last thing that the function sent on the entry's stream was a failure inside a reply.
fn failed_before(case: &Case<'_>, entry: u64) -> bool {
    let Some(stream) = case.entry(entry).and_then(|entry| entry.stream) else {
        return false;
    };
    let before = case.transcript.entries.iter().rev();
    let before = before.skip_while(|other| other.seq >= entry);
    let mut sent =
        before.filter(|other| other.stream == Some(stream) && other.from == Party::Function);
    sent.next().is_some_and(|last| case.fails_a_command(last))
}
