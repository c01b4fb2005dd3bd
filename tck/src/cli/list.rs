//! `list`: what there is to run, and what there is to verify.

use super::arguments::{self, ListFormat};
use super::catalog::{Catalog, closest, did_you_mean, requirements};
use super::{CommandError, Console};
use crate::check;
use crate::party::Role;
use crate::report::ExitCode;
use crate::report::paint::Paint;
use crate::requirement::{Level, Requirement, Requirements};
use crate::scenario::Scenario;
use crate::system::glob;
use crate::text::{plural, wrap};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn list(
    arguments: &arguments::ListArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let catalog = Catalog::load(&arguments.selection.scenarios)?;
    let text = if arguments.what.requirements {
        let chosen = chosen_requirements(arguments)?;
        match arguments.what.format {
            ListFormat::Text => requirements_text(&chosen, &catalog, console.paint()),
            ListFormat::Json => pretty(
                chosen
                    .iter()
                    .map(|r| requirement_json(r, &catalog))
                    .collect(),
            ),
        }
    } else {
        let mut chosen = catalog.select(&arguments.selection)?;
        if let Some(role) = arguments.role {
            chosen.retain(|scenario| playable(scenario).contains(&role));
        }
        match arguments.what.format {
            ListFormat::Text => scenarios_text(&chosen, console.paint()),
            ListFormat::Json => pretty(chosen.iter().map(|s| scenario_json(s)).collect()),
        }
    };
    console.print(&text);
    Ok(ExitCode::Pass)
}

fn pretty(items: Vec<Value>) -> String {
    // A tree of texts: nothing that JSON can't say.
    serde_json::to_string_pretty(&items).unwrap_or_default() + "\n"
}

/// The roles in which a scenario can be played.
pub(super) fn playable(scenario: &Scenario) -> Vec<Role> {
    check::roles(scenario)
        .into_iter()
        .filter(|(_, why)| why.is_ok())
        .map(|(role, _)| role)
        .collect()
}

pub(super) fn words<T: ToString>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(between)
}

fn scenarios_text(scenarios: &[Arc<Scenario>], paint: Paint) -> String {
    let mut text = String::new();
    for scenario in scenarios {
        let roles = paint.dim(&format!("({})", words(playable(scenario), ", ")));
        let _ = writeln!(text, "{} {roles}", paint.bold(&scenario.name()));
        for line in wrap(&scenario.title, 96) {
            let _ = writeln!(text, "    {line}");
        }
        let names = requirements(scenario);
        if !names.is_empty() {
            for line in wrap(&format!("verifies {}", words(names, ", ")), 96) {
                let _ = writeln!(text, "    {}", paint.dim(&line));
            }
        }
    }
    let _ = writeln!(text, "{}", plural(scenarios.len(), "scenario"));
    text
}

fn scenario_json(scenario: &Scenario) -> Value {
    let (line, _) = scenario.source.position(scenario.span.start);
    let elsewhere: serde_json::Map<String, Value> = check::roles(scenario)
        .into_iter()
        .filter_map(|(role, why)| Some((role.to_string(), why.err()?.to_string().into())))
        .collect();
    json!({
        "name": scenario.name(),
        "title": scenario.title,
        "file": scenario.source.name,
        "line": line,
        "service": scenario.service,
        "roles": playable(scenario),
        "not_playable": elsewhere,
        "needs": scenario.needs,
        "requirements": requirements(scenario),
    })
}

fn chosen_requirements(
    arguments: &arguments::ListArguments,
) -> Result<Vec<&'static Requirement>, CommandError> {
    let all = Requirements::embedded();
    let selection = &arguments.selection;
    let filters: Vec<String> = selection.filter.iter().map(|f| pattern(f)).collect();
    let written = selection.filter.iter().chain(&selection.requirement);
    for (glob_of, written) in filters.iter().chain(&selection.requirement).zip(written) {
        if !all.iter().any(|r| glob(glob_of, &r.name)) {
            let hint = closest(written, all.iter().map(|r| r.name.as_str()));
            let hint = did_you_mean(hint, "list --requirements");
            return Err(CommandError::usage(format!(
                "no requirement matches {written:?}{hint}"
            )));
        }
    }
    let any = |globs: &[String], r: &Requirement| {
        globs.is_empty() || globs.iter().any(|written| glob(written, &r.name))
    };
    let tested = |r: &Requirement| arguments.role.is_none_or(|role| !role.kit_plays(r.party));
    let wanted = |r: &&Requirement| any(&filters, r) && any(&selection.requirement, r) && tested(r);
    Ok(all.iter().filter(wanted).collect())
}

/// A filter as it is matched against requirements: a chapter alone means all of it.
fn pattern(written: &str) -> String {
    match written.contains(['.', '*']) {
        true => written.to_owned(),
        false => format!("{written}.*"),
    }
}

/// The scenarios that name a requirement.
pub(super) fn verifying<'a>(catalog: &'a Catalog, name: &str) -> Vec<&'a Arc<Scenario>> {
    catalog
        .scenarios
        .iter()
        .filter(|scenario| requirements(scenario).contains(name))
        .collect()
}

/// The keyword as the specification has it, without a negation.
pub(super) fn keyword(level: Level) -> &'static str {
    match level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
        Level::May => "MAY",
    }
}

fn requirements_text(chosen: &[&Requirement], catalog: &Catalog, paint: Paint) -> String {
    let mut text = String::new();
    for requirement in chosen {
        let scenarios = verifying(catalog, &requirement.name).len();
        let verified = match (&requirement.untestable, scenarios) {
            (Some(_), _) => "can't be seen on the wire".to_owned(),
            (None, 0) => "no scenario names it".to_owned(),
            (None, number) => plural(number, "scenario"),
        };
        let note = format!(
            "({}, binds the {}; {verified})",
            keyword(requirement.level),
            requirement.party
        );
        let _ = writeln!(
            text,
            "{} {}",
            paint.bold(&requirement.name),
            paint.dim(&note)
        );
        for line in wrap(&requirement.sentence, 96) {
            let _ = writeln!(text, "    {line}");
        }
    }
    let _ = writeln!(text, "{}", plural(chosen.len(), "requirement"));
    text
}

fn requirement_json(requirement: &Requirement, catalog: &Catalog) -> Value {
    let scenarios: Vec<String> = verifying(catalog, &requirement.name)
        .iter()
        .map(|scenario| scenario.name())
        .collect();
    json!({
        "name": requirement.name,
        "level": requirement.level,
        "party": requirement.party,
        "sentence": requirement.sentence,
        "chapter": requirement.chapter,
        "untestable": requirement.untestable,
        "scenarios": scenarios,
    })
}
