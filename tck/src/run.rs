//! Runs scenarios side by side on what they share, and each that needs a subject of its own on that.

mod mutants;
mod stages;
mod task;

use crate::door::Door;
use crate::finding;
use crate::judge::ChoiceTaken;
use crate::party::Role;
use crate::report::{
    Choice, Outcome, Report, RequirementResult, ScenarioResult, SourceLine, SystemInfo, Unserved,
};
use crate::requirement::{RequirementName, Requirements};
use crate::scenario::Scenario;
use crate::script::{choice, needs};
use crate::system::{System, WaiverSet};
use crate::tasks::side_by_side;
use crate::{cast, explore};
use cast::Limits;
pub use mutants::{Fate, Fates, mutants};
pub use stages::StageError;
use stages::Stages;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
pub use task::remove_transcripts;
use task::{Played, Task};
use tokio::sync::Semaphore;

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
        run_role(&options, *role, progress, &mut collected).await?;
    }
    let mut report = collected.report(&options);
    report.duration_ms = Some(began.elapsed().as_millis() as u64);
    Ok(report)
}

#[derive(Debug, Default)]
struct Collected {
    results: Vec<ScenarioResult>,
    covered: BTreeMap<RequirementName, BTreeSet<Role>>,
    choices: BTreeSet<(ChoiceTaken, Role)>,
    unserved: Vec<Unserved>,
    service_info: Vec<(String, String)>,
    proxy_info: Vec<(String, String)>,
}

