//! What can be set: by flag, by environment variable, in a file, or not at all.
//!
//! Each source is read into the same `Settings`, and a source is asked only for what the stronger
//! ones left open: flags, then the environment, then the file, then the defaults.

use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// The status of a process whose command line, environment or file is wrong: `EX_USAGE`.
pub const EXIT_USAGE: u8 = 64;

/// A proxy with a lower hop limit would break the protocol (spec: effects.hop-limit).
const LEAST_HOP_LIMIT: usize = 8;

/// How the proxy runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the user function listens, as `host:port`.
    pub function: String,
    /// Where events and values are kept.
    pub journal: JournalKind,
    /// Where a durable journal has its files.
    pub data_dir: PathBuf,
    /// How long an entity may be idle before its stream is ended.
    pub passivation_timeout: Duration,
    /// How long a command may take.
    pub relay_timeout: Duration,
    /// How long the user function may take to end a stream that the proxy has ended.
    pub half_close_timeout: Duration,
    /// The size of the largest message taken from anybody, in bytes.
    pub max_message_size: usize,
    /// How many commands may wait for an entity.
    pub max_queue: usize,
    /// How many forwards and side effects may lead to a command.
    pub hop_limit: usize,
    /// Whether a user function of another protocol version is refused.
    pub protocol_compatibility_check: bool,
    /// How log lines are written.
    pub log: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9000)),
            function: "127.0.0.1:8080".to_owned(),
            journal: JournalKind::Durable,
            data_dir: PathBuf::from("data"),
            passivation_timeout: Duration::from_secs(30),
            relay_timeout: Duration::from_secs(60),
            half_close_timeout: Duration::from_secs(5),
            max_message_size: 12 << 20,
            max_queue: 1000,
            hop_limit: 32,
            protocol_compatibility_check: true,
            log: LogFormat::Text,
        }
    }
}

/// Where events and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalKind {
    /// In memory, and lost with the process.
    Memory,
    /// On disk, in the data directory.
    Durable,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing is wrong: the help or the version was asked for, and this is it.
    #[error("{0}")]
    Asked(String),
    /// Something is wrong, told in one sentence.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// Reads the command line, the environment, and the file that one of them names.
    pub fn load(
        args: impl IntoIterator<Item = OsString>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let flags = CommandLine::try_parse_from(args).map_err(|error| from_clap(&error))?;
        let environment = from_environment(env)?;
        let file = flags.config.as_deref().or(environment.config.as_deref());
        let file = file.map(from_file).transpose()?.unwrap_or_default();
        let settings = flags.settings.or(environment.settings).or(file);
        Ok(settings.or_default())
    }
}

/// The reference proxy of Cloudstate: serves the entities and actions of one user function to clients.
///
/// What no flag sets is taken from the environment, then from the file, then from the defaults.
/// A variable is named as its flag, CLOUDSTATE_MAX_QUEUE for --max-queue. The address of the user
/// function may also be given as USER_FUNCTION_HOST and USER_FUNCTION_PORT, and the port to listen
/// on as HTTP_PORT.
#[derive(Debug, Parser)]
#[command(name = "cloudstate-reference-proxy", version, term_width = 100)]
struct CommandLine {
    /// A YAML file with the same keys, without the dashes in front
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What one source says.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Where clients connect [default: 0.0.0.0:9000]
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(default, deserialize_with = "parsed")]
    listen: Option<Listen>,
    /// Where the user function listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(default, deserialize_with = "parsed")]
    function: Option<HostPort>,
    /// Where events and values are kept [default: durable]
    #[arg(long)]
    journal: Option<JournalKind>,
    /// The directory of the durable journal [default: data]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// How long an entity may be idle before its stream is ended [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(default, deserialize_with = "parsed")]
    passivation_timeout: Option<Span>,
    /// How long a command may take [default: 60s]
    #[arg(long, value_name = "DURATION")]
    #[serde(default, deserialize_with = "parsed")]
    relay_timeout: Option<Span>,
    /// How long the user function may take to end a stream that the proxy has ended [default: 5s]
    #[arg(long, value_name = "DURATION")]
    #[serde(default, deserialize_with = "parsed")]
    half_close_timeout: Option<Span>,
    /// The size of the largest message taken from anybody [default: 12MiB]
    #[arg(long, value_name = "SIZE")]
    #[serde(default, deserialize_with = "parsed")]
    max_message_size: Option<Size>,
    /// How many commands may wait for an entity, at least 1 [default: 1000]
    #[arg(long, value_name = "COUNT")]
    #[serde(default, deserialize_with = "parsed")]
    max_queue: Option<Count<1>>,
    /// How many forwards and side effects may lead to a command, at least 8 [default: 32]
    #[arg(long, value_name = "COUNT")]
    #[serde(default, deserialize_with = "parsed")]
    hop_limit: Option<Count<LEAST_HOP_LIMIT>>,
    /// Whether to refuse a user function of another protocol version [default: true]
    #[arg(long, value_name = "BOOL")]
    protocol_compatibility_check: Option<bool>,
    /// How log lines are written [default: text]
    #[arg(long, value_name = "FORMAT")]
    log: Option<LogFormat>,
}

