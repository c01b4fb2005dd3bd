//! What a role is played on: the subjects that its scenarios share, and one of its own for each that needs one.

use super::task::Task;
use crate::cast::announce;
use crate::cast::endpoint::{Announces, Backend, Endpoint};
use crate::cast::stage::{Stage, Subject};
use crate::cast::{self, Limits};
use crate::judge::invariants::discovery as announcement;
use crate::model;
use crate::party::{Party, Role};
use crate::protocol;
use crate::protocol::discovery;
use crate::scenario::{Scenario, StepKind};
use crate::script::needs;
use crate::script::{NotPlayable, Script};
use crate::services::SERVICES;
use crate::system::{Managed, PartyConfig, Port, ProxyTimeout, StartError, System, connects};
use cloudstate_protocol::cloudstate::entity_passivation_strategy::Strategy;
use cloudstate_protocol::cloudstate::{
    Entity, EntityPassivationStrategy, EntitySpec, ProxyInfo, TimeoutPassivationStrategy,
};
use prost::Message as _;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How soon an entity is passivated where a chart waits for that.
pub(super) const BRIEF: Duration = Duration::from_millis(100);
/// How long a subject may take to get ready; installing and building come before.
pub(super) const READY: Duration = Duration::from_secs(30);

/// The system under test isn't there.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A process didn't start or get ready.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It is there, and doesn't do what it must to be tested.
    #[error("{0}")]
    Unusable(String),
}

/// The stages of one role.
#[derive(Debug)]
pub(super) struct Stages {
    role: Role,
    system: System,
    pub limits: Limits,
    shared: Stage,
    /// In a stack: a second proxy whose entities passivate soon.
    brief: Option<Stage>,
    /// What the function announced.
    spec: Option<EntitySpec>,
    folders: Arc<Folders>,
}

/// Folders of this run, removed at its end.
#[derive(Debug)]
struct Folders {
    root: PathBuf,
    count: AtomicU32,
}

impl Folders {
    fn new() -> Folders {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloudstate-tck-{}-{run}", std::process::id());
        Folders {
            root: std::env::temp_dir().join(name),
            count: AtomicU32::new(0),
        }
    }

    fn next(&self) -> Result<String, StartError> {
        let path = self
            .root
            .join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir_all(&path).map_err(|error| {
            StartError::because(format!("{} can't be made: {error}", path.display()))
        })?;
        Ok(path.display().to_string())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

impl Stages {
    /// Starts what a role needs.
    pub async fn open(
        system: &System,
        role: Role,
        passivates: bool,
        limits: Limits,
    ) -> Result<Stages, StageError> {
        let mut stages = Stages {
            role,
            system: system.clone(),
            limits,
            shared: Stage::default(),
            brief: None,
            spec: None,
            folders: Arc::new(Folders::new()),
        };
        match role {
            Role::Sdk => stages.shared = stages.sdk().await?,
            Role::Proxy => {
                let spec = model::spec::entity_spec_with_brief(BRIEF.as_millis() as i64);
                stages.shared = stages.proxy(spec, Announces::Supported, true, &[]).await?;
            }
            Role::Stack => stages.stack(passivates).await?,
        }
        Ok(stages)
    }

    /// How many scenarios at once.
    pub fn jobs(&self) -> usize {
        match self.role {
            Role::Sdk => self
                .system
                .function
                .as_ref()
                .and_then(|f| f.streams)
                .unwrap_or(8),
            Role::Proxy | Role::Stack => {
                let streams = self.system.function.as_ref().and_then(|f| f.streams);
                if self.role == Role::Stack {
                    streams.unwrap_or(8).max(2) / 2
                } else {
                    16
                }
            }
        }
    }

    pub fn shared(&self, scenario: &Scenario) -> &Stage {
        match &self.brief {
            Some(brief) if needs::passivates(scenario) => brief,
            _ => &self.shared,
        }
    }

    fn party(&self, function: bool) -> Result<&PartyConfig, StageError> {
        let (party, name) = if function {
            (&self.system.function, "function")
        } else {
            (&self.system.proxy, "proxy")
        };
        party
            .as_ref()
            .ok_or_else(|| StageError::Unusable(format!("the system has no {name}")))
    }

    /// The function, started or found, and what it announces.
    async fn function(&self) -> Result<(Subject, EntitySpec), StageError> {
        let party = self.party(true)?;
        let subject = match party.address {
            Some(address) => Subject::at(address),
            None => {
                let mut process = self.system.process(party, Party::Function, &[])?;
                process.accepts(READY).await?;
                Subject::managed(process)
            }
        };
        let unusable = |text: String| {
            StageError::Unusable(format!(
                "the function at {} can't be used: {text}",
                subject.address()
            ))
        };
        let connection = subject
            .connection()
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let info = discovery::proxy_info();
        let asked = cast::unary(&connection, protocol::DISCOVER, &info);
        let answered = tokio::time::timeout(self.limits.patience, asked).await;
        let answered = match answered {
            Ok(answered) => answered.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "discover is not answered within {:?}",
                self.limits.patience
            )),
        };
        match answered {
            Ok(spec) => Ok((subject, spec)),
            Err(text) => {
                let words = subject.last_words(20).await;
                let words = if words.is_empty() {
                    String::new()
                } else {
                    format!("\n  its last words:\n    {}", words.join("\n    "))
                };
                Err(unusable(format!("{text}{words}")))
            }
        }
    }

