//! What a user sees.

use super::*;
use crate::cast::relay::Relay;
use crate::mutant::{Direction, Mutant};
use cloudstate_protocol::cloudstate::EntitySpec;
use cloudstate_protocol::descriptors::descriptor_set_for;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::path::PathBuf;

/// Runs the program: exit code, standard output, standard error.
fn tck(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        progress: false,
    };
    let all = std::iter::once("cloudstate-tck").chain(arguments.iter().copied());
    let code = execute(all, &mut console);
    (
        code.code(),
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

/// As one text to approve.
fn shown(arguments: &[&str]) -> String {
    let (code, out, err) = tck(arguments);
    let err = if err.is_empty() {
        String::new()
    } else {
        format!("--- standard error\n{err}")
    };
    format!(
        "$ cloudstate-tck {}\n{out}{err}--- exit code {code}\n",
        arguments.join(" ")
    )
}

/// A file with this text, in a folder that the test removes.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const SCENARIOS: &str = "\
suite: small
service: cloudstate.tck.model.EventSourcedTckModel
scenarios:
  - id: answers
    title: A command is answered
    verifies: commands.answers-its-caller
    chart:
      - call: Process
        request: { actions: [ { emit: { value: A } } ] }
      - passivate
      - call: Process
        request: {}
";

#[test]
fn help() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["run", "--help"],
        &["list", "--help"],
        &["explain", "--help"],
    ] {
        let name = arguments.join("-").replace("--", "-");
        insta::assert_snapshot!(format!("help-{name}"), shown(arguments));
    }
}

