//! One change of a conforming transcript: the judge objects, or there is a reason why it needn't.

use super::edit;
use crate::explore;
use crate::finding::Verdict;
use crate::judge::judge;
use crate::party::{Party, Role};
use crate::play::Play;
use crate::play::simulation::{is_bulky, scripts, simulate};
use crate::protocol::{DISCOVER, FromFunction, REPORT_ERROR, read_out};
use crate::scenario::{Scenario, read};
use crate::script::{MoveKind, Returns, Script};
use crate::transcript::{Entry, Hop, Transcript, What, notation, samples};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// What becomes of one entry of the party under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// It isn't there.
    Dropped,
    /// It never comes, nor anything after it.
    Silence,
    /// The message comes twice.
    Twice,
    /// The next message that its sender sends on the stream comes before it.
    Late,
    /// A bit of the message is another.
    Bit,
    /// A number in the message is one more: a command's id, the id that is answered, a sequence number.
    Number,
    /// The message has a field that no descriptor has.
    UnknownField,
    /// The status is another.
    Status,
    /// The text of the status is another.
    StatusText,
}

const MUTATIONS: [Mutation; 9] = [
    Mutation::Dropped,
    Mutation::Silence,
    Mutation::Twice,
    Mutation::Late,
    Mutation::Bit,
    Mutation::Number,
    Mutation::UnknownField,
    Mutation::Status,
    Mutation::StatusText,
];

/// A play with one change.
struct Changed<'a> {
    script: &'a Arc<Script>,
    original: &'a Transcript,
    at: usize,
    mutation: Mutation,
}

// === The changes ===

impl Changed<'_> {
    /// `None`: that can't be done to this entry, or changes nothing. `which` is the byte or the number.
    fn transcript(&self, which: usize) -> Option<Transcript> {
        let mut entries = self.original.entries.clone();
        let this = &mut entries[self.at];
        let is_message = matches!(this.what, What::Message { .. });
        match self.mutation {
            Mutation::Dropped => drop(entries.remove(self.at)),
            Mutation::Silence => {
                entries.truncate(self.at);
                entries.extend(self.read("deadline \"what never came\"")?);
            }
            Mutation::Twice if is_message => entries.insert(self.at, entries[self.at].clone()),
            Mutation::Late => {
                let next = self.next_message()?;
                let next = entries.remove(next);
                entries.insert(self.at, next);
            }
            Mutation::Bit => change(this, |bytes| {
                let at = which.checked_rem(bytes.len())?;
                bytes[at] ^= 1;
                Some(())
            })?,
            Mutation::Number => {
                let mut lines = edit::lines(self.original, &self.script.package);
                lines[self.at] = one_more(&lines[self.at], which)?;
                entries = self.read(&lines.join("\n"))?;
            }
            Mutation::UnknownField => change(this, |bytes| {
                // Field 2000, a varint.
                bytes.extend([0x80, 0x7d, 0x01]);
                Some(())
            })?,
            Mutation::Status => match &mut this.what {
                What::End { code, .. } => *code = if *code == 0 { 13 } else { 0 },
                _ => return None,
            },
            Mutation::StatusText => match &mut this.what {
                What::End { message, .. } => message.push('x'),
                _ => return None,
            },
            Mutation::Twice => return None,
        }
        // Each comes when what it took the place of came.
        for (seq, entry) in (0..).zip(&mut entries) {
            (entry.seq, entry.at) = (seq, seq * 1_000);
        }
        (entries != self.original.entries).then(|| Transcript {
            entries,
            ..self.original.clone()
        })
    }

    fn read(&self, lines: &str) -> Option<Vec<Entry>> {
        let (role, package) = (self.script.role, &self.script.package);
        notation::read_entries(lines, role, package, &self.script.bindings).ok()
    }

    /// The next message of the same sender on the same stream, if both are messages.
    fn next_message(&self) -> Option<usize> {
        let entries = &self.original.entries;
        let this = &entries[self.at];
        let same = |other: &Entry| {
            let message = matches!(other.what, What::Message { .. });
            message && (other.stream, other.from) == (this.stream, this.from)
        };
        let later = self.at + 1..entries.len();
        same(this)
            .then_some(later)?
            .find(|next| same(&entries[*next]))
    }
}

fn change(entry: &mut Entry, change: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let What::Message { bytes } = &mut entry.what else {
        return None;
    };
    let mut all = bytes.to_vec();
    change(&mut all)?;
    *bytes = Bytes::from(all);
    Some(())
}

