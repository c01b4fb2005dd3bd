//! Mutants test the kit: a conforming party behind a relay that applies rules in YAML to what passes.
//!
//! A mutant is killed when its rules fired, the scenario passes without them, and the root finding with them
//! carries the mutant's requirement and party. A kill under another name is a failure of the kit.

use crate::model::spec::descriptor_pool;
use crate::play::protocol::message_types;
use crate::scenario::message::{self, Bindings, Scope};
use crate::scenario::{Node, Party, Source, SourceError, Span, Value, tree};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value as Field};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A conforming party, broken in one way.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Unique, kebab-case.
    pub id: String,
    /// What it does wrong, as a sentence.
    pub title: String,
    /// The party that is broken.
    pub mutates: Party,
    /// What it breaks.
    pub requirement: String,
    /// The scenario that must catch it.
    pub killed_by: String,
    /// How.
    pub rules: Vec<Rule>,
    /// Where it stands.
    pub source: Arc<Source>,
    /// Where its id stands.
    pub span: Span,
}

/// The way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// client ▶ proxy.
    ClientToProxy,
    /// proxy ▶ client.
    ProxyToClient,
    /// proxy ▶ function.
    ProxyToFunction,
    /// function ▶ proxy.
    FunctionToProxy,
}

const DIRECTIONS: [(&str, Direction); 4] = [
    ("client-to-proxy", Direction::ClientToProxy),
    ("proxy-to-client", Direction::ProxyToClient),
    ("proxy-to-function", Direction::ProxyToFunction),
    ("function-to-proxy", Direction::FunctionToProxy),
];

impl Direction {
    /// It is the way from the caller to the called.
    pub fn is_call(self) -> bool {
        matches!(self, Direction::ClientToProxy | Direction::ProxyToFunction)
    }
}

/// What a rule waits for, and what it does then.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The way.
    pub on: Direction,
    /// What passes.
    pub when: When,
    /// Only the nth time, from 1.
    pub nth: Option<usize>,
    /// What is done.
    pub action: Action,
    counted: Arc<AtomicUsize>,
    fired: Arc<AtomicUsize>,
}

/// What a rule waits for.
#[derive(Clone, Debug)]
pub enum When {
    /// A message with at least these fields.
    Message(Node),
    /// A message with nothing set.
    Empty,
    /// The caller is done.
    HalfClose,
    /// The call ends.
    End,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// It doesn't arrive.
    Drop,
    /// It arrives twice.
    Repeat,
    /// Fields get other values: path and value, `{ $add: 1 }` counts from the old one.
    Set(Vec<(String, Node)>),
    /// It arrives after the next message on its way.
    Swap,
    /// This message arrives before it.
    Before(Node),
    /// This message arrives after it.
    After(Node),
    /// Instead of it the call ends, with this status and text.
    End(i32, String),
    /// Instead of it the stream is reset.
    Reset,
    /// A request is answered at once with this message, and goes on.
    Answer(Node),
}

/// What passes on a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Passing {
    /// A message.
    Message(Bytes),
    /// The caller is done.
    HalfClose,
    /// The call ends.
    End(i32, String),
    /// The stream is reset.
    Reset,
    /// To the caller, against the way.
    Back(Bytes),
}

impl Mutant {
    /// The mutants that the kit brings.
    ///
    /// # Errors
    /// What is wrong in their files.
    pub fn embedded() -> Result<Vec<Mutant>, Vec<SourceError>> {
        let (mut mutants, mut errors) = (Vec::new(), Vec::new());
        for (name, text) in crate::embedded::MUTANTS {
            let name = format!("fixtures/mutants/{name}");
            let source = Arc::new(Source { name, text: (*text).to_owned() });
            match read(&source) {
                Ok(read) => mutants.extend(read),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(mutants) } else { Err(errors) }
    }

    /// The rules, with counters of their own.
    pub fn fresh_rules(&self) -> Vec<Rule> {
        let fresh = |rule: &Rule| Rule { counted: Arc::default(), fired: Arc::default(), ..rule.clone() };
        self.rules.iter().map(fresh).collect()
    }
}

// === Reading ===

struct Reader<'a> {
    source: &'a Arc<Source>,
}

