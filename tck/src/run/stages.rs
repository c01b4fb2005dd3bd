//! The stages of one role: what all scenarios share, and what one scenario has to itself.

use super::announced::Announced;
use super::subjects::{
    Folders, ProxyLaunch, READY, SHORT_PASSIVATION, StageError, StartedBy, function, kits_spec,
    spec_of,
};
use crate::cast::Limits;
use crate::cast::endpoint::{Announces, Backend};
use crate::cast::stage::{Stage, TestedParty};
use crate::party::Role;
use crate::scenario::Scenario;
use crate::script::{NotPlayable, Script, needs};
use crate::system::{System, needs_own_subject};
use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{
    EntityPassivationStrategy, EntitySpec, ProxyInfo, TimeoutPassivationStrategy,
};
use cloudstate_protocol::names::PROTOCOL_VERSION;
use prost::Message as _;
use std::time::Duration;

/// The stages of one role.
#[derive(Debug)]
pub(super) struct Stages {
    role: Role,
    system: System,
    pub limits: Limits,
    shared: Stage,
    /// In a stack: a second proxy whose entities passivate soon.
    passivating: Option<Stage>,
    /// What the function announced.
    spec: Option<EntitySpec>,
    folders: Folders,
}

impl Stages {
    /// Starts what a role needs for these scenarios.
    pub async fn open<'s>(
        system: &System,
        role: Role,
        mut scenarios: impl Iterator<Item = &'s Scenario>,
        limits: Limits,
    ) -> Result<Stages, StageError> {
        let mut stages = Stages {
            role,
            system: system.clone(),
            limits,
            shared: Stage::default(),
            passivating: None,
            spec: None,
            folders: Folders::new(),
        };
        match role {
            Role::Sdk => {
                let (function, spec) = function(system, limits.patience).await?;
                stages.spec = Some(spec);
                stages.shared = sdk(function);
            }
            Role::Proxy => {
                let launch = ProxyLaunch::shared(system);
                let spec = (Announces::Supported, kits_spec());
                stages.shared = stages.proxy(launch, spec).await?;
            }
            Role::Stack => {
                let passivates = scenarios.any(needs::passivates);
                stages.open_stack(passivates).await?;
            }
        }
        Ok(stages)
    }

    async fn open_stack(&mut self, passivates: bool) -> Result<(), StageError> {
        let (function, spec) = function(&self.system, self.limits.patience).await?;
        let address = function.address();
        let launch = ProxyLaunch::shared(&self.system);
        self.spec = Some(spec.clone());
        self.shared = self.stack(function, spec.clone(), launch).await?;
        let managed = self
            .system
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.address.is_none());
        if passivates && managed {
            let function = TestedParty::at(address);
            let stage = self.stack(function, passivating_soon(spec), launch).await?;
            self.passivating = Some(stage);
        }
        Ok(())
    }

    /// The kit is the function of a proxy.
    async fn proxy(
        &self,
        launch: ProxyLaunch<'_>,
        (announces, spec): (Announces, EntitySpec),
    ) -> Result<Stage, StageError> {
        let backend = Backend::Kit(announces);
        let (endpoint, proxy) = launch.open(&self.folders, backend, spec).await?;
        Ok(Stage {
            proxy: Some(proxy),
            endpoint: Some(endpoint),
            ..Stage::default()
        })
    }

    /// The kit stands between a proxy and a function.
    async fn stack(
        &self,
        function: TestedParty,
        mut spec: EntitySpec,
        launch: ProxyLaunch<'_>,
    ) -> Result<Stage, StageError> {
        let backend = Backend::Function(function.address());
        // The kit stands for the function: it announces the edition's version, so that what a function from
        // before announcements does can be told apart from what it announces.
        let info = spec.service_info.get_or_insert_default();
        (info.protocol_major_version, info.protocol_minor_version) = PROTOCOL_VERSION;
        let (endpoint, proxy) = launch.open(&self.folders, backend, spec).await?;
        Ok(Stage {
            function: Some(function),
            proxy: Some(proxy),
            endpoint: Some(endpoint),
            ..Stage::default()
        })
    }

    /// A stage that one scenario has to itself; what its chart starts is not started yet.
    pub async fn own(&self, scenario: &Scenario) -> Result<Stage, StageError> {
        let mut launch = ProxyLaunch {
            needs: &scenario.needs,
            ..ProxyLaunch::shared(&self.system)
        };
        match self.role {
            Role::Sdk => Ok(sdk(function(&self.system, self.limits.patience).await?.0)),
            Role::Proxy => {
                launch.started_by = StartedBy::of(scenario);
                self.proxy(launch, spec_of(scenario)?).await
            }
            Role::Stack => {
                let (function, spec) = function(&self.system, self.limits.patience).await?;
                self.stack(function, spec, launch).await
            }
        }
    }

    /// The stage that this scenario shares with others.
    pub fn shared(&self, scenario: &Scenario) -> &Stage {
        match &self.passivating {
            Some(passivating) if needs::passivates(scenario) => passivating,
            _ => &self.shared,
        }
    }

    /// How many scenarios at once.
    pub fn jobs(&self) -> usize {
        let streams = || {
            let function = self.system.function.as_ref();
            function.and_then(|function| function.streams).unwrap_or(8)
        };
        match self.role {
            Role::Sdk => streams(),
            Role::Proxy => 16,
            Role::Stack => streams().max(2) / 2,
        }
    }

    /// Is everything there that the scenario needs?
    ///
    /// # Errors
    /// What isn't.
    pub fn applicable(&self, script: &Script) -> Result<(), NotPlayable> {
        let scenario = &script.scenario;
        self.system.has(&scenario.needs, self.role)?;
        if needs_own_subject(scenario) {
            let party = match self.role {
                Role::Sdk => &self.system.function,
                Role::Proxy | Role::Stack => &self.system.proxy,
            };
            if party.as_ref().is_none_or(|party| party.command.is_empty()) {
                return Err(NotPlayable::NoOwnSubject);
            }
        }
        let passivates = self.role == Role::Stack && needs::passivates(scenario);
        if passivates && self.passivating.is_none() {
            return Err(NotPlayable::NoSecondProxy);
        }
        self.announced().offers(script)
    }

    /// What function and proxy say of themselves.
    pub fn announced(&self) -> Announced<'_> {
        let info = self.shared.endpoint().and_then(|own| own.announced());
        Announced {
            spec: self.spec.as_ref(),
            info: info.and_then(|bytes| ProxyInfo::decode(bytes).ok()),
        }
    }

    /// After a subject died: everything is started anew.
    pub async fn revive(&self) -> Result<(), StageError> {
        for stage in self.all_shared() {
            stage.revive(READY).await?;
        }
        Ok(())
    }

    /// A subject that all share has ended by now: who, and how.
    pub async fn died(&self) -> Option<String> {
        for stage in self.all_shared() {
            if let Some(how) = stage.died(Duration::ZERO).await {
                return Some(how);
            }
        }
        None
    }

    /// Ends all subjects in good order.
    pub async fn close(&self) {
        for stage in self.all_shared() {
            stage.stop().await;
        }
    }

    fn all_shared(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.shared).chain(&self.passivating)
    }
}

/// The kit is the proxy of a function.
fn sdk(function: TestedParty) -> Stage {
    Stage {
        function: Some(function),
        ..Stage::default()
    }
}

/// A spec with a short passivation timeout for every entity.
fn passivating_soon(mut spec: EntitySpec) -> EntitySpec {
    for entity in &mut spec.entities {
        let timeout = TimeoutPassivationStrategy {
            timeout: SHORT_PASSIVATION.as_millis() as i64,
        };
        entity.passivation_strategy = Some(EntityPassivationStrategy {
            strategy: Some(Strategy::Timeout(timeout)),
        });
    }
    spec
}