impl Settings {
    /// These, and what they leave open from a weaker source.
    fn or(self, weaker: Self) -> Self {
        Self {
            listen: self.listen.or(weaker.listen),
            function: self.function.or(weaker.function),
            journal: self.journal.or(weaker.journal),
            data_dir: self.data_dir.or(weaker.data_dir),
            passivation_timeout: self.passivation_timeout.or(weaker.passivation_timeout),
            relay_timeout: self.relay_timeout.or(weaker.relay_timeout),
            half_close_timeout: self.half_close_timeout.or(weaker.half_close_timeout),
            max_message_size: self.max_message_size.or(weaker.max_message_size),
            max_queue: self.max_queue.or(weaker.max_queue),
            hop_limit: self.hop_limit.or(weaker.hop_limit),
            protocol_compatibility_check: self
                .protocol_compatibility_check
                .or(weaker.protocol_compatibility_check),
            log: self.log.or(weaker.log),
        }
    }

    fn or_default(self) -> Config {
        let default = Config::default();
        let span = |span: Option<Span>, default| span.map_or(default, |span| span.0);
        Config {
            listen: self.listen.map_or(default.listen, |address| address.0),
            function: self.function.map_or(default.function, |address| address.0),
            journal: self.journal.unwrap_or(default.journal),
            data_dir: self.data_dir.unwrap_or(default.data_dir),
            passivation_timeout: span(self.passivation_timeout, default.passivation_timeout),
            relay_timeout: span(self.relay_timeout, default.relay_timeout),
            half_close_timeout: span(self.half_close_timeout, default.half_close_timeout),
            max_message_size: self
                .max_message_size
                .map_or(default.max_message_size, |size| size.0),
            max_queue: self.max_queue.map_or(default.max_queue, |count| count.0),
            hop_limit: self.hop_limit.map_or(default.hop_limit, |count| count.0),
            protocol_compatibility_check: self
                .protocol_compatibility_check
                .unwrap_or(default.protocol_compatibility_check),
            log: self.log.unwrap_or(default.log),
        }
    }
}

/// The keys, as flags and files have them.
const KEYS: [&str; 13] = [
    "config",
    "listen",
    "function",
    "journal",
    "data-dir",
    "passivation-timeout",
    "relay-timeout",
    "half-close-timeout",
    "max-message-size",
    "max-queue",
    "hop-limit",
    "protocol-compatibility-check",
    "log",
];

