//! `run`: plays scenarios against a system under test, and reports.

use super::arguments;
use super::catalog::Catalog;
use super::{CommandError, Console, runtime, subject};
use crate::explore;
use crate::party::Role;
use crate::report::paint::Paint;
use crate::report::{Class, ExitCode, Report, forms, time};
use crate::run::{Progress, RunOptions};
use crate::scenario::Scenario;
use crate::system::{System, glob};
use crate::text::{clean, quoted};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// What a report's folder has in it beside the forms of the report.
const TRANSCRIPTS: &str = "transcripts";

pub(super) fn run(
    arguments: Box<arguments::RunArguments>,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    let catalog = Catalog::load(&arguments.selection.scenarios)?;
    let system = subject::system(&arguments.subject, &catalog)?;
    let roles = roles(&arguments.role, &system)?;
    let options = options(&arguments, &catalog, system, roles)?;
    if let Some(folder) = &arguments.how.report {
        prepare(folder)?;
    }
    let started = time::rfc3339(SystemTime::now());
    let bar = Bar::new(console);
    let show = |progress: Progress<'_>| bar.show(&progress);
    let ended = runtime()?.block_on(async {
        tokio::select! {
            ended = crate::run::run(options, &show) => Ok(ended),
            // Ending in good order here kills what was started: dropped processes take their groups with them.
            signal = interrupted() => Err(CommandError::kit(format!("ended by {signal}"))),
        }
    })?;
    bar.finish();
    let mut report = ended.map_err(|error| CommandError::unreachable(error.to_string()))?;
    report.started = Some(started);
    if arguments.how.without_times {
        report = report.without_times();
    }
    if let Some(folder) = &arguments.how.report {
        write(&report, folder)?;
    }
    let form = arguments.how.format;
    console.print(&(form.render)(&report, console.paint()));
    if let (Some(folder), None) = (&arguments.how.report, form.file) {
        let _ = writeln!(console.err, "the report is in {}", folder.display());
    }
    Ok(report.exit_code())
}

/// Waits for somebody to end the program.
async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let one = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = one(SignalKind::interrupt()) => "SIGINT",
        () = one(SignalKind::terminate()) => "SIGTERM",
        () = one(SignalKind::hangup()) => "SIGHUP",
    }
}

/// The roles that were asked for, in their order.
fn roles(wanted: &[Role], system: &System) -> Result<Vec<Role>, CommandError> {
    let possible = system.roles();
    if let Some(role) = wanted.iter().find(|role| !possible.contains(role)) {
        let missing = match (role, &system.function, &system.proxy) {
            (Role::Sdk, None, _) | (Role::Stack, None, _) => "a user function",
            _ => "a proxy",
        };
        return Err(CommandError::usage(format!(
            "the role {role} needs {missing} under test, and there is none"
        )));
    }
    Ok(possible
        .into_iter()
        .filter(|role| wanted.is_empty() || wanted.contains(role))
        .collect())
}

fn options(
    arguments: &arguments::RunArguments,
    catalog: &Catalog,
    system: System,
    roles: Vec<Role>,
) -> Result<RunOptions, CommandError> {
    let (scenarios, generated) = scenarios(arguments, catalog)?;
    let everything = arguments.selection.filter.is_empty()
        && arguments.selection.requirement.is_empty()
        && arguments.selection.scenarios.is_empty()
        && roles == system.roles();
    Ok(RunOptions {
        named: named(arguments),
        roles,
        scenarios,
        jobs: arguments.how.jobs,
        time_scale: arguments.how.time_scale,
        seed: arguments.how.seed,
        generated,
        counterexamples: arguments
            .how
            .report
            .as_ref()
            .map(|folder| folder.join("counterexamples")),
        transcripts: arguments
            .how
            .report
            .as_ref()
            .map(|folder| folder.join(TRANSCRIPTS)),
        strict_waivers: everything,
        system,
    })
}

