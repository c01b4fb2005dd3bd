//! All scenarios of one role.

use super::collected::{Collected, doubt};
use super::plan::RolePlan;
use super::shrink::shrink;
use super::stages::Stages;
use super::subjects::StageError;
use super::task::{Played, Task};
use super::{Progress, RunOptions};
use crate::cast::Limits;
use crate::door::Door;
use crate::explore;
use crate::finding::Verdict;
use crate::party::Role;
use crate::scenario::Scenario;
use crate::tasks::side_by_side;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many subjects of their own scenarios may have at once.
const OWN_SUBJECTS: usize = 2;

/// A role that is being run.
pub(super) struct RoleRun<'a> {
    options: &'a RunOptions,
    role: Role,
    stages: Arc<Stages>,
    progress: &'a dyn Fn(Progress<'_>),
}

impl<'a> RoleRun<'a> {
    /// Starts what the role needs.
    pub async fn open(
        options: &'a RunOptions,
        role: Role,
        progress: &'a dyn Fn(Progress<'_>),
    ) -> Result<RoleRun<'a>, StageError> {
        let limits = Limits::scaled(options.time_scale);
        let scenarios = options.scenarios.iter().map(|scenario| &**scenario);
        let stages = Stages::open(&options.system, role, scenarios, limits).await?;
        Ok(RoleRun {
            options,
            role,
            stages: Arc::new(stages),
            progress,
        })
    }

    /// Plays everything, and ends what was started.
    pub async fn play(self, collected: &mut Collected) -> Result<(), StageError> {
        let plan = RolePlan::new(self.options, self.role, &self.stages);
        let unserved = self.stages.announced().unserved();
        if let Some(reason) = unserved.or_else(|| plan.unserved()) {
            collected.unserved(self.role, reason);
        }
        (self.progress)(Progress::Role(self.role, plan.tasks.len()));
        for result in plan.skipped {
            collected.skip(result, self.progress);
        }
        self.planned(plan.tasks, collected).await?;
        if self.options.generated > 0 {
            self.generated(collected).await;
        }
        collected.announced(&self.stages.announced());
        if let Some(how) = self.stages.died().await {
            collected.doubt(self.role, &how);
        }
        self.stages.close().await;
        Ok(())
    }

    async fn planned(&self, tasks: Vec<Task>, collected: &mut Collected) -> Result<(), StageError> {
        let mut deaths = Vec::new();
        self.side_by_side(tasks, &mut |task, played| match played.died {
            Some(how) => deaths.push((task, how)),
            None => collected.add(self.options, played, self.progress),
        })
        .await;
        self.alone(deaths, collected).await
    }

    /// Whose subject died under it is played once more, alone. If nothing goes wrong then, it can't be told which of
    /// those that were played side by side the subject didn't survive, but it didn't.
    async fn alone(
        &self,
        deaths: Vec<(Arc<Task>, String)>,
        collected: &mut Collected,
    ) -> Result<(), StageError> {
        let mut all = Vec::new();
        for (task, how) in deaths {
            self.stages.revive().await?;
            all.push((task.play_apart(&self.stages).await, how));
        }
        let passed = |played: &Played| played.judgement.verdict() == Verdict::Pass;
        let unexplained = all.iter().all(|(played, _)| passed(played));
        for (mut played, how) in all {
            if unexplained {
                let why = format!("alone it passes; beside others {how}");
                doubt(&mut played.result, why);
            }
            collected.add(self.options, played, self.progress);
        }
        Ok(())
    }

    async fn side_by_side(&self, tasks: Vec<Task>, done: &mut dyn FnMut(Arc<Task>, Played)) {
        let jobs = self.options.jobs.unwrap_or_else(|| self.stages.jobs());
        let jobs = jobs.max(1);
        let shared = Arc::new(Semaphore::new(jobs));
        let own = Arc::new(Semaphore::new(OWN_SUBJECTS));
        let tasks = tasks.into_iter().map(Arc::new).map(|task| {
            let places = if task.own_subject { &own } else { &shared };
            let (stages, places) = (self.stages.clone(), places.clone());
            let playing = task.clone();
            let work = async move {
                let streams = u32::try_from(playing.streams().clamp(1, jobs)).unwrap_or(1);
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

    /// Generated scenarios: those that fail are confirmed, shrunk, and written as scenario files.
    async fn generated(&self, collected: &mut Collected) {
        let mut tasks = Vec::new();
        let mut of_name = BTreeMap::new();
        for generated in explore::generate(self.options.seed, self.options.generated) {
            let scenario = Arc::new(generated.scenario().clone());
            if let Some(task) = self.generated_task(&scenario) {
                of_name.insert(scenario.name(), generated);
                tasks.push(task);
            }
        }
        let mut failed = Vec::new();
        self.side_by_side(tasks, &mut |task, played| {
            if played.judgement.verdict() >= Verdict::Inconclusive {
                failed.push((task.scenario.name(), played));
            } else {
                collected.add(self.options, played, self.progress);
            }
        })
        .await;
        failed.sort_by(|a, b| a.0.cmp(&b.0));
        for (index, (name, played)) in failed.into_iter().enumerate() {
            // One counterexample is worth reading; the others most likely have the same cause.
            let generated = of_name.remove(&name).filter(|_| index == 0);
            let played = match generated {
                Some(generated) => {
                    shrink(self.options, self.role, &self.stages, generated, played).await
                }
                None => played,
            };
            collected.add(self.options, played, self.progress);
        }
    }

    /// One that the role or the system isn't for is left out: nobody has planned it.
    fn generated_task(&self, scenario: &Arc<Scenario>) -> Option<Task> {
        let task = Task::new(scenario, self.role, Door::Grpc, 0, None).ok()?;
        self.stages.applicable(&task.script).ok()?;
        Some(task)
    }
}
