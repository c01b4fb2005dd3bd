//! Reads system files. An error points at the key or value that is wrong, and says what was allowed.

use super::{PartyConfig, System, Waiver, WaiverSet, address, glob};
use crate::party::Role;
use crate::requirement::Requirements;
use crate::scenario::{self, GENERATED, Scenario};
use crate::yaml::source::closest;
use crate::yaml::{Cursor, Node, Source, SourceError, Span, tree};
use std::net::SocketAddr;
use std::path::PathBuf;
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

/// The system that a file describes.
pub(super) fn read(
    source: &Arc<Source>,
    scenarios: &[Arc<Scenario>],
) -> Result<System, SourceError> {
    let root = tree::read(source)?;
    let file = Cursor::new(source, &root);
    file.keys("a system file", &SYSTEM)?;
    let system = System {
        name: file.need("name", "a system file")?.text()?,
        version: file.optional("version", Cursor::text)?,
        function: file.optional("function", |at| party(at, "the function", &FUNCTION))?,
        proxy: file.optional("proxy", |at| party(at, "the proxy", &PROXY))?,
        features: file
            .optional("features", Cursor::texts)?
            .unwrap_or_default(),
        lacks: file.optional("lacks", Cursor::texts)?.unwrap_or_default(),
        waivers: WaiverSet(
            file.optional("waivers", |at| at.list(waiver))?
                .unwrap_or_default(),
        ),
        folder: PathBuf::new(),
    };
    if let Some(waivers) = root.get("waivers").and_then(Node::items) {
        let known = known(scenarios);
        waivers
            .iter()
            .try_for_each(|waiver| matches(file.on(waiver), &known))?;
    }
    match system.problem() {
        Some(problem) => {
            let place = place(file, &problem.place, problem.word.as_deref());
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

/// Where the last of these keys stands, or as far as they lead; if this word is in what stands there, the word's place.
fn place(file: Cursor<'_>, keys: &[&str], word: Option<&str>) -> Span {
    let (mut node, mut span) = (file.node, file.beginning());
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

fn party(at: Cursor<'_>, what: &str, keys: &[&str]) -> Result<PartyConfig, SourceError> {
    at.keys(what, keys)?;
    Ok(PartyConfig {
        address: at.optional("address", socket_address)?,
        command: at.optional("command", command)?.unwrap_or_default(),
        env: at.optional("env", env)?.unwrap_or_default(),
        directory: at.optional("directory", Cursor::text)?.map(PathBuf::from),
        prepare: at.optional("prepare", command)?.unwrap_or_default(),
        streams: at.optional("streams", streams)?,
        function_listen: at.optional("function_listen", socket_address)?,
    })
}

/// The program and its arguments, which may be empty.
fn command(at: Cursor<'_>) -> Result<Vec<String>, SourceError> {
    if at.node.as_text().is_some() {
        let help = "a list of words: [program, argument]; for a shell line [sh, -c, \"…\"]";
        return at.error("a command is written as a list", Some(help));
    }
    at.list(|word| match word.node.as_text() {
        Some(text) => Ok(text.to_owned()),
        None => word.error(
            "a word of a command is expected here",
            Some("write {name} in quotes: \"{name}\""),
        ),
    })
}

fn socket_address(at: Cursor<'_>) -> Result<SocketAddr, SourceError> {
    let text = at.text()?;
    address(&text).or_else(|help| at.error(format!("{text} is no address"), Some(&help)))
}

fn env<C: FromIterator<(String, String)>>(at: Cursor<'_>) -> Result<C, SourceError> {
    let Some(entries) = at.node.entries() else {
        return at.error(
            "env is written as a map",
            Some("for example { PORT: \"{port}\" }"),
        );
    };
    entries
        .iter()
        .map(|(key, value)| match value.as_text() {
            Some(text) => Ok((key.text.clone(), text.to_owned())),
            None => at.on(value).error(
                format!("the value of {} is a text", key.text),
                Some("write a placeholder in quotes: \"{port}\""),
            ),
        })
        .collect()
}

fn streams(at: Cursor<'_>) -> Result<usize, SourceError> {
    match at.parsed("a number of streams")? {
        0 => at.error("a function that serves no stream can't be tested", None),
        streams => Ok(streams),
    }
}

fn waiver(at: Cursor<'_>) -> Result<Waiver, SourceError> {
    at.keys("a waiver", &WAIVER)?;
    Ok(Waiver {
        scenario: at.need("scenario", "a waiver")?.text()?,
        role: at.optional("role", role)?,
        requirement: at.optional("requirement", requirement)?,
        reason: at.need("reason", "a waiver")?.text()?,
    })
}

/// This is a waiver of scenarios that exist; those that are generated have no names to know.
fn matches(waiver: Cursor<'_>, known: &[String]) -> Result<(), SourceError> {
    let at = waiver.need("scenario", "a waiver")?;
    let pattern = at.text()?;
    let generated = pattern.starts_with(&format!("{GENERATED}/"));
    if generated || known.iter().any(|name| glob(&pattern, name)) {
        return Ok(());
    }
    let help = match closest(&pattern, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "a name as `cloudstate-tck list` has it, or suite/* for all of a suite".to_owned(),
    };
    at.error(format!("no scenario matches {pattern}"), Some(&help))
}

fn role(at: Cursor<'_>) -> Result<Role, SourceError> {
    let role = Role::ALL
        .into_iter()
        .find(|role| at.node.as_text() == Some(&role.to_string()));
    role.map_or_else(
        || at.error("a role is expected here", Some("one of sdk, proxy, stack")),
        Ok,
    )
}

fn requirement(at: Cursor<'_>) -> Result<String, SourceError> {
    let name = at.text()?;
    let all = Requirements::embedded();
    if all.get(&name).is_some() {
        return Ok(name);
    }
    let help = all.meant(&name);
    at.error(
        format!("the specification has no requirement {name}"),
        Some(&help),
    )
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
