//! Runs the mutants: each against the scenario that must kill it, which passes without the mutant's rules.

use super::StageError;
use super::stages::{BRIEF, announces, merged, placeholders, serves, starts_the_proxy};
use super::task::fresh;
use crate::cast::endpoint::{Backend, Endpoint};
use crate::cast::relay::Relay;
use crate::cast::stage::{Stage, Subject};
use crate::cast::{self, Limits};
use crate::door::Door;
use crate::finding::{Finding, Verdict};
use crate::judge;
use crate::judge::Judgement;
use crate::model;
use crate::mutant::{Direction, Mutant, Rule};
use crate::party::{Party, Role};
use crate::scenario::Scenario;
use crate::script::expand;
use crate::system::{Port, StartError, System};
use crate::tasks::side_by_side;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Caught by its scenario, under its requirement.
    Killed(Finding),
    /// Not caught, or under another name: why.
    Survived(String),
    /// The kit couldn't try: why.
    Error(String),
}

/// Mutants and what became of them.
pub type Fates = Vec<(Mutant, Fate)>;

/// Runs the mutants. Broken functions are made of the kit's model function, broken proxies of the system's.
///
/// # Errors
/// The proxy can't be prepared.
pub async fn mutants(
    all: Vec<Mutant>,
    scenarios: &[Arc<Scenario>],
    system: Option<&System>,
    time_scale: f64,
    done: &dyn Fn(&Mutant, &Fate),
) -> Result<Fates, StageError> {
    if let Some(system) = system {
        system.prepare(&[Role::Proxy], |_| {}).await?;
    }
    let laboratory = Arc::new(Laboratory {
        function: function().await?,
        system: system.cloned(),
        limits: Limits::scaled(time_scale / 2.0),
        folders: AtomicUsize::new(0),
    });
    let by_name: BTreeMap<String, Arc<Scenario>> = scenarios
        .iter()
        .map(|scenario| (scenario.name(), scenario.clone()))
        .collect();
    let places = Arc::new(Semaphore::new(6));
    let trials = all.into_iter().map(|mutant| {
        let (laboratory, places, tried) = (laboratory.clone(), places.clone(), mutant.clone());
        let scenario = by_name.get(&mutant.killed_by).cloned();
        let trial = async move {
            let _place = places.acquire().await;
            match scenario {
                Some(scenario) => laboratory.fate(&tried, &scenario).await,
                None => Fate::Error(format!("no scenario is called {}", tried.killed_by)),
            }
        };
        (mutant, trial)
    });
    let mut fates = Fates::new();
    side_by_side(trials, &mut |mutant, fate| {
        let fate = fate.unwrap_or_else(Fate::Error);
        done(&mutant, &fate);
        fates.push((mutant, fate));
    })
    .await;
    fates.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    Ok(fates)
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

struct Laboratory {
    function: SocketAddr,
    system: Option<System>,
    limits: Limits,
    folders: AtomicUsize,
}

impl Laboratory {
    async fn fate(&self, mutant: &Mutant, scenario: &Arc<Scenario>) -> Fate {
        let healthy = match self.play(mutant, scenario, None).await {
            Ok(judgement) => judgement,
            Err(text) => return Fate::Error(text),
        };
        if healthy.verdict() != Verdict::Pass {
            let root = healthy
                .root()
                .map(|finding| finding.summary.clone())
                .or(healthy.error);
            return Fate::Error(format!(
                "{} doesn't pass without the mutant: {}",
                mutant.killed_by,
                root.unwrap_or_default()
            ));
        }
        // That something did not come is seen by a fence, and on a busy machine what did come may be later than it.
        match self.broken(mutant, scenario).await {
            Fate::Survived(_) => self.broken(mutant, scenario).await,
            fate => fate,
        }
    }

    async fn broken(&self, mutant: &Mutant, scenario: &Arc<Scenario>) -> Fate {
        let rules = mutant.fresh_rules();
        let judgement = match self.play(mutant, scenario, Some(rules.clone())).await {
            Ok(judgement) => judgement,
            Err(text) => return Fate::Error(text),
        };
        if !mutant.forgets && rules.iter().all(|rule| rule.fired() == 0) {
            let found = judgement.root().map(|finding| finding.summary.clone());
            let seen = found.or(judgement.error).unwrap_or_default();
            return Fate::Survived(format!("its rules never fired: {seen}"));
        }
        let Some(root) = judgement.root() else {
            let text = judgement
                .error
                .unwrap_or_else(|| "nothing was found".to_owned());
            return Fate::Survived(text);
        };
        if root.requirement == mutant.requirement && root.blame == Some(mutant.mutates) {
            return Fate::Killed(root.clone());
        }
        let blame = root
            .blame
            .map_or_else(|| "nobody".to_owned(), |party| party.to_string());
        Fate::Survived(format!(
            "caught under another name: {} (the {blame}), {}",
            root.requirement, root.summary
        ))
    }

    /// `rules`: of the mutant; without them it is healthy.
    async fn play(
        &self,
        mutant: &Mutant,
        scenario: &Arc<Scenario>,
        rules: Option<Vec<Rule>>,
    ) -> Result<Judgement, String> {
        let forgets = mutant.forgets && rules.is_some();
        let rules = rules.unwrap_or_default();
        let (role, (stage, relays)) = match mutant.mutates {
            Party::Function => (Role::Sdk, self.broken_function(rules).await?),
            _ => {
                let broken = self.broken_proxy(scenario, rules, forgets).await;
                (Role::Proxy, broken.map_err(|error| error.to_string())?)
            }
        };
        let script = expand::expand(scenario, role, 0, fresh(scenario))
            .map_err(|reason| reason.to_string())?;
        let script = Arc::new(script);
        let transcript = cast::perform(script.clone(), Door::Grpc, &stage, &self.limits).await;
        stage.stop().await;
        // A relay that panics is seen as a stream that breaks, which is nobody's fault but the kit's.
        if let Some(why) = relays.iter().find_map(Relay::panic) {
            return Err(why);
        }
        let transcript = transcript.map_err(|error| error.to_string())?;
        Ok(judge::judge(&script, &transcript))
    }

    async fn broken_function(&self, rules: Vec<Rule>) -> Result<(Stage, Vec<Relay>), String> {
        let (call, back) = (Direction::ProxyToFunction, Direction::FunctionToProxy);
        let relay = Relay::open(self.function, call, back, rules)
            .await
            .map_err(|error| error.to_string())?;
        let function = Some(Subject::at(relay.address()));
        Ok((
            Stage {
                function,
                ..Stage::default()
            },
            vec![relay],
        ))
    }

    /// A proxy with a relay on each side, started unless the chart does that.
    async fn broken_proxy(
        &self,
        scenario: &Scenario,
        rules: Vec<Rule>,
        forgets: bool,
    ) -> Result<(Stage, Vec<Relay>), StageError> {
        let missing = || {
            StartError::because(
                "there is no proxy to make mutants of: name a system file that has one",
            )
        };
        let system = self.system.as_ref().ok_or_else(missing)?;
        let party = system
            .proxy
            .as_ref()
            .filter(|proxy| !proxy.command.is_empty())
            .ok_or_else(missing)?;
        let cant =
            |error: std::io::Error| StartError::because(format!("the kit can't listen: {error}"));
        let port = Port::free().map_err(cant)?;
        let brief = BRIEF.as_millis() as i64;
        let spec = merged(scenario, model::spec::entity_spec_with_brief(brief))?;
        let backend = Backend::Kit(announces(scenario));
        let endpoint = Endpoint::open(port, backend, spec).map_err(cant)?;
        let (call, back) = (Direction::ProxyToFunction, Direction::FunctionToProxy);
        let behind = Relay::open(endpoint.address(), call, back, rules.clone())
            .await
            .map_err(cant)?;
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloudstate-tck-mutant-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).map_err(cant)?;
        system
            .has(&scenario.needs, Role::Proxy)
            .map_err(|reason| StartError::because(reason.to_string()))?;
        let data = folder.display().to_string();
        let values = placeholders(behind.address(), data, &scenario.needs);
        let mut process = system.process(party, Party::Proxy, &values)?;
        if !starts_the_proxy(scenario) {
            serves(&mut process, &endpoint).await?;
        }
        let (call, back) = (Direction::ClientToProxy, Direction::ProxyToClient);
        let front = Relay::open(process.address(), call, back, rules)
            .await
            .map_err(cant)?;
        let proxy = Subject::managed_behind(process, front.address(), folder, forgets);
        Ok((
            Stage {
                proxy: Some(proxy),
                endpoint: Some(endpoint),
                ..Stage::default()
            },
            vec![behind, front],
        ))
    }
}
