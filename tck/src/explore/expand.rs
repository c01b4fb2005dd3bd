//! (3) From inputs to a scenario: names and values are given out, and the model's answers filled in as somebody would
//! write them.

mod action;

use super::generate::{Ask, Input, Inputs, TargetId, Text};
use crate::fill::{fill, standing_for_themselves};
use crate::scenario::GENERATED as SUITE;
use crate::scenario::{Answer, Call, Scenario, Step, StepKind, Stream};
use crate::services;
use crate::services::Service;
use crate::yaml::{Node, Source, Span, Value};
use std::sync::Arc;

/// The scenario of these inputs.
pub fn expand(id: String, title: String, plan: &Inputs) -> Scenario {
    let mut chart = Chart::new(match plan {
        Inputs::EventSourced(_) => &EVENT_SOURCED,
        Inputs::Value(_) => &VALUE_ENTITY,
        Inputs::Action(_) => &ACTION,
    });
    let steps = match plan {
        Inputs::EventSourced(inputs) | Inputs::Value(inputs) => chart.entity(inputs),
        Inputs::Action(inputs) => chart.actions(inputs),
    };
    let mut scenario = scenario(id, title, chart.models.model, chart.ids, steps);
    scenario = fill(&scenario, &standing_for_themselves(&scenario)).scenario;
    for step in &mut scenario.chart {
        if let StepKind::Call(call) = &mut step.kind {
            chart.models.shorten(call);
        }
    }
    if let Inputs::Action(inputs) = plan {
        action::overtake(&mut scenario.chart, inputs);
    }
    scenario
}

fn scenario(
    id: String,
    title: String,
    model: &Service,
    ids: Vec<String>,
    chart: Vec<Step>,
) -> Scenario {
    Scenario {
        source: Arc::new(Source {
            name: format!("{SUITE}/{id}"),
            text: String::new(),
        }),
        span: HERE,
        suite: SUITE.to_owned(),
        id,
        title,
        service: model.name.to_owned(),
        service_span: HERE,
        verifies: Vec::new(),
        scripted: None,
        needs: Vec::new(),
        ids,
        spec: None,
        chart,
    }
}

/// A generated chart stands in no file.
const HERE: Span = Span { start: 0, end: 0 };

/// What a chart of one entity type is about.
struct Models {
    /// The model itself.
    model: &'static Service,
    /// Where its forwards and effects go.
    two: &'static Service,
    /// What [`Ask::Value`] is called, and the field with the text.
    value: (&'static str, &'static str),
}

static EVENT_SOURCED: Models = Models {
    model: &services::EVENT_SOURCED_MODEL,
    two: &services::EVENT_SOURCED_TWO,
    value: ("emit", "value"),
};

static VALUE_ENTITY: Models = Models {
    model: &services::VALUE_ENTITY_MODEL,
    two: &services::VALUE_ENTITY_TWO,
    value: ("update", "value"),
};

static ACTION: Models = Models {
    model: &services::ACTION_MODEL,
    two: &services::ACTION_TWO,
    value: ("reply", "message"),
};

impl Models {
    /// The package of the services; charts leave it out.
    fn package(&self) -> &'static str {
        self.model
            .name
            .rsplit_once('.')
            .map_or("", |(package, _)| package)
    }

    /// How a chart calls the second service.
    fn call_two(&self) -> String {
        self.short(&format!("{}.{}", self.two.name, self.two.method()))
    }

    fn short(&self, target: &str) -> String {
        let local = target.strip_prefix(self.package());
        let local = local.and_then(|rest| rest.strip_prefix('.'));
        local.unwrap_or(target).to_owned()
    }

    /// What somebody would leave out: the package of what is called, and that the second service answers.
    fn shorten(&self, call: &mut Call) {
        let lines = call.stream.iter_mut().flat_map(|stream| &mut stream.lines);
        let answers = lines.filter_map(|line| line.answer.as_mut());
        for answer in answers.chain([&mut call.answer]) {
            let forward = answer.forward.as_deref_mut();
            for asked in answer.effects.iter_mut().chain(forward) {
                asked.target = self.short(&asked.target);
                asked.answer = Answer::default();
            }
        }
    }
}

