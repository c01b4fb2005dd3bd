//! What is played in a role, and what is not.

use super::RunOptions;
use super::stages::Stages;
use super::task::{Task, result_of};
use crate::door::Door;
use crate::party::Role;
use crate::report::{Outcome, ScenarioResult};
use crate::scenario::Scenario;
use crate::script::NotPlayable;
use crate::script::choice::{self, Instance};
use std::sync::Arc;

/// What is played in a role.
#[derive(Debug, Default)]
pub(super) struct RolePlan {
    pub tasks: Vec<Task>,
    /// What isn't applicable.
    pub skipped: Vec<ScenarioResult>,
    /// Of these the first that could be played on another system, and why not on this.
    lacking: Option<String>,
}

impl RolePlan {
    /// Sorts out what is played and what is not: every scenario by every door is the one or the other.
    pub fn new(options: &RunOptions, role: Role, stages: &Stages) -> RolePlan {
        let mut plan = RolePlan::default();
        for scenario in &options.scenarios {
            for door in doors(role) {
                plan.add(scenario, role, *door, stages);
            }
        }
        plan
    }

    fn add(&mut self, scenario: &Arc<Scenario>, role: Role, door: Door, stages: &Stages) {
        for instance in choice::instances(scenario, role) {
            match self.task(scenario, role, door, instance, stages) {
                Ok(task) => self.tasks.push(task),
                Err(reason) => {
                    let reason = reason.to_string();
                    let outcome = Outcome::NotApplicable { reason };
                    self.skipped
                        .push(result_of(scenario, role, door, None, outcome));
                    return;
                }
            }
        }
    }

    fn task(
        &mut self,
        scenario: &Arc<Scenario>,
        role: Role,
        door: Door,
        instance: Instance,
        stages: &Stages,
    ) -> Result<Task, NotPlayable> {
        let task = Task::new(scenario, role, door, instance.alternative, instance.name)?;
        stages.applicable(&task.script).inspect_err(|lacking| {
            self.lacking.get_or_insert_with(|| lacking.to_string());
        })?;
        Ok(task)
    }

    /// Nothing is played though something could be: why.
    pub fn unserved(&self) -> Option<String> {
        let lacking = self.lacking.as_ref().filter(|_| self.tasks.is_empty())?;
        Some(format!("no scenario was played: {lacking}"))
    }
}

/// The doors that a role's client has: without a proxy there is no client.
fn doors(role: Role) -> &'static [Door] {
    match role {
        Role::Sdk => &[Door::Grpc],
        Role::Proxy | Role::Stack => &Door::ALL,
    }
}
