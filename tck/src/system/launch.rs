//! How a process is started: a command with placeholders, and what can go wrong with it.

use super::log::Log;
use crate::party::Party;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Lines of output in an error.
const LAST_WORDS: usize = 20;
/// How the languages of the field say that somebody else has the port.
const TAKEN: [&str; 5] = [
    "address already in use",
    "address in use",
    "eaddrinuse",
    "failed to bind",
    "bindexception",
];

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// As errors call it.
    name: String,
    command: Vec<String>,
    env: BTreeMap<String, String>,
    directory: PathBuf,
    values: BTreeMap<String, String>,
}

impl Launch {
    /// A command with placeholders and what they stand for, beside where it listens.
    pub fn new(
        command: &[String],
        env: &BTreeMap<String, String>,
        directory: PathBuf,
        values: &[(&str, String)],
    ) -> Launch {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        Launch {
            name: "the process".to_owned(),
            command: command.to_vec(),
            env: env.clone(),
            directory,
            values: values.collect(),
        }
    }

    /// The same, with a name for errors.
    pub fn named(self, name: String) -> Launch {
        Launch { name, ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same, told where to listen.
    pub(super) fn listening(&self, address: SocketAddr) -> Launch {
        let mut launch = self.clone();
        launch.values.extend([
            ("listen".to_owned(), address.to_string()),
            ("host".to_owned(), address.ip().to_string()),
            ("port".to_owned(), address.port().to_string()),
        ]);
        launch
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        for name in placeholders(text) {
            let Some(value) = self.values.get(name) else {
                continue;
            };
            let Some((before, after)) = rest.split_once(&format!("{{{name}}}")) else {
                continue;
            };
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled + rest
    }

    fn words(&self) -> Vec<String> {
        self.command.iter().map(|word| self.fill(word)).collect()
    }

    /// The command as a shell would read it.
    pub(super) fn line(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        let quoted = |word: String| {
            if !word.is_empty() && word.chars().all(plain) {
                word
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        };
        self.words()
            .into_iter()
            .map(quoted)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// An error with what the process said since there were `since` lines.
    pub(super) fn error(&self, reason: impl Into<String>, log: &Log, since: usize) -> StartError {
        let last_words = log.tail_since(since, LAST_WORDS);
        StartError {
            reason: reason.into(),
            command: self.line(),
            last_words,
        }
    }

    /// Starts the process in a group of its own, with nothing to read and its output to be read.
    pub(super) fn spawn(&self) -> Result<Child, StartError> {
        let words = self.words();
        let Some((word, arguments)) = words.split_first() else {
            return Err(StartError::because("the command is empty"));
        };
        let program = self.program(word);
        Command::new(&program)
            .args(arguments)
            .envs(
                self.env
                    .iter()
                    .map(|(name, value)| (name, self.fill(value))),
            )
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let reason = self.cant_start(&program, &error);
                StartError {
                    reason,
                    command: self.line(),
                    last_words: Vec::new(),
                }
            })
    }

    /// A path with a slash is relative to the directory, as in a shell that stands there; a name is looked up in
    /// `PATH`. Links stay as they are: some programs look at the path that they were started by.
    fn program(&self, word: &str) -> PathBuf {
        let path = self.directory.join(word);
        if word.contains('/') {
            absolute(&path).unwrap_or(path)
        } else {
            PathBuf::from(word)
        }
    }

    fn cant_start(&self, program: &Path, error: &std::io::Error) -> String {
        let program = program.display();
        match error.kind() {
            ErrorKind::NotFound if !self.directory.is_dir() => {
                let directory = self.directory.display();
                format!(
                    "the directory of {}, {directory}, does not exist",
                    self.name
                )
            }
            ErrorKind::NotFound => {
                format!("there is no program {program}; is it built and installed?")
            }
            ErrorKind::PermissionDenied => format!("{program} is not executable"),
            _ => format!("{program} can't be started: {error}"),
        }
    }
}

/// The names in braces.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        word.then_some(name)
    })
}

/// A process could not be started, or didn't get ready.
#[derive(Clone, Debug, thiserror::Error)]
pub struct StartError {
    reason: String,
    command: String,
    last_words: Vec<String>,
}

impl StartError {
    /// The party isn't one that the kit started.
    pub fn not_managed(party: Party) -> StartError {
        StartError::because(format!(
            "the kit didn't start the {party}, so it can't start it again"
        ))
    }

    /// Without a command.
    pub fn because(reason: impl Into<String>) -> StartError {
        StartError {
            reason: reason.into(),
            command: String::new(),
            last_words: Vec::new(),
        }
    }

    /// What went wrong, as a sentence without a full stop.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The command line; empty if there is none.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The last lines that the process printed.
    pub fn last_words(&self) -> &[String] {
        &self.last_words
    }

    /// The process says that somebody else has its port.
    pub(super) fn port_was_taken(&self) -> bool {
        let says = |line: &String| TAKEN.iter().any(|word| line.to_lowercase().contains(word));
        self.last_words.iter().any(says)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.command.is_empty() {
            write!(f, "\n  command: {}", self.command)?;
        }
        if !self.last_words.is_empty() {
            f.write_str("\n  its last words:")?;
            self.last_words
                .iter()
                .try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}
