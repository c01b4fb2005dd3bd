//! Every broken proxy is caught by the scenario that names its requirement.

use cloudstate_tck::mutant::Mutant;
use cloudstate_tck::run::{self, Fate};
use cloudstate_tck::scenario::{Party, read};
use cloudstate_tck::system::{self, System};
use std::sync::Arc;

#[test]
fn every_broken_proxy_is_caught_under_the_right_name() {
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let proxies: Vec<Mutant> = mutants
        .into_iter()
        .filter(|m| m.mutates == Party::Proxy)
        .collect();
    assert!(proxies.len() >= 25, "only {} broken proxies", proxies.len());
    let command = [
        env!("CARGO_BIN_EXE_cloudstate-reference-proxy"),
        "--listen",
        "{listen}",
        "--function",
        "{function}",
        "--journal",
        "memory",
        "--relay-timeout",
        "{relay_timeout}ms",
        "--half-close-timeout",
        "{half_close_timeout}ms",
    ];
    let proxy = system::Party {
        command: command.map(str::to_owned).to_vec(),
        ..system::Party::default()
    };
    let system = System {
        name: "reference".to_owned(),
        proxy: Some(proxy),
        folder: env!("CARGO_MANIFEST_DIR").into(),
        ..System::default()
    };
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
        .filter(|(_, fate)| !matches!(fate, Fate::Killed(_)))
        .map(|(mutant, fate)| format!("{}: {fate:?}", mutant.id))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}
