//! Every broken proxy is caught by the scenario that names its requirement.

#[path = "reference/system.rs"]
mod system;

use cloudstate_tck::mutant::Mutant;
use cloudstate_tck::party::Party;
use cloudstate_tck::run::{self, MutantResult};
use cloudstate_tck::scenario::read;
use std::sync::Arc;

#[test]
fn every_broken_proxy_is_caught_under_the_right_name() {
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let proxies: Vec<Mutant> = mutants
        .into_iter()
        .filter(|m| m.mutates == Party::Proxy)
        .collect();
    assert!(proxies.len() >= 25, "only {} broken proxies", proxies.len());
    let system = system::reference().unwrap();
    let scenarios: Vec<_> = read::embedded()
        .unwrap()
        .into_iter()
        .map(Arc::new)
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fates = runtime
        .block_on(run::mutants(
            proxies,
            &scenarios,
            Some(&system),
            2.0,
            &|_, _| {},
        ))
        .unwrap();
    let alive: Vec<String> = fates
        .iter()
        .filter(|(_, fate)| !matches!(fate, MutantResult::Killed(_)))
        .map(|(mutant, fate)| format!("{}: {fate:?}", mutant.id))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}
