//! The types and the descriptor set in `src/generated` are what the `.proto` files compile to today. They are checked
//! in, so that no user's build needs a compiler of `.proto` files.
//!
//! `UPDATE=1 cargo test -p cloudstate-protocol --test fresh` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

/// Where imports are looked up. Each folder is one audience's part of the protocol.
const ROOTS: [&str; 4] = ["protocol", "frontend", "tck", "third_party"];

const FILES: [&str; 16] = [
    "cloudstate/entity.proto",
    "cloudstate/event_sourced.proto",
    "cloudstate/value_entity.proto",
    "cloudstate/crdt.proto",
    "cloudstate/action.proto",
    "cloudstate/entity_key.proto",
    "cloudstate/legacy_entity_key.proto",
    "cloudstate/eventing.proto",
    "cloudstate/tck/model/eventsourced.proto",
    "cloudstate/tck/model/valueentity.proto",
    "cloudstate/tck/model/crdt.proto",
    "cloudstate/tck/model/action.proto",
    "cloudstate/tck/model/eventlogeventing.proto",
    "cloudstate/tck/model/entitykeys.proto",
    "google/api/annotations.proto",
    "google/api/httpbody.proto",
];

/// Served by the kit from its descriptors alone: nobody needs types for it.
const WITHOUT_TYPES: &str = "cloudstate.tck.model.entitykeys";

const GENERATED: &str = "src/generated";

/// Content by file name.
type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn the_generated_files_are_those_of_the_proto_files() {
    let fresh = generate();
    if env::var_os("UPDATE").is_some() {
        replace(&fresh).unwrap();
    }
    let committed = read(Path::new(GENERATED)).unwrap();
    let stale: Vec<&String> = fresh
        .keys()
        .chain(committed.keys())
        .filter(|name| fresh.get(*name) != committed.get(*name))
        .collect();
    assert!(
        stale.is_empty(),
        "{GENERATED} differs from the .proto files in {stale:?}; to write it anew: \
         UPDATE=1 cargo test -p cloudstate-protocol --test fresh"
    );
}

fn generate() -> Files {
    let mut compiler = protox::Compiler::new(ROOTS).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES).unwrap();

    let mut types = tonic_prost_build::Config::new();
    types
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com");
    // Google's comments have indented examples, which rustdoc would take for Rust.
    types.disable_comments([".google"]);
    let mut typed = compiler.file_descriptor_set();
    typed.file.retain(|file| file.package() != WITHOUT_TYPES);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    tonic_prost_build::configure()
        .out_dir(&folder)
        .compile_fds_with_config(typed, types)
        .unwrap();

    let mut files = read(&folder).unwrap();
    // From the compiler itself: on the way through `prost_types` it would lose every custom option, entity keys
    // included.
    files.insert(
        "descriptor_set.bin".to_owned(),
        compiler.encode_file_descriptor_set(),
    );
    files
}

fn read(folder: &Path) -> io::Result<Files> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read(entry.path())?))
        })
        .collect()
}

fn replace(files: &Files) -> io::Result<()> {
    fs::remove_dir_all(GENERATED)?;
    fs::create_dir_all(GENERATED)?;
    for (name, content) in files {
        fs::write(Path::new(GENERATED).join(name), content)?;
    }
    Ok(())
}
