//! In which roles a chart can be played: whoever departs from the rules, is killed or is waited for must be in
//! the right hands.

use crate::party::{Party, Role};
use crate::protocol::EntityType;
use crate::scenario::steps::each;
use crate::scenario::{Call, Raw, Scenario, Step, StepKind};
use crate::script::NotPlayable;
use crate::services;

/// In which roles a chart can be played, or why it can't.
pub fn roles(scenario: &Scenario) -> Vec<(Role, Result<(), NotPlayable>)> {
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

fn playable(scenario: &Scenario, role: Role) -> Result<(), NotPlayable> {
    if let Some(party) = scenario.scripted
        && !role.kit_plays(party)
    {
        return Err(NotPlayable::Departs(party));
    }
    if scenario.spec.is_some() && role != Role::Proxy {
        return Err(NotPlayable::OwnSpec);
    }
    let mut reason = None;
    each(&scenario.chart, &mut |step| {
        if reason.is_none() {
            reason = obstacle(scenario, step, role);
        }
    });
    if reason.is_none() && role != Role::Sdk && begins_with_a_history(scenario) {
        reason = Some(NotPlayable::NoHistory);
    }
    reason.map_or(Ok(()), Err)
}

/// Why a step can't be played.
fn obstacle(scenario: &Scenario, step: &Step, role: Role) -> Option<NotPlayable> {
    let sdk = role == Role::Sdk;
    match &step.kind {
        // What the kit is to a proxy under test can be gone, and come back.
        StepKind::Kill(Party::Function) | StepKind::Start(Party::Function)
            if role == Role::Proxy =>
        {
            None
        }
        StepKind::Kill(party) | StepKind::Start(party) if role.kit_plays(*party) => {
            Some(NotPlayable::KillsTheKit(*party))
        }
        StepKind::Raw {
            party: Party::Client,
            ..
        } if sdk => Some(NotPlayable::NoClient),
        StepKind::Raw {
            what: Raw::Discover(_) | Raw::Spec(_),
            ..
        } if !sdk && scenario.spec.is_none() => Some(NotPlayable::Discovery),
        StepKind::Concurrent { .. } if sdk && is_serialised(scenario) => {
            Some(NotPlayable::Serialised)
        }
        StepKind::Call(call) if role == Role::Stack && outruns(call) => {
            Some(NotPlayable::CannotHold)
        }
        StepKind::Call(call) if sdk && holds_back(call) => Some(NotPlayable::CannotComeBetween),
        _ => None,
    }
}

/// Entities other than CRDTs get their commands one by one.
fn is_serialised(scenario: &Scenario) -> bool {
    match services::entity_type(&scenario.service) {
        Some(EntityType::EventSourced | EntityType::Value) => true,
        Some(EntityType::Crdt | EntityType::Action) | None => false,
    }
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
