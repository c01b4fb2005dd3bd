//! A play without a wire, for tests: the kit does what [`Play`] says, and the party under test is an ideal one.
//!
//! The function under test is the model; the proxy under test does what the script waits for, and passes on what
//! the function answered. What comes of it is a transcript that nobody can object to.

mod function;
mod proxy;

use super::{Act, Play};
use crate::party::{Party, Role};
use crate::scenario::Scenario;
use crate::scenario::message::Bindings;
use crate::script::choice::{self, Instance};
use crate::script::{Script, expand};
use crate::transcript::{Entry, Hop, Lost, StreamId, Transcript, What};
use function::SimulatedFunction;
use proxy::SimulatedProxy;
use std::sync::Arc;

/// More entries than any scenario of a test makes.
const LIMIT: usize = 20_000;

/// Every `$name` of a scenario, by a value that says which it is.
pub(crate) fn bindings(scenario: &Scenario) -> Bindings {
    let names = std::iter::once("id").chain(scenario.ids.iter().map(String::as_str));
    names
        .map(|name| (name.to_owned(), format!("the-{name}")))
        .collect()
}

/// Does its chart have lists or texts with a hundred parts or more? Such a play says nothing that a short one doesn't,
/// and takes seconds.
pub(crate) fn is_bulky(scenario: &Scenario) -> bool {
    let text = scenario
        .source
        .text
        .get(scenario.span.start..)
        .unwrap_or_default();
    let chart = text.split("\n  - id: ").next().unwrap_or_default();
    let mut times = chart.split("times: ").skip(1);
    times.any(|times| times.chars().take_while(char::is_ascii_digit).count() > 2)
}

/// The scripts of a scenario in a role, one for each choice that the kit has; none where it can't be played.
pub(crate) fn scripts(scenario: &Arc<Scenario>, role: Role) -> Vec<Arc<Script>> {
    let playable = crate::check::roles(scenario).into_iter();
    if playable
        .filter(|(other, _)| *other == role)
        .any(|(_, playable)| playable.is_err())
    {
        return Vec::new();
    }
    let script = |instance: Instance| {
        expand::expand(scenario, role, instance.alternative, bindings(scenario)).ok()
    };
    let instances = choice::instances(scenario, role).into_iter();
    instances.filter_map(script).map(Arc::new).collect()
}

/// What a function makes of its permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It keeps an entity until the proxy passivates it.
    #[default]
    Plain,
    /// It lets go of an entity after each answer, and the kit sees that before it goes on.
    LetsGo,
    /// The same, but the kit goes on first.
    LetsGoUnseen,
}

/// Plays a script to its end, or to where nobody knows how to go on: that is a deadline.
pub(crate) fn simulate(script: &Arc<Script>) -> Transcript {
    simulate_with(script, Manner::Plain)
}

/// The same, with a function of this manner.
pub(crate) fn simulate_with(script: &Arc<Script>, manner: Manner) -> Transcript {
    let mut simulation = Simulation {
        play: Play::new(script.clone()),
        entries: Vec::new(),
        now: 0,
        streams: 0,
        function: SimulatedFunction::of(manner),
        manner,
        proxy: SimulatedProxy::default(),
    };
    simulation.run();
    Transcript {
        scenario: script.scenario.name(),
        role: script.role,
        bindings: script.bindings.clone().into_iter().collect(),
        entries: simulation.entries,
    }
}

struct Simulation {
    play: Play,
    entries: Vec<Entry>,
    now: u64,
    streams: u32,
    function: SimulatedFunction,
    manner: Manner,
    proxy: SimulatedProxy,
}

impl Simulation {
    fn role(&self) -> Role {
        self.play.script().role
    }

    fn run(&mut self) {
        while self.entries.len() < LIMIT {
            if self.manner == Manner::LetsGo
                && let Some((stream, what)) = self.function.next()
            {
                self.record(Some(Hop::Back), Some(stream), Party::Function, false, what);
            } else if let Some(act) = self.play.next() {
                self.act(act);
            } else if self.play.is_over() {
                return;
            } else if let Some((stream, what)) = self.function.next() {
                self.record(Some(Hop::Back), Some(stream), Party::Function, false, what);
            } else if !self.proxy_goes_on() {
                break;
            }
        }
        let waited_for = self.play.waits_for();
        let what = What::Deadline { waited_for };
        self.record(None, None, Party::Client, true, what);
    }

    fn stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId(self.streams)
    }

    fn record(
        &mut self,
        hop: Option<Hop>,
        stream: Option<StreamId>,
        from: Party,
        by_kit: bool,
        what: What,
    ) {
        let entry = Entry {
            seq: self.entries.len() as u64,
            at: self.now,
            hop,
            stream,
            from,
            by_kit,
            what,
        };
        self.now += 1_000;
        self.play.observe(&entry);
        if !self.role().kit_plays(Party::Function) {
            self.function.hears(&entry);
        }
        self.entries.push(entry);
    }

    /// What the cast does, and records, without a wire.
    fn act(&mut self, act: Act) {
        if let Act::Open {
            from,
            hop,
            path,
            metadata,
        } = act
        {
            let stream = self.stream();
            let what = What::Open { path, metadata };
            return self.record(Some(hop), Some(stream), from, true, what);
        }
        let (stream, from, what) = act_on_stream(act);
        let hop = stream.map(|_| match from {
            Party::Client => Hop::Front,
            Party::Proxy | Party::Function => Hop::Back,
        });
        self.record(hop, stream, from, true, what);
    }
}

/// An act but for the opening of a stream, as its entry.
fn act_on_stream(act: Act) -> (Option<StreamId>, Party, What) {
    let end = |code, message: &str, trailers| What::End {
        code,
        message: message.to_owned(),
        trailers,
    };
    match act {
        Act::Send {
            from,
            stream,
            bytes,
        } => (Some(stream), from, What::Message { bytes }),
        Act::End {
            stream,
            code,
            message,
        } => (Some(stream), Party::Function, end(code, &message, true)),
        Act::Reset {
            from: Party::Function,
            stream,
        } => {
            let what = end(1, "reset by the kit", false);
            (Some(stream), Party::Function, what)
        }
        Act::Reset { from, stream } => (Some(stream), from, What::Cancel),
        Act::Fault {
            from,
            stream,
            fault,
        } => {
            let what = What::Fault {
                what_broke: fault.to_string(),
                lost: Lost::Stream,
            };
            (Some(stream), from, what)
        }
        Act::Kill(party) => (None, party, What::Killed),
        Act::Start(party) => (None, party, What::Started),
        Act::HalfClose { from, stream } => (Some(stream), from, What::HalfClose),
        Act::Open { .. } => unreachable!("it has no stream yet"),
    }
}

#[cfg(test)]
mod tests;
