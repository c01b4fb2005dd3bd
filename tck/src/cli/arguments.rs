//! What can be written on the command line, and the help that explains it.

use crate::party::Role;
use crate::report::ExitCode;
use crate::report::forms::{self, FORMS, ReportForm};
use crate::system::address;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

const ABOUT: &str = "Tests whether a proxy or a language SDK speaks the Cloudstate protocol";

/// Of `--time-scale`: beyond them, waiting is none, or has no end that anybody sees.
const FACTORS: RangeInclusive<f64> = 0.01..=1000.0;

/// Scenarios that are generated at most: they are made before the first is played.
const GENERATED: usize = 10_000;

const LONG_ABOUT: &str = "\
Tests whether a proxy or a language SDK speaks the Cloudstate protocol.

A scenario is a message sequence chart between a client, the proxy and the user function, the
service written with an SDK. The kit plays every party that is not under test, so one scenario
serves three roles:

  sdk    the user function is under test; the kit is the proxy
  proxy  the proxy is under test; the kit is the client and the user function
  stack  both are under test; the kit is the client and stands between them

Every scenario names the normative sentences that it verifies. The program is one file:
scenarios and specification are inside.";

#[derive(Debug, Parser)]
#[command(
    name = "cloudstate-tck",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    max_term_width = 100,
    after_long_help = first_steps()
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: CliCommand,
    /// When to use colours; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Run scenarios against a system under test, and report
    #[command(after_long_help = run_examples())]
    Run(Box<RunArguments>),
    /// List scenarios, or requirements
    List(ListArguments),
    /// Draw a scenario, or show a requirement and what verifies it
    Explain(ExplainArguments),
    /// Check scenario files without a system under test
    Check(CheckArguments),
    /// Judge saved transcripts again, without the system that they are of
    Judge(JudgeArguments),
    /// Render a saved report again, in another format
    Show(ShowArguments),
    /// Test the kit: break conforming parties on purpose, and see that each is caught
    Mutants(MutantsArguments),
    /// Serve the model function: a user function that does everything right
    Function(FunctionArguments),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

/// Which scenarios.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which scenarios")]
pub(super) struct Selection {
    /// Only scenarios whose name matches: `*` is any part of a name, `**` anything, `passivation` alone a
    /// whole suite; may be repeated
    #[arg(long, short, value_name = "GLOB")]
    pub filter: Vec<String>,
    /// Only scenarios that verify this requirement, a name or a glob; may be repeated
    #[arg(long, value_name = "NAME")]
    pub requirement: Vec<String>,
    /// Scenarios from this file, instead of the built-in ones; may be repeated
    #[arg(long, value_name = "FILE")]
    pub scenarios: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub subject: SubjectArguments,
    #[command(flatten)]
    pub selection: Selection,
    /// Only in this role; by default in all that the system can take; may be repeated
    #[arg(long, value_parser = role(), value_name = "ROLE")]
    pub role: Vec<Role>,
    #[command(flatten)]
    pub how: How,
}

/// How scenarios are run and reported.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How they are run and reported")]
pub(super) struct How {
    /// What is printed when the run is over
    #[arg(long, value_parser = form(), default_value = FORMS[0].name)]
    pub format: &'static ReportForm,
    #[arg(long, value_name = "FOLDER", help = report_help())]
    pub report: Option<PathBuf>,
    /// So many scenarios at once; by default as many as the system serves
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Wait so many times as long for everything, 0.01 to 1000; for slow machines
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub time_scale: f64,
    /// Where the generated scenarios come from
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Generate so many scenarios beside the written ones, at most 10000; one that fails is made smaller and, with
    /// --report, written as a scenario file
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = generated)]
    pub generated: usize,
    /// Leave times out of the report, so that it can be compared with another
    #[arg(long)]
    pub without_times: bool,
}

/// What is tested.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The system under test")]
pub(super) struct SubjectArguments {
    /// A file that describes it: how to start it, its features, its known failures
    #[arg(
        value_name = "SYSTEM.yaml",
        conflicts_with_all = ["function", "function_command", "proxy", "proxy_command"]
    )]
    pub system: Option<PathBuf>,
    /// A user function that already runs at this address: host:port
    #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with = "function_command")]
    pub function: Option<SocketAddr>,
    /// A command that starts a user function; `{listen}`, `{host}` and `{port}` stand for where it shall listen
    #[arg(long, value_name = "COMMAND")]
    pub function_command: Option<String>,
    /// A proxy that already runs at this address
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = address,
        conflicts_with = "proxy_command",
        requires = "function_listen"
    )]
    pub proxy: Option<SocketAddr>,
    /// Where that proxy looks for its user function: the kit listens there
    #[arg(long, value_name = "ADDRESS", value_parser = address, requires = "proxy")]
    pub function_listen: Option<SocketAddr>,
    /// A command that starts a proxy; as above, and `{function}`, `{function_host}` and `{function_port}` stand
    /// for where its user function is, `{data}` for a folder that survives its restarts, and `{passivation}`,
    /// `{relay_timeout}` and `{half_close_timeout}` for milliseconds: how long an entity may be idle, an answer may
    /// take, and a stream may take to end. Scenarios about the last two are left out where they don't stand
    #[arg(long, value_name = "COMMAND")]
    pub proxy_command: Option<String>,
    /// Its name in the report
    #[arg(long, conflicts_with = "system")]
    pub name: Option<String>,
    /// Its version in the report
    #[arg(long, conflicts_with = "system", value_name = "VERSION")]
    pub system_version: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    pub selection: Selection,
    /// Only scenarios that can be played in this role; with --requirements, only those that bind what it tests
    #[arg(long, value_parser = role(), value_name = "ROLE")]
    pub role: Option<Role>,
    #[command(flatten)]
    pub what: Listing,
}

