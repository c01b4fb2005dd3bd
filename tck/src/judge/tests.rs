//! The judge on its own: short cases by requirement, and what becomes of a conforming play after one change.
//!
//! A case is a chart and a transcript, and the findings that the specification asks for; they stand in
//! `judge/cases/`, a file a chapter of `spec/`.

mod case;
mod edit;
mod mutation;

use case::WrittenCase;
use std::collections::BTreeSet;
use std::path::Path;

/// All files of the folder. They are read when the tests run: a case can be tried without compiling anything.
fn cases() -> Vec<WrittenCase> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/judge/cases");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = paths.iter().flat_map(|path| case::read(path));
    let (cases, wrong): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    cases.into_iter().filter_map(Result::ok).collect()
}

#[test]
fn every_case_is_judged_as_its_file_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let judged = case.judged();
        if judged.found != case.expected || !judged.shows(&case) {
            wrong.push(case.told(&judged));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn each_case_has_a_title_of_its_own() {
    let mut titles = BTreeSet::new();
    for case in cases() {
        assert!(titles.insert(case.title.clone()), "twice: {}", case.title);
    }
    assert!(titles.len() >= 80, "{} cases", titles.len());
}
