//! The forms that a report can take. Whatever prints or writes one goes by this table: another form is a file beside
//! this, and a row here.

use super::paint::Paint;
use super::{Report, json, junit, markdown, terminal};

/// One of them.
#[derive(Debug)]
pub struct ReportForm {
    /// As `--format` calls it.
    pub name: &'static str,
    /// The file that it is written to among those of a report; `None`: it is for a terminal alone.
    pub file: Option<&'static str>,
    /// Makes it of a report. Only what is for a terminal has colours.
    pub render: fn(&Report, Paint) -> String,
}

/// All, and what is printed unless something else is asked for first.
pub static FORMS: [ReportForm; 4] = [
    ReportForm {
        name: "terminal",
        file: None,
        render: terminal::render,
    },
    ReportForm {
        name: "json",
        file: Some("report.json"),
        render: |report, _| json::render(report),
    },
    ReportForm {
        name: "junit",
        file: Some("junit.xml"),
        render: |report, _| junit::render(report),
    },
    ReportForm {
        name: "markdown",
        file: Some("report.md"),
        render: |report, _| markdown::render(report),
    },
];

/// The form of this name.
pub fn named(name: &str) -> Option<&'static ReportForm> {
    FORMS.iter().find(|form| form.name == name)
}

/// Those that are written to a file, with its name.
pub fn files() -> impl Iterator<Item = (&'static str, &'static ReportForm)> {
    FORMS.iter().filter_map(|form| Some((form.file?, form)))
}
