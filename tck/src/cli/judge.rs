//! `judge`: saved transcripts judged again, by this version of the kit and without the system they are of.

use super::catalog::{Catalog, read_text};
use super::{CommandError, Console, arguments};
use crate::diagram;
use crate::door::Door;
use crate::judge;
use crate::party::Role;
use crate::report::{
    ExitCode, Outcome, Report, RequirementResult, ScenarioResult, SourceLine, SystemInfo,
};
use crate::requirement::{RequirementName, Requirements};
use crate::scenario::{Scenario, read};
use crate::script::{choice, expand};
use crate::transcript::file::{self, Saved};
use crate::transcript::text;
use crate::yaml::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub(super) fn judge(
    arguments: &arguments::JudgeArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let mut roles = BTreeSet::new();
    let mut results = Vec::new();
    let mut covered: BTreeMap<RequirementName, BTreeSet<Role>> = BTreeMap::new();
    for path in &arguments.files {
        let problem = |text: String| CommandError::usage(format!("{}: {text}", path.display()));
        let saved = file::read(&read_text(path)?).map_err(|error| problem(error.to_string()))?;
        let role = saved.transcript.role;
        roles.insert(role);
        let (result, names) = again(&saved, path).map_err(problem)?;
        for name in names {
            covered.entry(name).or_default().insert(role);
        }
        if arguments.entries {
            console.print(&format!(
                "{}\n",
                text::render(&saved.transcript, "cloudstate.tck.model")
            ));
        }
        results.push(result);
    }
    let system = SystemInfo {
        name: "saved transcripts".to_owned(),
        ..SystemInfo::default()
    };
    let mut report = Report::new(system, roles.into_iter().collect(), 0);
    report.requirements = Requirements::embedded()
        .iter()
        .map(|requirement| {
            let checked = covered
                .get(requirement.name.as_str())
                .into_iter()
                .flatten()
                .copied()
                .collect();
            RequirementResult::new(requirement, checked, &results)
        })
        .collect();
    report.scenarios = results;
    console.print(&(arguments.format.render)(&report, console.paint()));
    Ok(report.exit_code())
}

/// The result, and the requirements whose check was evaluated.
fn again(
    saved: &Saved,
    path: &Path,
) -> Result<(ScenarioResult, BTreeSet<RequirementName>), String> {
    let transcript = &saved.transcript;
    let scenario = scenario(saved, path)?;
    let mut instances = choice::instances(&scenario, transcript.role).into_iter();
    let (_, door, instance) = Door::parts(&transcript.scenario);
    let choice = match instance {
        None => 0,
        Some(instance) => {
            let known = instances.find(|this| this.name.as_deref() == Some(instance));
            let known = known.ok_or_else(|| format!("its scenario has no instance {instance}"))?;
            known.alternative
        }
    };
    let bindings = transcript.bindings.clone().into_iter().collect();
    let script = expand::expand(&scenario, transcript.role, choice, bindings)
        .map_err(|error| error.to_string())?;
    let script = Arc::new(script);
    let judgement = judge::judge(&script, transcript);
    let outcome = Outcome::Ran {
        verdict: judgement.verdict(),
    };
    let line = |start| scenario.source.position(start).0;
    let place = SourceLine {
        file: scenario.source.name.clone(),
        line: line(scenario.span.start),
    };
    let mut result = ScenarioResult::new(
        &scenario.name(),
        transcript.role,
        &scenario.title,
        place,
        outcome,
    );
    result.door = door;
    result.instance = instance.map(str::to_owned);
    result.entries = transcript.entries.len();
    result.transcript = Some(path.display().to_string());
    result.step_line = judgement
        .root()
        .and_then(|f| f.step)
        .map(|span| line(span.start));
    if !judgement.findings.is_empty() || judgement.error.is_some() {
        result.diagram = diagram::transcript(transcript, &judgement.findings, &script.package);
    }
    result.error = judgement.error;
    result.findings = judgement.findings;
    Ok((result, judgement.covered))
}

/// The scenario that stands in the file, else the built-in one of its name.
fn scenario(saved: &Saved, path: &Path) -> Result<Arc<Scenario>, String> {
    let (name, ..) = Door::parts(&saved.transcript.scenario);
    let missing = || format!("its scenario {name} is neither in the file nor built in");
    match &saved.yaml {
        Some(yaml) => {
            let source = Source {
                name: format!("{} (its scenario)", path.display()),
                text: yaml.clone(),
            };
            let read = read::read(&Arc::new(source));
            let scenarios =
                read.map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
            scenarios
                .into_iter()
                .find(|s| s.name() == name)
                .map(Arc::new)
                .ok_or_else(missing)
        }
        None => {
            let catalog = Catalog::load(&[]).map_err(|fault| fault.message)?;
            catalog.find(name).cloned().ok_or_else(missing)
        }
    }
}