    async fn sdk(&mut self) -> Result<Stage, StageError> {
        let (function, spec) = self.function().await?;
        self.spec = Some(spec);
        Ok(Stage {
            function: Some(function),
            ..Stage::default()
        })
    }

    async fn stack(&mut self, passivates: bool) -> Result<(), StageError> {
        let (function, spec) = self.function().await?;
        let address = function.address();
        self.spec = Some(spec.clone());
        self.shared = self.behind(function, spec.clone(), &[]).await?;
        let managed = self
            .system
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.address.is_none());
        if passivates && managed {
            let mut brief = spec;
            for entity in &mut brief.entities {
                let timeout = TimeoutPassivationStrategy {
                    timeout: BRIEF.as_millis() as i64,
                };
                entity.passivation_strategy = Some(EntityPassivationStrategy {
                    strategy: Some(Strategy::Timeout(timeout)),
                });
            }
            self.brief = Some(self.behind(Subject::at(address), brief, &[]).await?);
        }
        Ok(())
    }

    async fn behind(
        &self,
        function: Subject,
        spec: EntitySpec,
        needs: &[String],
    ) -> Result<Stage, StageError> {
        let backend = Backend::Function(function.address());
        // The kit stands for the function: it announces the edition's version, so that what a function from
        // before announcements does can be told apart from what it announces.
        let mut spec = spec;
        let info = spec.service_info.get_or_insert_default();
        (info.protocol_major_version, info.protocol_minor_version) = (0, 2);
        let (endpoint, proxy) = self.proxy_at(spec, backend, true, needs).await?;
        Ok(Stage {
            function: Some(function),
            proxy: Some(proxy),
            endpoint: Some(endpoint),
            ..Stage::default()
        })
    }

    async fn proxy(
        &self,
        spec: EntitySpec,
        announces: Announces,
        start: bool,
        needs: &[String],
    ) -> Result<Stage, StageError> {
        let backend = Backend::Kit(announces);
        let (endpoint, proxy) = self.proxy_at(spec, backend, start, needs).await?;
        Ok(Stage {
            proxy: Some(proxy),
            endpoint: Some(endpoint),
            ..Stage::default()
        })
    }

    /// The kit's endpoint, and a proxy that looks for its function there. The endpoint is open before the proxy starts.
    async fn proxy_at(
        &self,
        spec: EntitySpec,
        backend: Backend,
        start: bool,
        needs: &[String],
    ) -> Result<(Endpoint, Subject), StageError> {
        let party = self.party(false)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = party.function_listen.unwrap_or(any);
        let cant = |error: std::io::Error| {
            StageError::Unusable(format!(
                "the kit can't listen at {listen} as function: {error}"
            ))
        };
        let endpoint = Port::at(listen).and_then(|port| Endpoint::open(port, backend, spec));
        let endpoint = endpoint.map_err(cant)?;
        if let Some(address) = party.address {
            // It may not listen before it has found its function.
            let there = tokio::time::timeout(READY, connects(address)).await;
            let missing = |_| {
                StageError::Unusable(format!(
                    "the proxy at {address} doesn't accept connections after {READY:?}; the kit is its function, at {}",
                    endpoint.address()
                ))
            };
            there.map_err(missing)?;
            return Ok((endpoint, Subject::at(address)));
        }
        let values = placeholders(endpoint.address(), self.folders.next()?, needs);
        let mut process = self.system.process(party, Party::Proxy, &values)?;
        if start {
            serves(&mut process, &endpoint).await?;
        }
        Ok((endpoint, Subject::managed(process)))
    }

    /// A stage that one scenario has to itself; what its chart starts is not started yet.
    pub async fn own(&self, scenario: &Scenario) -> Result<Stage, StageError> {
        let needs = &scenario.needs;
        match self.role {
            Role::Sdk => {
                let (function, _) = self.function().await?;
                Ok(Stage {
                    function: Some(function),
                    ..Stage::default()
                })
            }
            Role::Proxy => {
                let spec = merged(
                    scenario,
                    model::spec::entity_spec_with_brief(BRIEF.as_millis() as i64),
                )?;
                self.proxy(
                    spec,
                    announces(scenario),
                    !starts_the_proxy(scenario),
                    needs,
                )
                .await
            }
            Role::Stack => {
                let (function, spec) = self.function().await?;
                self.behind(function, spec, needs).await
            }
        }
    }

    /// The function announces nothing that any scenario is about: why nothing that is played shows anything of it.
    pub fn unserved(&self) -> Option<String> {
        let spec = self.spec.as_ref()?;
        let known = |entity: &Entity| SERVICES.iter().any(|s| s.name == entity.service_name);
        (!spec.entities.iter().any(known)).then(|| {
            let names = spec.entities.iter().map(|e| e.service_name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            format!("the function announces no entity that the kit has scenarios for ({names})")
        })
    }

    /// Is everything there that the scenario needs?
    pub fn applicable(&self, system: &System, task: Task) -> Result<Task, NotPlayable> {
        system.has(&task.scenario.needs, self.role)?;
        if task.own_subject {
            let party = if self.role == Role::Sdk {
                &system.function
            } else {
                &system.proxy
            };
            if party.as_ref().is_none_or(|party| party.command.is_empty()) {
                return Err(NotPlayable::NoOwnSubject);
            }
        }
        if self.role == Role::Stack && needs::passivates(&task.scenario) && self.brief.is_none() {
            return Err(NotPlayable::NoSecondProxy);
        }
        if let Some(missing) = self.unsupported(&task.script) {
            return Err(NotPlayable::Unsupported(missing));
        }
        if let Some(spec) = &self.spec {
            let served: BTreeSet<&str> = spec
                .entities
                .iter()
                .map(|e| e.service_name.as_str())
                .collect();
            let missing = services(&task.script)
                .into_iter()
                .find(|service| !served.contains(service.as_str()));
            if let Some(service) = missing {
                return Err(NotPlayable::NotAnnounced(service));
            }
        }
        Ok(task)
    }

    /// The name of an entity type that a script needs and the proxy, by its own word, doesn't have.
    fn unsupported(&self, script: &Script) -> Option<String> {
        let info = ProxyInfo::decode(self.shared.endpoint()?.announced()?).ok()?;
        let types = script.calls.iter().filter_map(|call| call.entity_type);
        let names = types.map(|entity_type| entity_type.name().to_owned());
        names
            .into_iter()
            .find(|name| !info.supported_entity_types.contains(name))
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

    fn all_shared(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.shared).chain(&self.brief)
    }

    pub fn service_info(&self) -> Option<Vec<(String, String)>> {
        let info = self.spec.as_ref()?.service_info.clone().unwrap_or_default();
        let version = format!(
            "{}.{}",
            info.protocol_major_version, info.protocol_minor_version
        );
        let fields = [
            ("service", info.service_name),
            ("service version", info.service_version),
            ("runtime", info.service_runtime),
            ("library", info.support_library_name),
            ("library version", info.support_library_version),
            ("protocol version", version),
            ("descriptors left unread", self.left_unread()),
        ];
        Some(named(fields))
    }

    /// Descriptors that can't be read and need not be.
    fn left_unread(&self) -> String {
        let files = self.spec.iter().flat_map(announcement::set_aside);
        let words = files.map(|unknown| format!("{} (syntax {:?})", unknown.file, unknown.syntax));
        words.collect::<Vec<_>>().join(", ")
    }

    pub fn proxy_info(&self) -> Option<Vec<(String, String)>> {
        let info = ProxyInfo::decode(self.shared.endpoint()?.announced()?).ok()?;
        let version = format!(
            "{}.{}",
            info.protocol_major_version, info.protocol_minor_version
        );
        let fields = [
            ("proxy", info.proxy_name),
            ("proxy version", info.proxy_version),
            ("protocol version", version),
            ("entity types", info.supported_entity_types.join(", ")),
        ];
        Some(named(fields))
    }

    pub async fn close(&self) {
        for stage in self.all_shared() {
            stage.stop().await;
        }
    }
}

