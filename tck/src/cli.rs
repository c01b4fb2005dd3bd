//! The command line: arguments in, text and an exit code out.
//!
//! Each subcommand is a module with one function. They write to a [`Console`], so that tests see what a user sees,
//! and fail with a fault, which knows its exit code.

mod arguments;
mod catalog;
mod check;
mod explain;
mod function;
mod judge;
mod list;
mod mutants;
mod run;
mod show;
mod subject;

use crate::report::ExitCode;
use crate::report::paint::Paint;
use arguments::{Arguments, CliCommand, Colour};
use clap::Parser as _;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

/// Runs the program with the arguments of the process.
pub fn main() -> std::process::ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let mut console = Console {
        colour: !plain && out.is_terminal(),
        progress: err.is_terminal(),
        out: &mut out,
        err: &mut err,
    };
    execute(std::env::args_os(), &mut console).into()
}

/// Where a user looks.
pub struct Console<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Problems.
    pub err: &'a mut dyn Write,
    /// Colours where the user doesn't say.
    pub colour: bool,
    /// A progress bar may be drawn on the process's standard error.
    pub progress: bool,
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

impl Console<'_> {
    fn paint(&self) -> Paint {
        if self.colour {
            Paint::Colour
        } else {
            Paint::Plain
        }
    }

    /// A reader that has gone away, as in `list | head`, needs nothing more.
    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
struct CommandError {
    code: ExitCode,
    message: String,
}

impl CommandError {
    fn usage(message: impl Into<String>) -> CommandError {
        CommandError {
            code: ExitCode::Usage,
            message: message.into(),
        }
    }

    fn unreachable(message: impl Into<String>) -> CommandError {
        CommandError {
            code: ExitCode::Unreachable,
            message: message.into(),
        }
    }

    fn kit(message: impl Into<String>) -> CommandError {
        CommandError {
            code: ExitCode::KitFault,
            message: message.into(),
        }
    }
}

/// Runs the program: the first argument is its name.
pub fn execute(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    console: &mut Console<'_>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return not_parsed(&error, console),
    };
    match arguments.color {
        Colour::Always => console.colour = true,
        Colour::Never => console.colour = false,
        Colour::Auto => {}
    }
    let done = match arguments.command {
        CliCommand::Run(arguments) => run::run(arguments, console),
        CliCommand::List(arguments) => list::list(&arguments, console),
        CliCommand::Explain(arguments) => explain::explain(&arguments, console),
        CliCommand::Check(arguments) => check::check(&arguments, console),
        CliCommand::Judge(arguments) => judge::judge(&arguments, console),
        CliCommand::Show(arguments) => show::show(&arguments, console),
        CliCommand::Mutants(arguments) => mutants::mutants(&arguments, console),
        CliCommand::Function(arguments) => function::function(&arguments, console),
        CliCommand::Schema => schema(console),
    };
    done.unwrap_or_else(|fault| {
        let word = console.paint().red("error:");
        let _ = writeln!(console.err, "{word} {}", fault.message);
        fault.code
    })
}

/// Help and version are asked for; everything else is a mistake.
fn not_parsed(error: &clap::Error, console: &mut Console<'_>) -> ExitCode {
    let text = match console.colour {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            console.print(&text);
            ExitCode::Pass
        }
        _ => {
            let _ = console.err.write_all(text.as_bytes());
            ExitCode::Usage
        }
    }
}

fn schema(console: &mut Console<'_>) -> Result<ExitCode, CommandError> {
    let text = serde_json::to_string_pretty(&crate::scenario::schema::schema())
        .map_err(|error| CommandError::kit(error.to_string()))?;
    console.print(&format!("{text}\n"));
    Ok(ExitCode::Pass)
}

/// What runs the asynchronous part of the program.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let problem = |error| CommandError::kit(format!("the runtime doesn't start: {error}"));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(problem)
}

#[cfg(test)]
mod tests;
