//! Reads files of mutants. A rule that could never do anything is an error where it stands: its pattern, paths and
//! messages are checked against the types that go its way.

use super::{Action, Direction, Mutant, PACKAGE, Path, Rule, Setting, When};
use crate::party::Party;
use crate::requirement::Requirements;
use crate::scenario::message::{self, Bindings, MessageError, Scope};
use crate::services::descriptor_pool;
use crate::status::STATUS;
use crate::yaml::{Node, Source, SourceError, Span, Value, tree};
use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use std::collections::BTreeSet;
use std::sync::Arc;

const MUTANT: [&str; 7] = [
    "id",
    "title",
    "mutates",
    "requirement",
    "killed-by",
    "rules",
    "forgets",
];
const RULE: [&str; 6] = ["on", "when", "call", "nth", "from", "do"];
const ACTIONS: &str = "drop, repeat, swap, finish, reset, or a map with one of set, bytes, before, after, end, answer";
const DIRECTIONS: [(&str, Direction); 4] = [
    ("client-to-proxy", Direction::ClientToProxy),
    ("proxy-to-client", Direction::ProxyToClient),
    ("proxy-to-function", Direction::ProxyToFunction),
    ("function-to-proxy", Direction::FunctionToProxy),
];

type Result<T> = std::result::Result<T, SourceError>;

/// A file is a list of mutants.
///
/// # Errors
/// The first thing that is wrong, with its place and what was allowed.
pub fn read(source: &Arc<Source>) -> Result<Vec<Mutant>> {
    let root = tree::read(source)?;
    let reader = Reader { source };
    let Some(items) = root.items() else {
        return reader.error(root.span, "a file of mutants is a list", None);
    };
    let mut mutants: Vec<Mutant> = Vec::new();
    for node in items {
        let mutant = reader.mutant(node)?;
        if mutants.iter().any(|other| other.id == mutant.id) {
            return reader.error(
                mutant.span,
                format!("the id {} stands here twice", mutant.id),
                None,
            );
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}

/// What a method's caller and called send, on the way of a rule and against it.
struct Types {
    method: String,
    mine: MessageDescriptor,
    other: MessageDescriptor,
}

/// The types of everything that can go a way.
fn types(on: Direction) -> Vec<Types> {
    let model = |name: &str| name.starts_with(&format!("{PACKAGE}."));
    let back = |name: &str| name.starts_with("cloudstate.") && !name.starts_with("cloudstate.tck.");
    descriptor_pool()
        .services()
        .filter(|service| {
            if on.is_front() {
                model(service.full_name())
            } else {
                back(service.full_name())
            }
        })
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| match on.is_call() {
            true => Types {
                method: method.name().to_owned(),
                mine: method.input(),
                other: method.output(),
            },
            false => Types {
                method: method.name().to_owned(),
                mine: method.output(),
                other: method.input(),
            },
        })
        .collect()
}

/// A type's name, and whether something fits it.
type Checked = (String, std::result::Result<(), MessageError>);

/// Does this fit the types?
fn check(
    types: &[Types],
    of: impl Fn(&Types) -> &MessageDescriptor,
    fits: impl Fn(&MessageDescriptor) -> std::result::Result<(), MessageError>,
) -> Vec<Checked> {
    types
        .iter()
        .map(of)
        .map(|descriptor| (descriptor.full_name().to_owned(), fits(descriptor)))
        .collect()
}

struct Reader<'a> {
    source: &'a Arc<Source>,
}

