//! In which roles a chart can be played: whoever departs from the rules, is killed or is waited for must be in
//! the right hands.

use crate::party::{Party, Role};
use crate::protocol::EntityType;
use crate::scenario::steps::each;
use crate::scenario::{Call, Raw, Scenario, Step, StepKind};
use crate::services;

/// In which roles a chart can be played, or why it can't.
pub fn roles(scenario: &Scenario) -> Vec<(Role, Result<(), String>)> {
    Role::ALL
        .into_iter()
        .map(|role| (role, playable(scenario, role)))
        .collect()
}

/// What a system must have for this chart in this role: what the scenario says it needs, and what its steps do.
pub fn needs(scenario: &Scenario, role: Role) -> Vec<String> {
    let mut needs = scenario.needs.clone();
    let mut add = |need: &str| {
        if !needs.iter().any(|other| other == need) {
            needs.push(need.to_owned());
        }
    };
    if scenario.spec.is_some() {
        add("managed");
    }
    each(&scenario.chart, &mut |step| match &step.kind {
        StepKind::Kill(_) | StepKind::Start(_) => add("managed"),
        StepKind::Consume(_) => add("eventing"),
        // In the role sdk the kit is the other node.
        StepKind::Replicate { .. } if role != Role::Sdk => add("replication"),
        _ => {}
    });
    needs
}

fn playable(scenario: &Scenario, role: Role) -> Result<(), String> {
    if let Some(party) = scenario.scripted
        && !role.kit_plays(party)
    {
        return Err(format!(
            "the {party} departs from the protocol on purpose, and here it is under test"
        ));
    }
    if scenario.spec.is_some() && role != Role::Proxy {
        return Err(
            "the kit announces an entity spec of its own only to a proxy under test".to_owned(),
        );
    }
    let mut reason = None;
    each(&scenario.chart, &mut |step| {
        if reason.is_none() {
            reason = obstacle(scenario, step, role);
        }
    });
    if reason.is_none() && role != Role::Sdk && begins_with_a_history(scenario) {
        reason = Some("the history that is replayed was never made".to_owned());
    }
    reason.map_or(Ok(()), Err)
}

/// Why a step can't be played.
fn obstacle(scenario: &Scenario, step: &Step, role: Role) -> Option<String> {
    let sdk = role == Role::Sdk;
    let reason = match &step.kind {
        // What the kit is to a proxy under test can be gone, and come back.
        StepKind::Kill(Party::Function) | StepKind::Start(Party::Function)
            if role == Role::Proxy =>
        {
            return None;
        }
        StepKind::Kill(party) | StepKind::Start(party) if role.kit_plays(*party) => {
            return Some(format!(
                "the chart kills or starts the {party}, which the kit plays"
            ));
        }
        StepKind::Raw {
            party: Party::Client,
            ..
        } if sdk => "without a proxy there is no client",
        StepKind::Raw {
            what: Raw::Discover(_) | Raw::Spec(_),
            ..
        } if !sdk && scenario.spec.is_none() => {
            "the function's side of discovery is judged in the role sdk"
        }
        StepKind::Concurrent { .. } if sdk && is_serialised(scenario) => {
            "the proxy hands an entity one command at a time, and here the kit is the proxy"
        }
        StepKind::Call(call) if role == Role::Stack && outruns(call) => {
            "the function is under test and answers when it likes, so no call is sure to wait"
        }
        StepKind::Call(call) if sdk && holds_back(call) => {
            "the function is under test, and nothing can be put between a command and its answer"
        }
        _ => return None,
    };
    Some(reason.to_owned())
}

/// Entities other than CRDTs get their commands one by one.
fn is_serialised(scenario: &Scenario) -> bool {
    let entity_type = services::entity_type(&scenario.service);
    matches!(
        entity_type,
        Some(EntityType::EventSourced | EntityType::Value)
    )
}

/// That something has not happened yet can be said of any party; to do something takes the function's answer.
fn holds_back(call: &Call) -> bool {
    call.during
        .iter()
        .any(|step| !matches!(step.kind, StepKind::None(_)))
}

/// Other calls are made between the command and its answer.
fn outruns(call: &Call) -> bool {
    call.during
        .iter()
        .any(|step| matches!(step.kind, StepKind::Call(_)))
}

/// A replay that no call before it made can be played only by a proxy of the kit's.
fn begins_with_a_history(scenario: &Scenario) -> bool {
    let first = scenario.chart.iter().find_map(|step| match &step.kind {
        StepKind::Call(call) => Some(call),
        _ => None,
    });
    let history = ["events", "snapshot", "state", "delta"];
    let replay = first.and_then(|call| call.replay.as_ref());
    replay.is_some_and(|replay| history.iter().any(|key| replay.get(key).is_some()))
}
