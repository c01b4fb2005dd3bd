//! (5) The judge: the same play over the transcript, and the invariants: findings, blame, verdict. Pure.
//!
//! Contents are compared here and nowhere else. Every finding names one requirement: the invariant's own, or
//! the one that the step (or scenario) verifies, or else the one that holds for that kind of message.

pub mod contents;
pub mod invariants;

use crate::finding::{Finding, Mismatch, Severity, Verdict};
use crate::party::{Party, Role};
use crate::play::{Play, Stop, Stream};
use crate::requirement::{Level, Requirements};
use crate::script::{MoveKind, Origin, Script};
use crate::transcript::{Transcript, What};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the judge says of one play.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The first is the root, unless it is marked a consequence.
    pub findings: Vec<Finding>,
    /// Requirements whose check was evaluated with its premise true.
    pub covered: BTreeSet<String>,
    /// Where the specification leaves a choice: what was chosen, as `requirement: choice`.
    pub choices: BTreeSet<String>,
    /// The kit or the scenario is at fault.
    pub error: Option<String>,
}

impl Judgement {
    /// The worst of the findings.
    pub fn verdict(&self) -> Verdict {
        let of = |finding: &Finding| match (finding.severity, finding.blame) {
            (Severity::Warning, _) => Verdict::Pass,
            (Severity::Failure, Some(_)) => Verdict::Fail,
            (Severity::Failure, None) => Verdict::Inconclusive,
        };
        let counted = self.findings.iter().filter(|finding| !finding.consequence);
        let worst = counted.map(of).max().unwrap_or(Verdict::Pass);
        if self.error.is_some() {
            Verdict::Error
        } else {
            worst
        }
    }

    /// The finding that the others follow from.
    pub fn root(&self) -> Option<&Finding> {
        let failures = |f: &&Finding| !f.consequence && f.severity == Severity::Failure;
        self.findings
            .iter()
            .find(failures)
            .or(self.findings.first())
    }
}

/// Judges a transcript by its script.
pub fn judge(script: &Arc<Script>, transcript: &Transcript) -> Judgement {
    let mut play = Play::new(script.clone());
    for entry in &transcript.entries {
        play.observe(entry);
    }
    let case = Case {
        script,
        play: &play,
        transcript,
    };
    let mut bench = Bench {
        case: &case,
        judgement: Judgement::default(),
        own: None,
    };
    invariants::check(&mut bench);
    // What came too early can't be what it should be: that it came early is the finding.
    order(&mut bench);
    contents::check(&mut bench);
    stopped(&mut bench);
    bench.conclude()
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What should have happened.
    pub script: &'a Script,
    /// The play at its end.
    pub play: &'a Play,
    /// What happened.
    pub transcript: &'a Transcript,
}

/// Collects findings and coverage.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What is judged.
    pub case: &'a Case<'a>,
    judgement: Judgement,
    /// What the kit did wrong at first, and at which entry.
    own: Option<(Option<u64>, String)>,
}

/// Who deviates, where, and how: a finding before its requirement is looked up.
#[derive(Clone, Debug)]
pub struct Objection {
    /// The party.
    pub blame: Party,
    /// One sentence.
    pub summary: String,
    /// Differences, if contents differ.
    pub mismatches: Vec<Mismatch>,
    /// The move of the script.
    pub index: Option<usize>,
    /// The entry.
    pub entry: Option<u64>,
}

