//! The transcripts of failing scenarios, as files.

use crate::party::Role;
use crate::report::ScenarioResult;
use crate::scenario::{Scenario, write};
use crate::transcript::{Transcript, file};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Removes the transcripts that runs before wrote to this folder.
pub fn remove_transcripts(folder: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_role = |role: Role| name.starts_with(&format!("{role}-"));
        if name.ends_with(".jsonl") && Role::ALL.into_iter().any(of_role) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes a transcript with its scenario, so that it can be judged again. Gives the file's path.
pub(super) fn write_transcript(
    folder: &Path,
    result: &ScenarioResult,
    scenario: &Scenario,
    transcript: &Transcript,
) -> std::io::Result<String> {
    fs::create_dir_all(folder)?;
    let file_name = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.=@".contains(c) {
            c
        } else {
            '-'
        }
    };
    let scenario_name: String = result
        .full_name()
        .trim_end_matches(']')
        .chars()
        .map(file_name)
        .collect();
    let name = format!("{}-{scenario_name}.jsonl", result.role);
    let path = folder.join(name);
    let yaml = write::write(
        &scenario.suite,
        &scenario.service,
        std::slice::from_ref(scenario),
        "",
    );
    fs::write(&path, file::write(transcript, Some(&yaml)))?;
    Ok(path.display().to_string())
}
