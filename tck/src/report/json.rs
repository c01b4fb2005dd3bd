//! The report as JSON: the artefact of a run, from which all other forms can be made again.

use super::{Report, SCHEMA_VERSION};

/// Indented, with a line end at the end, fields in the order of the type.
pub fn render(report: &Report) -> String {
    // Strings, numbers and lists of them: there is nothing in a report that JSON can't say.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

/// Why a text is no report that this kit can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not of this shape.
    #[error("not a report: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a kit with another form of report.
    #[error("the report has schema version {0}, this kit reads version {SCHEMA_VERSION}")]
    Version(u32),
}

/// Reads what [`render`] wrote.
///
/// # Errors
/// The text isn't a report, or one of another version.
pub fn read(text: &str) -> Result<Report, ReadError> {
    // The version first: a report of another version need not have the fields of this one.
    #[derive(serde::Deserialize)]
    struct Header {
        schema: u32,
    }
    let Header { schema } = serde_json::from_str(text)?;
    if schema != SCHEMA_VERSION {
        return Err(ReadError::Version(schema));
    }
    Ok(serde_json::from_str(text)?)
}