impl Bench<'_> {
    /// The check of a requirement was evaluated.
    pub fn covered(&mut self, requirement: &str) {
        self.judgement.covered.insert(requirement.to_owned());
    }

    /// A permission was used, or not.
    pub fn chose(&mut self, requirement: &str, choice: &str) {
        self.covered(requirement);
        self.judgement
            .choices
            .insert(format!("{requirement}: {choice}"));
    }

    /// A deviation from a requirement. An entry is objected to once.
    pub fn object(&mut self, requirement: &str, objection: Objection) {
        self.covered(requirement);
        let known = objection.entry.is_some()
            && self
                .judgement
                .findings
                .iter()
                .any(|finding| finding.entry == objection.entry);
        if known {
            return;
        }
        let role = self.case.script.role;
        if role.kit_plays(objection.blame) {
            let text = format!(
                "the kit as {} broke {requirement}, and the chart doesn't ask for that: {}",
                objection.blame, objection.summary
            );
            self.own.get_or_insert((objection.entry, text));
            return;
        }
        let level = Requirements::embedded()
            .get(requirement)
            .map_or(Level::Must, |r| r.level);
        let step = objection
            .index
            .map(|index| self.case.script.moves[index].step);
        self.judgement.findings.push(Finding {
            requirement: requirement.to_owned(),
            severity: if level == Level::Must {
                Severity::Failure
            } else {
                Severity::Warning
            },
            blame: Some(objection.blame),
            summary: objection.summary,
            mismatches: objection.mismatches,
            step: step.map(|step| self.case.script.steps[step].span),
            entry: objection.entry,
            consequence: false,
        });
    }

    /// The requirements of a step that bind a party: its own, else the scenario's.
    pub fn verified_by(&self, index: usize, party: Party, scenario_too: bool) -> Vec<String> {
        let script = self.case.script;
        let step = &script.steps[script.moves[index].step];
        let binds = |name: &&String| {
            Requirements::embedded()
                .get(name)
                .is_some_and(|requirement| requirement.party == party)
        };
        let own: Vec<String> = step.verifies.iter().filter(binds).cloned().collect();
        if !own.is_empty() || !scenario_too {
            return own;
        }
        let names = script.scenario.verifies.iter().map(|v| &v.name);
        names.filter(binds).cloned().collect()
    }

    fn conclude(mut self) -> Judgement {
        let script = self.case.script;
        self.judgement
            .findings
            .sort_by_key(|f| (f.severity == Severity::Warning, f.entry.unwrap_or(u64::MAX)));
        if script.role == Role::Stack {
            let root = self
                .judgement
                .findings
                .first()
                .and_then(|finding| finding.blame);
            for finding in self.judgement.findings.iter_mut().skip(1) {
                finding.consequence = finding.blame != root;
            }
        }
        // What the kit did after the subject went wrong follows from that.
        let failures = |f: &&Finding| f.severity == Severity::Failure;
        let mut failed = self.judgement.findings.iter().filter(failures);
        let own = self
            .own
            .filter(|(own, _)| !failed.any(|f| f.entry.is_some() && f.entry < *own));
        self.judgement.error = own.map(|(_, text)| text);
        if let Some(Stop::Broken(text)) = self.case.play.stop() {
            self.judgement.error.get_or_insert(text.clone());
        }
        let unreached = self.case.play.stop().is_none() && self.case.play.unreached() > 0;
        if unreached && self.judgement.error.is_none() {
            self.judgement.error = Some("the transcript ends before the chart does".to_owned());
        }
        self.judgement
    }
}

/// Messages that came before what they had to wait for. Only what the kit sent (or handed on) is evidence.
fn order(bench: &mut Bench<'_>) {
    let script = bench.case.script;
    for aligned in bench.case.play.aligned() {
        let this = &script.moves[aligned.index];
        if this.from() != Party::Proxy || this.by_kit(script.role) {
            continue;
        }
        // What somebody else's end made needless was not done by the proxy, nor what its own death did.
        let at = usize::try_from(aligned.entry).unwrap_or(usize::MAX);
        let entry = bench.case.transcript.entries.get(at);
        let lost = matches!(
            entry.map(|entry| &entry.what),
            Some(
                What::End {
                    trailers: false,
                    ..
                } | What::Cancel
            )
        );
        if entry.is_some_and(|entry| entry.from != Party::Proxy)
            || (lost && killed_before(bench, at))
        {
            continue;
        }
        for &before in &this.after {
            let earlier = &script.moves[before];
            // A call can be refused before its request was sent.
            if earlier.to() != Party::Proxy || matches!(earlier.kind, MoveKind::Request(_)) {
                continue;
            }
            let requirement = order_requirement(script, &this.kind, &earlier.kind);
            // Both at once: the proxy answered a command by itself, where the chart lets it.
            let in_time = bench
                .case
                .play
                .entry_of(before)
                .is_some_and(|entry| entry <= aligned.entry);
            if in_time {
                bench.covered(requirement);
                continue;
            }
            let own = bench.verified_by(aligned.index, Party::Proxy, false);
            let requirement = own.first().map_or(requirement, String::as_str).to_owned();
            let (this, earlier) = (script.describe(aligned.index), script.describe(before));
            bench.object(
                &requirement,
                Objection {
                    blame: Party::Proxy,
                    summary: format!("{this} came before {earlier}, and should have waited for it"),
                    mismatches: Vec::new(),
                    index: Some(aligned.index),
                    entry: Some(aligned.entry),
                },
            );
        }
    }
}

