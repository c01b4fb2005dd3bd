//! Every broken function is caught by the scenario that names its requirement.

use cloudstate_tck::mutant::Mutant;
use cloudstate_tck::party::Party;
use cloudstate_tck::run::{self, MutantResult};
use cloudstate_tck::scenario::read;
use std::sync::Arc;

#[test]
fn every_broken_function_is_caught_under_the_right_name() {
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let functions: Vec<Mutant> = mutants
        .into_iter()
        .filter(|m| m.mutates == Party::Function)
        .collect();
    assert!(
        functions.len() >= 25,
        "only {} broken functions",
        functions.len()
    );
    let scenarios: Vec<_> = read::embedded()
        .unwrap()
        .into_iter()
        .map(Arc::new)
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fates = runtime
        .block_on(run::mutants(functions, &scenarios, None, 2.0, &|_, _| {}))
        .unwrap();
    let alive: Vec<String> = fates
        .iter()
        .filter(|(_, fate)| !matches!(fate, MutantResult::Killed(_)))
        .map(|(mutant, fate)| format!("{}: {fate:?}", mutant.id))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}
