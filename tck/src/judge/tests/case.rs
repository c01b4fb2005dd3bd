//! A case: read from its file, played, changed, judged.

use super::edit;
use crate::finding::Finding;
use crate::judge::judge;
use crate::party::Role;
use crate::play::simulation::{bindings, simulate};
use crate::scenario::{message, read as language};
use crate::script::{Script, expand};
use crate::transcript::{Transcript, notation};
use crate::yaml::{Node, Source, tree};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub(super) struct WrittenCase {
    /// The chapter.
    pub file: String,
    pub title: String,
    script: Arc<Script>,
    transcript: Transcript,
    pub expected: Expected,
    /// In the line of the first finding.
    at: Option<String>,
    /// In the summary of the first finding.
    says: Option<String>,
}

/// What a judgement comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Requirements and parties, the root first.
    finds: Vec<(String, String)>,
    /// What follows from another party's deviation.
    follows: Vec<(String, String)>,
    /// The kit is at fault: a part of what it says.
    error: Option<String>,
}

pub(super) struct Judged {
    pub found: Expected,
    findings: Vec<Finding>,
}

/// The cases of a file.
pub(super) fn read(path: &Path) -> Vec<Result<WrittenCase, String>> {
    let source = Source::read(path).unwrap_or_else(|error| panic!("{error}"));
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    let node = tree::read(&Arc::new(source)).unwrap_or_else(|error| panic!("{error}"));
    let all = node.get("cases").and_then(Node::items).unwrap_or_default();
    all.iter()
        .map(|case| WrittenCase::read(&file, &node, case))
        .collect()
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key).and_then(Node::as_text)
}

/// What a case has.
const KEYS: [&str; 12] = [
    "title",
    "role",
    "service",
    "scripted",
    "verifies",
    "ids",
    "chart",
    "transcript",
    "edit",
    "finds",
    "at",
    "says",
];

impl WrittenCase {
    fn read(file: &str, defaults: &Node, node: &Node) -> Result<WrittenCase, String> {
        let title = text(node, "title").unwrap_or_default().to_owned();
        let wrong = |problem: String| format!("{file}: {title}: {problem}");
        let known = |key: &&str| KEYS.contains(key);
        let keys = node
            .entries()
            .unwrap_or_default()
            .iter()
            .map(|(key, _)| key.text.as_str());
        if let Some(key) = keys.clone().find(|key| !known(key)) {
            return Err(wrong(format!("no case has {key}")));
        }
        let script = Arc::new(script(defaults, node).map_err(wrong)?);
        let transcript = transcript(&script, node).map_err(wrong)?;
        let expected = node
            .get("finds")
            .ok_or_else(|| wrong("what does the judge find?".to_owned()))?;
        Ok(WrittenCase {
            file: file.to_owned(),
            expected: Expected::read(expected),
            at: text(node, "at").map(str::to_owned),
            says: text(node, "says").map(str::to_owned),
            title,
            script,
            transcript,
        })
    }

    pub fn judged(&self) -> Judged {
        let judgement = judge(&self.script, &self.transcript);
        let named = |finding: &Finding| {
            let blame = finding
                .blame
                .map_or("nobody".to_owned(), |party| party.to_string());
            (finding.requirement.clone(), blame)
        };
        let of = |consequence: bool| {
            let all = judgement
                .findings
                .iter()
                .filter(|f| f.consequence == consequence);
            all.map(named).collect()
        };
        let found = Expected {
            finds: of(false),
            follows: of(true),
            error: judgement.error.clone(),
        };
        Judged {
            found,
            findings: judgement.findings,
        }
    }

    fn lines(&self) -> Vec<String> {
        edit::lines(&self.transcript, &self.script.package)
    }

    /// All of it, for whoever has to find out what is wrong.
    pub fn told(&self, judged: &Judged) -> String {
        let lines: Vec<String> = (0..)
            .zip(self.lines())
            .map(|(at, line): (u32, _)| format!("  {at:>3} {line}"))
            .collect();
        let findings = judged.findings.iter();
        let findings: Vec<String> = findings
            .map(|f| {
                format!(
                    "  {} at {:?}: {} {:?}",
                    f.requirement, f.entry, f.summary, f.mismatches
                )
            })
            .collect();
        format!(
            "{}: {}\n{}\n  expected {}\n  found    {}\n{}",
            self.file,
            self.title,
            lines.join("\n"),
            self.expected,
            judged.found,
            findings.join("\n")
        )
    }
}

