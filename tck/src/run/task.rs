//! One scenario in one role: played, judged, and put into words.

use super::stages::Stages;
use crate::cast::Limits;
use crate::cast::stage::Stage;
use crate::door::Door;
use crate::finding::Verdict;
use crate::judge;
use crate::judge::Judgement;
use crate::party::Role;
use crate::play::QUIET;
use crate::report::{Outcome, ScenarioResult, SourceLine};
use crate::scenario::Scenario;
use crate::scenario::message::Bindings;
use crate::script::{NotPlayable, Script, expand};
use crate::system;
use crate::tasks::apart;
use crate::transcript::Transcript;
use crate::{cast, diagram};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Within which a process that closed its connections has ended.
const DEATH: Duration = Duration::from_millis(200);

/// More than what the judge asks for: what came is stamped when it is read.
const PAUSE: Duration = QUIET.saturating_add(Duration::from_millis(50));

/// A scenario that can be played in a role.
#[derive(Debug)]
pub(super) struct Task {
    pub scenario: Arc<Scenario>,
    pub role: Role,
    /// By which door its client calls.
    pub door: Door,
    pub choice: usize,
    pub instance: Option<String>,
    pub own_subject: bool,
    /// Expanded with sample ids, to plan with; each play gets fresh ones.
    pub script: Script,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Played {
    pub scenario: Arc<Scenario>,
    pub transcript: Transcript,
    pub judgement: Judgement,
    pub result: ScenarioResult,
    /// The subject died meanwhile: who, and how.
    pub died: Option<String>,
}

/// Ids that no other play of this run, or of any other, has.
pub(super) fn fresh(scenario: &Scenario) -> Bindings {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = std::process::id();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let names = std::iter::once("id").chain(scenario.ids.iter().map(String::as_str));
    names
        .map(|name| (name.to_owned(), format!("{run:x}.{count:05}.{name}.")))
        .collect()
}

impl Task {
    /// # Errors
    /// Why it can't be played in this role.
    pub fn new(
        scenario: &Arc<Scenario>,
        role: Role,
        door: Door,
        choice: usize,
        instance: Option<String>,
    ) -> Result<Task, NotPlayable> {
        crate::check::roles(scenario)
            .into_iter()
            .find(|(other, _)| *other == role)
            .map_or(Ok(()), |(_, playable)| playable)?;
        let script = expand::expand(scenario, role, choice, fresh(scenario))?;
        let own_subject = system::needs_own_subject(scenario);
        Ok(Task {
            scenario: scenario.clone(),
            role,
            door,
            choice,
            instance,
            own_subject,
            script,
        })
    }

    /// How many entity streams it has open at once.
    pub fn streams(&self) -> usize {
        if self.role != Role::Sdk {
            return 1;
        }
        let keys: BTreeSet<_> = self
            .script
            .calls
            .iter()
            .filter_map(|call| call.key.as_ref())
            .collect();
        keys.len()
    }

    /// Plays it so that a panic of the kit costs this scenario and no other.
    pub async fn play_apart(self: &Arc<Self>, stages: &Arc<Stages>) -> Played {
        let (task, stages) = (self.clone(), stages.clone());
        let played = apart(async move { task.play(&stages).await }).await;
        played.unwrap_or_else(|why| self.error(why))
    }

    /// Plays it, and judges.
    pub async fn play(&self, stages: &Stages) -> Played {
        let began = Instant::now();
        let mut played = match expand::expand(
            &self.scenario,
            self.role,
            self.choice,
            fresh(&self.scenario),
        ) {
            Ok(script) => {
                self.on_stage(Arc::new(script), stages, &stages.limits)
                    .await
            }
            Err(reason) => self.error(reason.to_string()),
        };
        if played.judgement.hurried && played.judgement.verdict() == Verdict::Inconclusive {
            played = self.play_unhurried(stages).await;
        }
        played.result.duration_ms = Some(began.elapsed().as_millis() as u64);
        played
    }

