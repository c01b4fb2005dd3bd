//! Embeds the specification, the scenarios and the mutants, so that the program is one file, and writes a constant
//! for the name of each requirement, so that the code can't name one that there isn't.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Links to `spec/` and `fixtures/` beside this crate; in its package, copies of them.
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("embedded");
    let mut code = String::new();
    let spec = root.join("spec").canonicalize()?;
    embed(
        &mut code,
        "SPEC",
        "The chapters of the specification: file name and text.",
        &spec,
        "md",
    )?;
    embed(
        &mut code,
        "SCENARIOS",
        "The scenario files: path under fixtures/scenarios and text.",
        &root.join("scenarios").canonicalize()?,
        "yaml",
    )?;
    embed(
        &mut code,
        "MUTANTS",
        "The mutants: path under fixtures/mutants and text.",
        &root.join("mutants").canonicalize()?,
        "yaml",
    )?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("embedded.rs"), code)?;
    fs::write(out.join("names.rs"), constants(&requirements(&spec)?))
}

/// The names of all requirements, sorted. `Requirements::read` reads the rest, and a test compares the two.
fn requirements(spec: &Path) -> io::Result<BTreeSet<String>> {
    let mut chapters = Vec::new();
    walk(spec, "md", &mut chapters)?;
    let mut names = BTreeSet::new();
    for chapter in chapters {
        let text = fs::read_to_string(chapter)?;
        let name = |line: &str| {
            let (name, _) = line.trim().strip_prefix("**`")?.split_once("`**")?;
            Some(name.to_owned())
        };
        names.extend(text.lines().filter_map(name));
    }
    Ok(names)
}

fn constants(names: &BTreeSet<String>) -> String {
    let mut code = String::new();
    let mut all = String::new();
    for name in names {
        let constant = name.replace(['.', '-'], "_").to_uppercase();
        let _ = writeln!(code, "/// `{name}`");
        let _ = writeln!(
            code,
            "pub const {constant}: RequirementName = RequirementName({name:?});"
        );
        let _ = writeln!(all, "    {constant},");
    }
    let _ = writeln!(
        code,
        "/// All of them, sorted.\npub const ALL: &[RequirementName] = &[\n{all}];"
    );
    code
}

fn embed(
    code: &mut String,
    name: &str,
    doc: &str,
    folder: &Path,
    extension: &str,
) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    walk(folder, extension, &mut files)?;
    files.sort();
    let _ = writeln!(code, "/// {doc}\npub const {name}: &[(&str, &str)] = &[");
    for file in files {
        let short = file
            .strip_prefix(folder)
            .unwrap_or(&file)
            .to_string_lossy()
            .replace('\\', "/");
        let _ = writeln!(
            code,
            "    ({short:?}, include_str!({:?})),",
            file.canonicalize()?
        );
    }
    code.push_str("];\n");
    Ok(())
}

fn walk(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            walk(&path, extension, files)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    Ok(())
}
