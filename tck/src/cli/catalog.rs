//! The scenarios at hand, and choosing among them by name and by requirement.

use super::CommandError;
use super::arguments::Selection;
use crate::check;
use crate::door::Door;
use crate::requirement::Requirements;
use crate::scenario::{Answer, Call, Scenario, Step, StepKind, read};
use crate::system::glob;
use crate::yaml::source::read_at_most;
use crate::yaml::{Source, SourceError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems that are told of at once.
const TOLD: usize = 50;

/// Bytes of a report or transcript that is read, at most.
const WRITTEN: usize = 1 << 30;

/// Scenarios that read and check.
#[derive(Debug)]
pub(super) struct Catalog {
    pub scenarios: Vec<Arc<Scenario>>,
}

impl Catalog {
    /// Those of the files; without files, those that are built in.
    pub fn load(files: &[PathBuf]) -> Result<Catalog, CommandError> {
        let read = if files.is_empty() {
            read::embedded()
        } else {
            read_files(files)?
        };
        let scenarios = read.map_err(|errors| problems(&errors))?;
        let errors = check::check(&scenarios, Requirements::embedded());
        if !errors.is_empty() {
            return Err(problems(&errors));
        }
        Ok(Catalog {
            scenarios: scenarios.into_iter().map(Arc::new).collect(),
        })
    }

    /// Those that a selection means, in their order. Everything in a selection must mean something.
    pub fn select(&self, selection: &Selection) -> Result<Vec<Arc<Scenario>>, CommandError> {
        let filters: Vec<String> = selection.filter.iter().map(|f| pattern(f)).collect();
        for (filter, written) in filters.iter().zip(&selection.filter) {
            if !self
                .scenarios
                .iter()
                .any(|scenario| glob(filter, &scenario.name()))
            {
                return Err(self.no_scenario(written));
            }
        }
        for written in &selection.requirement {
            self.known_requirement(written)?;
        }
        let named = |scenario: &Scenario| {
            filters.is_empty() || filters.iter().any(|f| glob(f, &scenario.name()))
        };
        let verifies = |scenario: &Scenario| {
            let names = requirements(scenario);
            selection.requirement.is_empty()
                || selection
                    .requirement
                    .iter()
                    .any(|r| names.iter().any(|name| glob(r, name)))
        };
        let chosen = self.scenarios.iter().filter(|s| named(s) && verifies(s));
        Ok(chosen.cloned().collect())
    }

    fn no_scenario(&self, written: &str) -> CommandError {
        let names: Vec<String> = self.scenarios.iter().map(|s| s.name()).collect();
        let hint = closest(written, names.iter().map(String::as_str));
        CommandError::usage(format!(
            "no scenario matches {written:?}{}",
            did_you_mean(hint, "list")
        ))
    }

    /// A requirement that exists and that a scenario names.
    fn known_requirement(&self, written: &str) -> Result<(), CommandError> {
        let all = Requirements::embedded();
        if !all
            .iter()
            .any(|requirement| glob(written, &requirement.name))
        {
            let hint = closest(written, all.iter().map(|r| r.name.as_str()));
            let hint = did_you_mean(hint, "list --requirements");
            return Err(CommandError::usage(format!(
                "no requirement matches {written:?}{hint}"
            )));
        }
        if !self
            .scenarios
            .iter()
            .any(|s| requirements(s).iter().any(|name| glob(written, name)))
        {
            return Err(CommandError::usage(format!(
                "no scenario names {written:?}; if it is checked on every stream, any scenario that comes to it \
                 checks it"
            )));
        }
        Ok(())
    }

    /// The one scenario of this name, or of this id if only one suite has it.
    pub fn find(&self, name: &str) -> Option<&Arc<Scenario>> {
        let exact = self
            .scenarios
            .iter()
            .find(|scenario| scenario.name() == name);
        exact.or_else(|| {
            let mut same = self.scenarios.iter().filter(|scenario| scenario.id == name);
            same.next().filter(|_| same.next().is_none())
        })
    }
}

/// A filter as it is matched: a suite alone means all of it, and an instance is played with its siblings.
fn pattern(written: &str) -> String {
    let (name, ..) = Door::parts(written);
    if name.contains('/') || name.contains("**") {
        name.to_owned()
    } else {
        format!("{name}/**")
    }
}

type Read = Result<Vec<Scenario>, Vec<SourceError>>;

fn read_files(files: &[PathBuf]) -> Result<Read, CommandError> {
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match read::read(&Arc::new(source(file)?)) {
            Ok(read) => scenarios.extend(read),
            Err(found) => errors.extend(found),
        }
    }
    Ok(if errors.is_empty() {
        Ok(scenarios)
    } else {
        Err(errors)
    })
}