/// The proxy was killed, and is not yet back, when this entry was made.
fn killed_before(bench: &Bench<'_>, at: usize) -> bool {
    let entries = bench.case.transcript.entries.iter().take(at);
    let own = entries.rev().filter(|e| e.from == Party::Proxy);
    let mut lives = own.filter(|e| matches!(e.what, What::Killed | What::Started));
    lives.next().is_some_and(|entry| entry.what == What::Killed)
}

fn order_requirement(script: &Script, this: &MoveKind, earlier: &MoveKind) -> &'static str {
    let effect = |call: &usize| matches!(script.calls[*call].origin, Origin::Effect { .. });
    let client = |call: &usize| script.calls[*call].origin == Origin::Client;
    match (this, earlier) {
        (MoveKind::Command(this), MoveKind::Answer(c)) if effect(this) && effect(c) => {
            "effects.synchronous-awaited"
        }
        (MoveKind::Return(_) | MoveKind::Pass(_) | MoveKind::Command(_), MoveKind::Answer(c))
            if effect(c) =>
        {
            "effects.before-reply"
        }
        (MoveKind::Return(c), MoveKind::Answer(_)) if script.calls[*c].forward.is_some() => {
            "effects.forward-answers-client"
        }
        (MoveKind::Command(c), MoveKind::Answer(_)) if effect(c) => "effects.executed",
        (MoveKind::Command(this), MoveKind::Answer(c)) if client(this) && waited(script, *c) => {
            "commands.arrival-order"
        }
        (MoveKind::Return(_) | MoveKind::Pass(_), MoveKind::Answer(_)) => {
            "commands.reaches-function"
        }
        _ => "commands.answers-its-caller",
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

/// Why the play ended early, as a finding.
fn stopped(bench: &mut Bench<'_>) {
    match bench.case.play.stop().cloned() {
        None | Some(Stop::Broken(_)) => {}
        Some(Stop::Unexpected {
            entry,
            from,
            text,
            awaited,
        }) => {
            let waited = awaited.map(|index| bench.case.script.describe(index));
            let waited = waited.unwrap_or_else(|| "the end".to_owned());
            let requirement = unexpected(bench, entry, from, awaited);
            let objection = Objection {
                blame: from,
                summary: format!("the {from} sent {text}; expected {waited}"),
                mismatches: Vec::new(),
                index: awaited,
                entry: Some(entry),
            };
            bench.object(&requirement, objection);
        }
        Some(Stop::Silence {
            entry,
            awaited: None,
        }) => {
            let objection = Objection {
                blame: Party::Function,
                summary: "the function did not complete its side of a half-closed stream"
                    .to_owned(),
                mismatches: Vec::new(),
                index: None,
                entry: Some(entry),
            };
            bench.object("passivation.function-completes", objection);
        }
        Some(Stop::Silence {
            entry,
            awaited: Some(index),
        }) => silence(bench, entry, index),
    }
}

fn silence(bench: &mut Bench<'_>, entry: u64, index: usize) {
    let script = bench.case.script;
    let this = &script.moves[index];
    let blame = this.from();
    let raw = !matches!(
        this.kind,
        MoveKind::Request(_)
            | MoveKind::Command(_)
            | MoveKind::Answer(_)
            | MoveKind::Return(_)
            | MoveKind::Deliver(..)
            | MoveKind::Delivered(_)
            | MoveKind::Pass(_)
            | MoveKind::End(_)
            | MoveKind::Cancel(_)
    );
    let usual = silence_requirement(script, &this.kind);
    // That there is no answer says nothing about what would be in it.
    let verified = match this.kind {
        MoveKind::Answer(call) if script.calls[call].key.is_some() => Vec::new(),
        _ => bench.verified_by(index, blame, raw),
    };
    let requirement = match verified.first() {
        Some(first) if verified.iter().all(|name| name != usual) => first,
        _ => usual,
    };
    let objection = Objection {
        blame,
        summary: format!("{} did not come", script.describe(index)),
        mismatches: Vec::new(),
        index: Some(index),
        entry: Some(entry),
    };
    bench.object(requirement, objection);
}

/// What a message that nobody waits for breaks.
fn unexpected(bench: &Bench<'_>, entry: u64, from: Party, awaited: Option<usize>) -> String {
    let script = bench.case.script;
    let kind = awaited.map(|index| &script.moves[index].kind);
    if from == Party::Function && failed_before(bench, entry) {
        return "failures.entity-survives".to_owned();
    }
    let Some(MoveKind::Answer(call)) = kind else {
        let verified =
            awaited.and_then(|index| bench.verified_by(index, from, true).into_iter().next());
        let usual = || unexpected_requirement(bench, entry, from).to_owned();
        return verified.unwrap_or_else(usual);
    };
    if from == Party::Proxy {
        return "commands.delivered-once".to_owned();
    }
    // Where the proxy departs from the rules on purpose, the chart is about how the function takes it.
    let about = (script.scenario.scripted == Some(Party::Proxy))
        .then(|| awaited.and_then(|index| bench.verified_by(index, from, true).into_iter().next()));
    if let Some(about) = about.flatten() {
        return about;
    }
    let at = usize::try_from(entry)
        .ok()
        .and_then(|at| bench.case.transcript.entries.get(at));
    let stream = at
        .and_then(|entry| entry.stream)
        .and_then(|stream| bench.case.play.stream(stream));
    let call = &script.calls[*call];
    if matches!(stream, Some(Stream::Entity(track)) if track.at_first_command_of_a_replay()) {
        return contents::Aspect::State.model(call).to_owned();
    }
    let failure = call
        .answer
        .as_ref()
        .is_some_and(|answer| answer.failure.is_some());
    let aspect = if failure {
        contents::Aspect::Failure
    } else {
        contents::Aspect::Message
    };
    aspect.model(call).to_owned()
}

/// What it breaks by where it came.
fn unexpected_requirement(bench: &Bench<'_>, entry: u64, from: Party) -> &'static str {
    let at = usize::try_from(entry).ok();
    let entry = at.and_then(|at| bench.case.transcript.entries.get(at));
    let stream = entry.and_then(|entry| bench.case.play.stream(entry.stream?));
    let ends = matches!(entry.map(|entry| &entry.what), Some(What::End { .. }));
    match (from, stream) {
        (Party::Function, Some(Stream::Action(_))) if ends => "actions.function-ends-call",
        (Party::Function, Some(Stream::Action(_))) => "tck-models.action-reply",
        (Party::Function, Some(Stream::Entity(track))) if track.is_half_closed() => {
            "passivation.function-completes"
        }
        (Party::Function, _) => "commands.answer-once",
        _ => "commands.delivered-once",
    }
}

/// The last thing that the function sent on the entry's stream was a failure inside a reply.
fn failed_before(bench: &Bench<'_>, entry: u64) -> bool {
    use crate::protocol::{FromFunction, read_out};
    let entity_type = |stream| bench.case.play.entity_type(stream);
    let entries = &bench.case.transcript.entries;
    let Some(this) = usize::try_from(entry).ok().and_then(|at| entries.get(at)) else {
        return false;
    };
    let before = entries.iter().rev().skip_while(|other| other.seq >= entry);
    let mut sent =
        before.filter(|other| other.stream == this.stream && other.from == Party::Function);
    match (
        sent.next().map(|other| &other.what),
        this.stream.and_then(entity_type),
    ) {
        (Some(What::Message { bytes }), Some(entity_type)) => {
            matches!(read_out(entity_type, bytes), FromFunction::Reply(reply) if reply.failure().is_some())
        }
        _ => false,
    }
}

fn silence_requirement(script: &Script, kind: &MoveKind) -> &'static str {
    match kind {
        MoveKind::Command(call) => match script.calls[*call].origin {
            Origin::Client => "commands.reaches-function",
            Origin::Effect { .. } => "effects.executed",
            Origin::Forward { .. } => "effects.forward-answers-client",
            Origin::Element { .. } => "actions.elements-passed-on",
        },
        MoveKind::Deliver(..) => "actions.requests-passed-on",
        MoveKind::Delivered(_) => "actions.half-close-passed-on",
        MoveKind::Pass(_) => "actions.elements-passed-on",
        MoveKind::End(_) => "actions.function-ends-call",
        MoveKind::Cancel(_) => "actions.cancels-unwanted",
        MoveKind::Return(_) | MoveKind::Request(_) => "commands.answers-its-caller",
        MoveKind::Answer(_) => "commands.answer-every-command",
        MoveKind::HalfClose(_) => "passivation.idle-half-close",
        MoveKind::Complete(_) => "passivation.function-completes",
        MoveKind::Fails { .. } => "commands.rejects-protocol-errors",
        MoveKind::Acknowledged => "discovery.answers-report-error",
        MoveKind::Reported(_) => "failures.violation-reported",
        MoveKind::Ends {
            from: Party::Proxy, ..
        }
        | MoveKind::Resets {
            from: Party::Proxy, ..
        } => "failures.violation-ends-stream",
        MoveKind::Discover(_) => "discovery.proxy-calls-discover",
        MoveKind::Spec(_) => "discovery.repeatable",
        _ => "commands.answer-every-command",
    }
}

#[cfg(test)]
mod tests;