/// The line with one of its numbers raised.
fn one_more(line: &str, which: usize) -> Option<String> {
    let words = ["command_id: ", " id: ", "sequence: "];
    let ends = |word: &'static str| line.match_indices(word).map(move |(at, _)| at + word.len());
    let digits = |at: usize| line[at..].chars().take_while(char::is_ascii_digit).count();
    let all: Vec<usize> = words
        .into_iter()
        .flat_map(ends)
        .filter(|at| digits(*at) > 0)
        .collect();
    let at = *all.get(which.checked_rem(all.len())?)?;
    let (before, rest) = line.split_at(at);
    let (number, after) = rest.split_at(digits(at));
    let number: u64 = number.parse().ok()?;
    Some(format!("{before}{}{after}", number + 1))
}

// === Why nobody need object ===

/// A reason, and which changes it holds for.
type Reason = (&'static str, fn(&Changed<'_>) -> bool);

/// Why the judge may accept a change; each by the rule that allows it.
const EXCUSES: [Reason; 10] = [
    (
        "headers without metadata say nothing",
        |changed| matches!(&changed.entry().what, What::Headers { metadata } if metadata.is_empty()),
    ),
    (
        "discovery.function-ignores-unknown-fields, discovery.proxy-ignores-unknown-fields: the protocol can grow",
        |changed| {
            changed.mutation == Mutation::UnknownField && changed.entry().hop == Some(Hop::Back)
        },
    ),
    (
        "the text of a status is its sender's own, but for the description of a failure",
        |changed| {
            let refuses = changed.script.role == Role::Sdk;
            let own = |message: &str| refuses || ["", "no reply"].contains(&message);
            changed.mutation == Mutation::StatusText
                && matches!(&changed.entry().what, What::End { message, .. } if own(message))
        },
    ),
    (
        "failures.stream-failure-status: what a function says when it gives a stream up, and the status then, are its own",
        |changed| changed.entry().from == Party::Function && changed.gives_up(),
    ),
    (
        "an action's call that its function fails, or that nobody wants any more, may end with another status",
        |changed| changed.mutation == Mutation::Status && changed.is_unwanted(),
    ),
    (
        "what comes behind the failure of an action's call is dropped, or not wanted any more",
        |changed| {
            let again = changed.mutation == Mutation::Twice;
            again && changed.entry().from == Party::Function && changed.is_unwanted()
        },
    ),
    (
        "where the kit departs from the rules, only the chart speaks of the stream",
        |changed| {
            let departs = changed.script.scenario.scripted == Some(Party::Proxy);
            departs && changed.mutation == Mutation::Status
        },
    ),
    (
        "the chart leaves it to the proxy what its client gets",
        |changed| {
            changed.aligned().is_some_and(|kind| match kind {
                MoveKind::Return(call) => {
                    let returns = &changed.script.calls[call].returns;
                    matches!(returns, Returns::Anything | Returns::Either(_))
                }
                _ => false,
            })
        },
    ),
    (
        "the end or the cancellation that follows makes a half-close needless",
        |changed| {
            let half_close = changed.entry().what == What::HalfClose;
            changed.mutation == Mutation::Dropped && half_close && changed.is_ended_later()
        },
    ),
    (
        "discovery is held only against what a step verifies, and gRPC has no second message on its calls",
        |changed| [DISCOVER, REPORT_ERROR].contains(&changed.path()),
    ),
];