    /// Once more, with pauses in which a function can let go of its entities before they are asked again.
    async fn play_unhurried(&self, stages: &Stages) -> Played {
        let limits = stages.limits.unhurried(PAUSE);
        match expand::expand(
            &self.scenario,
            self.role,
            self.choice,
            fresh(&self.scenario),
        ) {
            Ok(script) => self.on_stage(Arc::new(script), stages, &limits).await,
            Err(reason) => self.error(reason.to_string()),
        }
    }

    /// It could not be played, or not be judged.
    pub fn error(&self, text: String) -> Played {
        let judgement = Judgement {
            error: Some(text.clone()),
            ..Judgement::default()
        };
        let outcome = Outcome::Ran {
            verdict: Verdict::Error,
        };
        let mut result = self.unjudged(outcome);
        result.error = Some(text);
        let transcript = Transcript {
            scenario: self.scenario.name(),
            role: self.role,
            bindings: Default::default(),
            entries: Vec::new(),
        };
        Played {
            scenario: self.scenario.clone(),
            transcript,
            judgement,
            result,
            died: None,
        }
    }

    async fn on_stage(&self, script: Arc<Script>, stages: &Stages, limits: &Limits) -> Played {
        let own;
        let stage = if self.own_subject {
            match stages.own(&script.scenario).await {
                Ok(stage) => {
                    own = stage;
                    &own
                }
                Err(error) => return self.error(error.to_string()),
            }
        } else {
            stages.shared(&self.scenario)
        };
        let mut transcript = match cast::perform(script.clone(), self.door, stage, limits).await {
            Ok(transcript) => transcript,
            Err(error) => return self.error(error.to_string()),
        };
        transcript.scenario = self
            .door
            .full_name(&transcript.scenario, self.instance.as_deref());
        let judgement = judge::judge(&script, &transcript);
        let suspect = !self.own_subject && judgement.verdict() != Verdict::Pass;
        let died = if suspect {
            stage.died(DEATH).await
        } else {
            None
        };
        let mut result = self.result(&script, &transcript, &judgement);
        if judgement.verdict() != Verdict::Pass {
            result.log_tail = log_tail(stage).await;
        }
        if self.own_subject {
            stage.stop().await;
        }
        if let Some(how) = &died {
            result.error.get_or_insert_with(|| how.clone());
        }
        Played {
            scenario: self.scenario.clone(),
            transcript,
            judgement,
            result,
            died,
        }
    }

    /// A result that says how it ended, and nothing more yet.
    fn unjudged(&self, outcome: Outcome) -> ScenarioResult {
        let instance = self.instance.clone();
        result_of(&self.scenario, self.role, self.door, instance, outcome)
    }

    fn result(
        &self,
        script: &Script,
        transcript: &Transcript,
        judgement: &Judgement,
    ) -> ScenarioResult {
        let outcome = Outcome::Ran {
            verdict: judgement.verdict(),
        };
        let mut result = self.unjudged(outcome);
        result.entries = transcript.entries.len();
        result.findings = judgement.findings.clone();
        result.error = judgement.error.clone();
        result.step_line = judgement
            .root()
            .and_then(|finding| finding.step)
            .map(|span| self.scenario.source.position(span.start).0);
        if !judgement.findings.is_empty() || judgement.error.is_some() {
            result.diagram = diagram::transcript(transcript, &judgement.findings, &script.package);
        }
        result
    }
}

/// The last lines that the subjects logged.
async fn log_tail(stage: &Stage) -> Vec<String> {
    // Paths below the working directory say nothing to whoever reads the report elsewhere.
    let here = std::env::current_dir()
        .map(|path| format!("{}/", path.display()))
        .unwrap_or_default();
    let lines = stage.log_tail(20).await.into_iter();
    lines.map(|line| line.replace(&here, "")).collect()
}

/// The result of a scenario that ended so.
pub(super) fn result_of(
    scenario: &Scenario,
    role: Role,
    door: Door,
    instance: Option<String>,
    outcome: Outcome,
) -> ScenarioResult {
    let (line, _) = scenario.source.position(scenario.span.start);
    let place = SourceLine {
        file: scenario.source.name.clone(),
        line,
    };
    ScenarioResult {
        instance,
        door,
        ..ScenarioResult::new(&scenario.name(), role, &scenario.title, place, outcome)
    }
}
