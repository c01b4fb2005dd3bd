//! (3) From inputs to a scenario: names and values are given out, and the model says what is answered.

use super::generate::{Ask, Input, Target, Text};
use crate::model::event_sourced::{Entity, Outcome};
use crate::model::pack;
use crate::model::spec::{EVENT_SOURCED_MODEL, EVENT_SOURCED_TWO};
use crate::play::protocol::answer_of;
use crate::scenario::{Answer, Call, Node, Scenario, Source, Span, Step, StepKind, Value, message};
use cloudstate_protocol::tck::model::request_action::Action as Wanted;
use cloudstate_protocol::tck::model::{Effect, Emit, Fail, Forward, Request, RequestAction};
use std::sync::Arc;

/// The suite of all generated scenarios.
pub const SUITE: &str = "generated";

/// The scenario of these inputs.
pub fn expand(id: String, title: String, inputs: &[Input]) -> Scenario {
    let mut chart = Chart::default();
    let steps = inputs.iter().map(|input| chart.step(input)).collect();
    Scenario {
        source: Arc::new(Source {
            name: format!("{SUITE}/{id}"),
            text: String::new(),
        }),
        span: HERE,
        suite: SUITE.to_owned(),
        id,
        title,
        service: EVENT_SOURCED_MODEL.name.to_owned(),
        verifies: Vec::new(),
        scripted: None,
        needs: Vec::new(),
        ids: chart.ids,
        spec: None,
        chart: steps,
    }
}

/// A generated chart stands in no file.
const HERE: Span = Span { start: 0, end: 0 };

/// Package of the services; charts leave it out.
const PACKAGE: &str = "cloudstate.tck.model";

/// What was given out in a chart so far.
struct Chart {
    /// The entity under exploration.
    entity: Option<Entity>,
    /// The names of others.
    ids: Vec<String>,
    /// How many texts have letters.
    texts: usize,
}

impl Default for Chart {
    fn default() -> Self {
        Chart {
            entity: Entity::new(EVENT_SOURCED_MODEL.name),
            ids: Vec::new(),
            texts: 0,
        }
    }
}

impl Chart {
    /// It verifies nothing by name: what goes wrong is told by the kind of message.
    fn step(&mut self, input: &Input) -> Step {
        let kind = match input {
            Input::Process(asks) => {
                let request = self.request(String::new(), asks);
                let entity = self.entity.as_mut();
                let outcome = entity.and_then(|entity| {
                    entity
                        .handle(EVENT_SOURCED_MODEL.method(), &pack(&request))
                        .ok()
                });
                call(EVENT_SOURCED_MODEL.method(), &request, outcome)
            }
            Input::Two(target, asks) => {
                let id = self.target(*target);
                let request = self.request(id, asks);
                let two = Entity::new(EVENT_SOURCED_TWO.name);
                let outcome = two.and_then(|mut two| {
                    two.handle(EVENT_SOURCED_TWO.method(), &pack(&request)).ok()
                });
                call("EventSourcedTwo.Call", &request, outcome)
            }
            Input::Passivate => StepKind::Passivate,
        };
        Step {
            span: HERE,
            verifies: Vec::new(),
            kind,
        }
    }

    fn request(&mut self, id: String, asks: &[Ask]) -> Request {
        let action = |ask| RequestAction {
            action: Some(self.wanted(ask)),
        };
        Request {
            id,
            actions: asks.iter().map(action).collect(),
        }
    }

    fn wanted(&mut self, ask: &Ask) -> Wanted {
        match ask {
            Ask::Emit(text) => Wanted::Emit(Emit {
                value: self.text(*text),
            }),
            Ask::Fail(text) => Wanted::Fail(Fail {
                message: self.text(*text),
            }),
            Ask::Forward(target) => Wanted::Forward(Forward {
                id: self.target(*target),
            }),
            Ask::Effect(target) => self.effect(*target, true),
            Ask::AsynchronousEffect => self.effect(Target::Fresh, false),
        }
    }

    fn effect(&mut self, target: Target, synchronous: bool) -> Wanted {
        Wanted::Effect(Effect {
            id: self.target(target),
            synchronous,
        })
    }

    fn text(&mut self, text: Text) -> String {
        match text {
            Text::Empty => String::new(),
            Text::Plain => self.letters(),
            Text::Unicode => format!("{}é", self.letters()),
        }
    }

    /// A to Z, then AA to AZ, BA to BZ, and so on.
    fn letters(&mut self) -> String {
        let mut letters = Vec::new();
        let mut rest = self.texts;
        self.texts += 1;
        loop {
            letters.push(char::from(b'A' + (rest % 26) as u8));
            match rest / 26 {
                0 => return letters.iter().rev().collect(),
                more => rest = more - 1,
            }
        }
    }

    /// The `$name` of a target, declared when it is first used.
    fn target(&mut self, target: Target) -> String {
        let name = match target {
            Target::Shared => "shared".to_owned(),
            Target::Fresh => format!("target{}", self.ids.len() + 1),
        };
        if !self.ids.contains(&name) {
            self.ids.push(name.clone());
        }
        format!("${name}")
    }
}

/// What the model refuses stays unanswered here; the play then finds out and says why.
fn call(target: &str, request: &Request, outcome: Option<Outcome>) -> StepKind {
    let mut answer = outcome.map_or_else(Answer::default, |o| {
        answer_of(HERE, &o.into_reply(0).into(), PACKAGE)
    });
    for asked in answer
        .effects
        .iter_mut()
        .chain(answer.forward.as_deref_mut())
    {
        asked.target = asked.target.replacen(&format!("{PACKAGE}."), "", 1);
        asked.request.iter_mut().for_each(restore_names);
    }
    let mut request = message::payload_to_node(&pack(request), PACKAGE, HERE);
    restore_names(&mut request);
    StepKind::Call(Box::new(Call {
        span: HERE,
        target: target.to_owned(),
        alias: None,
        id: None,
        node: None,
        request: Some(request),
        metadata: None,
        during: Vec::new(),
        returns: None,
        replay: None,
        synchronous: false,
        answer,
        stream: None,
        then: None,
    }))
}

/// A message has `$name` as a text of its own, so its node is `$$name`. Only names begin like that here.
fn restore_names(node: &mut Node) {
    match &mut node.value {
        Value::Text(text) if text.starts_with("$$") => {
            text.remove(0);
        }
        Value::List(items) => items.iter_mut().for_each(restore_names),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| restore_names(value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