/// The chart begins with the proxy's start, so that nobody else starts it.
pub(super) fn starts_the_proxy(scenario: &Scenario) -> bool {
    let first = scenario.chart.first().map(|step| &step.kind);
    matches!(first, Some(StepKind::Start(_)))
}

/// What the kit as function announces to a scenario that has the proxy to itself.
pub(super) fn announces(scenario: &Scenario) -> Announces {
    if scenario.spec.is_some() {
        Announces::Everything
    } else {
        Announces::Supported
    }
}

/// What stands for the placeholders of a proxy's command, beside where it listens.
pub(super) fn placeholders(
    function: SocketAddr,
    data: String,
    needs: &[String],
) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("function", function.to_string()),
        ("function_host", function.ip().to_string()),
        ("function_port", function.port().to_string()),
        ("data", data),
        ("passivation", BRIEF.as_millis().to_string()),
    ];
    values.extend(ProxyTimeout::ALL.map(|timeout| timeout.value(needs)));
    values
}

fn named<const N: usize>(fields: [(&str, String); N]) -> Vec<(String, String)> {
    let told = fields.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Starts a proxy, and waits until it has a function and accepts clients.
pub(super) async fn serves(process: &mut Managed, endpoint: &Endpoint) -> Result<(), StartError> {
    process
        .get_ready(READY, || endpoint.discovered(), "did not call discover")
        .await?;
    process.accepts(READY).await
}

/// The services that the function must announce for this to be about it.
fn services(script: &Script) -> BTreeSet<String> {
    let calls = script.calls.iter();
    let called = calls
        .filter(|call| call.entity_type.is_some())
        .map(|call| call.service().to_owned());
    let raw = script.moves.iter().filter_map(|step| step.kind.entity());
    let raw = raw.map(|key| key.service.clone());
    // A scenario that names a service for itself is about that, even where it calls nobody.
    let scenario = &script.scenario;
    let own = scenario.service_span.start > scenario.span.start;
    let own = own.then(|| scenario.service.clone());
    called.chain(raw).chain(own).collect()
}

/// The scenario's `spec` over the kit's: fields that it writes replace the kit's, one by one at the top and in
/// the service info.
pub(super) fn merged(scenario: &Scenario, spec: EntitySpec) -> Result<EntitySpec, StageError> {
    let Some(node) = &scenario.spec else {
        return Ok(spec);
    };
    announce::overlay(node, spec)
        .map_err(|text| StageError::Unusable(format!("the spec of {}: {text}", scenario.name())))
}
