//! (1) Requirements: the normative sentences of spec/, by name.
//!
//! A paragraph of a chapter that starts with a name in bold code is one: its first sentence has one keyword and
//! one party that it binds. The chapters are embedded, so the program needs no files.

pub mod names;

use crate::party::Party;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

/// The name of a requirement that the embedded specification has, `chapter.slug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequirementName(&'static str);

impl RequirementName {
    /// The requirement that a text names, if there is one.
    pub fn of(text: &str) -> Option<RequirementName> {
        let found = names::ALL.binary_search_by(|name| name.as_str().cmp(text));
        found.ok().map(|at| names::ALL[at])
    }

    /// As scenarios write it.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The chapter in which it stands, without `.md`.
    pub fn chapter(self) -> &'static str {
        self.0.split_once('.').map_or("", |(chapter, _)| chapter)
    }

    /// Its name within the chapter.
    pub fn slug(self) -> &'static str {
        self.0.split_once('.').map_or(self.0, |(_, slug)| slug)
    }
}

impl fmt::Display for RequirementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A collection of names can be asked for a text.
impl Borrow<str> for RequirementName {
    fn borrow(&self) -> &str {
        self.0
    }
}

/// How much a requirement asks for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// MUST and MUST NOT: a deviation fails.
    Must,
    /// SHOULD and SHOULD NOT: a deviation is a warning.
    Should,
    /// MAY: a permission; the report says which choice was taken.
    May,
}

/// One normative sentence.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// `chapter.slug`.
    pub name: String,
    /// From its keyword.
    pub level: Level,
    /// Whom it binds.
    pub party: Party,
    /// The sentence, on one line, without Markdown.
    pub sentence: String,
    /// The chapter's file, for example `event-sourced.md`.
    pub chapter: String,
    /// If it can't be tested on the wire: why.
    pub untestable: Option<String>,
}

/// All requirements of the specification.
#[derive(Debug, Default)]
pub struct Requirements {
    by_name: BTreeMap<String, Requirement>,
}

impl Requirements {
    /// Those of the embedded specification. A test keeps the chapters readable.
    pub fn embedded() -> &'static Requirements {
        static ALL: OnceLock<Requirements> = OnceLock::new();
        ALL.get_or_init(|| Requirements::read(crate::embedded::SPEC).unwrap_or_default())
    }

    /// Reads chapters: pairs of file name and text.
    ///
    /// # Errors
    /// Every paragraph that starts like a requirement and isn't one, as `file:line: what is wrong`.
    pub fn read(chapters: &[(&str, &str)]) -> Result<Requirements, Vec<String>> {
        let mut all = Requirements::default();
        let mut errors = Vec::new();
        for (file, text) in chapters {
            for (line, paragraph) in paragraphs(text) {
                match parse(file, &paragraph) {
                    None => {}
                    Some(Ok(requirement)) => {
                        if let Some(old) = all.by_name.insert(requirement.name.clone(), requirement)
                        {
                            errors.push(format!("{file}:{line}: `{}` is named twice", old.name));
                        }
                    }
                    Some(Err(message)) => errors.push(format!("{file}:{line}: {message}")),
                }
            }
        }
        for (file, text) in chapters.iter().filter(|(file, _)| *file == "untestable.md") {
            for (line, row) in text.lines().enumerate() {
                let Some((name, reason)) = untestable_row(row) else {
                    continue;
                };
                match all.by_name.get_mut(name) {
                    Some(requirement) => requirement.untestable = Some(reason.to_owned()),
                    None => errors.push(format!("{file}:{}: no requirement `{name}`", line + 1)),
                }
            }
        }
        if errors.is_empty() {
            Ok(all)
        } else {
            Err(errors)
        }
    }

    /// The requirement of this name.
    pub fn get(&self, name: &str) -> Option<&Requirement> {
        self.by_name.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Requirement> {
        self.by_name.values()
    }

    /// The name most like this one.
    pub fn closest(&self, name: &str) -> Option<&str> {
        let distance = |r: &&Requirement| strsim::damerau_levenshtein(&r.name, name);
        self.iter().min_by_key(distance).map(|r| r.name.as_str())
    }

    /// What to do about a name that no requirement has.
    pub fn meant(&self, name: &str) -> String {
        let alike = |near: &&str| strsim::normalized_damerau_levenshtein(near, name) > 0.6;
        // Nothing that is much longer than every name is like one, and comparing would take long.
        let short = self.iter().any(|r| name.len() < 2 * r.name.len());
        let near = if short { self.closest(name) } else { None };
        match near.filter(alike) {
            Some(near) => format!("did you mean {near}?"),
            None => "see cloudstate-tck list --requirements".to_owned(),
        }
    }
}

