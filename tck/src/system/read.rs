//! Reads system files. An error points at the key or value that is wrong, and says what was allowed.

use super::{Party, System, Waiver, Waivers, address, glob};
use crate::party::Role;
use crate::requirement::Requirements;
use crate::scenario;
use crate::scenario::GENERATED;
use crate::scenario::Scenario;
use crate::yaml::source::closest;
use crate::yaml::{Node, Source, SourceError, Span, tree};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

const SYSTEM: [&str; 7] = [
    "name", "version", "function", "proxy", "features", "lacks", "waivers",
];
const FUNCTION: [&str; 6] = [
    "address",
    "command",
    "env",
    "directory",
    "prepare",
    "streams",
];
const PROXY: [&str; 6] = [
    "address",
    "command",
    "env",
    "directory",
    "prepare",
    "function_listen",
];
const WAIVER: [&str; 4] = ["scenario", "role", "requirement", "reason"];

type Result<T> = std::result::Result<T, SourceError>;

/// The system that a file describes.
pub(super) fn read(source: &Arc<Source>, scenarios: &[Arc<Scenario>]) -> Result<System> {
    let root = tree::read(source)?;
    let file = At {
        source,
        node: &root,
    };
    file.keys("a system file", &SYSTEM)?;
    let system = System {
        name: file.need("name", "a system file")?.text()?,
        version: file.optional("version", At::text)?,
        function: file.optional("function", |at| at.party("the function", &FUNCTION))?,
        proxy: file.optional("proxy", |at| at.party("the proxy", &PROXY))?,
        features: file.optional("features", At::texts)?.unwrap_or_default(),
        lacks: file.optional("lacks", At::texts)?.unwrap_or_default(),
        waivers: Waivers(file.optional("waivers", At::waivers)?.unwrap_or_default()),
        folder: PathBuf::new(),
    };
    if let Some(waivers) = root.get("waivers").and_then(Node::items) {
        let known = known(scenarios);
        waivers
            .iter()
            .try_for_each(|waiver| file.on(waiver).matches(&known))?;
    }
    match system.problem() {
        Some(problem) => {
            let place = file.place(&problem.place, problem.word.as_deref());
            Err(file.failed(place, problem.message, problem.help))
        }
        None => Ok(system),
    }
}

/// The names of scenarios that a waiver may be about.
fn known(scenarios: &[Arc<Scenario>]) -> Vec<String> {
    let own = scenario::read::embedded().unwrap_or_default();
    let own = own.iter().map(Scenario::name);
    own.chain(scenarios.iter().map(|scenario| scenario.name()))
        .collect()
}

/// A place in the file.
#[derive(Clone, Copy)]
struct At<'a> {
    source: &'a Arc<Source>,
    node: &'a Node,
}

impl<'a> At<'a> {
    fn failed(self, span: Span, message: impl Into<String>, help: Option<String>) -> SourceError {
        SourceError {
            source: self.source.clone(),
            span,
            message: message.into(),
            help,
        }
    }

    fn error<T>(self, message: impl Into<String>, help: Option<&str>) -> Result<T> {
        Err(self.failed(self.node.span, message, help.map(str::to_owned)))
    }

    fn on(self, node: &'a Node) -> At<'a> {
        At {
            source: self.source,
            node,
        }
    }

    /// This is a map with no other keys.
    fn keys(self, what: &str, allowed: &[&str]) -> Result<()> {
        let list = || format!("allowed: {}", allowed.join(", "));
        let Some(entries) = self.node.entries() else {
            return self.error(format!("{what} is written as a map"), Some(&list()));
        };
        let Some((key, _)) = entries
            .iter()
            .find(|(key, _)| !allowed.contains(&key.text.as_str()))
        else {
            return Ok(());
        };
        let distance = |name: &&&str| strsim::damerau_levenshtein(name, &key.text);
        let near = allowed
            .iter()
            .min_by_key(distance)
            .filter(|name| distance(name) <= 2);
        let near = near.map_or(String::new(), |name| format!("did you mean {name}? "));
        Err(self.failed(
            key.span,
            format!("{what} has no key {}", key.text),
            Some(near + &list()),
        ))
    }

    fn optional<T>(self, key: &str, read: impl FnOnce(At<'a>) -> Result<T>) -> Result<Option<T>> {
        self.node
            .get(key)
            .map(|node| read(self.on(node)))
            .transpose()
    }

    fn need(self, key: &str, what: &str) -> Result<At<'a>> {
        match self.node.get(key) {
            Some(node) => Ok(self.on(node)),
            None => Err(self.failed(
                self.beginning(),
                format!("{what} needs the key {key}"),
                None,
            )),
        }
    }

    fn beginning(self) -> Span {
        Span {
            start: self.node.span.start,
            end: self.node.span.start + 1,
        }
    }

    /// Where the last of these keys stands, or as far as they lead; if this word is in what stands there, the word's
    /// place.
    fn place(self, keys: &[&str], word: Option<&str>) -> Span {
        let (mut node, mut span) = (self.node, self.beginning());
        for name in keys {
            let entries = node.entries().unwrap_or_default();
            let Some((key, value)) = entries.iter().find(|(key, _)| key.text == *name) else {
                break;
            };
            (node, span) = (value, key.span);
        }
        word.and_then(|word| scalar_with(node, word))
            .unwrap_or(span)
    }

    fn text(self) -> Result<String> {
        match self.node.as_text() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => self.error("a text is expected here", None),
        }
    }

