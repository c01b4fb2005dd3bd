//! `show`: a saved report in another form.

use super::arguments;
use super::catalog::read_text;
use super::{CommandError, Console};
use crate::report::{ExitCode, json};

/// The exit code is that of the run which the report is of.
pub(super) fn show(
    arguments: &arguments::ShowArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let text = read_text(&arguments.file)?;
    let report = json::read(&text)
        .map_err(|error| CommandError::usage(format!("{}: {error}", arguments.file.display())))?;
    console.print(&(arguments.format.render)(&report, console.paint()));
    Ok(report.exit_code())
}