/// Paragraphs with the line they begin at, joined to one line each.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            open = false;
        } else if open {
            if let Some((_, paragraph)) = found.last_mut() {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
        } else {
            found.push((index + 1, line.to_owned()));
            open = true;
        }
    }
    found
}

const KEYWORDS: [(&str, Level); 5] = [
    ("MUST NOT", Level::Must),
    ("SHOULD NOT", Level::Should),
    ("MUST", Level::Must),
    ("SHOULD", Level::Should),
    ("MAY", Level::May),
];

fn parse(file: &str, paragraph: &str) -> Option<Result<Requirement, String>> {
    let rest = paragraph.strip_prefix("**`")?;
    let (name, rest) = rest.split_once("`**")?;
    let chapter = file.trim_end_matches(".md");
    if name
        .split_once('.')
        .is_none_or(|(c, slug)| c != chapter || slug.is_empty())
    {
        return Some(Err(format!(
            "`{name}` should be named `{chapter}.slug`, after its chapter"
        )));
    }
    let sentence = first_sentence(rest.trim()).replace('`', "");
    let Some((_, level)) = KEYWORDS.iter().find(|(word, _)| sentence.contains(word)) else {
        return Some(Err(format!(
            "`{name}` has no keyword (MUST, MUST NOT, SHOULD, SHOULD NOT, MAY)"
        )));
    };
    let party = match sentence
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
    {
        s if s.contains("user function") => Party::Function,
        s if s.contains("proxy") => Party::Proxy,
        s if s.contains("client") => Party::Client,
        _ => {
            return Some(Err(format!(
                "`{name}` should begin with the party that it binds"
            )));
        }
    };
    Some(Ok(Requirement {
        name: name.to_owned(),
        level: *level,
        party,
        sentence,
        chapter: file.to_owned(),
        untestable: None,
    }))
}

/// Up to the first full stop that ends a sentence (followed by a space and a capital, or the end).
fn first_sentence(text: &str) -> &str {
    for (at, _) in text.match_indices(". ") {
        if text[at + 2..].starts_with(|c: char| c.is_uppercase()) {
            return &text[..=at];
        }
    }
    text
}

/// A row `| name | reason |` of the table in untestable.md.
fn untestable_row(row: &str) -> Option<(&str, &str)> {
    let mut cells = row.trim().strip_prefix('|')?.split('|').map(str::trim);
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let reason = cells.next()?;
    (!reason.is_empty()).then_some((name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_specification_reads() {
        let read = Requirements::read(crate::embedded::SPEC);
        assert!(read.is_ok(), "{:#?}", read.err());
    }

    #[test]
    fn every_requirement_has_a_constant_and_every_constant_a_requirement() {
        let read = Requirements::embedded().iter().map(|r| r.name.as_str());
        let constants = names::ALL.iter().map(|name| name.as_str());
        assert!(read.eq(constants));
        for name in names::ALL {
            assert_eq!(RequirementName::of(name.as_str()), Some(*name));
        }
        assert_eq!(RequirementName::of("commands.answer-idd"), None);
    }

    #[test]
    fn a_requirement_has_name_level_party_and_sentence() {
        let text = "# X\n\n**`x.y`** The user function MUST NOT\nshout. It helps nobody.\n";
        let all = Requirements::read(&[("x.md", text)]).unwrap();
        let y = all.get("x.y").unwrap();
        assert_eq!((y.level, y.party), (Level::Must, Party::Function));
        assert_eq!(y.sentence, "The user function MUST NOT shout.");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let text =
            "**`z.y`** The proxy MUST.\n\n**`x.a`** The proxy does.\n\n**`x.b`** Somebody MUST.\n";
        let errors = Requirements::read(&[("x.md", text)]).unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(
            errors[1].starts_with("x.md:3: `x.a` has no keyword"),
            "{errors:?}"
        );
    }
}