/// A file is a list of mutants.
///
/// # Errors
/// The first thing that is wrong, with its place and what was allowed.
pub fn read(source: &Arc<Source>) -> Result<Vec<Mutant>, SourceError> {
    let root = tree::read(source)?;
    let reader = Reader { source };
    let Some(items) = root.items() else {
        return reader.error(root.span, "a file of mutants is a list", None);
    };
    items.iter().map(|node| reader.mutant(node)).collect()
}

impl Reader<'_> {
    fn error<T>(&self, span: Span, message: impl Into<String>, help: Option<String>) -> Result<T, SourceError> {
        Err(SourceError { source: self.source.clone(), span, message: message.into(), help })
    }

    fn keys(&self, node: &Node, what: &str, allowed: &[&str]) -> Result<(), SourceError> {
        let Some(entries) = node.entries() else {
            return self.error(node.span, format!("{what} is written as a map"), None);
        };
        match entries.iter().find(|(key, _)| !allowed.contains(&key.text.as_str())) {
            Some((key, _)) => {
                let help = Some(format!("allowed: {}", allowed.join(", ")));
                self.error(key.span, format!("{what} has no key {}", key.text), help)
            }
            None => Ok(()),
        }
    }

    fn text(&self, node: &Node, key: &str) -> Result<(String, Span), SourceError> {
        match node.get(key).and_then(|value| Some((value.as_text()?.to_owned(), value.span))) {
            Some(found) => Ok(found),
            None => self.error(node.span, format!("a mutant needs the key {key}"), None),
        }
    }

    fn mutant(&self, node: &Node) -> Result<Mutant, SourceError> {
        self.keys(node, "a mutant", &["id", "title", "mutates", "requirement", "killed-by", "rules"])?;
        let (id, span) = self.text(node, "id")?;
        let (party, at) = self.text(node, "mutates")?;
        let mutates = match party.as_str() {
            "proxy" => Party::Proxy,
            "function" => Party::Function,
            _ => return self.error(at, "a mutant is a proxy or a function", None),
        };
        let Some(rules) = node.get("rules").and_then(Node::items) else {
            return self.error(span, "a mutant needs a list of rules", None);
        };
        Ok(Mutant {
            id,
            title: self.text(node, "title")?.0,
            mutates,
            requirement: self.text(node, "requirement")?.0,
            killed_by: self.text(node, "killed-by")?.0,
            rules: rules.iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?,
            source: self.source.clone(),
            span,
        })
    }

    fn rule(&self, node: &Node) -> Result<Rule, SourceError> {
        self.keys(node, "a rule", &["on", "when", "nth", "do"])?;
        let (on, at) = self.text(node, "on")?;
        let Some((_, on)) = DIRECTIONS.iter().find(|(name, _)| *name == on) else {
            let names = DIRECTIONS.map(|(name, _)| name).join(", ");
            return self.error(at, format!("no way is called {on}"), Some(format!("one of {names}")));
        };
        let Some(when) = node.get("when") else {
            return self.error(node.span, "a rule needs the key when", None);
        };
        let when = match when.as_text() {
            Some("empty") => When::Empty,
            Some("half-close") => When::HalfClose,
            Some("end") => When::End,
            Some(_) => {
                let help = Some("empty, half-close, end, or a message as a map".to_owned());
                return self.error(when.span, "a rule can't wait for that", help);
            }
            None => When::Message(when.clone()),
        };
        let nth = node.get("nth").and_then(Node::as_text).and_then(|text| text.parse().ok());
        let Some(action) = node.get("do") else {
            return self.error(node.span, "a rule needs the key do", None);
        };
        let (counted, fired) = (Arc::default(), Arc::default());
        Ok(Rule { on: *on, when, nth, action: self.action(action)?, counted, fired })
    }

    fn action(&self, node: &Node) -> Result<Action, SourceError> {
        match node.as_text() {
            Some("drop") => return Ok(Action::Drop),
            Some("repeat") => return Ok(Action::Repeat),
            Some("swap") => return Ok(Action::Swap),
            Some("reset") => return Ok(Action::Reset),
            _ => {}
        }
        let help = "drop, repeat, swap, reset, or a map with one of set, before, after, end, answer".to_owned();
        let Some([(key, value)]) = node.entries() else {
            return self.error(node.span, "a rule can't do that", Some(help));
        };
        Ok(match key.text.as_str() {
            "set" => {
                let entries = value.entries().unwrap_or_default();
                Action::Set(entries.iter().map(|(path, value)| (path.text.clone(), value.clone())).collect())
            }
            "before" => Action::Before(value.clone()),
            "after" => Action::After(value.clone()),
            "answer" => Action::Answer(value.clone()),
            "end" => {
                let text = |key: &str| value.get(key).and_then(Node::as_text).unwrap_or_default().to_owned();
                let status = text("status");
                let code = crate::play::expand::STATUS.iter().position(|name| *name == status);
                Action::End(code.unwrap_or(0) as i32, text("message"))
            }
            _ => return self.error(key.span, "a rule can't do that", Some(help)),
        })
    }
}

