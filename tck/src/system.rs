//! The system under test: an address, or a command that the kit starts, waits for, listens to and stops.
//!
//! A [`System`] is described on the command line or in a small YAML file ([`System::read`]). It says which roles
//! can be played, what the system offers beyond what the kit can tell by itself, and which failures are known
//! ([`WaiverSet`]). [`Managed`] is one process of it.

mod launch;
mod log;
mod own;
pub(crate) mod ports;
mod process;
mod read;
mod timeout;
#[cfg(test)]
mod tests;
mod waivers;

use crate::party::{Party, Role};
pub use launch::{Launch, StartError};
pub use own::needs_own_subject;
pub use ports::Port;
pub use process::{Managed, connects};
pub use timeout::ProxyTimeout;
pub use waivers::{Waiver, WaiverSet, glob};

use crate::scenario::Scenario;
use crate::scenario::keys::FEATURES;
use crate::script::NotPlayable;
use crate::yaml::{Source, SourceError};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A system under test. A system with a function can take the role `sdk`, one with a proxy the role `proxy`, one
/// with both all three.
///
/// As a file:
///
/// ```yaml
/// name: my sdk                    # for reports
/// version: 1.2.0                  # for reports
/// function:                       # the user function: `address` or `command`
///   prepare: [npm, ci]            # run once before; its output is shown
///   command: [node, index.js]     # stays in the foreground and ends on SIGTERM
///   env: { PORT: "{port}" }       # placeholders stand here too
///   directory: service            # relative to this file; paths in `prepare` and `command` are relative to it
///   streams: 8                    # entity streams that it serves at once
/// proxy:                          # the proxy: `address` and `function_listen`, or `command`
///   command: [./proxy, --listen, "{listen}", --function, "{function}", --data, "{data}"]
/// features: [durable]             # what it offers and the kit can't tell by itself
/// lacks: [http]                   # what a system usually offers, and this one doesn't
/// waivers:                        # known failures; one that is not needed any more fails the run
///   - scenario: event-sourced/*   # `*` is any part of a name, `**` anything
///     role: sdk                   # optional
///     requirement: event-sourced.snapshot-is-final-state   # optional: only findings of this requirement
///     reason: No snapshots, see issue 12.
/// ```
#[derive(Clone, Debug, Default)]
pub struct System {
    /// Its name, for reports.
    pub name: String,
    /// Its version, for reports.
    pub version: Option<String>,
    /// The user function.
    pub function: Option<PartyConfig>,
    /// The proxy.
    pub proxy: Option<PartyConfig>,
    /// What it has beyond what the kit can tell by itself, for example `durable`.
    pub features: Vec<String>,
    /// What a system is taken to have unless it says otherwise, for example `http`.
    pub lacks: Vec<String>,
    /// Known failures, each with its reason.
    pub waivers: WaiverSet,
    /// The folder of its file: paths are relative to it.
    pub folder: PathBuf,
}

/// One party of the system: somebody runs it at an address, or the kit starts it.
#[derive(Clone, Debug, Default)]
pub struct PartyConfig {
    /// Where it already runs.
    pub address: Option<SocketAddr>,
    /// The program and its arguments. `{listen}` (host and port), `{host}` and `{port}` stand for where it shall
    /// listen. For a proxy also: `{function}`, `{function_host}` and `{function_port}` for where the function is,
    /// `{data}` for a folder of its own that survives its restarts, and milliseconds: `{passivation}` for a short
    /// passivation timeout, `{relay_timeout}` and `{half_close_timeout}` for how long the proxy waits for an answer
    /// and for the end of a half-closed stream. These two are the specification's, but for scenarios that wait for
    /// them and so need a proxy that can be told.
    ///
    /// The process stays in the foreground and ends on SIGTERM: when it ends, all that it started is killed.
    pub command: Vec<String>,
    /// Environment variables beside the kit's own, with the same placeholders.
    pub env: BTreeMap<String, String>,
    /// Where the command is run, relative to the system file's folder; by default that folder.
    pub directory: Option<PathBuf>,
    /// Run once before: a build, an installation. Its output is shown.
    pub prepare: Vec<String>,
    /// How many entity streams it serves at once (a function); by default 8.
    pub streams: Option<usize>,
    /// Where the kit's function listens, for a proxy that somebody else runs.
    pub function_listen: Option<SocketAddr>,
}

/// The address that `host:port` means; the host can be a name.
///
/// # Errors
/// It means none: what to write, and why.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = |why: String| format!("write host:port, for example localhost:8080 ({why})");
    let found = text
        .to_socket_addrs()
        .map_err(|error| expected(error.to_string()))?;
    // Most servers listen on IPv4 for `localhost`, whatever the resolver prefers.
    found
        .min_by_key(|address| !address.is_ipv4())
        .ok_or_else(|| expected("the name has no address".to_owned()))
}

