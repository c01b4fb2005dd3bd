//! `check`: scenario files against the language, the descriptors, the specification and the model.

use super::arguments;
use super::catalog::Catalog;
use super::{Console, Fault};
use crate::report::ExitCode;
use crate::requirement::Requirements;
use std::collections::BTreeSet;

pub(super) fn check(
    arguments: &arguments::Check,
    console: &mut Console<'_>,
) -> Result<ExitCode, Fault> {
    if arguments.files.is_empty() {
        let read = Requirements::read(crate::embedded::SPEC);
        let requirements = read.map_err(|errors| Fault::kit(errors.join("\n")))?;
        console.print(&format!(
            "{} requirements: nothing to object to\n",
            requirements.iter().count()
        ));
    }
    let catalog = Catalog::load(&arguments.files)?;
    let files: BTreeSet<&str> = catalog
        .scenarios
        .iter()
        .map(|s| s.source.name.as_str())
        .collect();
    let (scenarios, files) = (catalog.scenarios.len(), files.len());
    console.print(&format!(
        "{scenarios} scenarios in {files} files: nothing to object to\n"
    ));
    Ok(ExitCode::Pass)
}
