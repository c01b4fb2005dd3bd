//! The core stays small: a door, an engine or an eventing source is a crate of its own beside it.

use std::collections::BTreeSet;

use crate::imports::{Source, sources};
use crate::src_root;

/// How many lines the core may have that are neither blank, nor comments, nor tests.
const CORE: usize = 8_000;
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
    let lines: usize = sources(src_root()).iter().map(code_lines).sum();
    println!("{lines} lines of code");
    assert!(
        (1_000..=CORE).contains(&lines),
        "{lines} lines of code, of at most {CORE}"
    );
}

#[test]
fn no_file_is_long() {
    for source in sources(src_root()) {
        let text = std::fs::read_to_string(src_root().join(&source.file)).unwrap();
        let lines = text.lines().count();
        assert!(lines <= FILE, "{} has {lines} lines", source.file.display());
    }
}

#[test]
fn no_function_is_long() {
    for source in sources(src_root()) {
        let functions = source
            .tokens
            .iter()
            .enumerate()
            .filter(|(_, t)| t.text == "fn");
        for (at, function) in functions {
            let lines = last_line(&source, at) - function.line + 1;
            let (file, line) = (source.file.display(), function.line);
            assert!(lines <= FUNCTION, "{file}:{line} has {lines} lines");
        }
    }
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