/// What was given out in a chart so far.
struct Chart {
    models: &'static Models,
    /// The names of others.
    ids: Vec<String>,
    /// How many texts have letters.
    texts: usize,
}

impl Chart {
    fn new(models: &'static Models) -> Chart {
        Chart {
            models,
            ids: Vec::new(),
            texts: 0,
        }
    }

    // === Steps ===

    fn entity(&mut self, inputs: &[Input]) -> Vec<Step> {
        inputs.iter().map(|input| step(self.input(input))).collect()
    }

    fn input(&mut self, input: &Input) -> StepKind {
        match input {
            Input::Process(asks) => {
                let request = self.request(None, asks);
                call(self.models.model.method(), Some(request), None)
            }
            Input::Two(target, asks) => {
                let id = self.target(*target);
                let request = self.request(Some(id), asks);
                call(&self.models.call_two(), Some(request), None)
            }
            Input::Passivate => StepKind::Passivate,
        }
    }

    // === Messages ===

    /// A request to a stateful entity.
    fn request(&mut self, id: Option<Node>, asks: &[Ask]) -> Node {
        let mut entries = Vec::from_iter(id.map(|id| ("id", id)));
        entries.extend(self.asks("actions", asks));
        Node::map(HERE, entries)
    }

    /// A list of what is asked for under this name, unless it is nothing.
    fn asks(&mut self, name: &'static str, asks: &[Ask]) -> Option<(&'static str, Node)> {
        let asks: Vec<Node> = asks.iter().map(|ask| self.ask(ask)).collect();
        (!asks.is_empty()).then(|| (name, Node::list(HERE, asks)))
    }

    fn ask(&mut self, ask: &Ask) -> Node {
        let (value, field) = self.models.value;
        let (name, entries) = match ask {
            Ask::Value(text) => (value, vec![(field, self.text(*text))]),
            Ask::Delete => ("delete", Vec::new()),
            Ask::Fail(text) => ("fail", vec![("message", self.text(*text))]),
            Ask::Forward(target) => ("forward", vec![("id", self.target(*target))]),
            Ask::Effect(target) => {
                let synchronous = Node::new(HERE, Value::Bool(true));
                let id = self.target(*target);
                ("effect", vec![("id", id), ("synchronous", synchronous)])
            }
            Ask::AsynchronousEffect => ("effect", vec![("id", self.target(TargetId::Fresh))]),
        };
        Node::map(HERE, [(name, Node::map(HERE, entries))])
    }

    fn text(&mut self, text: Text) -> Node {
        let text = match text {
            Text::Empty => String::new(),
            Text::Plain => self.letters(),
            Text::Unicode => format!("{}é", self.letters()),
        };
        Node::text(HERE, text)
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
    fn target(&mut self, target: TargetId) -> Node {
        let name = match target {
            TargetId::Shared => "shared".to_owned(),
            TargetId::Fresh => format!("target{}", self.ids.len() + 1),
        };
        if !self.ids.contains(&name) {
            self.ids.push(name.clone());
        }
        Node::text(HERE, format!("${name}"))
    }
}

/// It verifies nothing by name: what goes wrong is told by the kind of message.
fn step(kind: StepKind) -> Step {
    Step {
        span: HERE,
        verifies: Vec::new(),
        kind,
    }
}

/// What the model refuses stays unanswered; the play then finds out and says why.
fn call(target: &str, request: Option<Node>, stream: Option<Stream>) -> StepKind {
    StepKind::Call(Box::new(Call {
        span: HERE,
        target: target.to_owned(),
        alias: None,
        id: None,
        node: None,
        request,
        metadata: None,
        during: Vec::new(),
        returns: None,
        replay: None,
        synchronous: false,
        answer: Answer::default(),
        stream,
        then: None,
    }))
}

#[cfg(test)]
mod tests;
