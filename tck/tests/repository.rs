//! What the repository says in several places is the same in all.

use std::fs;
use std::path::Path;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_oldest_rust_is_the_same_for_cargo_for_readers_and_for_ci() {
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for (file, says) in [
        ("README.md", format!("Rust ({rust} or later)")),
        (
            ".github/workflows/ci.yml",
            format!("rust: [\"{rust}\", stable]"),
        ),
    ] {
        assert!(text(file).contains(&says), "{file} doesn't say {says:?}");
    }
}

#[test]
fn crates_depend_on_each_other_in_the_version_that_they_have() {
    let version = env!("CARGO_PKG_VERSION");
    let manifest = text("Cargo.toml");
    for (name, folder) in [("cloudstate-protocol", "proto"), ("cloudstate-tck", "tck")] {
        let line = format!("{name} = {{ path = \"{folder}\", version = \"{version}\" }}");
        assert!(manifest.contains(&line), "Cargo.toml doesn't have {line}");
    }
}