impl Reader<'_> {
    fn error<T>(&self, span: Span, message: impl Into<String>, help: Option<String>) -> Result<T> {
        Err(SourceError {
            source: self.source.clone(),
            span,
            message: message.into(),
            help,
        })
    }

    fn keys(&self, node: &Node, what: &str, allowed: &[&str]) -> Result<()> {
        let help = || Some(format!("allowed: {}", allowed.join(", ")));
        let Some(entries) = node.entries() else {
            return self.error(node.span, format!("{what} is written as a map"), help());
        };
        match entries
            .iter()
            .find(|(key, _)| !allowed.contains(&key.text.as_str()))
        {
            Some((key, _)) => {
                self.error(key.span, format!("{what} has no key {}", key.text), help())
            }
            None => Ok(()),
        }
    }

    fn need<'n>(&self, node: &'n Node, key: &str, what: &str) -> Result<&'n Node> {
        match node.get(key) {
            Some(value) => Ok(value),
            None => {
                let beginning = Span {
                    start: node.span.start,
                    end: node.span.start + 1,
                };
                self.error(beginning, format!("{what} needs the key {key}"), None)
            }
        }
    }

    fn text(&self, node: &Node) -> Result<String> {
        match node.as_text() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => self.error(node.span, "a text is expected here", None),
        }
    }

    /// The text under a key of a mutant, and where it stands.
    fn word(&self, node: &Node, key: &str) -> Result<(String, Span)> {
        let value = self.need(node, key, "a mutant")?;
        Ok((self.text(value)?, value.span))
    }

    fn mutant(&self, node: &Node) -> Result<Mutant> {
        self.keys(node, "a mutant", &MUTANT)?;
        let (id, span) = self.word(node, "id")?;
        let (party, at) = self.word(node, "mutates")?;
        let mutates = match party.as_str() {
            "proxy" => Party::Proxy,
            "function" => Party::Function,
            _ => return self.error(at, "a mutant is a proxy or a function", None),
        };
        let forgets = self.forgets(node, mutates)?;
        let items: &[Node] = match node.get("rules") {
            None if forgets => &[],
            _ => {
                let rules = self.need(node, "rules", "a mutant")?;
                match rules.items() {
                    Some(items) if !items.is_empty() => items,
                    _ => return self.error(rules.span, "a mutant needs a list of rules", None),
                }
            }
        };
        Ok(Mutant {
            id,
            title: self.word(node, "title")?.0,
            mutates,
            requirement: self.requirement(node, mutates)?,
            killed_by: self.word(node, "killed-by")?.0,
            rules: items
                .iter()
                .map(|rule| self.rule(rule))
                .collect::<Result<_>>()?,
            forgets,
            source: self.source.clone(),
            span,
        })
    }

    /// Only a proxy has something to forget.
    fn forgets(&self, node: &Node, mutates: Party) -> Result<bool> {
        match node.get("forgets") {
            None => Ok(false),
            Some(value) if mutates == Party::Proxy && value.as_text() == Some("data") => Ok(true),
            Some(value) => {
                let help =
                    "forgets: data, of a proxy: its data folder is emptied when it is killed";
                self.error(value.span, "it can't forget that", Some(help.to_owned()))
            }
        }
    }

    /// One that binds the party: no other could be found broken.
    fn requirement(&self, node: &Node, mutates: Party) -> Result<String> {
        let (name, span) = self.word(node, "requirement")?;
        let all = Requirements::embedded();
        match all.get(&name) {
            None => {
                let help = all
                    .closest(&name)
                    .map(|near| format!("did you mean {near}?"));
                self.error(
                    span,
                    format!("the specification has no requirement {name}"),
                    help,
                )
            }
            Some(found) if found.party != mutates => {
                let text = format!(
                    "{name} binds the {}, so a broken {mutates} can't break it",
                    found.party
                );
                self.error(span, text, None)
            }
            Some(_) => Ok(name),
        }
    }

    fn rule(&self, node: &Node) -> Result<Rule> {
        self.keys(node, "a rule", &RULE)?;
        let on = self.need(node, "on", "a rule")?;
        let direction = DIRECTIONS
            .iter()
            .find(|(name, _)| on.as_text() == Some(name));
        let Some((_, direction)) = direction else {
            let names = DIRECTIONS.map(|(name, _)| name).join(", ");
            return self.error(on.span, "this is no way", Some(format!("one of {names}")));
        };
        let times = match (node.get("nth"), node.get("from")) {
            (None, None) => 1..=usize::MAX,
            (Some(nth), None) => self.count(nth).map(|nth| nth..=nth)?,
            (None, Some(from)) => self.count(from)?..=usize::MAX,
            (Some(_), Some(from)) => {
                let text = "nth is one time, from is that and all later ones";
                return self.error(from.span, text, Some("write one of them".to_owned()));
            }
        };
        let mut types = types(*direction);
        let call = node
            .get("call")
            .map(|call| self.call(call, &mut types))
            .transpose()?;
        let when = self.when(self.need(node, "when", "a rule")?, &mut types)?;
        let action = self.need(node, "do", "a rule")?;
        let action = Act {
            reader: self,
            on: *direction,
            when: &when,
            types: &types,
        }
        .action(action)?;
        Ok(Rule {
            call,
            ..Rule::new(*direction, when, times, action)
        })
    }

    /// Leaves those types that calls of this method have.
    fn call(&self, node: &Node, types: &mut Vec<Types>) -> Result<String> {
        let name = self.text(node)?;
        if !types.iter().any(|types| types.method == name) {
            let methods: BTreeSet<&str> = types.iter().map(|types| types.method.as_str()).collect();
            let help = format!(
                "methods: {}",
                methods.into_iter().collect::<Vec<_>>().join(", ")
            );
            return self.error(
                node.span,
                format!("no method {name} is called this way"),
                Some(help),
            );
        }
        types.retain(|types| types.method == name);
        Ok(name)
    }

    fn count(&self, node: &Node) -> Result<usize> {
        let count = node
            .as_text()
            .and_then(|text| text.parse().ok())
            .filter(|count| *count > 0);
        count.map_or_else(
            || self.error(node.span, "a number from 1 is expected here", None),
            Ok,
        )
    }

    /// Leaves those types that the pattern fits.
    fn when(&self, node: &Node, types: &mut Vec<Types>) -> Result<When> {
        match (node.as_text(), &node.value) {
            (Some("empty"), _) => Ok(When::Empty),
            (Some("half-close"), _) => Ok(When::HalfClose),
            (Some("end"), _) => Ok(When::End),
            (Some("reset"), _) => Ok(When::Reset),
            (_, Value::Map(_)) => {
                self.any_fits(
                    &check(types, |types| &types.mine, |mine| build(node, mine)),
                    node.span,
                )?;
                types.retain(|types| build(node, &types.mine).is_ok());
                Ok(When::Message(node.clone()))
            }
            _ => {
                let help = Some("empty, half-close, end, reset, or a message as a map".to_owned());
                self.error(node.span, "a rule can't wait for that", help)
            }
        }
    }

    /// At least one type fits; else the error of the one that fits furthest.
    fn any_fits(&self, checked: &[Checked], span: Span) -> Result<()> {
        if checked.iter().any(|(_, checked)| checked.is_ok()) {
            return Ok(());
        }
        let errors = || {
            checked
                .iter()
                .filter_map(|(name, checked)| Some((name, checked.as_ref().err()?)))
        };
        let furthest = errors().map(|(_, error)| error.span.start).max();
        let all: Vec<_> = errors()
            .filter(|(_, error)| Some(error.span.start) == furthest)
            .collect();
        // Of several types that are wrong in the same place, the one whose field was nearly named was meant.
        let near = |error: &MessageError| {
            error
                .help
                .as_ref()
                .is_some_and(|help| help.starts_with("did you"))
        };
        match (all.iter().find(|(_, error)| near(error)), all.as_slice()) {
            (Some((_, error)), _) | (None, [(_, error)]) => {
                self.error(error.span, error.message.clone(), error.help.clone())
            }
            (None, several) => {
                let names: BTreeSet<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                let help = format!(
                    "messages: {}",
                    names.into_iter().collect::<Vec<_>>().join(", ")
                );
                let span = several.first().map_or(span, |(_, error)| error.span);
                self.error(span, "this fits no message that goes this way", Some(help))
            }
        }
    }
}

