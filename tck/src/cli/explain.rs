//! `explain`: a scenario with its chart expanded and drawn, or a requirement and what verifies it.

use super::arguments;
use super::catalog::{Catalog, closest, did_you_mean, requirements};
use super::list::{keyword, playable, verifying, words};
use super::{CommandError, Console};
use crate::check;
use crate::diagram;
use crate::fill::fill;
use crate::party::Role;
use crate::report::ExitCode;
use crate::report::paint::Paint;
use crate::requirement::{Requirement, Requirements};
use crate::scenario::Scenario;
use crate::scenario::message::Bindings;
use crate::text::wrap;
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn explain(
    arguments: &arguments::ExplainArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let catalog = Catalog::load(&arguments.scenarios)?;
    let name = arguments.name.as_str();
    let text = match (catalog.find(name), Requirements::embedded().get(name)) {
        (Some(scenario), _) => {
            let role = role(scenario, arguments.role)?;
            if arguments.svg {
                diagram::chart_svg(&expanded(scenario), role)
            } else {
                scenario_text(scenario, role, console.paint())
            }
        }
        (None, Some(_)) if arguments.svg || arguments.role.is_some() => {
            return Err(CommandError::usage(format!(
                "{name} is a requirement; only scenarios are drawn, so leave --svg and --role away"
            )));
        }
        (None, Some(requirement)) => requirement_text(requirement, &catalog, console.paint()),
        (None, None) => return Err(unknown(name, &catalog)),
    };
    console.print(&text);
    Ok(ExitCode::Pass)
}

fn unknown(name: &str, catalog: &Catalog) -> CommandError {
    let scenarios: Vec<String> = catalog.scenarios.iter().map(|s| s.name()).collect();
    let known = Requirements::embedded().iter().map(|r| r.name.as_str());
    let hint = closest(name, scenarios.iter().map(String::as_str).chain(known));
    let hint = did_you_mean(hint, "list, and list --requirements");
    CommandError::usage(format!(
        "neither a scenario nor a requirement is called {name}{hint}"
    ))
}

/// The role that was asked for, if the chart has it; else the one with the most hops.
fn role(scenario: &Scenario, wanted: Option<Role>) -> Result<Role, CommandError> {
    let possible = playable(scenario);
    match wanted {
        Some(role) if possible.contains(&role) => Ok(role),
        Some(role) => {
            let why = check::roles(scenario)
                .into_iter()
                .find(|(other, _)| *other == role);
            let why = why.and_then(|(_, why)| why.err());
            let why = why.map_or_else(String::new, |why| why.to_string());
            Err(CommandError::usage(format!(
                "{} can't be played in the role {role}: {why}",
                scenario.name()
            )))
        }
        None => Ok(possible.last().copied().unwrap_or(Role::Stack)),
    }
}

/// With what the model answers, where the chart doesn't say. Ids are only known when it is played.
fn expanded(scenario: &Scenario) -> Scenario {
    let names = std::iter::once("id").chain(scenario.ids.iter().map(String::as_str));
    let bindings: Bindings = names
        .map(|name| (name.to_owned(), format!("<{name}>")))
        .collect();
    fill(scenario, &bindings).scenario
}

pub(super) fn scenario_text(scenario: &Arc<Scenario>, role: Role, paint: Paint) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", paint.bold(&scenario.name()));
    for line in wrap(&scenario.title, 98) {
        let _ = writeln!(text, "  {line}");
    }
    let (line, _) = scenario.source.position(scenario.span.start);
    let _ = writeln!(
        text,
        "\n  {} {}:{line}",
        paint.dim("source "),
        scenario.source.name
    );
    let _ = writeln!(text, "  {} {}", paint.dim("service"), scenario.service);
    if let Some(party) = scenario.scripted {
        let _ = writeln!(
            text,
            "  {} the {party} departs from the protocol on purpose",
            paint.dim("scripted")
        );
    }
    if !scenario.needs.is_empty() {
        let _ = writeln!(
            text,
            "  {} {}",
            paint.dim("needs  "),
            scenario.needs.join(", ")
        );
    }
    for (role, why) in check::roles(scenario) {
        let why = why.map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned());
        let _ = writeln!(
            text,
            "  {} {why}",
            paint.dim(&format!("{:<7}", role.to_string()))
        );
    }
    let _ = writeln!(
        text,
        "\n{}\n",
        paint.bold(&format!("The chart in the role {role}"))
    );
    for line in diagram::chart(&expanded(scenario), role).lines() {
        let _ = writeln!(text, "  {line}");
    }
    let names = requirements(scenario);
    if !names.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("It verifies"));
    }
    for requirement in names
        .iter()
        .filter_map(|name| Requirements::embedded().get(name))
    {
        sentence(requirement, paint, &mut text);
    }
    text
}

fn sentence(requirement: &Requirement, paint: Paint, text: &mut String) {
    let place = format!("(spec/{})", requirement.chapter);
    let _ = writeln!(
        text,
        "\n  {} {}",
        paint.bold(&requirement.name),
        paint.dim(&place)
    );
    for line in wrap(&requirement.sentence, 94) {
        let _ = writeln!(text, "    {line}");
    }
}

pub(super) fn requirement_text(
    requirement: &Requirement,
    catalog: &Catalog,
    paint: Paint,
) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", paint.bold(&requirement.name));
    for line in wrap(&requirement.sentence, 98) {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(
        text,
        "\n  {} spec/{}",
        paint.dim("chapter"),
        requirement.chapter
    );
    let _ = writeln!(
        text,
        "  {} {}",
        paint.dim("level  "),
        keyword(requirement.level)
    );
    let _ = writeln!(text, "  {} {}", paint.dim("binds  "), requirement.party);
    if let Some(reason) = &requirement.untestable {
        let _ = writeln!(text, "\n  It can't be checked: {reason}");
    }
    let scenarios = verifying(catalog, &requirement.name);
    if scenarios.is_empty() {
        if requirement.untestable.is_none() {
            let _ = writeln!(
                text,
                "\n  No scenario names it. If it is an invariant, every scenario that comes to it checks it: a\n  \
                 report lists it among the requirements with the roles in which it was checked."
            );
        }
        return text;
    }
    let _ = writeln!(text, "\n{}", paint.bold("Verified by"));
    for scenario in scenarios {
        let roles = paint.dim(&format!("({})", words(playable(scenario), ", ")));
        let _ = writeln!(text, "\n  {} {roles}", scenario.name());
        for line in wrap(&scenario.title, 94) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
