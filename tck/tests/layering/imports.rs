//! Which module of a crate imports which: read from the sources, tests left out.
//!
//! No compiler is asked, so this knows what `mod` and `use` look like, and paths, and no more. It
//! follows the `mod` declarations from `lib.rs`, and takes every path that begins with `crate`,
//! `super`, `self` or a module's own child for an import, also in the midst of code.

use std::collections::BTreeSet;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// A module that makes use of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that has the import, below the root of the sources.
    pub file: PathBuf,
    /// Where in it, beginning with 1.
    pub line: usize,
    /// The module of that file, as in `entity::lifecycle`; the crate itself is empty.
    pub module: String,
    /// The module that is imported, or of which something is.
    pub target: String,
}

/// A file of the crate.
#[derive(Debug)]
pub struct Source {
    /// Its path below the root of the sources.
    pub file: PathBuf,
    /// Its module, as in `entity::lifecycle`; the crate itself is empty.
    pub module: String,
    /// The modules that it declares, in its order.
    pub children: Vec<String>,
    /// What it consists of, without comments and without what is compiled for tests alone.
    pub tokens: Vec<Token>,
}

/// A word or a mark, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The line, beginning with 1.
    pub line: usize,
    /// A name, `::`, or a single character; of text and characters only `""`.
    pub text: String,
}

/// The files of a library, from `lib.rs` on.
pub fn sources(src_root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![(PathBuf::from("lib.rs"), String::new())];
    while let Some((file, module)) = open.pop() {
        let path = src_root.join(&file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let tokens = without_tests(&tokens(&text));
        let children = children(&tokens);
        let folder = if module.is_empty() {
            PathBuf::new()
        } else {
            file.with_extension("")
        };
        for child in &children {
            open.push((folder.join(format!("{child}.rs")), below(&module, child)));
        }
        found.push(Source {
            file,
            module,
            children,
            tokens,
        });
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    found
}

/// All imports of a library, each once a line.
pub fn imports(src_root: &Path) -> Vec<Import> {
    let sources = sources(src_root);
    let modules: BTreeSet<&str> = sources.iter().map(|s| s.module.as_str()).collect();
    let mut imports = BTreeSet::new();
    for source in &sources {
        for (line, path) in paths(source) {
            let target = module_of(&path, &modules);
            if target != source.module {
                imports.insert(Import {
                    file: source.file.clone(),
                    line,
                    module: source.module.clone(),
                    target,
                });
            }
        }
    }
    imports.into_iter().collect()
}

/// A child of a module.
fn below(module: &str, child: &str) -> String {
    match module {
        "" => child.to_owned(),
        module => format!("{module}::{child}"),
    }
}

/// The longest beginning of a path that is a module.
fn module_of(path: &[String], modules: &BTreeSet<&str>) -> String {
    let lengths = (0..=path.len()).rev();
    let mut candidates = lengths.map(|length| path[..length].join("::"));
    let known = candidates.find(|candidate| modules.contains(candidate.as_str()));
    known.unwrap_or_default()
}

/// The modules that are declared, and have a file each.
fn children(tokens: &[Token]) -> Vec<String> {
    let declared = tokens.windows(3).filter_map(|window| match window {
        [word, name, end] if word.text == "mod" && end.text == ";" => Some(name.text.clone()),
        _ => None,
    });
    declared.collect()
}

/// Every path into the crate, from its root, with the line where it begins.
fn paths(source: &Source) -> Vec<(usize, Vec<String>)> {
    let here: Vec<String> = source
        .module
        .split("::")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let mut found = Vec::new();
    let mut tokens = source.tokens.clone().into_iter().peekable();
    let mut before = String::new();
    while let Some(token) = tokens.next() {
        let follows = tokens.peek().is_some_and(|next| next.text == "::");
        let starts = follows && before != "::" && before != ".";
        let base = match token.text.as_str() {
            "crate" if starts => Some(Vec::new()),
            "self" if starts => Some(here.clone()),
            "super" if starts => Some(here[..here.len().saturating_sub(1)].to_vec()),
            child if starts && source.children.iter().any(|c| c == child) => {
                Some([here.as_slice(), &[child.to_owned()]].concat())
            }
            _ => None,
        };
        before = token.text;
        if let Some(base) = base {
            tokens.next();
            tree(&mut tokens, token.line, base, &mut found);
            before.clear();
        }
    }
    found
}

/// What stands after a `::`: one name after another, or a tree of them in braces.
fn tree(
    tokens: &mut Peekable<IntoIter<Token>>,
    line: usize,
    mut path: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) {
    while let Some(token) = tokens.peek().cloned() {
        match token.text.as_str() {
            "super" => drop(path.pop()),
            "{" => {
                tokens.next();
                while tokens.peek().is_some_and(|token| token.text != "}") {
                    let line = tokens.peek().map_or(line, |token| token.line);
                    if tokens.peek().is_some_and(|token| token.text == ",") {
                        tokens.next();
                    } else {
                        tree(tokens, line, path.clone(), found);
                    }
                }
                tokens.next();
                return;
            }
            "self" => {}
            name if is_name(name) => path.push(name.to_owned()),
            // A glob, generic arguments, or the end.
            _ => {
                if token.text == "*" {
                    tokens.next();
                }
                break;
            }
        }
        tokens.next();
        if tokens.peek().is_none_or(|next| next.text != "::") {
            break;
        }
        tokens.next();
    }
    skip_alias(tokens);
    found.push((line, path));
}

/// `as Name`, which is part of an import, and no part of its path.
fn skip_alias(tokens: &mut Peekable<IntoIter<Token>>) {
    if tokens.peek().is_some_and(|token| token.text == "as") {
        tokens.next();
        tokens.next();
    }
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What is left without the items that `#[cfg(test)]` stands before.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut left = Vec::new();
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        let here = rest.iter().map(|token| token.text.as_str());
        if here.take(TEST.len()).eq(TEST) {
            rest = &rest[TEST.len() + item_length(&rest[TEST.len()..])..];
        } else {
            left.push(first.clone());
            rest = after;
        }
    }
    left
}

/// How long the item is that begins here: up to its semicolon, or to the end of its braces.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        let ends = token.text == ";" || token.text == "}";
        if depth == 0 && ends {
            return position + 1;
        }
    }
    tokens.len()
}

