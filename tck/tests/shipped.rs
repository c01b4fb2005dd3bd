//! The scenarios that the kit ships: they read, they check, they agree with the model, they survive being
//! written and read again, and the titles of the kit before this one are all answered for.

use cloudstate_tck::check;
use cloudstate_tck::mutant::Mutant;
use cloudstate_tck::requirement::{Level, Requirements};
use cloudstate_tck::scenario::{Scenario, read, write};
use cloudstate_tck::yaml::Source;
use std::collections::BTreeSet;
use std::sync::Arc;

fn shipped() -> Vec<Scenario> {
    match read::embedded() {
        Ok(scenarios) => scenarios,
        Err(errors) => panic!(
            "{}",
            errors.iter().map(|e| format!("{e}\n")).collect::<String>()
        ),
    }
}

#[test]
fn every_shipped_scenario_checks() {
    let errors = check::check(&shipped(), Requirements::embedded());
    assert!(
        errors.is_empty(),
        "{}",
        errors.iter().map(|e| format!("{e}\n")).collect::<String>()
    );
}

#[test]
fn every_shipped_scenario_survives_being_written() {
    for scenario in shipped() {
        let text = write::write(
            &scenario.suite,
            &scenario.service,
            std::slice::from_ref(&scenario),
            "a header",
        );
        let source = Arc::new(Source {
            name: "written".to_owned(),
            text,
        });
        let again = match read::read(&source) {
            Ok(again) => again,
            Err(errors) => panic!("{}\n{}", errors[0], source.text),
        };
        let twice = write::write(&again[0].suite, &again[0].service, &again, "a header");
        assert_eq!(source.text, twice);
    }
}

#[test]
fn every_title_of_the_kit_before_has_a_scenario_or_a_reason() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Suite {
        suite: String,
        titles: Vec<Title>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Title {
        title: String,
        #[serde(default)]
        scenarios: Vec<String>,
        later: Option<String>,
    }
    let text = include_str!("../../fixtures/upstream-titles.yaml");
    let suites: Vec<Suite> = serde_yaml::from_str(text).unwrap();
    let names: BTreeSet<String> = shipped().iter().map(Scenario::name).collect();
    let mut count = 0;
    for suite in &suites {
        for title in &suite.titles {
            count += 1;
            assert!(
                !title.scenarios.is_empty() || title.later.is_some(),
                "{}: {} has neither scenario nor reason",
                suite.suite,
                title.title
            );
            for name in &title.scenarios {
                assert!(
                    names.contains(name),
                    "{}: {}: no scenario is called {name}",
                    suite.suite,
                    title.title
                );
            }
        }
    }
    assert_eq!(count, 186);
}

#[test]
fn every_must_has_a_mutant_or_a_reason() {
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let broken: BTreeSet<&str> = mutants.iter().map(|m| m.requirement.as_str()).collect();
    let text = include_str!("../../fixtures/mutants/README.md");
    let rows = text.split("## Requirements without a mutant").nth(1);
    let excused: BTreeSet<&str> = rows
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let requirements = Requirements::embedded();
    for name in &excused {
        assert!(requirements.get(name).is_some(), "no requirement {name}");
        assert!(!broken.contains(name), "{name} has a mutant and a reason");
    }
    let missing: Vec<&str> = requirements
        .iter()
        .filter(|r| r.level == Level::Must && r.untestable.is_none())
        .map(|r| r.name.as_str())
        .filter(|name| !broken.contains(name) && !excused.contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
}
