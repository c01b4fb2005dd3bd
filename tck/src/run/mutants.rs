//! Runs the mutants: each against the scenario that must kill it, which passes without the mutant's rules.

use super::subjects::{ANY_PORT, Folders, ProxyLaunch, StageError, StartedBy, listen, spec_of};
use super::task::fresh;
use crate::cast::endpoint::Backend;
use crate::cast::relay::Relay;
use crate::cast::stage::{Memory, Stage, TestedParty};
use crate::cast::{self, Limits, PerformError};
use crate::door::Door;
use crate::finding::{Finding, Verdict};
use crate::judge;
use crate::judge::Judgement;
use crate::model;
use crate::mutant::{Direction, EagerTwin, Mutant, Rule};
use crate::party::{Party, Role};
use crate::scenario::Scenario;
use crate::script::{NotPlayable, expand};
use crate::system::{Port, StartError, System};
use crate::tasks::side_by_side;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub enum MutantResult {
    /// Caught by its scenario, under its requirement.
    Killed(Finding),
    /// Not caught, or under another name: why.
    Survived(String),
    /// The kit couldn't try: why.
    Error(String),
}

/// Mutants and what became of them.
pub type MutantResults = Vec<(Mutant, MutantResult)>;

/// Runs the mutants. Broken functions are made of the kit's model function, broken proxies of the system's.
///
/// # Errors
/// The proxy can't be prepared.
pub async fn mutants(
    all: Vec<Mutant>,
    scenarios: &[Arc<Scenario>],
    system: Option<&System>,
    time_scale: f64,
    done: &dyn Fn(&Mutant, &MutantResult),
) -> Result<MutantResults, StageError> {
    if let Some(system) = system {
        system.prepare(&[Role::Proxy], |_| {}).await?;
    }
    let runner = Arc::new(MutantRunner {
        function: function().await?,
        system: system.cloned(),
        limits: Limits::scaled(time_scale / 2.0),
        folders: Folders::new(),
    });
    let by_name: BTreeMap<String, Arc<Scenario>> = scenarios
        .iter()
        .map(|scenario| (scenario.name(), scenario.clone()))
        .collect();
    let places = Arc::new(Semaphore::new(6));
    let trials = all.into_iter().map(|mutant| {
        let (runner, places, tried) = (runner.clone(), places.clone(), mutant.clone());
        let scenario = by_name.get(&mutant.killed_by).cloned();
        let trial = async move {
            let _place = places.acquire().await;
            match scenario {
                Some(scenario) => runner.result(&tried, &scenario).await,
                None => MutantResult::Error(format!("no scenario is called {}", tried.killed_by)),
            }
        };
        (mutant, trial)
    });
    let mut results = MutantResults::new();
    side_by_side(trials, &mut |mutant, result| {
        let result = result.unwrap_or_else(MutantResult::Error);
        done(&mutant, &result);
        results.push((mutant, result));
    })
    .await;
    results.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    Ok(results)
}

/// The conforming function that mutants of functions are made of.
async fn function() -> Result<SocketAddr, StageError> {
    let cant =
        |error: std::io::Error| StageError::Unusable(format!("the kit can't listen: {error}"));
    let port = Port::free().map_err(cant)?;
    let (address, listener) = (port.address(), port.listen().map_err(cant)?);
    tokio::spawn(async move {
        let _ = model::function::serve(listener, std::future::pending()).await;
    });
    Ok(address)
}

/// The kit's model function, made an eager twin: what it does before its caller is done by a relay.
///
/// # Errors
/// No port is free.
pub async fn eager_function(twin: &EagerTwin) -> Result<Relay, StageError> {
    let between = Between::ProxyAndFunction;
    relay(function().await?, between, twin.rules.clone()).await
}

/// Why a scenario could not be played on a mutant.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    NotPlayable(#[from] NotPlayable),
    #[error(transparent)]
    Perform(#[from] PerformError),
}

struct MutantRunner {
    function: SocketAddr,
    system: Option<System>,
    limits: Limits,
    folders: Folders,
}

impl MutantRunner {
    async fn result(&self, mutant: &Mutant, scenario: &Arc<Scenario>) -> MutantResult {
        let healthy = match self.play(mutant, scenario, None).await {
            Ok(judgement) => judgement,
            Err(error) => return MutantResult::Error(error.to_string()),
        };
        if healthy.verdict() != Verdict::Pass {
            let root = healthy
                .root()
                .map(|finding| finding.summary.clone())
                .or(healthy.error);
            return MutantResult::Error(format!(
                "{} doesn't pass without the mutant: {}",
                mutant.killed_by,
                root.unwrap_or_default()
            ));
        }
        // That something did not come is seen by a fence, and on a busy machine what did come may be later than it.
        match self.broken(mutant, scenario).await {
            MutantResult::Survived(_) => self.broken(mutant, scenario).await,
            result => result,
        }
    }

