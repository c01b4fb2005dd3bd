//! The proxy's core stays small: a door, an engine or an eventing source is a crate of its own beside it. And no file or
//! function is long, but for what is a table.

use std::collections::BTreeSet;

use crate::imports::{Source, sources};
use crate::{CRATES, src_root};

/// How many lines the core may have that are neither blank, nor comments, nor tests.
const CORE: usize = 8_000;
/// Files and functions that read better whole, and why.
const WHOLE: [(&str, &str); 1] = [("tck/scenario/keys.rs", "the table of the language's keys")];
/// How long a file may be, all lines counted.
const FILE: usize = 500;
/// How long a function may be, from its name to its last brace.
const FUNCTION: usize = 60;

fn code_lines(source: &Source) -> usize {
    let lines: BTreeSet<usize> = source.tokens.iter().map(|token| token.line).collect();
    lines.len()
}

#[test]
fn the_core_is_small() {
    let core = sources(&src_root("reference-proxy"));
    let lines: usize = core.iter().map(code_lines).sum();
    println!("{lines} lines of code");
    assert!(
        (1_000..=CORE).contains(&lines),
        "{lines} lines of code, of at most {CORE}"
    );
}

/// `WHOLE` has this file or function.
fn whole(name: &str) -> bool {
    WHOLE.iter().any(|(whole, _)| *whole == name)
}

#[test]
fn no_file_is_long() {
    let mut long = Vec::new();
    for folder in CRATES {
        for source in sources(&src_root(folder)) {
            let path = src_root(folder).join(&source.file);
            let lines = std::fs::read_to_string(path).unwrap().lines().count();
            let name = format!("{folder}/{}", source.file.display());
            if lines > FILE && !whole(&name) {
                long.push(format!("{name}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_function_is_long() {
    let mut long = Vec::new();
    for folder in CRATES {
        for source in sources(&src_root(folder)) {
            let all = source.tokens.windows(2).enumerate();
            for (at, pair) in all.filter(|(_, pair)| pair[0].text == "fn") {
                let lines = last_line(&source, at) - pair[0].line + 1;
                let name = format!("{folder}/{}:{}", source.file.display(), pair[1].text);
                if lines > FUNCTION && !whole(&name) {
                    long.push(format!("{name}: {lines} lines"));
                }
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Where a function ends: with the brace that closes its body, or with a semicolon before any.
fn last_line(source: &Source, at: usize) -> usize {
    let mut depth = 0;
    for token in &source.tokens[at..] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth <= 1 => return token.line,
            "}" => depth -= 1,
            ";" if depth == 0 => return token.line,
            _ => {}
        }
    }
    source.tokens.last().map_or(0, |token| token.line)
}