/// A source that the user named.
pub(super) fn source(file: &Path) -> Result<Source, CommandError> {
    Source::read(file).map_err(|error| CommandError::usage(error.to_string()))
}

/// A report or a transcript that the user named.
pub(super) fn read_text(file: &Path) -> Result<String, CommandError> {
    let problem =
        |why: String| CommandError::usage(format!("{} can't be read: {why}", file.display()));
    let bytes = read_at_most(file, WRITTEN + 1).map_err(|error| problem(error.to_string()))?;
    if bytes.len() > WRITTEN {
        return Err(problem(format!("it is larger than {WRITTEN} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| problem(error.to_string()))
}

/// All that is wrong in files.
pub(super) fn problems(errors: &[SourceError]) -> CommandError {
    let mut text = match errors.len() {
        1 => "1 problem in files\n".to_owned(),
        count => format!("{count} problems in files\n"),
    };
    for error in errors.iter().take(TOLD) {
        text.push_str(&format!("\n{error}\n"));
    }
    if errors.len() > TOLD {
        text.push_str(&format!("\n… and {} more\n", errors.len() - TOLD));
    }
    text.pop();
    CommandError::usage(text)
}

/// The requirements that a scenario names, on itself or on its steps.
pub(super) fn requirements(scenario: &Scenario) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = scenario.verifies.iter().map(|v| v.name.clone()).collect();
    named_in(&scenario.chart, &mut names);
    names
}

fn named_in(steps: &[Step], names: &mut BTreeSet<String>) {
    for step in steps {
        names.extend(step.verifies.iter().map(|v| v.name.clone()));
        match &step.kind {
            StepKind::Call(call) | StepKind::Consume(call) => in_call(call, names),
            StepKind::Streamed { answer, .. } | StepKind::Cancel { answer, .. } => {
                in_answer(answer, names)
            }
            StepKind::None(steps) | StepKind::Concurrent { each: steps, .. } => {
                named_in(steps, names)
            }
            StepKind::Unordered(lists) | StepKind::OneOf(lists) => {
                lists.iter().for_each(|list| named_in(list, names));
            }
            _ => {}
        }
    }
}

fn in_call(call: &Call, names: &mut BTreeSet<String>) {
    named_in(&call.during, names);
    in_answer(&call.answer, names);
    if let Some(then) = &call.then {
        named_in(std::slice::from_ref(then), names);
    }
}

fn in_answer(answer: &Answer, names: &mut BTreeSet<String>) {
    named_in(&answer.unordered, names);
    answer
        .effects
        .iter()
        .for_each(|effect| in_call(effect, names));
    if let Some(forward) = &answer.forward {
        in_call(forward, names);
    }
}

/// The name most like this one, if any is like it at all.
pub(super) fn closest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Of a scenario, the id alone may be what was meant.
    let distance = |known: &str| {
        let id = known.rsplit('/').next().unwrap_or(known);
        strsim::damerau_levenshtein(known, name).min(strsim::damerau_levenshtein(id, name))
    };
    let near = all
        .map(|known| (distance(known), known))
        .min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(2))
        .map(|(_, known)| known)
}

/// The end of a sentence about a name that isn't known.
pub(super) fn did_you_mean(hint: Option<&str>, command: &str) -> String {
    match hint {
        Some(name) => format!("\n  did you mean {name}?"),
        None => format!("\n  see cloudstate-tck {command}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_alone_is_all_of_it_and_an_instance_its_scenario() {
        assert_eq!(pattern("passivation"), "passivation/**");
        assert_eq!(pattern("a/b[restart=true]"), "a/b");
        assert_eq!(pattern("**second"), "**second");
    }

    #[test]
    fn only_likely_names_are_suggested() {
        let all = ["failures/second-reply", "passivation/rehydrates"];
        assert_eq!(
            closest("failures/secnd-reply", all.into_iter()),
            Some(all[0])
        );
        assert_eq!(closest("rehydrate", all.into_iter()), Some(all[1]));
        assert_eq!(closest("something-else", all.into_iter()), None);
    }
}
