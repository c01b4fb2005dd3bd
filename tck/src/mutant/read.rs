//! Reads files of mutants. A rule that could never do anything is an error where it stands: its pattern, paths and
//! messages are checked against the types that go its way.

mod action;
mod rule;
mod types;

use super::{EagerTwin, Mutant};
use crate::party::Party;
use crate::requirement::Requirements;
use crate::yaml::{Cursor, Source, SourceError, Span, tree};
use rule::rule;
use std::sync::Arc;

const KEYS: [&str; 7] = [
    "id",
    "title",
    "mutates",
    "requirement",
    "killed-by",
    "rules",
    "forgets",
];

/// A file is a list of mutants.
///
/// # Errors
/// The first thing that is wrong, with its place and what was allowed.
pub fn read(source: &Arc<Source>) -> Result<Vec<Mutant>, SourceError> {
    let root = tree::read(source)?;
    let file = Cursor::new(source, &root);
    let Some(items) = root.items() else {
        return file.error("a file of mutants is a list", None);
    };
    let mut mutants: Vec<Mutant> = Vec::new();
    for item in items {
        let mutant = mutant(file.on(item))?;
        if mutants.iter().any(|other| other.id == mutant.id) {
            let text = format!("the id {} stands here twice", mutant.id);
            return Err(file.failed(mutant.span, text, None));
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}

fn mutant(at: Cursor<'_>) -> Result<Mutant, SourceError> {
    at.keys("a mutant", &KEYS)?;
    let (id, span) = word(at, "id")?;
    let mutates = party(at, "mutates")?;
    let forgets = at
        .optional("forgets", |value| forgets(value, mutates))?
        .is_some();
    let rules = match at.node.get("rules") {
        None if forgets => None,
        _ => Some(at.need("rules", "a mutant")?),
    };
    if let Some(rules) = rules.filter(|rules| rules.node.items().is_none_or(<[_]>::is_empty)) {
        return rules.error("a mutant needs a list of rules", None);
    }
    Ok(Mutant {
        id,
        title: word(at, "title")?.0,
        mutates,
        requirement: requirement(at, mutates)?,
        killed_by: word(at, "killed-by")?.0,
        rules: rules.map_or(Ok(Vec::new()), |rules| rules.list(rule))?,
        forgets,
        source: at.source.clone(),
        span,
    })
}

const TWIN_KEYS: [&str; 5] = ["id", "title", "party", "permission", "rules"];

/// A file is a list of eager twins.
///
/// # Errors
/// The first thing that is wrong, with its place and what was allowed.
pub fn read_twins(source: &Arc<Source>) -> Result<Vec<EagerTwin>, SourceError> {
    let root = tree::read(source)?;
    let file = Cursor::new(source, &root);
    let Some(items) = root.items() else {
        return file.error("a file of eager twins is a list", None);
    };
    items.iter().map(|item| twin(file.on(item))).collect()
}

fn twin(at: Cursor<'_>) -> Result<EagerTwin, SourceError> {
    at.keys("an eager twin", &TWIN_KEYS)?;
    let party = party(at, "party")?;
    Ok(EagerTwin {
        id: word(at, "id")?.0,
        title: word(at, "title")?.0,
        party,
        permission: known(at, "permission")?.0,
        rules: at.need("rules", "an eager twin")?.list(rule)?,
    })
}

fn party(at: Cursor<'_>, key: &str) -> Result<Party, SourceError> {
    let (party, span) = word(at, key)?;
    match party.as_str() {
        "proxy" => Ok(Party::Proxy),
        "function" => Ok(Party::Function),
        _ => Err(at.failed(span, "it is a proxy or a function", None)),
    }
}

/// The text under a key of a mutant, and where it stands.
fn word(mutant: Cursor<'_>, key: &str) -> Result<(String, Span), SourceError> {
    let value = mutant.need(key, "a mutant")?;
    Ok((value.text()?, value.node.span))
}

/// Only a proxy has something to forget.
fn forgets(at: Cursor<'_>, mutates: Party) -> Result<(), SourceError> {
    if mutates == Party::Proxy && at.node.as_text() == Some("data") {
        return Ok(());
    }
    let help = "forgets: data, of a proxy: its data folder is emptied when it is killed";
    at.error("it can't forget that", Some(help))
}

/// One that binds the party: no other could be found broken.
fn requirement(mutant: Cursor<'_>, mutates: Party) -> Result<String, SourceError> {
    let (name, span, party) = known(mutant, "requirement")?;
    if party == mutates {
        return Ok(name);
    }
    let text = format!("{name} binds the {party}, so a broken {mutates} can't break it");
    Err(mutant.failed(span, text, None))
}

/// A requirement of the specification, where it stands, and whom it binds.
fn known(at: Cursor<'_>, key: &str) -> Result<(String, Span, Party), SourceError> {
    let (name, span) = word(at, key)?;
    let all = Requirements::embedded();
    match all.get(&name) {
        Some(found) => Ok((name, span, found.party)),
        None => {
            let near = all.closest(&name);
            let help = near.map(|near| format!("did you mean {near}?"));
            let text = format!("the specification has no requirement {name}");
            Err(at.failed(span, text, help))
        }
    }
}
