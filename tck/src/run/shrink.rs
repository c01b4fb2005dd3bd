//! Makes a failing generated scenario smaller, and writes it as a scenario file.

use super::RunOptions;
use super::stages::Stages;
use super::task::{Played, Task};
use crate::door::Door;
use crate::explore;
use crate::finding::Finding;
use crate::party::Role;
use crate::scenario::{Scenario, write};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What came of the smallest scenario that fails for the same reason, or `first` if there is none.
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
    let replay = async |scenario: &Scenario| -> bool {
        let played = play(scenario, role, stages).await;
        played.is_some_and(|played| same(&played, &root))
    };
    let original = generated.scenario().clone();
    let confirmed = replay(&original).await && replay(&original).await;
    let smallest = if confirmed {
        explore::shrink(generated, replay, explore::Budget::default()).await
    } else {
        original
    };
    let Some(played) = play(&smallest, role, stages).await else {
        return first;
    };
    let mut played = if same(&played, &root) { played } else { first };
    if let Some(folder) = &options.counterexamples {
        let header = header(options, role, confirmed, &root);
        match write_counterexample(folder, &smallest, role, &header) {
            Ok(path) => played.result.source.file = path.display().to_string(),
            Err((path, error)) => {
                played.result.error = Some(format!("{} can't be written: {error}", path.display()));
            }
        }
    }
    played
}

async fn play(scenario: &Scenario, role: Role, stages: &Arc<Stages>) -> Option<Played> {
    let task = Task::new(&Arc::new(scenario.clone()), role, Door::Grpc, 0, None).ok()?;
    Some(Arc::new(task).play_apart(stages).await)
}

/// It fails as the first one did.
fn same(played: &Played, root: &Finding) -> bool {
    let found = played.judgement.root();
    found.is_some_and(|found| found.requirement == root.requirement && found.blame == root.blame)
}

/// The comment that a counterexample's file begins with.
fn header(options: &RunOptions, role: Role, confirmed: bool, root: &Finding) -> String {
    let standing = if confirmed {
        ", and shrunk"
    } else {
        "; unconfirmed: it did not fail again"
    };
    format!(
        "Found by `--seed {} --generated {}` in the role {role}{standing}.\nBreaks {}: {}",
        options.seed, options.generated, root.requirement, root.summary,
    )
}

fn write_counterexample(
    folder: &Path,
    scenario: &Scenario,
    role: Role,
    header: &str,
) -> Result<PathBuf, (PathBuf, std::io::Error)> {
    let only = std::slice::from_ref(scenario);
    let text = write::write(&scenario.suite, &scenario.service, only, header);
    let path = folder.join(format!("{}-{role}-{}.yaml", scenario.suite, scenario.id));
    match fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error)),
    }
}