impl Changed<'_> {
    fn entry(&self) -> &Entry {
        &self.original.entries[self.at]
    }

    /// The move that the entry is.
    fn aligned(&self) -> Option<MoveKind> {
        let mut play = Play::new(self.script.clone());
        self.original
            .entries
            .iter()
            .for_each(|entry| play.observe(entry));
        let aligned = play
            .aligned()
            .iter()
            .find(|one| one.entry == self.entry().seq)?;
        Some(self.script.moves[aligned.index].kind.clone())
    }

    fn on_stream(&self) -> impl Iterator<Item = &Entry> {
        let stream = self.entry().stream;
        self.original
            .entries
            .iter()
            .filter(move |entry| entry.stream == stream)
    }

    /// The path of the entry's stream.
    fn path(&self) -> &str {
        let mut paths = self.on_stream().filter_map(|entry| match &entry.what {
            What::Open { path, .. } => Some(path.as_str()),
            _ => None,
        });
        paths.next().unwrap_or_default()
    }

    /// The entry with this number gives up an entity's stream.
    fn fails(&self, at: usize) -> bool {
        let entity_type = crate::protocol::EntityType::of_path(self.path());
        match (&self.original.entries[at].what, entity_type) {
            (What::Message { bytes }, Some(entity_type)) => {
                matches!(read_out(entity_type, bytes), FromFunction::Failure(_))
            }
            _ => false,
        }
    }

    /// The entry is a failure of its stream, or comes after one.
    fn gives_up(&self) -> bool {
        let before = self
            .on_stream()
            .filter(|entry| entry.seq <= self.entry().seq);
        let mut own = before.filter(|entry| entry.from == Party::Function);
        own.any(|entry| usize::try_from(entry.seq).is_ok_and(|at| self.fails(at)))
    }

    fn is_unwanted(&self) -> bool {
        let failed = |entry: &Entry| match &entry.what {
            What::Cancel => true,
            What::Message { bytes } if entry.from == Party::Function => {
                let read = read_out(crate::protocol::EntityType::Action, bytes);
                matches!(read, FromFunction::Reply(reply) if reply.failure().is_some())
            }
            _ => false,
        };
        self.path().starts_with("/cloudstate.action.") && self.on_stream().any(failed)
    }

    fn is_ended_later(&self) -> bool {
        let mut later = self
            .on_stream()
            .filter(|entry| entry.seq > self.entry().seq);
        later.any(|entry| matches!(entry.what, What::End { .. } | What::Cancel))
    }

    /// What nobody objected to and should have, for a person.
    fn unexcused(&self, which: usize) -> Option<String> {
        let transcript = self.transcript(which)?;
        let judgement = judge(self.script, &transcript);
        let accepted = judgement.findings.is_empty() && judgement.verdict() == Verdict::Pass;
        let excused = || EXCUSES.iter().any(|(_, excuse)| excuse(self));
        if !accepted || excused() {
            return None;
        }
        let (name, role) = (self.script.scenario.name(), self.script.role);
        let line = edit::lines(self.original, &self.script.package).swap_remove(self.at);
        let text = notation::write(&transcript, &self.script.package);
        Some(format!(
            "{:?} ({which}) of {name} in the role {role}: {line}\n{text}",
            self.mutation
        ))
    }
}

// === What is changed ===

static SCENARIOS: LazyLock<Vec<Arc<Scenario>>> = LazyLock::new(|| {
    let shipped = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let shipped = shipped.into_iter().filter(|scenario| !is_bulky(scenario));
    let generated = explore::generate(7, 60);
    let generated = generated
        .iter()
        .map(|generated| generated.scenario().clone());
    shipped.chain(generated).map(Arc::new).collect()
});

/// Entries of the party under test.
fn received(transcript: &Transcript) -> Vec<usize> {
    let entries = &transcript.entries;
    (0..entries.len())
        .filter(|at| !entries[*at].by_kit)
        .collect()
}

proptest! {
    #![proptest_config(samples::seeded(500))]

    #[test]
    fn a_change_is_found_or_harmless(
        scenario in 0..SCENARIOS.len(),
        role in 0..3usize,
        at in any::<prop::sample::Index>(),
        mutation in prop::sample::select(MUTATIONS.to_vec()),
        which in 0..1_000usize,
    ) {
        for script in scripts(&SCENARIOS[scenario], Role::ALL[role]) {
            let original = simulate(&script);
            let received = received(&original);
            if !received.is_empty() {
                let at = *at.get(&received);
                let changed = Changed { script: &script, original: &original, at, mutation };
                let unexcused = changed.unexcused(which);
                prop_assert!(unexcused.is_none(), "{}", unexcused.unwrap_or_default());
            }
        }
    }
}

#[test]
#[ignore = "takes minutes; for whoever changes the judge"]
fn every_change_is_found_or_harmless() {
    let mut unexcused = Vec::new();
    for scenario in SCENARIOS.iter() {
        let scripts = Role::ALL
            .into_iter()
            .flat_map(|role| scripts(scenario, role));
        for script in scripts {
            let original = simulate(&script);
            for at in received(&original) {
                for mutation in MUTATIONS {
                    let changed = Changed {
                        script: &script,
                        original: &original,
                        at,
                        mutation,
                    };
                    unexcused.extend(
                        [1, 8, 15]
                            .into_iter()
                            .find_map(|which| changed.unexcused(which)),
                    );
                }
            }
        }
    }
    assert!(
        unexcused.is_empty(),
        "{} changes\n{}",
        unexcused.len(),
        unexcused.join("\n")
    );
}
