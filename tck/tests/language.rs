//! The scenario language as its users meet it: the hard charts read, check and survive being written; what is
//! wrong in a file is said with its place; and the published schema is the reader's own tables.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use cloudstate_tck::check;
use cloudstate_tck::requirement::Requirements;
use cloudstate_tck::scenario::{Scenario, read, schema, write};
use cloudstate_tck::yaml::{Source, SourceError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/scenarios");

fn files(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn source(path: &Path) -> Arc<Source> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Arc::new(Source {
        name,
        text: fs::read_to_string(path).unwrap(),
    })
}

fn said(errors: &[SourceError]) -> String {
    errors.iter().map(|error| format!("{error}\n\n")).collect()
}

fn charts() -> Vec<Scenario> {
    let read = |path: &PathBuf| {
        read::read(&source(path)).unwrap_or_else(|errors| panic!("{}", said(&errors)))
    };
    files(FOLDER).iter().flat_map(read).collect()
}

/// Everything about a scenario but where it stands.
fn contents(scenario: &Scenario) -> String {
    let scenario = Scenario {
        source: Arc::new(Source {
            name: String::new(),
            text: String::new(),
        }),
        ..scenario.clone()
    };
    let mut text = format!("{scenario:?}");
    while let Some(at) = text.find("Span {") {
        let end = at + text[at..].find('}').unwrap();
        text.replace_range(at..=end, "_");
    }
    text
}

#[test]
fn the_hard_charts_check() {
    let errors = check::check(&charts(), Requirements::embedded());
    assert!(errors.is_empty(), "{}", said(&errors));
}

#[test]
fn each_hard_chart_is_for_the_roles_that_can_play_it() {
    let row = |scenario: &Scenario| {
        let roles = check::roles(scenario);
        let roles = roles.iter().map(|(role, playable)| match playable {
            Ok(()) => format!("  {role}: yes\n"),
            Err(reason) => format!("  {role}: {reason}\n"),
        });
        format!("{}\n{}", scenario.name(), roles.collect::<String>())
    };
    insta::assert_snapshot!(charts().iter().map(row).collect::<String>());
}

#[test]
fn what_is_written_reads_back_as_the_same_scenario() {
    let shipped = files(SHIPPED)
        .into_iter()
        .flat_map(|path| read::read(&source(&path)).unwrap());
    for scenario in charts().into_iter().chain(shipped) {
        let text = write::write(
            &scenario.suite,
            "cloudstate.tck.model.EventSourcedTckModel",
            std::slice::from_ref(&scenario),
            "What it is.\n\nWhere it comes from.",
        );
        let written = Arc::new(Source {
            name: "written".to_owned(),
            text,
        });
        let again = read::read(&written)
            .unwrap_or_else(|errors| panic!("{}\n{}", said(&errors), written.text));
        assert_eq!(contents(&again[0]), contents(&scenario), "{}", written.text);
    }
}

#[test]
fn a_written_scenario_looks_as_if_somebody_wrote_it() {
    let charts = charts();
    let text = write::write(
        "charts",
        "cloudstate.tck.model.EventSourcedTckModel",
        &charts,
        "The charts, written by the kit.",
    );
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_place_and_what_was_allowed() {
    for path in files(Path::new(FOLDER).join("malformed")) {
        let errors = match read::read(&source(&path)) {
            Err(errors) => errors,
            Ok(scenarios) => check::check(&scenarios, Requirements::embedded()),
        };
        assert!(!errors.is_empty(), "{} has nothing wrong", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        insta::assert_snapshot!(name, said(&errors));
    }
}

#[test]
fn no_file_is_too_broken_to_be_refused_politely() {
    for path in files(FOLDER) {
        let text = fs::read_to_string(path).unwrap();
        let places = text.char_indices().map(|(at, _)| at).step_by(131);
        for (at, broken) in
            places.flat_map(|at| ["", "{", "]", "é: ", "\n", "$", "\""].map(|b| (at, b)))
        {
            let text = format!(
                "{}{broken}{}",
                &text[..at],
                text[at..].get(1..).unwrap_or_default()
            );
            let source = Arc::new(Source {
                name: "broken".to_owned(),
                text,
            });
            let errors = match read::read(&source) {
                Err(errors) => errors,
                Ok(scenarios) => check::check(&scenarios, Requirements::embedded()),
            };
            said(&errors);
        }
    }
}

#[test]
fn the_published_schema_is_fresh() {
    let path = Path::new(SHIPPED).join("scenario.schema.json");
    let fresh = serde_json::to_string_pretty(&schema::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let published = fs::read_to_string(path).unwrap_or_default();
    let how = "`UPDATE=1 cargo test -p cloudstate-tck --test language`";
    assert!(
        published == fresh,
        "scenario.schema.json is stale: run {how} and review the change"
    );
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let schema = schema::schema();
    for path in files(SHIPPED).into_iter().chain(files(FOLDER)) {
        let file: serde_json::Value =
            serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let problem: Option<String> =
            misfit(&schema, &schema, &file).map(|text| text.chars().take(200).collect());
        assert_eq!(problem, None, "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_an_unknown_key() {
    let schema = schema::schema();
    let file = |step: serde_json::Value| {
        let scenario = serde_json::json!({ "id": "a", "title": "b", "chart": [step] });
        serde_json::json!({ "suite": "s", "service": "t", "scenarios": [scenario] })
    };
    let fine = file(serde_json::json!({ "call": "Process", "reply": {} }));
    assert_eq!(misfit(&schema, &schema, &fine), None);
    for wrong in [
        serde_json::json!({ "call": "Process", "replay_it": {} }),
        serde_json::json!({ "kill": "everybody" }),
        serde_json::json!("pasivate"),
    ] {
        assert!(misfit(&schema, &schema, &file(wrong)).is_some());
    }
}

/// Where a value doesn't fit a schema of the few words that ours is made of.
fn misfit(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
) -> Option<String> {
    use serde_json::Value;
    let fits = |schema: &Value| misfit(root, schema, value).is_none();
    let here = || Some(format!("{value} does not fit {schema}"));
    for (word, operand) in schema.as_object()? {
        let problem = match (word.as_str(), operand) {
            ("$ref", Value::String(target)) => misfit(
                root,
                root.pointer(target.trim_start_matches('#')).unwrap(),
                value,
            ),
            ("anyOf", Value::Array(options)) => {
                if options.iter().any(fits) {
                    None
                } else {
                    here()
                }
            }
            ("enum", Value::Array(words)) => {
                if words.contains(value) {
                    None
                } else {
                    here()
                }
            }
            ("const", word) => {
                if word == value {
                    None
                } else {
                    here()
                }
            }
            ("type", Value::String(name)) => {
                if is_type(value, name) {
                    None
                } else {
                    here()
                }
            }
            ("type", Value::Array(names)) => {
                let any = names
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|name| is_type(value, name));
                if any { None } else { here() }
            }
            ("items", items) => value
                .as_array()?
                .iter()
                .find_map(|item| misfit(root, items, item)),
            ("required", Value::Array(keys)) => {
                let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                if keys.iter().all(has) { None } else { here() }
            }
            ("properties", Value::Object(properties)) => value
                .as_object()?
                .iter()
                .filter_map(|(key, value)| Some((properties.get(key)?, value)))
                .find_map(|(schema, value)| misfit(root, schema, value)),
            ("additionalProperties", Value::Bool(false)) => {
                let known = |key: &String| {
                    schema
                        .get("properties")
                        .is_some_and(|properties| properties.get(key).is_some())
                        || (schema.get("patternProperties").is_some() && key.starts_with('$'))
                };
                let unknown = value.as_object()?.keys().find(|key| !known(key));
                unknown.map(|key| format!("no key {key} in {value}"))
            }
            ("minimum" | "maximum" | "minProperties" | "patternProperties", _) => None,
            ("description" | "title" | "$schema" | "$defs", _) => None,
            other => panic!("a word that this check doesn't know: {other:?}"),
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

fn is_type(value: &serde_json::Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        other => panic!("no type {other}"),
    }
}