impl Judged {
    /// The first finding is where and what the case says.
    pub fn shows(&self, case: &WrittenCase) -> bool {
        let contains = |text: Option<String>, wanted: &Option<String>| match (text, wanted) {
            (_, None) => true,
            (Some(text), Some(wanted)) => text.contains(wanted.as_str()),
            (None, Some(_)) => false,
        };
        let first = self.findings.first();
        let entry = first.and_then(|f| usize::try_from(f.entry?).ok());
        let line = entry.and_then(|entry| case.lines().get(entry).cloned());
        contains(line, &case.at) && contains(first.map(|f| f.summary.clone()), &case.says)
    }
}

impl Expected {
    /// `nothing`, or requirements with their parties (a list: it is found as often), `follows` with the same below it,
    /// and `error`.
    fn read(node: &Node) -> Expected {
        let mut expected = Expected::default();
        for (key, value) in node.entries().unwrap_or_default() {
            match key.text.as_str() {
                "error" => expected.error = value.as_text().map(str::to_owned),
                "follows" => expected.follows = Expected::read(value).finds,
                requirement => {
                    let parties = value.items().unwrap_or(std::slice::from_ref(value)).iter();
                    let parties = parties.filter_map(Node::as_text).map(str::to_owned);
                    expected
                        .finds
                        .extend(parties.map(|party| (requirement.to_owned(), party)));
                }
            }
        }
        expected
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |list: &[(String, String)]| {
            let all: Vec<String> = list
                .iter()
                .map(|(name, party)| format!("{name} ({party})"))
                .collect();
            all.join(", ")
        };
        let nothing = self.finds.is_empty() && self.error.is_none();
        f.write_str(if nothing { "nothing" } else { "" })?;
        f.write_str(&all(&self.finds))?;
        if !self.follows.is_empty() {
            write!(f, "; follows: {}", all(&self.follows))?;
        }
        self.error
            .as_ref()
            .map_or(Ok(()), |error| write!(f, "; error: {error}"))
    }
}

/// The chart of a case as a scenario, and its script.
fn script(defaults: &Node, case: &Node) -> Result<Script, String> {
    let named = |role: &Role| text(case, "role") == Some(&role.to_string());
    let role = Role::ALL.into_iter().find(named).ok_or("which role?")?;
    let mut scenario = "{ id: case, title: A case".to_owned();
    for key in ["service", "scripted", "verifies", "ids", "chart"] {
        if let Some(value) = case.get(key) {
            scenario += &format!(", {key}: {}", message::flow(value));
        }
    }
    let service = text(defaults, "service").unwrap_or_default();
    let source = Source {
        name: "its chart".to_owned(),
        text: format!("suite: cases\nservice: {service}\nscenarios: [ {scenario} }} ]\n"),
    };
    let mut read = language::read(&Arc::new(source)).map_err(|errors| errors[0].to_string())?;
    let scenario = Arc::new(read.remove(0));
    let names = bindings(&scenario);
    expand::expand(&scenario, role, 0, names).map_err(|error| error.to_string())
}

/// What is written, or what play and model do; then the edits.
fn transcript(script: &Arc<Script>, case: &Node) -> Result<Transcript, String> {
    let (role, package) = (script.role, &script.package);
    let read = |lines: &str| {
        let entries = notation::read_entries(lines, role, package, &script.bindings);
        entries.map_err(|error| format!("{error}\n{lines}"))
    };
    let mut transcript = simulate(script);
    if let Some(written) = text(case, "transcript") {
        transcript.entries = read(written)?;
    }
    if let Some(edits) = case.get("edit") {
        let mut lines = edit::lines(&transcript, package);
        for one in edits.items().unwrap_or(std::slice::from_ref(edits)) {
            edit::edit(&mut lines, one)?;
        }
        transcript.entries = read(&lines.join("\n"))?;
    }
    Ok(transcript)
}
