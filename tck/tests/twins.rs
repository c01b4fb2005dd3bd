//! Functions that use what they may pass every scenario in the role sdk.

use cloudstate_tck::finding::Verdict;
use cloudstate_tck::mutant::{EagerTwin, read_twins};
use cloudstate_tck::party::{Party, Role};
use cloudstate_tck::report::{Outcome, ScenarioResult};
use cloudstate_tck::run::{self, RunOptions};
use cloudstate_tck::scenario::{Scenario, read};
use cloudstate_tck::system::{PartyConfig, System};
use cloudstate_tck::yaml::Source;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

fn twins() -> Vec<EagerTwin> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/twins/functions.yaml");
    let source = Source::read(&path).unwrap_or_else(|error| panic!("{error}"));
    read_twins(&Arc::new(source)).unwrap_or_else(|error| panic!("{error}"))
}

fn options(address: SocketAddr, scenarios: Vec<Arc<Scenario>>) -> RunOptions {
    let function = PartyConfig {
        address: Some(address),
        streams: Some(32),
        ..PartyConfig::default()
    };
    let system = System {
        name: "eager twin".to_owned(),
        function: Some(function),
        ..System::default()
    };
    RunOptions::new(system, vec![Role::Sdk], scenarios)
}

fn objection(result: &ScenarioResult) -> Option<String> {
    let passed = matches!(
        result.outcome,
        Outcome::Ran {
            verdict: Verdict::Pass
        } | Outcome::NotApplicable { .. }
    );
    let findings = result.findings.iter().map(|finding| &finding.summary);
    (!passed).then(|| {
        let findings: Vec<&String> = findings.collect();
        format!(
            "{}: {findings:?} {:?}\n{}",
            result.name, result.error, result.diagram
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_uses_what_it_may_passes() {
    let scenarios = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let scenarios: Vec<_> = scenarios.into_iter().map(Arc::new).collect();
    for twin in twins() {
        let relay = run::eager_function(&twin).await;
        let relay = relay.unwrap_or_else(|error| panic!("{error}"));
        let report = run::run(options(relay.address(), scenarios.clone()), &|_| {}).await;
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        let wrong: Vec<_> = report.scenarios.iter().filter_map(objection).collect();
        assert!(
            wrong.is_empty(),
            "{}: {}\n{}",
            twin.id,
            wrong.len(),
            wrong.join("\n")
        );
        let used: usize = twin.rules.iter().map(|rule| rule.fired()).sum();
        assert!(used > 5, "{}: {used} times", twin.id);
    }
}

/// What looks like a use of the permission, and isn't: the stream only ends when the next command has come.
const ENDS_INSTEAD: &str = "- { id: ends-instead, title: The function ends the stream instead of its second answer, party: function,
    permission: passivation.voluntary-end,
    rules: [ { on: function-to-proxy, when: { reply: { command_id: 2 } }, do: { end: { status: OK } } } ] }";

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_its_stream_instead_of_answering_is_blamed_after_a_pause() {
    let source = Source {
        name: "ends-instead.yaml".to_owned(),
        text: ENDS_INSTEAD.to_owned(),
    };
    let twins = read_twins(&Arc::new(source)).unwrap_or_else(|error| panic!("{error}"));
    let scenarios = read::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let scenarios = scenarios.into_iter().map(Arc::new);
    let one = scenarios.filter(|s| s.name() == "event-sourced/own-events-are-applied");
    let relay = run::eager_function(&twins[0]).await;
    let relay = relay.unwrap_or_else(|error| panic!("{error}"));
    let report = run::run(options(relay.address(), one.collect()), &|_| {}).await;
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    let [result] = report.scenarios.as_slice() else {
        panic!("{} results", report.scenarios.len());
    };
    let root = result.findings.first();
    let named = root.map(|finding| (finding.requirement.as_str(), finding.blame));
    let expected = ("commands.stream-stays-open", Some(Party::Function));
    assert_eq!(named, Some(expected), "{}", result.diagram);
}
