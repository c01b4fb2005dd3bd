//! What a chart needs of whoever plays it.

use crate::party::Role;
use crate::scenario::{Scenario, StepKind};
use crate::services;

/// Does the chart need an entity that passivates soon?
pub fn passivates(scenario: &Scenario) -> bool {
    scenario
        .chart
        .iter()
        .any(|step| matches!(step.kind, StepKind::Passivate))
}

/// The service that calls to the scenario's own service go to: a proxy under test gets its renamed copy with a
/// short passivation timeout, where the chart passivates.
pub fn service_in_role(scenario: &Scenario, role: Role) -> String {
    let brief = format!("{}Brief", scenario.service);
    let known = services::descriptor_pool()
        .get_service_by_name(&brief)
        .is_some();
    if role == Role::Proxy && passivates(scenario) && known {
        brief
    } else {
        scenario.service.clone()
    }
}