/// Takes a source file apart.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = token(rest, first);
        let last = line + rest[..length].matches('\n').count();
        if let Some(text) = kept {
            // Of a text that is longer than its line each line counts.
            let parts = (line..=last).map(|line| Token {
                line,
                text: text.clone(),
            });
            tokens.extend(parts);
        }
        line = last;
        rest = &rest[length..];
    }
    tokens
}

/// The length of what stands first, and its text if it counts.
fn token(rest: &str, first: char) -> (usize, Option<String>) {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    if rest.starts_with("//") {
        return (until("\n"), None);
    }
    if rest.starts_with("/*") {
        return (until("*/"), None);
    }
    if let Some(length) = literal(rest) {
        return (length, Some("\"\"".to_owned()));
    }
    if rest.starts_with("::") {
        return (2, Some("::".to_owned()));
    }
    if first.is_alphanumeric() || first == '_' {
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let length = length.unwrap_or(rest.len());
        return (length, Some(rest[..length].to_owned()));
    }
    let kept = (!first.is_whitespace()).then(|| first.to_string());
    (first.len_utf8(), kept)
}

/// The length of the text or character that stands first, if one does.
fn literal(rest: &str) -> Option<usize> {
    let prefixed = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - prefixed.len();
    if let Some(raw) = prefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if prefix <= 1 && raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    if prefix <= 1 && prefixed.starts_with('"') {
        return Some(prefix + quoted(prefixed, '"'));
    }
    let mut characters = prefixed.strip_prefix('\'')?.chars();
    // Else it is a lifetime.
    let is_character = characters.next()? == '\\' || characters.next()? == '\'';
    (prefix <= 1 && is_character).then(|| prefix + quoted(prefixed, '\''))
}

/// The length of what is between two quotation marks, both included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return position + 1,
            _ => {}
        }
    }
    text.len()
}