    fn parsed<T: FromStr>(self, what: &str) -> Result<T> {
        let parsed = self.node.as_text().and_then(|text| text.parse().ok());
        parsed.map_or_else(|| self.error(format!("{what} is expected here"), None), Ok)
    }

    fn list<T>(self, read: impl Fn(At<'a>) -> Result<T>) -> Result<Vec<T>> {
        match self.node.items() {
            Some(items) => items.iter().map(|item| read(self.on(item))).collect(),
            None => self.error("a list is expected here", Some("for example [one, two]")),
        }
    }

    fn texts(self) -> Result<Vec<String>> {
        self.list(At::text)
    }

    /// The program and its arguments, which may be empty.
    fn command(self) -> Result<Vec<String>> {
        if self.node.as_text().is_some() {
            let help = "a list of words: [program, argument]; for a shell line [sh, -c, \"…\"]";
            return self.error("a command is written as a list", Some(help));
        }
        let word = |at: At<'_>| match at.node.as_text() {
            Some(word) => Ok(word.to_owned()),
            None => at.error(
                "a word of a command is expected here",
                Some("write {name} in quotes: \"{name}\""),
            ),
        };
        self.list(word)
    }

    fn party(self, what: &str, keys: &[&str]) -> Result<Party> {
        self.keys(what, keys)?;
        Ok(Party {
            address: self.optional("address", At::address)?,
            command: self.optional("command", At::command)?.unwrap_or_default(),
            env: self.optional("env", At::env)?.unwrap_or_default(),
            directory: self.optional("directory", At::text)?.map(PathBuf::from),
            prepare: self.optional("prepare", At::command)?.unwrap_or_default(),
            streams: self.optional("streams", At::streams)?,
            function_listen: self.optional("function_listen", At::address)?,
        })
    }

    fn address(self) -> Result<SocketAddr> {
        let text = self.text()?;
        address(&text).or_else(|help| self.error(format!("{text} is no address"), Some(&help)))
    }

    fn env<C: FromIterator<(String, String)>>(self) -> Result<C> {
        let Some(entries) = self.node.entries() else {
            return self.error(
                "env is written as a map",
                Some("for example { PORT: \"{port}\" }"),
            );
        };
        let variable = |(key, value): &(crate::yaml::node::Key, Node)| match value.as_text() {
            Some(text) => Ok((key.text.clone(), text.to_owned())),
            None => self.on(value).error(
                format!("the value of {} is a text", key.text),
                Some("write a placeholder in quotes: \"{port}\""),
            ),
        };
        // `entries` borrow from the tree, not from here.
        entries.iter().map(variable).collect()
    }

    fn streams(self) -> Result<usize> {
        match self.parsed("a number of streams")? {
            0 => self.error("a function that serves no stream can't be tested", None),
            streams => Ok(streams),
        }
    }

    fn waivers(self) -> Result<Vec<Waiver>> {
        self.list(At::waiver)
    }

    fn waiver(self) -> Result<Waiver> {
        self.keys("a waiver", &WAIVER)?;
        Ok(Waiver {
            scenario: self.need("scenario", "a waiver")?.text()?,
            role: self.optional("role", At::role)?,
            requirement: self.optional("requirement", At::requirement)?,
            reason: self.need("reason", "a waiver")?.text()?,
        })
    }

    /// This is a waiver of scenarios that exist; those that are generated have no names to know.
    fn matches(self, known: &[String]) -> Result<()> {
        let at = self.need("scenario", "a waiver")?;
        let pattern = at.text()?;
        let generated = pattern.starts_with(&format!("{GENERATED}/"));
        if generated || known.iter().any(|name| glob(&pattern, name)) {
            return Ok(());
        }
        let help = match closest(&pattern, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                "a name as `cloudstate-tck list` has it, or suite/* for all of a suite".to_owned()
            }
        };
        at.error(format!("no scenario matches {pattern}"), Some(&help))
    }

    fn role(self) -> Result<Role> {
        let role = Role::ALL
            .into_iter()
            .find(|role| self.node.as_text() == Some(&role.to_string()));
        role.map_or_else(
            || self.error("a role is expected here", Some("one of sdk, proxy, stack")),
            Ok,
        )
    }

    fn requirement(self) -> Result<String> {
        let name = self.text()?;
        let all = Requirements::embedded();
        if all.get(&name).is_some() {
            return Ok(name);
        }
        let help = all.meant(&name);
        self.error(
            format!("the specification has no requirement {name}"),
            Some(&help),
        )
    }
}

/// The first text in a value that has this word in it.
fn scalar_with(node: &Node, word: &str) -> Option<Span> {
    let below = |node: &Node| scalar_with(node, word);
    match (node.as_text(), node.items(), node.entries()) {
        (Some(text), ..) => text.contains(word).then_some(node.span),
        (_, Some(items), _) => items.iter().find_map(below),
        (.., Some(entries)) => entries.iter().find_map(|(_, value)| below(value)),
        _ => None,
    }
}