/// What is listed, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What is listed")]
pub(super) struct Listing {
    /// List the requirements of the specification instead, with what verifies them; --filter goes by their names,
    /// `passivation` alone is a whole chapter
    #[arg(long)]
    pub requirements: bool,
    /// Text, or JSON for programs
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArguments {
    /// A scenario (`event-sourced/rehydrates-after-passivation`, or `rehydrates-after-passivation` if no other
    /// suite has it), or a requirement (`event-sourced.replay-in-order`)
    pub name: String,
    /// Draw the chart as it is played in this role; by default in the one with the most hops
    #[arg(long, value_parser = role(), value_name = "ROLE")]
    pub role: Option<Role>,
    /// Look in this file, instead of the built-in scenarios; may be repeated
    #[arg(long, value_name = "FILE")]
    pub scenarios: Vec<PathBuf>,
    /// Print nothing but the chart, as an SVG image
    #[arg(long)]
    pub svg: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct CheckArguments {
    /// Scenario files; without any, the built-in ones and the specification
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct JudgeArguments {
    /// Transcripts, as `run --report FOLDER` writes them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What is printed
    #[arg(long, value_parser = form(), default_value = FORMS[0].name)]
    pub format: &'static ReportForm,
    /// Print every entry of the transcripts too
    #[arg(long)]
    pub entries: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ShowArguments {
    /// A report.json
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What is printed
    #[arg(long, value_parser = form(), default_value = FORMS[0].name)]
    pub format: &'static ReportForm,
}

#[derive(Clone, Debug, Args)]
pub(super) struct MutantsArguments {
    /// A system file with a proxy that the kit starts: mutants of proxies are made of it; without one, only
    /// functions are broken
    #[arg(value_name = "SYSTEM.yaml", conflicts_with = "proxy_command")]
    pub system: Option<PathBuf>,
    /// A command that starts such a proxy, as in `run`
    #[arg(long, value_name = "COMMAND")]
    pub proxy_command: Option<String>,
    /// Only mutants whose name matches; may be repeated
    #[arg(long, short, value_name = "GLOB")]
    pub filter: Vec<String>,
    /// Mutants from this file, instead of the built-in ones; may be repeated
    #[arg(long, value_name = "FILE")]
    pub mutants: Vec<PathBuf>,
    /// Scenarios from this file, instead of the built-in ones; may be repeated
    #[arg(long, value_name = "FILE")]
    pub scenarios: Vec<PathBuf>,
    /// Wait so many times as long for everything, 0.01 to 1000; for slow machines
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub time_scale: f64,
    /// Text, or JSON for programs
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

#[derive(Clone, Debug, Args)]
pub(super) struct FunctionArguments {
    /// Where it listens; port 0: one that is free
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
}

fn role() -> impl clap::builder::TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["sdk", "proxy", "stack"]).map(|name| match name.as_str() {
        "sdk" => Role::Sdk,
        "proxy" => Role::Proxy,
        _ => Role::Stack,
    })
}

fn form() -> impl clap::builder::TypedValueParser<Value = &'static ReportForm> {
    let names = PossibleValuesParser::new(FORMS.iter().map(|form| form.name));
    names.try_map(|name| forms::named(&name).ok_or("there is no such form"))
}

fn report_help() -> String {
    let mut files: Vec<&str> = forms::files().map(|(name, _)| name).collect();
    let last = files.pop().unwrap_or_default();
    let files = files.join(", ");
    format!("Write {files} and {last} to this folder, with the transcripts of what failed")
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if FACTORS.contains(&factor) => Ok(factor),
        _ => Err(format!(
            "a number from {} to {} is expected, for example 2.5",
            FACTORS.start(),
            FACTORS.end()
        )),
    }
}

fn generated(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= GENERATED => Ok(count),
        _ => Err(format!(
            "a number from 0 to {GENERATED} is expected; for more, run again with another --seed"
        )),
    }
}

fn first_steps() -> String {
    let mut text = "First steps:\n  \
        cloudstate-tck function                             start a user function to try the kit on\n  \
        cloudstate-tck run --function 127.0.0.1:8080        test it\n  \
        cloudstate-tck list                                 see what is tested\n  \
        cloudstate-tck explain event-sourced/SCENARIO       see one scenario drawn\n  \
        cloudstate-tck explain event-sourced.REQUIREMENT    see a requirement and what verifies it\n\n\
        Exit codes:\n"
        .to_owned();
    for code in ExitCode::ALL {
        let _ = writeln!(text, "  {:<3} {}", code.code(), code.meaning());
    }
    text.push_str("  If several hold, 1 is told before 70, 70 before 4, and 4 before 2.");
    text
}

fn run_examples() -> &'static str {
    "Examples:\n  \
     Test a user function that listens on port 8080:\n    \
     cloudstate-tck run --function 127.0.0.1:8080\n  \
     Let the kit start it, on a port of the kit's choice:\n    \
     cloudstate-tck run --function-command 'node index.js --port {port}'\n  \
     Test a proxy that the kit starts:\n    \
     cloudstate-tck run --proxy-command 'my-proxy --listen {listen} --function {function}'\n  \
     Test both together, and see who is to blame:\n    \
     cloudstate-tck run --proxy-command '…' --function-command '…' --role stack\n  \
     In CI, with a system file that has features and known failures:\n    \
     cloudstate-tck run system.yaml --report out --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n\n\
     For the exit codes see cloudstate-tck --help."
}
