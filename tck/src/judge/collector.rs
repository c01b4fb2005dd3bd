//! What is judged, and what there is to say about it.

use super::evaluation::Evaluation;
use super::objection::Objection;
use super::{ChoiceTaken, Judgement};
use crate::finding::{Finding, Severity};
use crate::party::{Party, Role};
use crate::play::{Aligned, Play, Stop, StreamState, is_soon_after};
use crate::protocol;
use crate::protocol::{FromFunction, Reply};
use crate::requirement::{Level, RequirementName, Requirements};
use crate::scenario::message::Scope;
use crate::script::{CallPlan, MoveKind, Script};
use crate::transcript::{Entry, StreamId, Transcript, What};
use bytes::Bytes;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// What should have happened.
    pub script: &'a Script,
    /// The play at its end.
    pub play: &'a Play,
    /// What happened.
    pub transcript: &'a Transcript,
}

impl<'a> Case<'a> {
    /// In which names of the chart are looked up.
    pub fn scope(&self) -> Scope<'a> {
        Scope {
            package: &self.script.package,
            bindings: &self.script.bindings,
        }
    }

    /// The entry of this number.
    pub fn entry(&self, number: u64) -> Option<&'a Entry> {
        let at = usize::try_from(number).ok()?;
        self.transcript.entries.get(at)
    }

    /// The message that an entry is; of another entry nothing.
    pub fn bytes(&self, number: u64) -> Bytes {
        match self.entry(number).map(|entry| &entry.what) {
            Some(What::Message { bytes }) => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    /// What the play knows of the stream that an entry is on.
    pub fn stream(&self, number: u64) -> Option<&'a StreamState> {
        self.play.stream(self.entry(number)?.stream?)
    }

    /// The function's reply to a call, in this entry. Nothing of a call without a type gets to a function.
    pub fn reply(&self, call: &CallPlan, number: u64) -> Option<Reply> {
        match protocol::read_out(call.entity_type?, &self.bytes(number)) {
            FromFunction::Reply(reply) => Some(reply),
            FromFunction::Failure(_) | FromFunction::Empty | FromFunction::Garbage(_) => None,
        }
    }

    /// The function ended an entity's stream in order, and may not have seen what was sent to it last: it had answered
    /// everything before, and may let go of an idle entity (passivation.voluntary-end).
    pub fn may_have_crossed(&self, entry: &Entry) -> bool {
        let ended = matches!(
            entry.what,
            What::End {
                code: 0,
                trailers: true,
                ..
            }
        );
        let entity = entry.stream.and_then(|stream| self.play.stream(stream));
        if !ended
            || entry.from != Party::Function
            || !matches!(entity, Some(StreamState::Entity(_)))
        {
            return false;
        }
        let before = self.transcript.entries.iter().rev();
        let before = before.skip_while(|other| other.seq >= entry.seq);
        let on_stream = before.filter(|other| other.stream == entry.stream);
        let is_message = |other: &&Entry| matches!(other.what, What::Message { .. });
        let mut first_unseen = None;
        for other in on_stream.filter(is_message) {
            if other.from == Party::Function {
                if self.fails_a_command(other) {
                    // A failure is no reason to let go: failures.entity-survives.
                    return false;
                }
                let unseen: Option<&Entry> = first_unseen;
                return unseen.is_some_and(|sent| is_soon_after(sent.at, other.at));
            }
            first_unseen = Some(other);
        }
        false
    }

    /// A reply that fails its command.
    pub fn fails_a_command(&self, entry: &Entry) -> bool {
        let entity_type = entry
            .stream
            .and_then(|stream| self.play.entity_type(stream));
        match (entity_type, &entry.what) {
            (Some(entity_type), What::Message { bytes }) => matches!(
                protocol::read_out(entity_type, bytes),
                FromFunction::Reply(reply) if reply.failure().is_some()
            ),
            _ => false,
        }
    }

    /// The call whose command had this id on a stream.
    pub fn command_on(&self, stream: StreamId, id: i64) -> Option<usize> {
        let mut all = self.play.aligned().iter();
        all.find_map(|aligned| match self.script.moves[aligned.index].kind {
            MoveKind::Command(call) => {
                let on = self.entry(aligned.entry)?.stream;
                (on == Some(stream) && aligned.command_id == id).then_some(call)
            }
            _ => None,
        })
    }

    /// The call at the end of the forwards, and the function's reply to it.
    pub fn last_reply(&self, call: usize) -> Option<(usize, Reply)> {
        let last = self.script.last(call);
        let mut moves = self.script.moves.iter();
        let is = |kind: &MoveKind| matches!(kind, MoveKind::Answer(call) if *call == last);
        let answer = moves.position(|this| is(&this.kind))?;
        let entry = self.play.entry_of(answer)?;
        Some((last, self.reply(&self.script.calls[last], entry)?))
    }
}

/// Collects findings and coverage.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    /// What is judged.
    pub case: Case<'a>,
    judgement: Judgement,
    /// What the kit did wrong at first, and at which entry.
    own: Option<(u64, String)>,
}

