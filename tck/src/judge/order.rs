//! Messages that came before what they had to wait for. Only what the kit sent (or handed on) is evidence.

use super::collector::{Case, Collector};
use super::objection::Objection;
use crate::party::Party;
use crate::play::Aligned;
use crate::requirement::{RequirementName, names};
use crate::script::{Move, MoveKind, Origin, Script};
use crate::transcript::{Entry, What};

/// Every move of the proxy, held against those that come first.
pub(super) fn check(collector: &mut Collector<'_>) {
    let script = collector.case.script;
    for aligned in collector.case.play.aligned() {
        let this = &script.moves[aligned.index];
        // Its answer was lost with its stream, as may happen.
        let lost = matches!(this.kind, MoveKind::Return(call) if collector.case.play.is_lost(call));
        let judged = this.from() == Party::Proxy && !this.by_kit(script.role) && !lost;
        if !judged || is_excused(&collector.case, aligned) {
            continue;
        }
        for &before in &this.after {
            let earlier = &script.moves[before];
            // A call can be refused before its request was sent.
            if earlier.to() == Party::Proxy && !matches!(earlier.kind, MoveKind::Request(_)) {
                pair(collector, aligned, this, before);
            }
        }
    }
}

/// A move of the proxy and one that it had to wait for.
fn pair(collector: &mut Collector<'_>, aligned: &Aligned, this: &Move, before: usize) {
    let script = collector.case.script;
    let requirement = requirement(script, &this.kind, &script.moves[before].kind);
    // Both at once: the proxy answered a command by itself, where the chart lets it.
    let entry = collector.case.play.entry_of(before);
    if entry.is_some_and(|entry| entry <= aligned.entry) {
        return collector.covered(requirement);
    }
    let verified = collector.verified_by_step(aligned.index, Party::Proxy);
    let requirement = verified.first().copied().unwrap_or(requirement);
    let (this, earlier) = (script.describe(aligned.index), script.describe(before));
    let text = format!("{this} came before {earlier}, and should have waited for it");
    collector.object(requirement, Objection::to(aligned, Party::Proxy, text));
}

/// What somebody else's end made needless was not done by the proxy, nor what its own death did.
fn is_excused(case: &Case<'_>, aligned: &Aligned) -> bool {
    let Some(entry) = case.entry(aligned.entry) else {
        return false;
    };
    let lost = matches!(
        entry.what,
        What::End {
            trailers: false,
            ..
        } | What::Cancel
    );
    entry.from != Party::Proxy || (lost && killed_before(case, entry))
}

/// The proxy was killed, and is not yet back, when this entry was made.
fn killed_before(case: &Case<'_>, entry: &Entry) -> bool {
    let entries = case.transcript.entries.iter().rev();
    let earlier = entries.skip_while(|other| other.seq >= entry.seq);
    let own = earlier.filter(|e| e.from == Party::Proxy);
    let mut lives = own.filter(|e| matches!(e.what, What::Killed | What::Started));
    lives.next().is_some_and(|entry| entry.what == What::Killed)
}

fn requirement(script: &Script, this: &MoveKind, earlier: &MoveKind) -> RequirementName {
    let effect = |call: &usize| matches!(script.calls[*call].origin, Origin::Effect { .. });
    let client = |call: &usize| script.calls[*call].origin == Origin::Client;
    match (this, earlier) {
        (MoveKind::Command(this), MoveKind::Answer(c)) if effect(this) && effect(c) => {
            names::EFFECTS_SYNCHRONOUS_AWAITED
        }
        (MoveKind::Return(_) | MoveKind::Pass(_) | MoveKind::Command(_), MoveKind::Answer(c))
            if effect(c) =>
        {
            names::EFFECTS_BEFORE_REPLY
        }
        (MoveKind::Return(c), MoveKind::Answer(_)) if script.calls[*c].forward.is_some() => {
            names::EFFECTS_FORWARD_ANSWERS_CLIENT
        }
        (MoveKind::Command(c), MoveKind::Answer(_)) if effect(c) => names::EFFECTS_EXECUTED,
        (MoveKind::Command(this), MoveKind::Answer(c)) if client(this) && waited(script, *c) => {
            names::COMMANDS_ARRIVAL_ORDER
        }
        (MoveKind::Return(_) | MoveKind::Pass(_), MoveKind::Answer(_)) => {
            names::COMMANDS_REACHES_FUNCTION
        }
        _ => names::COMMANDS_ANSWERS_ITS_CALLER,
    }
}

/// A client's command that had to wait for the answer to another.
fn waited(script: &Script, call: usize) -> bool {
    let command = |kind: &MoveKind| matches!(kind, MoveKind::Command(c) if *c == call);
    let answer = |before: &usize| matches!(script.moves[*before].kind, MoveKind::Answer(_));
    let mut commands = script.moves.iter().filter(|this| command(&this.kind));
    script.calls[call].origin == Origin::Client
        && commands.any(|this| this.after.iter().any(answer))
}
