//! The files mean the same to every compiler. Where a service has a method of the name with which a type is
//! referred to, protoc takes the method, and fails; the compiler that this crate is built with takes the type.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the files that are the project's own.
const ROOTS: [&str; 3] = ["protocol", "frontend", "tck"];

#[test]
fn no_method_hides_a_type_that_its_service_refers_to() {
    let mut files = Vec::new();
    for root in ROOTS {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        proto_files(&root, &mut files);
    }
    assert!(files.len() > 10, "only {files:?}");
    for file in files {
        let hidden = hidden_types(&fs::read_to_string(&file).unwrap());
        assert!(hidden.is_empty(), "{}: {hidden:?}", file.display());
    }
}

#[test]
fn a_hidden_type_is_found() {
    let service = |request: &str| {
        format!(
            "message Several {{}} // rpc\nservice Keys {{\n  rpc Call(Nested) returns (a.Reply);\n  \
             rpc Several(stream {request}) returns (Reply) {{}}\n}}\nservice Other {{ rpc Nested(Reply) returns (Reply); }}"
        )
    };
    assert_eq!(hidden_types(&service("Several")), ["Keys: Several"]);
    assert_eq!(
        hidden_types(&service("Several.Inner")),
        ["Keys: Several.Inner"]
    );
    for seen in [".a.Several", "a.Several", "Request"] {
        assert!(hidden_types(&service(seen)).is_empty(), "{seen}");
    }
}

fn proto_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            proto_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "proto") {
            files.push(path);
        }
    }
}

/// Each type that a method of its service hides, with the service. A name is looked up by its first part, from the
/// inside out, and a service's methods are inside of it; a dot in front looks it up from the outside.
fn hidden_types(source: &str) -> Vec<String> {
    let words = words(source);
    let mut hidden = Vec::new();
    for service in words.split(|word| word == "service").skip(1) {
        let mut methods = Vec::new();
        let mut types = Vec::new();
        for method in service.split(|word| word == "rpc").skip(1) {
            methods.push(&method[0]);
            let referred = method[1..].iter().filter(|word| *word != "stream");
            let referred: Vec<_> = referred.take(3).collect();
            assert_eq!(referred[1], "returns", "{method:?}");
            types.extend([referred[0], referred[2]]);
        }
        let first = |name: &str| name.split('.').next().unwrap().to_owned();
        let is_hidden = |name: &&&String| methods.contains(&&first(name));
        let found = types.iter().filter(is_hidden);
        hidden.extend(found.map(|name| format!("{}: {name}", service[0])));
    }
    hidden
}

/// What is left of a file without comments and punctuation; the dots of a name belong to it.
fn words(source: &str) -> Vec<String> {
    let lines = source.lines();
    let code: Vec<&str> = lines
        .map(|line| line.split("//").next().unwrap_or(line))
        .collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let code = code.join("\n");
    let words = code.split(|c| !is_name(c)).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