/// The written scenarios that are meant, and how many are to be generated. A generated scenario that a filter
/// names is run like a written one.
fn scenarios(
    arguments: &arguments::RunArguments,
    catalog: &Catalog,
) -> Result<(Vec<Arc<Scenario>>, usize), CommandError> {
    let mut selection = arguments.selection.clone();
    let mut picked = Vec::new();
    // Without a filter none can be named, and making many takes long.
    let named = if selection.filter.is_empty() {
        0
    } else {
        arguments.how.generated
    };
    for generated in explore::generate(arguments.how.seed, named) {
        let name = generated.scenario().name();
        if selection.filter.iter().any(|filter| glob(filter, &name)) {
            picked.push((name, Arc::new(generated.scenario().clone())));
        }
    }
    selection
        .filter
        .retain(|filter| !picked.iter().any(|(name, _)| glob(filter, name)));
    let nothing_else = !picked.is_empty() && selection.filter.is_empty();
    let mut scenarios = if nothing_else {
        Vec::new()
    } else {
        catalog.select(&selection)?
    };
    scenarios.extend(picked.into_iter().map(|(_, scenario)| scenario));
    let all = arguments.selection.filter.is_empty() && arguments.selection.requirement.is_empty();
    Ok((scenarios, if all { arguments.how.generated } else { 0 }))
}

/// The arguments that a command to run one scenario again begins with.
fn named(arguments: &arguments::RunArguments) -> String {
    let mut words = vec![subject::written(&arguments.subject)];
    for file in &arguments.selection.scenarios {
        words.push(format!(
            "--scenarios {}",
            quoted(&file.display().to_string())
        ));
    }
    if arguments.how.time_scale != 1.0 {
        words.push(format!("--time-scale {}", arguments.how.time_scale));
    }
    if arguments.how.generated > 0 {
        words.push(format!(
            "--seed {} --generated {}",
            arguments.how.seed, arguments.how.generated
        ));
    }
    words.join(" ")
}

/// Removes from a report's folder what a run before wrote there, so that nobody takes it for this one's, and finds out
/// before the run whether it can be written to. Other files stay.
fn prepare(folder: &Path) -> Result<(), CommandError> {
    let prepared = || {
        fs::create_dir_all(folder)?;
        for (name, _) in forms::files() {
            let path = folder.join(name);
            fs::write(&path, "")?;
            fs::remove_file(path)?;
        }
        crate::run::remove_transcripts(&folder.join(TRANSCRIPTS))
    };
    prepared().map_err(|error: io::Error| {
        CommandError::usage(format!(
            "--report {} can't be written to: {error}\n  name a folder that can",
            folder.display()
        ))
    })
}

/// The report in every form that lasts.
fn write(report: &Report, folder: &Path) -> Result<(), CommandError> {
    let problem = |path: PathBuf| {
        move |error| CommandError::kit(format!("{} can't be written: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(problem(folder.to_owned()))?;
    for (name, form) in forms::files() {
        let path = folder.join(name);
        fs::write(&path, (form.render)(report, Paint::Plain)).map_err(problem(path))?;
    }
    Ok(())
}

/// How far the run is: a bar on a terminal, and elsewhere only what takes long before it.
struct Bar {
    bar: ProgressBar,
    terminal: bool,
    paint: Paint,
}

impl Bar {
    fn new(console: &Console<'_>) -> Bar {
        let bar = if console.progress {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:>6} {bar:40} {pos}/{len}") {
            bar.set_style(style);
        }
        Bar {
            bar,
            terminal: console.progress,
            paint: console.paint(),
        }
    }

    fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Preparing(line) if self.terminal => self.bar.println(clean(line)),
            Progress::Preparing(line) => {
                let _ = writeln!(std::io::stderr(), "{}", clean(line));
            }
            Progress::Role(role, scenarios) => {
                self.bar.set_message(role.to_string());
                self.bar.set_length(*scenarios as u64);
                self.bar.set_position(0);
            }
            Progress::Ended(result) => {
                let line = match result.class() {
                    Class::Failed => self.paint.red("FAIL"),
                    Class::Error => self.paint.red("ERROR"),
                    Class::Inconclusive => self.paint.yellow("INCONCLUSIVE"),
                    Class::NotApplicable => return,
                    _ => return self.bar.inc(1),
                };
                self.bar.println(format!(
                    "{line} {} ({})",
                    clean(&result.full_name()),
                    result.role
                ));
                self.bar.inc(1);
            }
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
