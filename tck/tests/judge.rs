//! Saved transcripts that the judge once got wrong. The snapshot says what it makes of each.

use cloudstate_tck::cli::{Console, execute};
use serde_json::Value;
use std::path::Path;

#[test]
fn saved_transcripts_are_judged_as_they_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let judged: Vec<String> = paths.iter().map(|path| judged(path)).collect();
    insta::assert_snapshot!(judged.join("\n"));
}

fn judged(path: &Path) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        progress: false,
    };
    let file = path.to_str().unwrap_or_default();
    execute(
        ["cloudstate-tck", "judge", "--format", "json", file],
        &mut console,
    );
    let report: Value = serde_json::from_slice(&out)
        .unwrap_or_else(|error| panic!("{file}: {error}: {}", String::from_utf8_lossy(&err)));
    let result = &report["results"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![
        path.file_stem().unwrap_or_default().display().to_string(),
        format!(
            "  {} in the role {}",
            text(&result["name"]),
            text(&result["role"])
        ),
        format!("  {}", text(&result["verdict"])),
    ];
    let findings = result["findings"].as_array().into_iter().flatten();
    lines.extend(findings.map(|finding| {
        let [name, summary] = ["requirement", "summary"].map(|key| text(&finding[key]));
        format!("  {name}: {summary}")
    }));
    lines.extend(
        result["error"]
            .as_str()
            .map(|error| format!("  error: {error}")),
    );
    lines.join("\n")
}