// === Applying ===

/// The rules of one relay, at work on one way of one stream.
#[derive(Debug)]
pub struct Way {
    direction: Direction,
    descriptor: Option<MessageDescriptor>,
    answers: Option<MessageDescriptor>,
    package: String,
    held: Option<Bytes>,
}

impl Way {
    /// One way of a call of this path.
    pub fn new(direction: Direction, path: &str) -> Way {
        let types = message_types(path);
        let named = |name: Option<String>| name.and_then(|name| descriptor_pool().get_message_by_name(&name));
        let (input, output) = types.unzip();
        let (mine, other) = if direction.is_call() { (input, output) } else { (output, input) };
        Way {
            direction,
            descriptor: named(mine),
            answers: named(other),
            package: "cloudstate.tck.model".to_owned(),
            held: None,
        }
    }

    /// What passes after the rules have seen it.
    pub fn apply(&mut self, rules: &[Rule], passing: Passing) -> Vec<Passing> {
        let mut now = vec![passing];
        let direction = self.direction;
        for rule in rules.iter().filter(|rule| rule.on == direction) {
            now = now.into_iter().flat_map(|passing| self.one(rule, passing)).collect();
        }
        self.release(now)
    }

    /// A message that was held back comes after the next one, and before an end.
    fn release(&mut self, now: Vec<Passing>) -> Vec<Passing> {
        let mut out = Vec::new();
        for passing in now {
            match (&passing, self.held.take()) {
                (Passing::Message(_), Some(held)) => out.extend([passing, Passing::Message(held)]),
                (_, Some(held)) => out.extend([Passing::Message(held), passing]),
                (_, None) => out.push(passing),
            }
        }
        out
    }

    fn one(&mut self, rule: &Rule, passing: Passing) -> Vec<Passing> {
        if !self.matches(rule, &passing) {
            return vec![passing];
        }
        let count = rule.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if rule.nth.is_some_and(|nth| nth != count) {
            return vec![passing];
        }
        rule.fired.fetch_add(1, Ordering::Relaxed);
        match &rule.action {
            Action::Drop => Vec::new(),
            Action::Repeat => vec![passing.clone(), passing],
            Action::Reset => vec![Passing::Reset],
            Action::End(code, text) => vec![Passing::End(*code, text.clone())],
            Action::Before(node) => vec![self.built(node, self.descriptor.as_ref()), passing],
            Action::After(node) => vec![passing, self.built(node, self.descriptor.as_ref())],
            Action::Answer(node) => match self.built(node, self.answers.as_ref()) {
                Passing::Message(bytes) => vec![Passing::Back(bytes), passing],
                other => vec![other],
            },
            Action::Swap => {
                if let Passing::Message(bytes) = passing {
                    self.held = Some(bytes);
                }
                Vec::new()
            }
            Action::Set(fields) => match passing {
                Passing::Message(bytes) => vec![Passing::Message(self.rewritten(&bytes, fields))],
                other => vec![other],
            },
        }
    }