impl<'a> Collector<'a> {
    /// Nothing is said yet.
    pub fn new(case: Case<'a>) -> Collector<'a> {
        Collector {
            case,
            judgement: Judgement::default(),
            own: None,
        }
    }

    /// The check of a requirement was evaluated.
    pub fn covered(&mut self, requirement: RequirementName) {
        self.judgement.covered.insert(requirement);
    }

    /// A permission was used, or not.
    pub fn chose(&mut self, requirement: RequirementName, choice: &'static str) {
        self.covered(requirement);
        self.judgement.choices.insert(ChoiceTaken {
            requirement,
            choice,
        });
    }

    /// A deviation from a requirement. An entry is objected to once.
    pub fn object(&mut self, requirement: RequirementName, objection: Objection) {
        self.covered(requirement);
        let mut entries = self.judgement.findings.iter().map(|finding| finding.entry);
        if entries.any(|entry| entry == Some(objection.entry)) {
            return;
        }
        let script = self.case.script;
        if script.role.kit_plays(objection.blame) {
            let text = format!(
                "the kit as {} broke {requirement}, and the chart doesn't ask for that: {}",
                objection.blame, objection.summary
            );
            return self.fault(objection.entry, text);
        }
        let Some(known) = Requirements::embedded().get(requirement.as_str()) else {
            let text = format!("the embedded specification has no requirement {requirement}");
            return self.fault(objection.entry, text);
        };
        let crossed = self.case.entry(objection.entry);
        let crossed = crossed.is_some_and(|entry| self.case.may_have_crossed(entry));
        self.judgement.hurried |= crossed;
        let step = objection.index.map(|index| script.moves[index].step);
        self.judgement.findings.push(Finding {
            requirement: requirement.to_string(),
            severity: if known.level == Level::Must {
                Severity::Failure
            } else {
                Severity::Warning
            },
            blame: (!crossed).then_some(objection.blame),
            summary: if crossed {
                format!(
                    "{}; it may have let go of the idle entity before",
                    objection.summary
                )
            } else {
                objection.summary
            },
            mismatches: objection.mismatches,
            step: step.map(|step| script.steps[step].span),
            entry: Some(objection.entry),
            consequence: false,
        });
    }

    /// The kit itself is at fault, or can't judge what is in the entry. The first such fault counts.
    pub fn fault(&mut self, entry: u64, text: String) {
        self.own.get_or_insert((entry, text));
    }

    /// A rule of a stream: covered, and objected to if it is broken. A stream on which the kit breaks one because
    /// the chart asks for that is exempt from then on: only the chart speaks.
    pub fn rule(&mut self, exempt: &mut bool, blame: Party, entry: u64, rule: Evaluation) {
        if *exempt {
            return;
        }
        let script = self.case.script;
        let scripted = script.scenario.scripted == Some(blame) && script.role.kit_plays(blame);
        match rule.breach {
            None => self.covered(rule.requirement),
            Some(_) if scripted => *exempt = true,
            Some(breach) => self.object(rule.requirement, breach.by(blame, entry)),
        }
    }

    /// What the step of a move verifies and binds a party; else what the scenario does.
    pub fn verified_by(&self, index: usize, party: Party) -> Vec<RequirementName> {
        let own = self.verified_by_step(index, party);
        if !own.is_empty() {
            return own;
        }
        let all = self.case.script.scenario.verifies.iter();
        binding(all.map(|verified| &verified.name), party)
    }

    /// What the step of a move itself verifies and binds a party.
    pub fn verified_by_step(&self, index: usize, party: Party) -> Vec<RequirementName> {
        let script = self.case.script;
        binding(&script.steps[script.moves[index].step].verifies, party)
    }

    /// The first that is verified at an entry and binds a party, or else this one.
    pub fn verified_or(
        &self,
        aligned: &Aligned,
        party: Party,
        default: RequirementName,
    ) -> RequirementName {
        let verified = self.verified_by(aligned.index, party);
        verified.first().copied().unwrap_or(default)
    }

    /// The findings in order, and who is at fault.
    pub fn conclude(mut self) -> Judgement {
        let script = self.case.script;
        let findings = &mut self.judgement.findings;
        findings.sort_by_key(|f| (f.severity == Severity::Warning, f.entry.unwrap_or(u64::MAX)));
        if script.role == Role::Stack {
            let root = findings.first().and_then(|finding| finding.blame);
            for finding in findings.iter_mut().skip(1) {
                finding.consequence = finding.blame != root;
            }
        }
        // What the kit did after the subject went wrong follows from that.
        let failed_before = |own: u64| {
            let mut failures = findings.iter().filter(|f| f.severity == Severity::Failure);
            failures.any(|f| f.entry.is_some_and(|entry| entry < own))
        };
        let own = self.own.filter(|(entry, _)| !failed_before(*entry));
        let play = self.case.play;
        let error = own.map(|(_, text)| text).or_else(|| match play.stop() {
            Some(Stop::Broken(text)) => Some(text.clone()),
            None if play.unreached() > 0 || !play.is_over() => {
                Some("the transcript ends before the chart does".to_owned())
            }
            _ => None,
        });
        self.judgement.error = error;
        self.judgement
    }
}

/// Those of the names that bind a party.
fn binding<'a>(
    written: impl IntoIterator<Item = &'a String>,
    party: Party,
) -> Vec<RequirementName> {
    let all = Requirements::embedded();
    let binds = |name: &&String| all.get(name).is_some_and(|known| known.party == party);
    let named = written.into_iter().filter(binds);
    named.filter_map(|name| RequirementName::of(name)).collect()
}
