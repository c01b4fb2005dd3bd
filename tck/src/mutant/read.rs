//! Reads files of mutants. A rule that could never do anything is an error where it stands: its pattern, paths and
//! messages are checked against the types that go its way.

mod action;
mod rule;
mod types;

use super::Mutant;
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
    let (party, party_span) = word(at, "mutates")?;
    let mutates = match party.as_str() {
        "proxy" => Party::Proxy,
        "function" => Party::Function,
        _ => return Err(at.failed(party_span, "a mutant is a proxy or a function", None)),
    };
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
    let (name, span) = word(mutant, "requirement")?;
    let all = Requirements::embedded();
    match all.get(&name) {
        None => {
            let help = all
                .closest(&name)
                .map(|near| format!("did you mean {near}?"));
            let text = format!("the specification has no requirement {name}");
            Err(mutant.failed(span, text, help))
        }
        Some(found) if found.party != mutates => {
            let text = format!(
                "{name} binds the {}, so a broken {mutates} can't break it",
                found.party
            );
            Err(mutant.failed(span, text, None))
        }
        Some(_) => Ok(name),
    }
}
