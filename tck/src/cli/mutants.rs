//! `mutants`: breaks conforming parties on purpose and shows, for each, whether the kit caught it under the right
//! name.

use super::arguments::{self, ListFormat, SubjectArguments};
use super::catalog::{Catalog, closest, did_you_mean, problems, source};
use super::{CommandError, Console, runtime, subject};
use crate::mutant::Mutant;
use crate::party::Party;
use crate::report::ExitCode;
use crate::report::paint::Paint;
use crate::run::{self, MutantResult, MutantResults};
use crate::system::{System, glob};
use crate::text::{clean, cut, wrap};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Characters of a line about one mutant's end.
const LINE: usize = 200;

pub(super) fn mutants(
    arguments: &arguments::MutantsArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let all = selected(arguments)?;
    let catalog = Catalog::load(&arguments.scenarios)?;
    let system = system(arguments, &catalog)?;
    let (tried, left) = all
        .into_iter()
        .partition::<Vec<_>, _>(|mutant| system.is_some() || mutant.mutates == Party::Function);
    let fates = runtime()?
        .block_on(run::mutants(
            tried,
            &catalog.scenarios,
            system.as_ref(),
            arguments.time_scale,
            &|_, _| {},
        ))
        .map_err(|error| CommandError::unreachable(error.to_string()))?;
    console.print(&match arguments.format {
        ListFormat::Text => text(&fates, &left, console.paint()),
        ListFormat::Json => json(&fates, &left),
    });
    Ok(exit_code(&fates))
}

fn selected(arguments: &arguments::MutantsArguments) -> Result<Vec<Mutant>, CommandError> {
    let read = match arguments.mutants.as_slice() {
        [] => Mutant::embedded(),
        files => Mutant::of(
            files
                .iter()
                .map(|file| source(file))
                .collect::<Result<Vec<_>, _>>()?,
        ),
    };
    let all = read.map_err(|errors| problems(&errors))?;
    for filter in &arguments.filter {
        if !all.iter().any(|mutant| glob(filter, &mutant.id)) {
            let hint = did_you_mean(
                closest(filter, all.iter().map(|m| m.id.as_str())),
                "mutants",
            );
            return Err(CommandError::usage(format!(
                "no mutant matches {filter:?}{hint}"
            )));
        }
    }
    let wanted = |mutant: &Mutant| {
        arguments.filter.is_empty()
            || arguments
                .filter
                .iter()
                .any(|filter| glob(filter, &mutant.id))
    };
    Ok(all.into_iter().filter(wanted).collect())
}

fn system(
    arguments: &arguments::MutantsArguments,
    catalog: &Catalog,
) -> Result<Option<System>, CommandError> {
    if arguments.system.is_none() && arguments.proxy_command.is_none() {
        return Ok(None);
    }
    let (system, proxy_command) = (arguments.system.clone(), arguments.proxy_command.clone());
    let subject = SubjectArguments {
        system,
        proxy_command,
        ..SubjectArguments::default()
    };
    let system = subject::system(&subject, catalog)?;
    match system
        .proxy
        .as_ref()
        .is_some_and(|proxy| !proxy.command.is_empty())
    {
        true => Ok(Some(system)),
        false => Err(CommandError::usage(
            "mutants of proxies are made of a proxy that the kit can start: it needs a command",
        )),
    }
}

fn exit_code(fates: &MutantResults) -> ExitCode {
    let any = |is: fn(&MutantResult) -> bool| fates.iter().any(|(_, fate)| is(fate));
    if any(|fate| matches!(fate, MutantResult::Survived(_))) {
        ExitCode::Fail
    } else if any(|fate| matches!(fate, MutantResult::Error(_))) {
        ExitCode::KitFault
    } else if fates.is_empty() {
        ExitCode::NothingChecked
    } else {
        ExitCode::Pass
    }
}

fn text(fates: &MutantResults, left: &[Mutant], paint: Paint) -> String {
    let mut text = String::new();
    let mut counts = [0; 3];
    for (mutant, fate) in fates {
        let (at, word, why) = match fate {
            MutantResult::Killed(finding) => (0, paint.green("killed  "), &finding.summary),
            MutantResult::Survived(why) => (1, paint.red("SURVIVED"), why),
            MutantResult::Error(why) => (2, paint.red("ERROR   "), why),
        };
        counts[at] += 1;
        let _ = writeln!(
            text,
            "{word} {} ({}): {}",
            paint.bold(&mutant.id),
            mutant.mutates,
            mutant.title
        );
        let caught = format!("{} by {}", mutant.requirement, mutant.killed_by);
        let _ = writeln!(text, "         {}", paint.dim(&caught));
        let _ = writeln!(text, "         {}", cut(&clean(why), LINE));
    }
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|mutant| mutant.id.as_str()).collect();
        let _ = writeln!(text, "not tried, for want of a proxy:");
        for line in wrap(&names.join(", "), 91) {
            let _ = writeln!(text, "         {}", paint.dim(&line));
        }
    }
    let [killed, survived, errors] = counts;
    let _ = writeln!(
        text,
        "{killed} killed, {survived} survived, {errors} errors, {} not tried",
        left.len()
    );
    text
}

fn json(fates: &MutantResults, left: &[Mutant]) -> String {
    let about = |mutant: &Mutant, fate: &str, why: &str| {
        json!({
            "id": mutant.id,
            "title": mutant.title,
            "mutates": mutant.mutates,
            "requirement": mutant.requirement,
            "killed_by": mutant.killed_by,
            "fate": fate,
            "why": why,
        })
    };
    let tried = fates.iter().map(|(mutant, fate)| match fate {
        MutantResult::Killed(finding) => about(mutant, "killed", &finding.summary),
        MutantResult::Survived(why) => about(mutant, "survived", why),
        MutantResult::Error(why) => about(mutant, "error", why),
    });
    let left = left
        .iter()
        .map(|mutant| about(mutant, "not-tried", "there is no proxy to make it of"));
    let all: Vec<Value> = tried.chain(left).collect();
    // A tree of texts: nothing that JSON can't say.
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}