fn build(node: &Node, descriptor: &MessageDescriptor) -> std::result::Result<(), MessageError> {
    let bindings = Bindings::new();
    let scope = Scope {
        package: PACKAGE,
        bindings: &bindings,
    };
    message::build(node, descriptor, &scope).map(drop)
}

/// What a rule does, read with the types in mind that it can meet.
struct Act<'a> {
    reader: &'a Reader<'a>,
    on: Direction,
    when: &'a When,
    types: &'a [Types],
}

impl Act<'_> {
    fn action(&self, node: &Node) -> Result<Action> {
        let action = match (node.as_text(), node.entries()) {
            (Some("drop"), _) => return Ok(Action::Drop),
            (Some("reset"), _) => return Ok(Action::Reset),
            (Some("repeat"), _) => Action::Repeat,
            (Some("swap"), _) => Action::Swap,
            (Some("finish"), _) if self.on.is_call() => Action::Finish,
            (Some("finish"), _) => {
                let text = "only a caller is done: the called ends the call";
                return self.reader.error(node.span, text, None);
            }
            (_, Some([(key, value)])) => match key.text.as_str() {
                "set" => Action::Set(self.settings(value)?),
                "bytes" => Action::Bytes(self.bytes(value)?),
                "before" => return self.message(value, false).map(Action::Before),
                "after" => return self.message(value, false).map(Action::After),
                "answer" if self.on.is_call() => {
                    return self.message(value, true).map(Action::Answer);
                }
                "answer" => {
                    return self.reader.error(
                        key.span,
                        "only what a caller sends can be answered",
                        None,
                    );
                }
                "end" => return self.end(value),
                _ => {
                    return self.reader.error(
                        key.span,
                        "a rule can't do that",
                        Some(ACTIONS.to_owned()),
                    );
                }
            },
            _ => {
                return self.reader.error(
                    node.span,
                    "a rule can't do that",
                    Some(ACTIONS.to_owned()),
                );
            }
        };
        match self.when {
            When::Message(_) | When::Empty => Ok(action),
            When::HalfClose | When::End | When::Reset => {
                self.reader
                    .error(node.span, "this can be done to a message only", None)
            }
        }
    }

    fn bytes(&self, node: &Node) -> Result<Bytes> {
        match node.as_text().and_then(message::hex_bytes) {
            Some(bytes) => Ok(bytes.into()),
            None => {
                let help = Some("for example { bytes: \"0aff\" }".to_owned());
                self.reader
                    .error(node.span, "bytes are written in hexadecimal", help)
            }
        }
    }

    fn settings(&self, node: &Node) -> Result<Vec<Setting>> {
        let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) else {
            let help = Some("for example { reply.command_id: 7 }".to_owned());
            return self.reader.error(
                node.span,
                "set is written as a map of paths and values",
                help,
            );
        };
        entries
            .iter()
            .map(|(key, value)| self.setting(key.span, &key.text, value))
            .collect()
    }

    fn setting(&self, span: Span, text: &str, value: &Node) -> Result<Setting> {
        let Some(path) = Path::parse(text) else {
            let help = Some("for example reply.events[0].Persisted.value".to_owned());
            return self.reader.error(span, format!("{text} is no path"), help);
        };
        let checked = check(
            self.types,
            |types| &types.mine,
            |mine| path.check(span, value, mine),
        );
        self.reader.any_fits(&checked, span)?;
        Ok(Setting {
            path,
            value: value.clone(),
        })
    }

    fn message(&self, node: &Node, answer: bool) -> Result<Node> {
        let checked = match answer {
            true => check(self.types, |types| &types.other, |other| build(node, other)),
            false => check(self.types, |types| &types.mine, |mine| build(node, mine)),
        };
        self.reader.any_fits(&checked, node.span)?;
        Ok(node.clone())
    }

    fn end(&self, node: &Node) -> Result<Action> {
        self.reader.keys(node, "an end", &["status", "message"])?;
        let status = self.reader.need(node, "status", "an end")?;
        let Some(code) = STATUS
            .iter()
            .position(|name| status.as_text() == Some(name))
        else {
            let help = Some(format!("one of {}", STATUS.join(", ")));
            return self
                .reader
                .error(status.span, "this is no gRPC status", help);
        };
        let message = node
            .get("message")
            .map(|text| self.reader.text(text))
            .transpose()?;
        Ok(Action::End(code as i32, message.unwrap_or_default()))
    }
}
