//! Compiles the `.proto` files: to Rust types, and to the descriptor set that the crate embeds.
//!
//! The two come from the same compilation. The descriptor set is written by the compiler itself:
//! on the way through `prost_types` it would lose every custom option, entity keys included.

use std::{env, error::Error, fs, path::PathBuf};

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

fn main() -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(ROOTS)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptor_set.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let mut types = tonic_prost_build::Config::new();
    types
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com");
    // Google's comments have indented examples, which rustdoc would take for Rust.
    types.disable_comments([".google"]);
    tonic_prost_build::configure()
        .compile_fds_with_config(compiler.file_descriptor_set(), types)?;

    // The compiler doesn't tell cargo; the built-in google/protobuf files have no path.
    println!("cargo:rerun-if-changed=build.rs");
    for path in compiler.files().filter_map(|file| file.path()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    Ok(())
}