    async fn broken(&self, mutant: &Mutant, scenario: &Arc<Scenario>) -> MutantResult {
        let rules = mutant.fresh_rules();
        let judgement = match self.play(mutant, scenario, Some(rules.clone())).await {
            Ok(judgement) => judgement,
            Err(error) => return MutantResult::Error(error.to_string()),
        };
        if !mutant.forgets && rules.iter().all(|rule| rule.fired() == 0) {
            let found = judgement.root().map(|finding| finding.summary.clone());
            let seen = found.or(judgement.error).unwrap_or_default();
            return MutantResult::Survived(format!("its rules never fired: {seen}"));
        }
        let Some(root) = judgement.root() else {
            let text = judgement
                .error
                .unwrap_or_else(|| "nothing was found".to_owned());
            return MutantResult::Survived(text);
        };
        if root.requirement == mutant.requirement && root.blame == Some(mutant.mutates) {
            return MutantResult::Killed(root.clone());
        }
        let blame = root
            .blame
            .map_or_else(|| "nobody".to_owned(), |party| party.to_string());
        MutantResult::Survived(format!(
            "caught under another name: {} (the {blame}), {}",
            root.requirement, root.summary
        ))
    }

    /// Plays the scenario once: on the mutant, if there are its rules, else on the healthy party.
    async fn play(
        &self,
        mutant: &Mutant,
        scenario: &Arc<Scenario>,
        rules: Option<Vec<Rule>>,
    ) -> Result<Judgement, TrialError> {
        let memory = if mutant.forgets && rules.is_some() {
            Memory::Forgets
        } else {
            Memory::Keeps
        };
        let rules = rules.unwrap_or_default();
        let (role, (stage, relays)) = match mutant.mutates {
            Party::Function => (Role::Sdk, self.broken_function(rules).await?),
            Party::Client | Party::Proxy => {
                let broken = self.broken_proxy(scenario, rules, memory).await?;
                (Role::Proxy, broken)
            }
        };
        let script = Arc::new(expand::expand(scenario, role, 0, fresh(scenario))?);
        let transcript = cast::perform(script.clone(), Door::Grpc, &stage, &self.limits).await;
        stage.stop().await;
        // A relay that panics is seen as a stream that breaks, which is nobody's fault but the kit's.
        if let Some(why) = relays.iter().find_map(Relay::panic) {
            return Err(PerformError::Panicked(why).into());
        }
        Ok(judge::judge(&script, &transcript?))
    }

    async fn broken_function(&self, rules: Vec<Rule>) -> Result<(Stage, Vec<Relay>), StageError> {
        let relay = relay(self.function, Between::ProxyAndFunction, rules).await?;
        let function = Some(TestedParty::at(relay.address()));
        let stage = Stage {
            function,
            ..Stage::default()
        };
        Ok((stage, vec![relay]))
    }

    /// A proxy with a relay on each side, started unless the chart does that.
    async fn broken_proxy(
        &self,
        scenario: &Scenario,
        rules: Vec<Rule>,
        memory: Memory,
    ) -> Result<(Stage, Vec<Relay>), StageError> {
        let system = self.system.as_ref().ok_or_else(no_proxy)?;
        let proxy = system.proxy.as_ref();
        proxy
            .filter(|proxy| !proxy.command.is_empty())
            .ok_or_else(no_proxy)?;
        system
            .has(&scenario.needs, Role::Proxy)
            .map_err(|reason| StartError::because(reason.to_string()))?;
        let (announces, spec) = spec_of(scenario)?;
        let endpoint = listen(ANY_PORT, Backend::Kit(announces), spec)?;
        let back = relay(endpoint.address(), Between::ProxyAndFunction, rules.clone()).await?;
        let launch = ProxyLaunch {
            system,
            needs: &scenario.needs,
            started_by: StartedBy::of(scenario),
        };
        let data = self.folders.next()?;
        let process = launch.start(back.address(), &data, &endpoint).await?;
        let front = relay(process.address(), Between::ClientAndProxy, rules).await?;
        let proxy = TestedParty::managed_behind(process, front.address(), data, memory);
        let stage = Stage {
            proxy: Some(proxy),
            endpoint: Some(endpoint),
            ..Stage::default()
        };
        Ok((stage, vec![back, front]))
    }
}

fn no_proxy() -> StageError {
    let text = "there is no proxy to make mutants of: name a system file that has one";
    StartError::because(text).into()
}

/// Where a relay stands.
#[derive(Clone, Copy)]
enum Between {
    ClientAndProxy,
    ProxyAndFunction,
}

async fn relay(
    target: SocketAddr,
    between: Between,
    rules: Vec<Rule>,
) -> Result<Relay, StageError> {
    let (call, back) = match between {
        Between::ClientAndProxy => (Direction::ClientToProxy, Direction::ProxyToClient),
        Between::ProxyAndFunction => (Direction::ProxyToFunction, Direction::FunctionToProxy),
    };
    let opened = Relay::open(target, call, back, rules).await;
    opened.map_err(|error| StartError::because(format!("the kit can't listen: {error}")).into())
}