/// What is wrong with a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemProblem {
    /// The keys in the file that lead to it.
    place: Vec<&'static str>,
    /// What the value under them has in it that is wrong.
    word: Option<String>,
    /// What is wrong, as a sentence without a full stop.
    message: String,
    /// What to do.
    help: Option<String>,
}

impl fmt::Display for SystemProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help
            .as_ref()
            .map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

/// A feature that nobody declares: the kit can tell by itself.
const TOLD: [&str; 4] = [
    "managed",
    "single-node",
    ProxyTimeout::RELAY_TIMEOUT.feature,
    ProxyTimeout::HALF_CLOSE_TIMEOUT.feature,
];
/// A feature that a system has unless it says that it lacks it.
const ASSUMED: [&str; 1] = ["http"];
/// Placeholders of every command.
const LISTENING: [&str; 3] = ["listen", "host", "port"];
/// Placeholders of a proxy's command that say where its function is.
const CALLING: [&str; 3] = ["function", "function_host", "function_port"];
/// The other placeholders of a proxy's command.
const KEEPING: [&str; 4] = [
    "data",
    "passivation",
    ProxyTimeout::RELAY_TIMEOUT.placeholder,
    ProxyTimeout::HALF_CLOSE_TIMEOUT.placeholder,
];

impl System {
    /// Reads a system file.
    ///
    /// # Errors
    /// What is wrong in it, where, and what would have been allowed.
    pub fn read(path: &Path) -> Result<System, SourceError> {
        System::read_for(path, &[])
    }

    /// Reads a system file whose waivers may name these scenarios too, beside those that the kit brings.
    ///
    /// # Errors
    /// As [`System::read`].
    pub fn read_for(path: &Path, scenarios: &[Arc<Scenario>]) -> Result<System, SourceError> {
        let source = Source::read(path).map_err(|error| SourceError {
            help: error.help.or_else(|| {
                Some("a system file says how to start what is tested, or where it runs".to_owned())
            }),
            ..error
        })?;
        let mut system = read::read(&Arc::new(source), scenarios)?;
        let folder = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        system.folder = folder.unwrap_or(Path::new(".")).to_owned();
        Ok(system)
    }

    /// What makes no sense in it, wherever it was described.
    pub fn problem(&self) -> Option<SystemProblem> {
        if self.function.is_none() && self.proxy.is_none() {
            return Some(SystemProblem::new(
                &[],
                "a system has a function, a proxy, or both",
                None,
            ));
        }
        let function = self
            .function
            .as_ref()
            .and_then(|party| party.problem("function", &LISTENING));
        let known = [&LISTENING[..], &CALLING, &KEEPING].concat();
        let proxy = || {
            self.proxy
                .as_ref()
                .and_then(|party| party.problem("proxy", &known))
        };
        function
            .or_else(proxy)
            .or_else(|| self.unconnected())
            .or_else(|| self.undeclared())
    }

    /// A proxy that has no way to find its function.
    fn unconnected(&self) -> Option<SystemProblem> {
        let proxy = self.proxy.as_ref()?;
        if proxy.address.is_some() && proxy.function_listen.is_none() {
            let message =
                "a proxy that already runs needs function_listen: where it looks for its function";
            return Some(SystemProblem::new(&["proxy"], message, None));
        }
        let told =
            CALLING.iter().any(|name| proxy.mentions(name)) || proxy.function_listen.is_some();
        (!proxy.command.is_empty() && !told).then(|| {
            let help =
                "write {function}, or {function_host} and {function_port}, in command or env";
            SystemProblem::new(
                &["proxy", "command"],
                "the proxy isn't told where its function is",
                Some(help),
            )
        })
    }