/// Reads the environment as if it were a command line.
fn from_environment(env: impl Fn(&str) -> Option<String>) -> Result<CommandLine, ConfigError> {
    let mut values: Vec<(&str, String)> = KEYS
        .iter()
        .filter_map(|key| Some((*key, env(&variable(key))?)))
        .collect();
    let given = |key| values.iter().any(|(given, _)| *given == key);
    let mut composed = Vec::new();
    if let Some(port) = env("HTTP_PORT")
        && !given("listen")
    {
        composed.push(("listen", format!("0.0.0.0:{port}")));
    }
    let (host, port) = (env("USER_FUNCTION_HOST"), env("USER_FUNCTION_PORT"));
    if (host.is_some() || port.is_some()) && !given("function") {
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = port.unwrap_or_else(|| "8080".to_owned());
        composed.push(("function", format!("{host}:{port}")));
    }
    values.extend(composed);
    let args = values
        .into_iter()
        .map(|(key, value)| format!("--{key}={value}"));
    let args = std::iter::once(String::new()).chain(args);
    CommandLine::try_parse_from(args).map_err(|error| match from_clap(&error) {
        ConfigError::Invalid(why) => ConfigError::Invalid(format!("in the environment: {why}")),
        asked @ ConfigError::Asked(_) => asked,
    })
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("CLOUDSTATE_{}", key.replace('-', "_").to_uppercase())
}

fn from_file(path: &Path) -> Result<Settings, ConfigError> {
    let invalid = |why: String| ConfigError::Invalid(format!("in {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(Settings::default());
    }
    serde_yaml::from_str(&text).map_err(|error| invalid(error.to_string()))
}

/// The first sentence of what clap says; usage and hints are for `--help`.
fn from_clap(error: &clap::Error) -> ConfigError {
    let text = error.to_string();
    if !error.use_stderr() {
        return ConfigError::Asked(text);
    }
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let sentence = sentence.trim_start_matches("error: ");
    let words: Vec<&str> = sentence.split_whitespace().collect();
    ConfigError::Invalid(words.join(" "))
}

/// An address of this machine.
#[derive(Debug, Clone, Copy)]
struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |_| "write an IP address and a port, as in 0.0.0.0:9000".to_owned();
        text.parse().map(Self).map_err(invalid)
    }
}

/// `host:port`; the host is resolved when it is connected to.
#[derive(Debug, Clone)]
struct HostPort(String);

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        // The address is the authority of a URI later on.
        if !valid || text.parse::<http::uri::Authority>().is_err() {
            return Err("write a host and a port, as in localhost:8080".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A number that isn't below `LEAST`.
#[derive(Debug, Clone, Copy)]
struct Count<const LEAST: usize>(usize);

impl<const LEAST: usize> FromStr for Count<LEAST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if count >= LEAST => Ok(Self(count)),
            _ => Err(format!("write a number, at least {LEAST}")),
        }
    }
}

/// A duration, as in `100ms`, `30s`, `1m`; none at all would time everything out.
#[derive(Debug, Clone, Copy)]
struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "write a number above 0 and one of ms, s, m, h, as in 30s".to_owned();
        let (number, unit) = number_and_unit(text).ok_or_else(invalid)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(invalid()),
        };
        let span = number.checked_mul(milliseconds).ok_or_else(invalid)?;
        Ok(Self(Duration::from_millis(span)))
    }
}

/// A size, as in `4096`, `64KiB`, `12MiB`.
#[derive(Debug, Clone, Copy)]
struct Size(usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid =
            || "write a number above 0, and KiB or MiB if not bytes, as in 12MiB".to_owned();
        let (number, unit) = number_and_unit(text).ok_or_else(invalid)?;
        let bytes: u64 = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(invalid()),
        };
        let size = number.checked_mul(bytes).ok_or_else(invalid)?;
        usize::try_from(size).map(Self).map_err(|_| invalid())
    }
}

/// A number above 0, and what follows it.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some((number, unit))
}

/// Reads a value of the file as if it were that of a flag.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    deserializer.deserialize_any(Parse(PhantomData)).map(Some)
}

/// Parses where the deserializer still knows the line.
struct Parse<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests;
