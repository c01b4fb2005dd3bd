//! In each crate the modules stand in the order of its `src/lib.rs`, and none makes use of one that comes after it.
//!
//! Below the top there is no list: the modules within one may use each other, as long as they don't
//! do so in a circle. A module and its own children are one thing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod imports;
mod names;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imports::{Import, imports, sources};

/// The crates of the project, by their folders.
const CRATES: [&str; 3] = ["proto", "tck", "reference-proxy"];

/// Crates whose generated types are modules of the root, which the others use.
const IN_THE_ROOT: [&str; 1] = ["proto"];

/// The sources of a crate.
fn src_root(folder: &str) -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    project.join(folder).join("src")
}

/// The part of a module's path at this depth, if it goes so deep.
fn part(module: &str, depth: usize) -> Option<&str> {
    module
        .split("::")
        .filter(|name| !name.is_empty())
        .nth(depth)
}

/// What two modules of the same parent have to do with each other by this import: who uses whom.
fn siblings(import: &Import) -> Option<(String, String)> {
    let common = (0..)
        .take_while(|depth| {
            let (from, to) = (part(&import.module, *depth), part(&import.target, *depth));
            from.is_some() && from == to
        })
        .count();
    let below = |module: &str| -> Option<String> {
        part(module, common)?;
        let path: Vec<&str> = module.split("::").take(common + 1).collect();
        Some(path.join("::"))
    };
    // Where one of them is the other's ancestor they are one thing.
    Some((below(&import.module)?, below(&import.target)?))
}

#[test]
fn no_module_uses_one_that_comes_after_it() {
    for folder in CRATES {
        let upward = upward(&src_root(folder));
        let list = upward.join("\n");
        assert!(
            upward.is_empty(),
            "{folder}, against the order of lib.rs:\n{list}"
        );
    }
}

fn upward(src_root: &Path) -> Vec<String> {
    let sources = sources(src_root);
    let root = sources.iter().find(|s| s.module.is_empty()).unwrap();
    let rank = |module: &str| {
        let top = part(module, 0);
        root.children
            .iter()
            .position(|child| Some(child.as_str()) == top)
    };
    let imports = imports(src_root);
    let upward = imports
        .iter()
        .filter(|import| !import.module.is_empty() && rank(&import.target) > rank(&import.module));
    upward
        .map(|i| format!("{}:{} uses {}", i.file.display(), i.line, i.target))
        .collect()
}

#[test]
fn no_module_uses_what_the_root_of_the_crate_has() {
    for folder in CRATES {
        let of_root: Vec<String> = imports(&src_root(folder))
            .iter()
            .filter(|import| import.target.is_empty() && !IN_THE_ROOT.contains(&folder))
            .map(|i| format!("{folder}/{}:{}", i.file.display(), i.line))
            .collect();
        assert!(of_root.is_empty(), "{}", of_root.join("\n"));
    }
}

#[test]
fn modules_do_not_use_each_other_in_a_circle() {
    for folder in CRATES {
        let circles = circles(&src_root(folder));
        assert!(
            circles.is_empty(),
            "{folder}, in circles, or above one: {circles:#?}"
        );
    }
}

fn circles(src_root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in imports(src_root).iter().filter_map(siblings) {
        uses.entry(from).or_default().insert(to);
    }
    // Whoever uses none of those that are left isn't part of a circle.
    loop {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        let before = uses.len();
        uses.retain(|_, used| {
            used.retain(|module| left.contains(module));
            !used.is_empty()
        });
        if uses.len() == before {
            return uses;
        }
    }
}

/// The reader itself, on a crate that was made for it.
#[test]
fn imports_are_found_wherever_they_stand() {
    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "lib.rs",
        "//! crate::a\npub mod a;\nmod b;\nmod c;\npub use b::Word;\n",
    );
    write(
        "a.rs",
        "pub fn f() -> crate::c::T { \"crate::b\"; 'b'; r#\"crate::b\"#; x() }\n",
    );
    write(
        "b.rs",
        "mod inner;\nuse crate::{a::{self, f as g}, c as d};\nuse inner::X;\n\
         #[cfg(test)]\nmod tests { use crate::c::T; }\n#[cfg(test)]\nuse crate::c::T;\n",
    );
    write(
        "b/inner.rs",
        "use super::super::c::*;\nfn f<'a>(x: &'a super::X) { /* crate::a */ }\n",
    );
    write("c.rs", "");
    let found: Vec<String> = imports(directory.path())
        .iter()
        .map(|i| format!("{}:{} {}", i.file.display(), i.line, i.target))
        .collect();
    assert_eq!(
        found,
        [
            "a.rs:1 c",
            "b/inner.rs:1 c",
            "b/inner.rs:2 b",
            "b.rs:2 a",
            "b.rs:2 c",
            "b.rs:3 b::inner",
            "lib.rs:5 b"
        ]
    );
}
