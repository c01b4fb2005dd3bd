//! Runs scenarios side by side on what they share, and each that needs a subject of its own on that.

mod announced;
mod collected;
mod mutants;
mod plan;
mod role;
mod shrink;
mod stages;
mod subjects;
mod task;
mod transcripts;

pub use crate::cast::relay::Relay;
pub use mutants::{MutantResult, MutantResults, eager_function, mutants};
pub use subjects::StageError;
pub use transcripts::remove_transcripts;

use crate::party::Role;
use crate::report::{Report, ScenarioResult};
use crate::scenario::Scenario;
use crate::system::System;
use collected::Collected;
use role::RoleRun;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What to run, on what.
#[derive(Debug)]
pub struct RunOptions {
    /// The system under test.
    pub system: System,
    /// How it was named on the command line, for the command that runs one scenario again.
    pub named: String,
    /// In which roles.
    pub roles: Vec<Role>,
    /// The scenarios, selected.
    pub scenarios: Vec<Arc<Scenario>>,
    /// How many scenarios at once; by default 16, and in the sdk role as many as the function has streams.
    pub jobs: Option<usize>,
    /// Every deadline is multiplied by this.
    pub time_scale: f64,
    /// Of the generated scenarios.
    pub seed: u64,
    /// How many scenarios to generate in each role.
    pub generated: usize,
    /// Where scenario files of shrunk failures go.
    pub counterexamples: Option<PathBuf>,
    /// Where the transcripts of failing scenarios go.
    pub transcripts: Option<PathBuf>,
    /// A waiver that this run doesn't need fails it; off when only some scenarios are run.
    pub strict_waivers: bool,
}

impl RunOptions {
    /// Scenarios in roles, as fast as they come, nothing generated and nothing written.
    pub fn new(system: System, roles: Vec<Role>, scenarios: Vec<Arc<Scenario>>) -> RunOptions {
        RunOptions {
            named: system.name.clone(),
            system,
            roles,
            scenarios,
            jobs: None,
            time_scale: 1.0,
            seed: 1,
            generated: 0,
            counterexamples: None,
            transcripts: None,
            strict_waivers: false,
        }
    }
}

/// What happens, for whoever shows it.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Something slow before the scenarios, for example a build.
    Preparing(&'a str),
    /// A role begins, with so many scenarios.
    Role(Role, usize),
    /// A scenario is over.
    Ended(&'a ScenarioResult),
}

/// Runs everything and reports.
///
/// # Errors
/// The system under test can't be reached or started.
pub async fn run(
    options: RunOptions,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Report, StageError> {
    let began = Instant::now();
    let mut collected = Collected::default();
    options
        .system
        .prepare(&options.roles, |line| progress(Progress::Preparing(line)))
        .await?;
    for role in &options.roles {
        RoleRun::open(&options, *role, progress)
            .await?
            .play(&mut collected)
            .await?;
    }
    let mut report = collected.report(&options);
    report.duration_ms = Some(began.elapsed().as_millis() as u64);
    Ok(report)
}