#[test]
fn mistakes_on_the_command_line_are_told_with_the_usage_code() {
    for arguments in [
        &[][..],
        &["rnu"],
        &["run"],
        &["run", "--role", "server"],
        &["run", "--proxy", "127.0.0.1:9000"],
        &["run", "--function", "localhost"],
        &["run", "--function", "127.0.0.1:1", "--role", "proxy"],
        &["run", "--function", "127.0.0.1:1", "--time-scale", "0"],
        &["run", "--function", "127.0.0.1:1", "--time-scale", "1e30"],
        &["mutants", "--time-scale", "1e30"],
        &["run", "--function", "127.0.0.1:1", "--generated", "10001"],
        &["run", "--function", "http://127.0.0.1:8080"],
        &["run", "--function", "127.0.0.1:1", "--report", "/dev/null"],
        &["run", "--function-command", "node {lisen}"],
        &["run", "--proxy-command", "proxy {listen}"],
        &["mutants", "--proxy-command", "proxy {listen} {functoin}"],
        &["list", "--requirements", "--filter", "nothing"],
        &["explain", "failures.restart", "--role", "sdk"],
        &["run", "--function-command", "node 'index.js"],
        &["explain", "no-such-thing"],
        &["list", "--filter", "nothing/*"],
        &["show", "no-such-file.json"],
        &["check", "no-such-file.yaml"],
        &["judge", "no-such-file.jsonl"],
        &["mutants", "--filter", "nothing-like-it"],
    ] {
        let (code, out, err) = tck(arguments);
        assert_eq!(code, 64, "{arguments:?}: {err}");
        assert_eq!(out, "", "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
    insta::assert_snapshot!("mistake-no-subject", shown(&["run"]));
    let values = [
        &["--function", "localhost"][..],
        &["--function", "127.0.0.1:1", "--time-scale", "1e30"],
        &["--function", "127.0.0.1:1", "--generated", "10001"],
        &["--function", "127.0.0.1:1", "--report", "/dev/null"],
        &["--function-command", "node {lisen}"],
    ];
    let values = values.map(|values| shown(&[&["run"], values].concat()));
    insta::assert_snapshot!("mistake-values", values.join("\n"));
    insta::assert_snapshot!(
        "mistake-role",
        shown(&["run", "--function", "127.0.0.1:1", "--role", "stack"])
    );
}

/// Whatever looks like the name of a scenario or requirement in help, or in the description of system files, is one.
#[test]
fn every_name_in_help_exists() {
    let scenarios: Vec<String> = crate::scenario::read::embedded()
        .unwrap()
        .iter()
        .map(|scenario| scenario.name())
        .collect();
    let requirements = crate::requirement::Requirements::embedded();
    let requirements: Vec<String> = requirements.iter().map(|r| r.name.clone()).collect();
    let commands = [
        "run", "list", "explain", "check", "judge", "show", "mutants", "function",
    ];
    let mut text = include_str!("../system.rs").to_owned() + &tck(&["--help"]).1;
    for command in commands {
        text += &tck(&[command, "--help"]).1;
    }
    let mut found = 0;
    for (between, names) in [('/', &scenarios), ('.', &requirements)] {
        let in_name = |c: char| c.is_ascii_lowercase() || c == '-' || c == '*' || c == between;
        for word in text.split(|c| !in_name(c)) {
            let Some((first, second)) = word.split_once(between) else {
                continue;
            };
            let is_first = |name: &String| name.split(between).next() == Some(first);
            if !second.is_empty() && names.iter().any(is_first) {
                let exists = names.iter().any(|name| crate::system::glob(word, name));
                assert!(exists, "nothing is called {word}");
                found += 1;
            }
        }
    }
    assert!(found >= 4, "only {found} names");
    let help = tck(&["explain", "-h"]).1;
    let (_, examples) = help.split_once("<NAME>  ").unwrap();
    let (examples, _) = examples.split_once("Options:").unwrap();
    for example in examples.split('`').skip(1).step_by(2) {
        let (code, _, err) = tck(&["explain", example]);
        assert_eq!(code, 0, "{err}");
    }
}

#[test]
fn requirements_are_listed_by_chapter_and_by_what_a_role_tests() {
    let names = |arguments: &[&str]| -> Vec<String> {
        let list = ["list", "--requirements", "--format", "json"];
        let (code, out, err) = tck(&[&list, arguments].concat());
        assert_eq!(code, 0, "{err}");
        let all: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        all.iter()
            .map(|r| {
                format!(
                    "{} {}",
                    r["name"].as_str().unwrap(),
                    r["party"].as_str().unwrap()
                )
            })
            .collect()
    };
    let chapter = names(&["--filter", "passivation"]);
    assert!(!chapter.is_empty());
    assert!(chapter.iter().all(|name| name.starts_with("passivation.")));
    let of_sdk = names(&["--role", "sdk"]);
    assert!(!of_sdk.is_empty());
    assert!(of_sdk.iter().all(|name| name.ends_with(" function")));
    assert_eq!(names(&["-f", "effects.hop-limit"]).len(), 1);
}

#[test]
fn a_host_can_be_a_name() {
    let model = model();
    let address = model.address.replace("127.0.0.1", "localhost");
    let (code, out, err) = tck(&["run", "--function", &address, "-f", "commands"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn of_very_many_problems_the_first_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("no.such-{number}")).collect();
    let wrong = SCENARIOS.replace(
        "verifies: commands.answers-its-caller",
        &format!("verifies: [{}]", names.join(", ")),
    );
    let path = file(&folder, "many.yaml", &wrong);
    let (code, _, err) = tck(&["check", path.to_str().unwrap()]);
    assert_eq!(code, 64);
    assert!(err.contains("200 problems"), "{err}");
    assert!(err.trim_end().ends_with("and 150 more"), "{err}");
    assert!(err.len() < 50_000, "{} bytes", err.len());
}

#[test]
fn a_name_that_is_almost_right_is_suggested() {
    let (code, _, err) = tck(&["explain", "commands.answers-its-caler"]);
    assert_eq!(code, 64);
    assert!(
        err.contains("did you mean commands.answers-its-caller?"),
        "{err}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "small.yaml", SCENARIOS);
    let (_, _, err) = tck(&[
        "list",
        "--scenarios",
        path.to_str().unwrap(),
        "--filter",
        "small/answer",
    ]);
    assert!(err.contains("did you mean small/answers?"), "{err}");
}

#[test]
fn a_scenario_is_explained_with_the_answers_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "small.yaml", SCENARIOS);
    let text = shown(&["explain", "answers", "--scenarios", path.to_str().unwrap()]);
    insta::assert_snapshot!(text.replace(folder.path().to_str().unwrap(), "FOLDER"));
    let (code, svg, _) = tck(&[
        "explain",
        "answers",
        "--svg",
        "--scenarios",
        path.to_str().unwrap(),
    ]);
    assert_eq!(code, 0);
    assert!(svg.starts_with("<svg"), "{svg}");
}

#[test]
fn a_requirement_is_explained_by_its_sentence_and_scenarios() {
    let (code, out, _) = tck(&["explain", "commands.answers-its-caller"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("MUST") && out.contains("spec/commands.md"),
        "{out}"
    );
}

#[test]
fn everything_built_in_checks_and_is_listed() {
    let (code, out, err) = tck(&["check"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (_, listed, _) = tck(&["list", "--format", "json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        listed.len(),
        crate::scenario::read::embedded().unwrap().len()
    );
    let (_, requirements, _) = tck(&["list", "--requirements", "--format", "json"]);
    let requirements: Vec<serde_json::Value> = serde_json::from_str(&requirements).unwrap();
    assert_eq!(
        requirements.len(),
        crate::requirement::Requirements::embedded().iter().count()
    );
}

#[test]
fn every_built_in_scenario_and_requirement_can_be_explained() {
    let catalog = catalog::Catalog::load(&[]).unwrap();
    for scenario in &catalog.scenarios {
        for role in list::playable(scenario) {
            let text = explain::scenario_text(scenario, role, Paint::Plain);
            assert!(text.contains("▶"), "{}: {text}", scenario.name());
        }
    }
    for requirement in crate::requirement::Requirements::embedded().iter() {
        let text = explain::requirement_text(requirement, &catalog, Paint::Plain);
        assert!(text.contains(&requirement.name), "{text}");
    }
}

#[test]
fn the_list_is_text_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "small.yaml", SCENARIOS);
    insta::assert_snapshot!(tck(&["list", "--scenarios", path.to_str().unwrap()]).1);
}

#[test]
fn what_is_wrong_in_a_scenario_file_is_shown_there() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = SCENARIOS
        .replace("emit:", "emitt:")
        .replace("answers-its-caller", "answers-its-caler");
    let path = file(&folder, "wrong.yaml", &wrong);
    let text = shown(&["check", path.to_str().unwrap()]);
    insta::assert_snapshot!(text.replace(folder.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn a_report_is_rendered_again_with_the_exit_code_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let report = crate::report::Report::new(Default::default(), Vec::new(), 7);
    let path = file(
        &folder,
        "report.json",
        &crate::report::json::render(&report),
    );
    let (code, out, _) = tck(&["show", path.to_str().unwrap(), "--format", "json"]);
    assert_eq!((code, out), (4, crate::report::json::render(&report)));
}

#[test]
fn colours_are_used_where_asked_for() {
    let plain = tck(&["list"]).1;
    let coloured = tck(&["list", "--color", "always"]).1;
    assert!(!plain.contains('\x1b') && coloured.contains('\x1b'));
}

#[test]
fn the_schema_is_json() {
    let (code, out, _) = tck(&["schema"]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
}

#[test]
fn a_subject_that_is_not_there_has_its_own_exit_code() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let (code, _, err) = tck(&["run", "--function", &free]);
    assert_eq!(code, 69, "{err}");
    assert!(err.starts_with("error: the function at "), "{err}");
    let (code, _, err) = tck(&["run", "--function-command", "sh -c 'exit 3' {port}"]);
    assert_eq!(code, 69, "{err}");
    assert!(err.starts_with("error: the function ended before"), "{err}");
}

/// The model function on a free port, until it is dropped.
struct Model {
    address: String,
    runtime: tokio::runtime::Runtime,
}

fn model() -> Model {
    model_announcing(crate::model::spec::entity_spec())
}

fn model_announcing(spec: EntitySpec) -> Model {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(crate::model::function::serve_as(
        spec,
        listener,
        std::future::pending(),
    ));
    Model { address, runtime }
}

#[test]
fn the_model_function_passes_and_the_report_is_written() {
    let model = model();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir_all(out.join("transcripts")).unwrap();
    let old = file(&folder, "out/transcripts/sdk-commands-old.jsonl", "");
    let kept = file(&folder, "out/transcripts/notes.jsonl", "");
    let (code, text, err) = tck(&[
        "run",
        "--function",
        &model.address,
        "--filter",
        "commands/**",
        "--report",
        out.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{text}{err}");
    for name in ["report.json", "junit.xml", "report.md"] {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    assert!(!old.exists(), "a transcript of a run before is still there");
    assert!(kept.exists(), "a file that isn't the kit's is gone");
    let (code, _, _) = tck(&[
        "show",
        out.join("report.json").to_str().unwrap(),
        "--format",
        "junit",
    ]);
    assert_eq!(code, 0);
}

#[test]
fn two_runs_report_the_same() {
    let model = model();
    let run = || {
        tck(&[
            "run",
            "--function",
            &model.address,
            "--without-times",
            "--format",
            "json",
            "-f",
            "failures",
        ])
        .1
    };
    assert_eq!(run(), run());
}

/// A broken function is found out, and its transcript is judged the same again.
#[test]
fn a_failure_has_its_five_parts_and_can_be_judged_again() {
    let model = model();
    let mutants = Mutant::embedded().unwrap_or_else(|errors| panic!("{}", errors[0]));
    let mutant = mutants
        .iter()
        .find(|mutant| mutant.id == "wrong-first-state")
        .unwrap();
    let (call, back) = (Direction::ProxyToFunction, Direction::FunctionToProxy);
    let address = model.address.parse().unwrap();
    let relay = Relay::open(address, call, back, mutant.fresh_rules());
    let relay = model.runtime.block_on(relay).unwrap();
    let (address, scenario) = (relay.address().to_string(), mutant.killed_by.as_str());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();

    let (code, text, err) = tck(&[
        "run",
        "--function",
        &address,
        "-f",
        scenario,
        "--report",
        out,
    ]);
    assert_eq!(code, 1, "{text}{err}");
    let rerun = format!("cloudstate-tck run --function {address} --role sdk --filter '{scenario}'");
    for part in [
        &mutant.requirement,
        "(MUST)",
        "◀━━",
        "- \"\"",
        "+ old",
        &rerun,
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }

    let name = format!("sdk-{}.jsonl", scenario.replace('/', "-"));
    let transcript = folder.path().join("transcripts").join(name);
    let (code, again, err) = tck(&["judge", transcript.to_str().unwrap(), "--entries"]);
    assert_eq!(code, 1, "{again}{err}");
    for part in [&mutant.requirement, "- \"\"", "+ old", "half-close"] {
        assert!(again.contains(part), "{part} is missing in\n{again}");
    }
}

/// The report of a run on a function that announces this, without what differs from run to run.
fn report_on(spec: EntitySpec, more: &[&str]) -> (u8, serde_json::Value) {
    let model = model_announcing(spec);
    let run = [
        "run",
        "--function",
        &model.address,
        "--without-times",
        "--format",
        "json",
    ];
    let (code, out, err) = tck(&[&run[..], more].concat());
    let text = out.replace(&model.address, "ADDRESS");
    let mut report: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{out}{err}"));
    for result in report["results"].as_array_mut().unwrap() {
        // An end that is seen just before or just after the last step.
        result.as_object_mut().unwrap().remove("entries");
    }
    (code, report)
}

/// The models, and beside their descriptors a file that nobody imports.
fn spec_with_file_of(syntax: &str) -> EntitySpec {
    let file = FileDescriptorProto {
        name: Some("shop/cart.proto".to_owned()),
        package: Some("shop".to_owned()),
        syntax: Some(syntax.to_owned()),
        ..Default::default()
    };
    let mut spec = crate::model::spec::entity_spec();
    // Sets of files are put together by putting their bytes together.
    spec.proto
        .extend(FileDescriptorSet { file: vec![file] }.encode_to_vec());
    spec
}

#[test]
fn a_file_of_an_unknown_syntax_that_nobody_needs_changes_no_verdict() {
    let discovery = ["--filter", "discovery/**"];
    let (code, known) = report_on(spec_with_file_of("proto3"), &discovery);
    assert_eq!(code, 0, "{known:#}");
    for syntax in ["", "editions", "proto9"] {
        let (code, unknown) = report_on(spec_with_file_of(syntax), &discovery);
        assert_eq!(unknown["results"], known["results"], "{syntax}");
        assert_eq!(code, 0, "{syntax}");
        let unread = format!("shop/cart.proto (syntax {syntax:?})");
        let told = unknown["system"]["service_info"].to_string();
        assert_eq!(
            told.contains(&unread.replace('"', "\\\"")),
            !syntax.is_empty(),
            "{told}"
        );
    }
}

#[test]
fn a_file_of_an_unknown_syntax_that_a_model_needs_is_found() {
    let mut spec = spec_with_file_of("proto9");
    let importing = FileDescriptorProto {
        name: Some("cloudstate/tck/model/more.proto".to_owned()),
        dependency: vec!["shop/cart.proto".to_owned()],
        ..Default::default()
    };
    let set = FileDescriptorSet {
        file: vec![importing],
    };
    spec.proto.extend(set.encode_to_vec());
    let (code, report) = report_on(spec, &["--filter", "discovery/descriptors-are-complete"]);
    assert_eq!(code, 1, "{report:#}");
    let finding = &report["results"][0]["findings"][0];
    assert_eq!(finding["requirement"], "discovery.descriptors-complete");
    let summary = finding["summary"].to_string();
    for part in ["shop/cart.proto", "proto9"] {
        assert!(summary.contains(part), "{summary}");
    }
}

/// The models whose names the predicate likes.
fn spec_with(announced: impl Fn(&str) -> bool) -> EntitySpec {
    let mut spec = crate::model::spec::entity_spec();
    spec.entities
        .retain(|entity| announced(&entity.service_name));
    spec
}

/// A run on a function that announces this: exit code, and the last line at the terminal.
fn conclusion_on(spec: EntitySpec, more: &[&str]) -> (u8, String) {
    let model = model_announcing(spec);
    let run = ["run", "--function", &model.address];
    let (code, out, _) = tck(&[&run[..], more].concat());
    (code, out.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_function_that_announces_nothing_known_does_not_pass() {
    const CRDT: &str = "cloudstate.tck.model.crdt.CrdtTckModel";
    let mut other = spec_with(|name| name.ends_with("EventSourcedTwo"));
    other.entities[0].service_name = CRDT.to_owned();
    other.entities[0].entity_type = "cloudstate.crdt.Crdt".to_owned();
    other.proto = descriptor_set_for(&[CRDT]).unwrap();
    for (spec, names) in [(spec_with(|_| false), "none"), (other, CRDT)] {
        for filter in [
            &[][..],
            &["--filter", "discovery/function-describes-itself"],
        ] {
            let (code, last) = conclusion_on(spec.clone(), filter);
            let expected = format!(
                "NOTHING CHECKED: in the role sdk the function announces no entity that the kit has scenarios for \
                 ({names}) (exit code 4)"
            );
            assert_eq!((code, last), (4, expected), "{filter:?}");
        }
    }
}

#[test]
fn scenarios_about_what_is_not_announced_are_not_applicable() {
    let without = |name: &'static str| spec_with(move |other| !other.contains(name));
    for (lacking, filter) in [
        ("valueentity", "value-entities/**"),
        ("valueentity", "value-entities/init-for-an-unknown-service"),
        (
            "ValueEntityTwo",
            "value-entities/unknown-command-of-the-second-service",
        ),
        (
            "ValueEntityConfigured",
            "discovery/value-entity-configured-passivation",
        ),
        ("EventSourcedConfigured", "discovery/configured-passivation"),
    ] {
        let (code, last) = conclusion_on(without(lacking), &["--filter", filter]);
        assert_eq!(code, 4, "{filter}: {last}");
        let start = "NOTHING CHECKED: in the role sdk no scenario was played: the function doesn't announce ";
        assert!(last.starts_with(start), "{last}");
        let (code, last) = conclusion_on(spec_with(|_| true), &["--filter", filter]);
        assert_eq!(code, 0, "{filter}: {last}");
    }
    // What is left is still checked.
    let (code, last) = conclusion_on(without("valueentity"), &["--filter", "passivation/**"]);
    assert_eq!(code, 0, "{last}");
}