    /// Features that nobody can have, or that are had and lacked.
    fn undeclared(&self) -> Option<SystemProblem> {
        for (key, names) in [("features", &self.features), ("lacks", &self.lacks)] {
            let allowed = || FEATURES.iter().filter(|name| !TOLD.contains(name));
            if let Some(wrong) = names
                .iter()
                .find(|name| !allowed().any(|known| known == name))
            {
                let message = if TOLD.contains(&wrong.as_str()) {
                    format!("{wrong} is not declared; the kit can tell")
                } else {
                    format!("there is no feature {wrong}")
                };
                let known = allowed().copied().collect::<Vec<_>>().join(", ");
                let help = format!("features: {known}");
                return Some(SystemProblem::new(&[key], &message, Some(&help)).about(wrong));
            }
        }
        let both = self
            .features
            .iter()
            .find(|name| self.lacks.contains(name))?;
        let message = format!("{both} is both in features and in lacks");
        Some(SystemProblem::new(&["lacks"], &message, None).about(both))
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

    /// Does it have what a scenario needs?
    ///
    /// # Errors
    /// Why it doesn't have the first feature that is missing.
    pub fn has(&self, needs: &[String], role: Role) -> Result<(), NotPlayable> {
        let party = if role == Role::Sdk {
            &self.function
        } else {
            &self.proxy
        };
        for need in needs {
            let there = match need.as_str() {
                told if let Some(timeout) = ProxyTimeout::of(told) => party
                    .as_ref()
                    .is_some_and(|party| party.mentions(timeout.placeholder)),
                "managed" => party
                    .as_ref()
                    .is_some_and(|party| !party.command.is_empty()),
                "single-node" => true,
                other if self.lacks.iter().any(|lack| lack == other) => false,
                other => {
                    ASSUMED.contains(&other) || self.features.iter().any(|feature| feature == other)
                }
            };
            if !there {
                return Err(NotPlayable::NoFeature(need.clone()));
            }
        }
        Ok(())
    }

    /// Runs what has to be run once before, and tells its output line by line.
    ///
    /// # Errors
    /// A command that fails, with its last words.
    pub async fn prepare(
        &self,
        roles: &[Role],
        mut say: impl FnMut(&str),
    ) -> Result<(), StartError> {
        let function = roles.iter().any(|role| *role != Role::Proxy);
        let proxy = roles.iter().any(|role| *role != Role::Sdk);
        let parties = [(function, &self.function), (proxy, &self.proxy)];
        let wanted = parties.into_iter().filter(|(wanted, _)| *wanted);
        for party in wanted.filter_map(|(_, party)| party.as_ref()) {
            if !party.prepare.is_empty() {
                let launch =
                    Launch::new(&party.prepare, &BTreeMap::new(), self.directory(party), &[]);
                process::run(&launch, &mut say).await?;
            }
        }
        Ok(())
    }

    fn directory(&self, party: &PartyConfig) -> PathBuf {
        match &party.directory {
            Some(directory) => self.folder.join(directory),
            None => self.folder.clone(),
        }
    }

    /// A process of a party, not started yet; errors call it so. `values` are the placeholders beside where it
    /// listens.
    ///
    /// # Errors
    /// No port is free.
    pub fn process(
        &self,
        party: &PartyConfig,
        name: Party,
        values: &[(&str, String)],
    ) -> Result<Managed, StartError> {
        let launch = Launch::new(&party.command, &party.env, self.directory(party), values);
        let launch = launch.named(format!("the {name}"));
        let none = |error| StartError::because(format!("no port is free: {error}"));
        Ok(Managed::new(launch, Port::free().map_err(none)?))
    }
}

impl PartyConfig {
    /// A party that somebody else runs.
    pub fn at(address: SocketAddr) -> PartyConfig {
        PartyConfig {
            address: Some(address),
            ..PartyConfig::default()
        }
    }

    /// A party that the kit starts.
    pub fn started_by(command: Vec<String>) -> PartyConfig {
        PartyConfig {
            command,
            ..PartyConfig::default()
        }
    }

    fn problem(&self, name: &'static str, known: &[&str]) -> Option<SystemProblem> {
        match (&self.address, self.command.is_empty()) {
            (None, true) => {
                let help =
                    "address: host:port of one that already runs; or command: [program, argument]";
                let message = format!("the {name} needs an address or a command");
                return Some(SystemProblem::new(&[name], &message, Some(help)));
            }
            (Some(_), false) => {
                let message =
                    format!("the {name} has an address and a command; it needs one of them");
                return Some(SystemProblem::new(&[name], &message, None));
            }
            (Some(_), true) => return None,
            (None, false) => {}
        }
        let texts = [
            ("command", self.command.iter().collect::<Vec<_>>()),
            ("env", self.env.values().collect()),
        ];
        for (key, texts) in &texts {
            let mut named = texts.iter().flat_map(|text| launch::placeholders(text));
            if let Some(wrong) = named.find(|placeholder| !known.contains(placeholder)) {
                let message = format!("{{{wrong}}} stands for nothing in the {key} of the {name}");
                let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                let help = format!("placeholders: {}", known.join(", "));
                let problem = SystemProblem::new(&[name, key], &message, Some(&help));
                return Some(problem.about(&format!("{{{wrong}}}")));
            }
        }
        (!self.mentions("listen") && !self.mentions("port")).then(|| {
            let help =
                "write {listen}, or {host} and {port}, in command or env; the kit picks the port";
            let message = format!("the {name} isn't told where to listen");
            SystemProblem::new(&[name, "command"], &message, Some(help))
        })
    }

    fn mentions(&self, placeholder: &str) -> bool {
        let mut texts = self.command.iter().chain(self.env.values());
        texts.any(|text| launch::placeholders(text).any(|name| name == placeholder))
    }
}

impl SystemProblem {
    fn new(place: &[&'static str], message: &str, help: Option<&str>) -> SystemProblem {
        SystemProblem {
            place: place.to_vec(),
            word: None,
            message: message.to_owned(),
            help: help.map(str::to_owned),
        }
    }

    fn about(self, word: &str) -> SystemProblem {
        SystemProblem {
            word: Some(word.to_owned()),
            ..self
        }
    }
}
