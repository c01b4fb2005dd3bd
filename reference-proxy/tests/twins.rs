//! Functions that use what they may pass every scenario in the role stack, with this proxy.

#[path = "reference/system.rs"]
#[allow(dead_code)]
mod system;

use cloudstate_tck::finding::Verdict;
use cloudstate_tck::mutant::{EagerTwin, read_twins};
use cloudstate_tck::party::Role;
use cloudstate_tck::report::{Outcome, ScenarioResult};
use cloudstate_tck::run::{self, RunOptions};
use cloudstate_tck::scenario::read;
use cloudstate_tck::system::PartyConfig;
use cloudstate_tck::yaml::Source;
use std::path::Path;
use std::sync::Arc;

fn objection(result: &ScenarioResult) -> Option<String> {
    let passed = matches!(
        result.outcome,
        Outcome::Ran {
            verdict: Verdict::Pass
        } | Outcome::NotApplicable { .. }
    );
    (!passed).then(|| format!("{}: {:?}\n{}", result.name, result.error, result.diagram))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_uses_what_it_may_passes_in_a_stack() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/twins/functions.yaml");
    let source = Arc::new(Source::read(&path).unwrap_or_else(|error| panic!("{error}")));
    let scenarios = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let scenarios: Vec<_> = scenarios.into_iter().map(Arc::new).collect();
    let twins = read_twins(&source).unwrap_or_else(|error| panic!("{error}"));
    // The proxy delivers what waits for an entity at once, so that by chance it meets the end of a stream; the role sdk,
    // where the kit is the proxy, holds that twin.
    let steady = |twin: &&EagerTwin| twin.permission != "passivation.voluntary-end";
    for twin in twins.iter().filter(steady) {
        let relay = run::eager_function(twin).await;
        let relay = relay.unwrap_or_else(|error| panic!("{error}"));
        let system = system::before(PartyConfig {
            address: Some(relay.address()),
            streams: Some(64),
            ..PartyConfig::default()
        });
        let options = RunOptions::new(system, vec![Role::Stack], scenarios.clone());
        let report = run::run(options, &|_| {}).await;
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        let wrong: Vec<_> = report.scenarios.iter().filter_map(objection).collect();
        assert!(
            wrong.is_empty(),
            "{}: {}\n{}",
            twin.id,
            wrong.len(),
            wrong.join("\n")
        );
    }
}
