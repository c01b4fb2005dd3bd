//! `show`: a saved report in another form; and the choice of a form, which other commands have too.

use super::arguments::{self, Format};
use super::catalog::read_text;
use super::{Console, Fault};
use crate::report::paint::Paint;
use crate::report::{ExitCode, Report, json, junit, markdown, terminal};

/// The exit code is that of the run which the report is of.
pub(super) fn show(
    arguments: &arguments::Show,
    console: &mut Console<'_>,
) -> Result<ExitCode, Fault> {
    let text = read_text(&arguments.file)?;
    let report = json::read(&text)
        .map_err(|error| Fault::usage(format!("{}: {error}", arguments.file.display())))?;
    console.print(&rendered(&report, arguments.format, console.paint()));
    Ok(report.exit_code())
}

pub(super) fn rendered(report: &Report, format: Format, paint: Paint) -> String {
    match format {
        Format::Terminal => terminal::render(report, paint),
        Format::Json => json::render(report),
        Format::Junit => junit::render(report),
        Format::Markdown => markdown::render(report),
    }
}
