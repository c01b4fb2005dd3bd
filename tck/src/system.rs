//! The system under test: an address, or a command that the kit starts, waits for, listens to and stops.
//!
//! It is described on the command line or in a small YAML file, see [`System::read`].

mod process;
mod waivers;

pub use process::{Launch, Managed, StartError};
pub use waivers::{Waiver, Waivers, glob};

use crate::scenario::{Role, Source, SourceError, Span};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A system under test. A system with a function can take the role `sdk`, one with a proxy the role `proxy`, one
/// with both all three.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Its name, for reports.
    pub name: String,
    /// Its version, for reports; a number in quotes.
    #[serde(default)]
    pub version: Option<String>,
    /// The user function.
    #[serde(default)]
    pub function: Option<Party>,
    /// The proxy.
    #[serde(default)]
    pub proxy: Option<Party>,
    /// What it has beyond what the kit can tell by itself, for example `durable`.
    #[serde(default)]
    pub features: Vec<String>,
    /// Known failures, each with its reason.
    #[serde(default)]
    pub waivers: Waivers,
    /// The folder of its file: paths are relative to it.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One party of the system: somebody runs it at an address, or the kit starts it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Where it already runs.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// The program and its arguments. `{listen}` (host and port), `{host}` and `{port}` stand for where it shall
    /// listen; for a proxy `{function}` for where the function is, `{data}` for a folder of its own that survives
    /// its restarts, `{passivation}` for a short passivation timeout in milliseconds.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables, with the same placeholders.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where the command is run, relative to the system file's folder; by default that folder.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Run once before: a build, an installation. Its output is shown.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// How many entity streams it serves at once (a function); by default 8.
    #[serde(default)]
    pub streams: Option<usize>,
    /// Where the kit's function listens, for a proxy that somebody else runs.
    #[serde(default)]
    pub function_listen: Option<SocketAddr>,
}

impl System {
    /// Reads a system file.
    ///
    /// # Errors
    /// What is wrong in it, where, and what would have been allowed.
    pub fn read(path: &Path) -> Result<System, SourceError> {
        let name = path.display().to_string();
        let read = std::fs::read_to_string(path);
        let text = read.as_ref().map(Clone::clone).unwrap_or_default();
        let source = Arc::new(Source { name, text });
        let error = |span, message, help| SourceError { source: source.clone(), span, message, help };
        if let Err(problem) = read {
            let help = Some("a system file describes what is tested; see fixtures/systems".to_owned());
            return Err(error(Span::default(), format!("it can't be read: {problem}"), help));
        }
        let mut system: System = serde_yaml::from_str(&source.text).map_err(|problem| {
            let start = problem.location().map_or(0, |location| location.index());
            error(Span { start, end: start + 1 }, problem.to_string(), None)
        })?;
        system.folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        match system.problem() {
            Some(message) => Err(error(Span::default(), message, None)),
            None => Ok(system),
        }
    }

    /// What no parser can see.
    fn problem(&self) -> Option<String> {
        let parties = [("function", &self.function), ("proxy", &self.proxy)];
        if parties.iter().all(|(_, party)| party.is_none()) {
            return Some("a system has a function, a proxy, or both".to_owned());
        }
        for (name, party) in parties {
            let Some(party) = party else { continue };
            match (&party.address, party.command.is_empty()) {
                (None, true) => return Some(format!("the {name} needs an address or a command")),
                (Some(_), false) => {
                    return Some(format!("the {name} has an address and a command; it needs one of them"));
                }
                _ => {}
            }
        }
        let running = self.proxy.as_ref().is_some_and(|proxy| proxy.address.is_some());
        let listen = self.proxy.as_ref().and_then(|proxy| proxy.function_listen);
        if running && listen.is_none() {
            let text = "a proxy that already runs needs function_listen: where it looks for its function";
            return Some(text.to_owned());
        }
        let unexplained = self.waivers.0.iter().find(|waiver| waiver.reason.trim().is_empty())?;
        Some(format!("the waiver of {} needs a reason", unexplained.scenario))
    }

    /// The roles that it can take.
    pub fn roles(&self) -> Vec<Role> {
        let (function, proxy) = (self.function.is_some(), self.proxy.is_some());
        Role::ALL
            .into_iter()
            .filter(|role| match role {
                Role::Sdk => function,
                Role::Proxy => proxy,
                Role::Stack => function && proxy,
            })
            .collect()
    }

    /// Why it doesn't have what a scenario needs.
    ///
    /// # Errors
    /// The first feature that is missing.
    pub fn has(&self, needs: &[String], role: Role) -> Result<(), String> {
        let managed = |party: &Option<Party>| party.as_ref().is_some_and(|party| !party.command.is_empty());
        for need in needs {
            let there = match need.as_str() {
                "managed" if role == Role::Sdk => managed(&self.function),
                "managed" => managed(&self.proxy),
                "single-node" => true,
                other => self.features.iter().any(|feature| feature == other),
            };
            if !there {
                return Err(format!("the system doesn't have the feature {need}"));
            }
        }
        Ok(())
    }

    /// Runs what has to be run once before.
    ///
    /// # Errors
    /// A command that fails, with its last words.
    pub async fn prepare(&self, roles: &[Role], mut say: impl FnMut(&str)) -> Result<(), StartError> {
        let function = roles.iter().any(|role| *role != Role::Proxy);
        let proxy = roles.iter().any(|role| *role != Role::Sdk);
        let parties = [(function, &self.function), (proxy, &self.proxy)];
        let wanted = parties.into_iter().filter(|(wanted, _)| *wanted);
        for party in wanted.filter_map(|(_, party)| party.as_ref()) {
            if !party.prepare.is_empty() {
                let launch = Launch::new(&party.prepare, &BTreeMap::new(), self.directory(party), &[]);
                process::run(&launch, &mut say).await?;
            }
        }
        Ok(())
    }

    fn directory(&self, party: &Party) -> PathBuf {
        match &party.directory {
            Some(directory) => self.folder.join(directory),
            None => self.folder.clone(),
        }
    }

    /// A process of a party, not started yet. `values` are the placeholders beside where it listens.
    ///
    /// # Errors
    /// No port is free.
    pub fn process(&self, party: &Party, values: &[(&str, String)]) -> Result<Managed, StartError> {
        let address = process::free_port()?;
        let mut all = vec![
            ("listen", address.to_string()),
            ("host", address.ip().to_string()),
            ("port", address.port().to_string()),
        ];
        all.extend(values.iter().cloned());
        let launch = Launch::new(&party.command, &party.env, self.directory(party), &all);
        Ok(Managed::new(launch, address))
    }
}
