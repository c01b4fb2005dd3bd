//! One scenario in one role: played, judged, and put into words.

use super::stages::Stages;
use super::{RunOptions, result_of};
use crate::door::Door;
use crate::finding::Verdict;
use crate::judge;
use crate::judge::Judgement;
use crate::party::Role;
use crate::report::{Outcome, ScenarioResult};
use crate::scenario::message::Bindings;
use crate::scenario::{Scenario, write};
use crate::script::expand;
use crate::script::{NotPlayable, Script};
use crate::system;
use crate::tasks::apart;
use crate::transcript::{Transcript, file};
use crate::{cast, diagram, explore};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Within which a process that closed its connections has ended.
const DEATH: Duration = Duration::from_millis(200);

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
            door: Door::Grpc,
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
        let keys: std::collections::BTreeSet<_> = self
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
            Ok(script) => self.on_stage(Arc::new(script), stages).await,
            Err(reason) => self.error(reason.to_string()),
        };
        played.result.duration_ms = Some(began.elapsed().as_millis() as u64);
        played
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
        let mut result = result_of(&self.scenario, self.role, self.instance.clone(), outcome);
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

    async fn on_stage(&self, script: Arc<Script>, stages: &Stages) -> Played {
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
        let mut transcript =
            match cast::perform(script.clone(), self.door, stage, &stages.limits).await {
                Ok(transcript) => transcript,
                Err(error) => return self.error(error.to_string()),
            };
        transcript.scenario = self
            .door
            .full_name(&transcript.scenario, self.instance.as_deref());
        let judgement = judge::judge(&script, &transcript);
        let suspect = !self.own_subject && judgement.verdict() != Verdict::Pass;
        let died = match suspect {
            true => stage.died(DEATH).await,
            false => None,
        };
        let mut result = self.result(&script, &transcript, &judgement);
        if judgement.verdict() != Verdict::Pass {
            // Paths below the working directory say nothing to whoever reads the report elsewhere.
            let here = std::env::current_dir()
                .map(|path| format!("{}/", path.display()))
                .unwrap_or_default();
            let words = stage.last_words(20).await;
            result.log_tail = words
                .into_iter()
                .map(|line| line.replace(&here, ""))
                .collect();
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

    fn result(
        &self,
        script: &Script,
        transcript: &Transcript,
        judgement: &Judgement,
    ) -> ScenarioResult {
        let outcome = Outcome::Ran {
            verdict: judgement.verdict(),
        };
        let mut result = result_of(&self.scenario, self.role, self.instance.clone(), outcome);
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

/// Makes a failing generated scenario smaller, and writes it as a scenario file.
pub(super) async fn shrink(
    options: &RunOptions,
    role: Role,
    stages: &Arc<Stages>,
    generated: explore::Generated,
    first: Played,
) -> Played {
    let Some(root) = first.judgement.root().cloned() else {
        return first;
    };
    let same = |played: &Played| {
        played
            .judgement
            .root()
            .is_some_and(|found| found.requirement == root.requirement && found.blame == root.blame)
    };
    let replay = async |scenario: &Scenario| -> bool {
        match Task::new(&Arc::new(scenario.clone()), role, 0, None) {
            Ok(task) => same(&Arc::new(task).play_apart(stages).await),
            Err(_) => false,
        }
    };
    let original = generated.scenario().clone();
    let confirmed = replay(&original).await && replay(&original).await;
    let smallest = if confirmed {
        explore::shrink(generated, replay, explore::Budget::default()).await
    } else {
        original
    };
    let header = format!(
        "Found by `--seed {} --generated {}` in the role {role}{}.\nBreaks {}: {}",
        options.seed,
        options.generated,
        if confirmed {
            ", and shrunk"
        } else {
            "; unconfirmed: it did not fail again"
        },
        root.requirement,
        root.summary,
    );
    let Ok(task) = Task::new(&Arc::new(smallest.clone()), role, 0, None) else {
        return first;
    };
    let mut played = Arc::new(task).play_apart(stages).await;
    if !same(&played) {
        played = first;
    }
    if let Some(folder) = &options.counterexamples {
        let text = write::write(
            &smallest.suite,
            &smallest.service,
            std::slice::from_ref(&smallest),
            &header,
        );
        let path = folder.join(format!("{}-{role}-{}.yaml", smallest.suite, smallest.id));
        match fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)) {
            Ok(()) => played.result.source.file = path.display().to_string(),
            Err(error) => {
                played.result.error = Some(format!("{} can't be written: {error}", path.display()))
            }
        }
    }
    played
}

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
