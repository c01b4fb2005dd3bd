//! Starts the subjects that scenarios are played on, or finds them where they run.

use crate::cast::announce::overlay;
use crate::cast::endpoint::{Announces, Backend, Endpoint};
use crate::cast::stage::TestedParty;
use crate::cast::unary;
use crate::model;
use crate::party::Party;
use crate::protocol::{self, discovery};
use crate::scenario::{Scenario, StepKind};
use crate::system::{Managed, PartyConfig, Port, ProxyTimeout, StartError, System, connects};
use cloudstate_protocol::cloudstate::EntitySpec;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How soon an entity is passivated where a chart waits for that.
pub(super) const SHORT_PASSIVATION: Duration = Duration::from_millis(100);
/// How long a subject may take to get ready; installing and building come before.
pub(super) const READY: Duration = Duration::from_secs(30);
/// A port of this machine, whichever is free.
pub(super) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

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

/// Folders of one run, removed at its end.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    count: AtomicU32,
}

impl Folders {
    pub fn new() -> Folders {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloudstate-tck-{}-{run}", std::process::id());
        Folders {
            root: std::env::temp_dir().join(name),
            count: AtomicU32::new(0),
        }
    }

    /// One that nobody has.
    pub fn next(&self) -> Result<PathBuf, StartError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(number.to_string());
        std::fs::create_dir_all(&path).map_err(|error| {
            StartError::because(format!("{} can't be made: {error}", path.display()))
        })?;
        Ok(path)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

// === The function ===

/// The function, started or found, and what it announces.
pub(super) async fn function(
    system: &System,
    patience: Duration,
) -> Result<(TestedParty, EntitySpec), StageError> {
    let config = configured(&system.function, Party::Function)?;
    let subject = match config.address {
        Some(address) => TestedParty::at(address),
        None => {
            let mut process = system.process(config, Party::Function, &[])?;
            process.accepts(READY).await?;
            TestedParty::managed(process)
        }
    };
    let spec = discover(&subject, patience).await?;
    Ok((subject, spec))
}

fn configured(config: &Option<PartyConfig>, party: Party) -> Result<&PartyConfig, StageError> {
    config
        .as_ref()
        .ok_or_else(|| StageError::Unusable(format!("the system has no {party}")))
}

/// What the function announces to the kit.
async fn discover(function: &TestedParty, patience: Duration) -> Result<EntitySpec, StageError> {
    let unusable = |text: String| {
        let address = function.address();
        StageError::Unusable(format!("the function at {address} can't be used: {text}"))
    };
    let connection = function
        .connection()
        .await
        .map_err(|error| unusable(error.to_string()))?;
    let info = discovery::proxy_info();
    let asked = unary(&connection, protocol::DISCOVER, &info);
    let why = match tokio::time::timeout(patience, asked).await {
        Ok(Ok(spec)) => return Ok(spec),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("discover is not answered within {patience:?}"),
    };
    let words = function.log_tail(20).await;
    let words = if words.is_empty() {
        String::new()
    } else {
        format!("\n  its last words:\n    {}", words.join("\n    "))
    };
    Err(unusable(format!("{why}{words}")))
}

// === The proxy ===

/// Who starts the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartedBy {
    /// The kit, before the chart is played.
    Kit,
    /// The chart, which begins with that.
    Chart,
}

impl StartedBy {
    /// Who does it where this scenario has the proxy to itself.
    pub fn of(scenario: &Scenario) -> StartedBy {
        match scenario.chart.first().map(|step| &step.kind) {
            Some(StepKind::Start(_)) => StartedBy::Chart,
            _ => StartedBy::Kit,
        }
    }
}

/// What a proxy needs to be told to be started.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProxyLaunch<'a> {
    pub system: &'a System,
    /// Features that its scenario needs, if it has the proxy to itself.
    pub needs: &'a [String],
    pub started_by: StartedBy,
}

impl<'a> ProxyLaunch<'a> {
    /// A proxy that many scenarios share.
    pub fn shared(system: &'a System) -> ProxyLaunch<'a> {
        ProxyLaunch {
            system,
            needs: &[],
            started_by: StartedBy::Kit,
        }
    }

    /// The kit's endpoint, and a proxy, started or found, that looks for its function there. The endpoint is open before
    /// the proxy starts.
    pub async fn open(
        self,
        folders: &Folders,
        backend: Backend,
        spec: EntitySpec,
    ) -> Result<(Endpoint, TestedParty), StageError> {
        let config = configured(&self.system.proxy, Party::Proxy)?;
        let endpoint = listen(config.function_listen.unwrap_or(ANY_PORT), backend, spec)?;
        if let Some(address) = config.address {
            // It may not listen before it has found its function.
            let there = tokio::time::timeout(READY, connects(address)).await;
            there.map_err(|_| {
                StageError::Unusable(format!(
                    "the proxy at {address} doesn't accept connections after {READY:?}; the kit is its function, at {}",
                    endpoint.address()
                ))
            })?;
            return Ok((endpoint, TestedParty::at(address)));
        }
        let data = folders.next()?;
        let process = self.start(endpoint.address(), &data, &endpoint).await?;
        Ok((endpoint, TestedParty::managed(process)))
    }

    /// A process of the proxy that looks for its function at this address and keeps its data here. If the kit starts it,
    /// it has found the function and accepts clients.
    pub async fn start(
        self,
        function: SocketAddr,
        data: &Path,
        endpoint: &Endpoint,
    ) -> Result<Managed, StageError> {
        let config = configured(&self.system.proxy, Party::Proxy)?;
        let values = placeholders(function, data, self.needs);
        let mut process = self.system.process(config, Party::Proxy, &values)?;
        if self.started_by == StartedBy::Kit {
            let discovered = || endpoint.discovered();
            process
                .get_ready(READY, discovered, "did not call discover")
                .await?;
            process.accepts(READY).await?;
        }
        Ok(process)
    }
}

/// The kit's endpoint, at this address.
pub(super) fn listen(
    address: SocketAddr,
    backend: Backend,
    spec: EntitySpec,
) -> Result<Endpoint, StageError> {
    let port = Port::at(address);
    let endpoint = port.and_then(|port| Endpoint::open(port, backend, spec));
    endpoint.map_err(|error| {
        StageError::Unusable(format!(
            "the kit can't listen at {address} as function: {error}"
        ))
    })
}

/// What stands for the placeholders of a proxy's command, beside where it listens.
fn placeholders(
    function: SocketAddr,
    data: &Path,
    needs: &[String],
) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("function", function.to_string()),
        ("function_host", function.ip().to_string()),
        ("function_port", function.port().to_string()),
        ("data", data.display().to_string()),
        ("passivation", SHORT_PASSIVATION.as_millis().to_string()),
    ];
    values.extend(ProxyTimeout::ALL.map(|timeout| timeout.value(needs)));
    values
}

// === What the kit announces as function ===

/// The spec of the kit as function.
pub(super) fn kits_spec() -> EntitySpec {
    model::spec::entity_spec_with_brief(SHORT_PASSIVATION.as_millis() as i64)
}

/// What the kit as function announces to a scenario that has the proxy to itself. Fields that the scenario's `spec`
/// writes replace the kit's, one by one at the top and in the service info.
pub(super) fn spec_of(scenario: &Scenario) -> Result<(Announces, EntitySpec), StageError> {
    let Some(node) = &scenario.spec else {
        return Ok((Announces::Supported, kits_spec()));
    };
    let spec = overlay(node, kits_spec()).map_err(|error| {
        StageError::Unusable(format!("the spec of {}: {error}", scenario.name()))
    })?;
    Ok((Announces::Everything, spec))
}