    fn scope<'a>(&'a self, bindings: &'a Bindings) -> Scope<'a> {
        Scope { package: &self.package, bindings }
    }

    fn matches(&self, rule: &Rule, passing: &Passing) -> bool {
        match (&rule.when, passing) {
            (When::HalfClose, Passing::HalfClose) | (When::End, Passing::End(..)) => true,
            (When::Empty, Passing::Message(bytes)) => bytes.is_empty(),
            (When::Message(pattern), Passing::Message(bytes)) => {
                let Some(descriptor) = &self.descriptor else { return false };
                let bindings = Bindings::new();
                let scope = self.scope(&bindings);
                let Ok(actual) = DynamicMessage::decode(descriptor.clone(), bytes.clone()) else { return false };
                // The world is open here: what isn't written doesn't matter.
                message::build(pattern, descriptor, &scope).is_ok()
                    && message::compare(pattern, descriptor, &actual, &scope)
                        .iter()
                        .all(|mismatch| mismatch.expected == "nothing")
            }
            _ => false,
        }
    }

    fn built(&self, node: &Node, descriptor: Option<&MessageDescriptor>) -> Passing {
        let bindings = Bindings::new();
        let built = descriptor.and_then(|d| message::build(node, d, &self.scope(&bindings)).ok());
        Passing::Message(built.map(|message| message.encode_to_vec().into()).unwrap_or_default())
    }

    fn rewritten(&self, bytes: &Bytes, fields: &[(String, Node)]) -> Bytes {
        let Some(descriptor) = &self.descriptor else { return bytes.clone() };
        let Ok(mut message) = DynamicMessage::decode(descriptor.clone(), bytes.clone()) else {
            return bytes.clone();
        };
        for (path, node) in fields {
            let parts: Vec<&str> = path.split('.').collect();
            self.set(&mut message, &parts, node);
        }
        message.encode_to_vec().into()
    }

    fn set(&self, message: &mut DynamicMessage, path: &[&str], node: &Node) {
        let Some((first, rest)) = path.split_first() else { return };
        let (name, index) = match first.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (*first, None),
        };
        let Some(field) = message.descriptor().get_field_by_name(name) else { return };
        if let Some(index) = index {
            if let Some(list) = message.get_field_mut(&field).as_list_mut()
                && let Some(Field::Message(inner)) = list.get_mut(index)
            {
                self.set(inner, rest, node);
            }
            return;
        }
        if !rest.is_empty() {
            if let Field::Message(inner) = message.get_field_mut(&field) {
                self.set(inner, rest, node);
            }
            return;
        }
        if matches!(node.value, Value::Null) {
            return message.clear_field(&field);
        }
        if let (Some(add), Some(Field::I64(old))) = (added(node), message.get_field(&field).as_ref().into_number()) {
            return message.set_field(&field, Field::I64(old + add));
        }
        // The parts of an Any itself; as a message it would be written by its type.
        if let (Kind::String, Some(text)) = (field.kind(), node.as_text()) {
            return message.set_field(&field, Field::String(text.to_owned()));
        }
        if let (Kind::Bytes, Some("")) = (field.kind(), node.as_text()) {
            return message.clear_field(&field);
        }
        // Built as a message with just this field, so that every way to write a value works.
        let holder = Node::map(node.span, [(name, node.clone())]);
        let bindings = Bindings::new();
        if let Ok(built) = message::build(&holder, &message.descriptor(), &self.scope(&bindings)) {
            let value = built.get_field(&field).into_owned();
            let default = !built.has_field(&field) && !matches!(field.kind(), Kind::Message(_));
            if default { message.clear_field(&field) } else { message.set_field(&field, value) }
        }
    }
}

/// `{ $add: n }`.
fn added(node: &Node) -> Option<i64> {
    node.get("$add")?.as_text()?.parse().ok()
}

trait Number {
    fn into_number(self) -> Option<Field>;
}

impl Number for &Field {
    fn into_number(self) -> Option<Field> {
        self.as_i64().map(Field::I64)
    }
}

impl Rule {
    /// How often it did something.
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::Relaxed)
    }
}
