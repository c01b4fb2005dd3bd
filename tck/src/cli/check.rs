//! `check`: scenario files against the language, the descriptors, the specification and the model.

use super::arguments;
use super::catalog::Catalog;
use super::{CommandError, Console};
use crate::report::ExitCode;
use crate::requirement::Requirements;
use crate::text::plural;
use std::collections::BTreeSet;

pub(super) fn check(
    arguments: &arguments::CheckArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    if arguments.files.is_empty() {
        let read = Requirements::read(crate::embedded::SPEC);
        let requirements = read.map_err(|errors| CommandError::kit(errors.join("\n")))?;
        let count = plural(requirements.iter().count(), "requirement");
        console.print(&format!("{count}: nothing to object to\n"));
    }
    let catalog = Catalog::load(&arguments.files)?;
    let files: BTreeSet<&str> = catalog
        .scenarios
        .iter()
        .map(|s| s.source.name.as_str())
        .collect();
    let (scenarios, files) = (catalog.scenarios.len(), files.len());
    console.print(&format!(
        "{} in {}: nothing to object to\n",
        plural(scenarios, "scenario"),
        plural(files, "file")
    ));
    Ok(ExitCode::Pass)
}