async fn run_role(
    options: &RunOptions,
    role: Role,
    progress: &dyn Fn(Progress<'_>),
    collected: &mut Collected,
) -> Result<(), StageError> {
    let limits = Limits::scaled(options.time_scale);
    let brief = options
        .scenarios
        .iter()
        .any(|scenario| needs::passivates(scenario));
    let stages = Arc::new(Stages::open(&options.system, role, brief, limits).await?);
    let plan = plan(options, role, &stages);
    let reason = stages.unserved().or_else(|| plan.unserved());
    let unserved = reason.map(|reason| Unserved { role, reason });
    collected.unserved.extend(unserved);
    progress(Progress::Role(role, plan.tasks.len()));
    for result in plan.skipped {
        progress(Progress::Ended(&result));
        collected.results.push(result);
    }
    let jobs = options.jobs.unwrap_or_else(|| stages.jobs());
    let mut deaths = Vec::new();
    play_all(
        plan.tasks,
        &stages,
        jobs,
        &mut |task, played| match played.died {
            Some(how) => deaths.push((task, how)),
            None => collected.add(options, played, progress),
        },
    )
    .await;
    played_alone(deaths, &stages, &mut |played| {
        collected.add(options, played, progress)
    })
    .await?;
    if options.generated > 0 {
        generated(options, role, &stages, jobs, progress, collected).await;
    }
    collected.announced(&stages).await;
    if let Some(how) = stages.died().await {
        collected.doubt(role, &how);
    }
    stages.close().await;
    Ok(())
}

/// Whose subject died under it is played once more, alone. If nothing goes wrong then, it can't be told which of those
/// that were played side by side the subject didn't survive, but it didn't.
async fn played_alone(
    deaths: Vec<(Arc<Task>, String)>,
    stages: &Arc<Stages>,
    done: &mut dyn FnMut(Played),
) -> Result<(), StageError> {
    let mut all = Vec::new();
    for (task, how) in deaths {
        stages.revive().await?;
        all.push((task.play_apart(stages).await, how));
    }
    let passed = |played: &Played| played.judgement.verdict() == finding::Verdict::Pass;
    let unexplained = all.iter().all(|(played, _)| passed(played));
    for (mut played, how) in all {
        if unexplained {
            doubt(
                &mut played.result,
                format!("alone it passes; beside others {how}"),
            );
        }
        done(played);
    }
    Ok(())
}

async fn play_all(
    tasks: Vec<Task>,
    stages: &Arc<Stages>,
    jobs: usize,
    done: &mut dyn FnMut(Arc<Task>, Played),
) {
    let shared = Arc::new(Semaphore::new(jobs.max(1)));
    let own = Arc::new(Semaphore::new(2));
    let tasks = tasks.into_iter().map(Arc::new).map(|task| {
        let places = if task.own_subject { &own } else { &shared };
        let (stages, places) = (stages.clone(), places.clone());
        let playing = task.clone();
        let work = async move {
            let streams = u32::try_from(playing.streams().clamp(1, jobs.max(1))).unwrap_or(1);
            let streams = if playing.own_subject { 1 } else { streams };
            let _place = places.acquire_many(streams).await;
            playing.play(&stages).await
        };
        (task, work)
    });
    side_by_side(tasks, &mut |task, played| {
        let played = played.unwrap_or_else(|why| task.error(why));
        done(task, played);
    })
    .await;
}

/// What is played in a role.
#[derive(Debug, Default)]
struct Plan {
    tasks: Vec<Task>,
    /// What isn't applicable.
    skipped: Vec<ScenarioResult>,
    /// Of these the first that could be played on another system, and why not on this.
    lacking: Option<String>,
}

impl Plan {
    /// Nothing is played though something could be: why.
    fn unserved(&self) -> Option<String> {
        let lacking = self.lacking.as_ref().filter(|_| self.tasks.is_empty())?;
        Some(format!("no scenario was played: {lacking}"))
    }
}

/// Sorts out what is played and what is not.
fn plan(options: &RunOptions, role: Role, stages: &Stages) -> Plan {
    let mut plan = Plan::default();
    for scenario in &options.scenarios {
        for instance in choice::instances(scenario, role) {
            let task =
                Task::new(scenario, role, instance.alternative, instance.name).and_then(|task| {
                    let applicable = stages.applicable(&options.system, task);
                    applicable.inspect_err(|lacking| {
                        plan.lacking.get_or_insert_with(|| lacking.to_string());
                    })
                });
            match task {
                Ok(task) => plan.tasks.push(task),
                Err(reason) => {
                    let reason = reason.to_string();
                    let outcome = Outcome::NotApplicable { reason };
                    let skipped = result_of(scenario, role, None, outcome);
                    plan.skipped.push(skipped);
                    break;
                }
            }
        }
    }
    plan
}

fn result_of(
    scenario: &Scenario,
    role: Role,
    instance: Option<String>,
    outcome: Outcome,
) -> ScenarioResult {
    let (line, _) = scenario.source.position(scenario.span.start);
    ScenarioResult {
        name: scenario.name(),
        instance,
        role,
        door: Door::Grpc,
        title: scenario.title.clone(),
        source: SourceLine {
            file: scenario.source.name.clone(),
            line,
        },
        outcome,
        findings: Vec::new(),
        step_line: None,
        diagram: String::new(),
        log_tail: Vec::new(),
        duration_ms: None,
        entries: 0,
        transcript: None,
        error: None,
    }
}

/// Generated scenarios: those that fail are confirmed, shrunk, and written as scenario files.
async fn generated(
    options: &RunOptions,
    role: Role,
    stages: &Arc<Stages>,
    jobs: usize,
    progress: &dyn Fn(Progress<'_>),
    collected: &mut Collected,
) {
    let all = explore::generate(options.seed, options.generated);
    let mut tasks = Vec::new();
    let mut of_name = BTreeMap::new();
    for generated in all {
        let scenario = Arc::new(generated.scenario().clone());
        let task = Task::new(&scenario, role, 0, None)
            .and_then(|task| stages.applicable(&options.system, task));
        if let Ok(task) = task {
            of_name.insert(scenario.name(), generated);
            tasks.push(task);
        }
    }
    let mut failed = Vec::new();
    play_all(tasks, stages, jobs, &mut |task, played| {
        if played.judgement.verdict() >= finding::Verdict::Inconclusive {
            failed.push((task.scenario.name(), played));
        } else {
            collected.add(options, played, progress);
        }
    })
    .await;
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    for (index, (name, played)) in failed.into_iter().enumerate() {
        // One counterexample is worth reading; the others most likely have the same cause.
        let generated = of_name.remove(&name).filter(|_| index == 0);
        let played = match generated {
            Some(generated) => task::shrink(options, role, stages, generated, played).await,
            None => played,
        };
        collected.add(options, played, progress);
    }
}

fn doubt(result: &mut ScenarioResult, why: String) {
    result.outcome = Outcome::Ran {
        verdict: finding::Verdict::Inconclusive,
    };
    result.error = Some(why);
}

impl Collected {
    /// A subject is gone at the end: what was played last has not shown that it survives it.
    fn doubt(&mut self, role: Role, how: &str) {
        let passed = |result: &&mut ScenarioResult| {
            let ran = Outcome::Ran {
                verdict: finding::Verdict::Pass,
            };
            result.role == role && result.outcome == ran
        };
        if let Some(last) = self.results.iter_mut().rev().find(passed) {
            doubt(last, format!("it passes, and then {how}"));
        }
    }

    fn add(&mut self, options: &RunOptions, played: Played, progress: &dyn Fn(Progress<'_>)) {
        for name in &played.judgement.covered {
            self.covered
                .entry(*name)
                .or_default()
                .insert(played.result.role);
        }
        for choice in &played.judgement.choices {
            self.choices.insert((*choice, played.result.role));
        }
        let mut result = played.result;
        let failed =
            matches!(result.outcome, Outcome::Ran { verdict } if verdict != finding::Verdict::Pass);
        if let (true, Some(folder)) = (failed, &options.transcripts) {
            match task::write_transcript(folder, &result, &played.scenario, &played.transcript) {
                Ok(path) => result.transcript = Some(path),
                Err(error) => {
                    result.error = Some(format!("its transcript can't be written: {error}"))
                }
            }
        }
        options.system.waivers.excuse(&mut result);
        progress(Progress::Ended(&result));
        self.results.push(result);
    }

    async fn announced(&mut self, stages: &Stages) {
        if let Some(info) = stages.service_info() {
            self.service_info = info;
        }
        if let Some(info) = stages.proxy_info() {
            self.proxy_info = info;
        }
    }

    fn report(mut self, options: &RunOptions) -> Report {
        self.results
            .sort_by(|a, b| (a.role, &a.name, &a.instance).cmp(&(b.role, &b.name, &b.instance)));
        let checked = |name: &str| {
            self.covered
                .get(name)
                .into_iter()
                .flatten()
                .copied()
                .collect()
        };
        let requirements = Requirements::embedded()
            .iter()
            .map(|requirement| {
                RequirementResult::new(requirement, checked(&requirement.name), &self.results)
            })
            .collect();
        Report {
            kit: env!("CARGO_PKG_VERSION").to_owned(),
            started: None,
            duration_ms: None,
            command: Some(format!("cloudstate-tck run {}", options.named)),
            system: SystemInfo {
                name: options.system.name.clone(),
                version: options.system.version.clone(),
                roles: options.system.roles(),
                service_info: std::mem::take(&mut self.service_info),
                proxy_info: std::mem::take(&mut self.proxy_info),
            },
            roles: options.roles.clone(),
            seed: options.seed,
            unserved: self.unserved,
            requirements,
            choices: self
                .choices
                .iter()
                .map(|(taken, role)| choice_of(*taken, *role))
                .collect(),
            waivers: waivers(
                &options.system.waivers,
                &self.results,
                options.strict_waivers,
            ),
            scenarios: self.results,
        }
    }
}

fn choice_of(taken: ChoiceTaken, role: Role) -> Choice {
    Choice {
        about: taken.requirement.to_string(),
        role,
        question: taken.requirement.slug().replace('-', " "),
        took: taken.choice.to_owned(),
    }
}

fn waivers(
    waivers: &WaiverSet,
    results: &[ScenarioResult],
    strict: bool,
) -> crate::report::Waivers {
    let mut summary = waivers.summary(results);
    if !strict {
        summary.stale.retain(|stale| !stale.passing.is_empty());
    }
    summary
}
