//! The reference proxy as a process: configuration, logs, journal, signals, and then
//! [`serve`](cloudstate_reference_proxy::serve).

mod shutdown;

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;

use cloudstate_reference_proxy::config::{Config, ConfigError, EXIT_USAGE, JournalKind, LogFormat};
use cloudstate_reference_proxy::journal::ShardLog;
use cloudstate_reference_proxy::journal::durable::DurableLog;
use cloudstate_reference_proxy::journal::memory::MemoryLog;
use cloudstate_reference_proxy::{Parts, serve};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(ConfigError::Asked(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(ConfigError::Invalid(sentence)) => {
            eprintln!("{sentence}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    log_to_stderr(config.log);
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let shutdown = shutdown::requested()?;
    let parts = Parts {
        log: open_log(&config)?,
        config,
        doors: Vec::new(),
    };
    let on_listening = |address| println!("listening on {address}");
    serve(parts, on_listening, shutdown).await?;
    Ok(())
}

fn open_log(config: &Config) -> Result<Arc<dyn ShardLog>, Box<dyn Error>> {
    Ok(match config.journal {
        JournalKind::Memory => Arc::new(MemoryLog::default()),
        JournalKind::Durable => Arc::new(DurableLog::open(&config.data_dir)?),
    })
}

/// `RUST_LOG` chooses what is told; standard output is for the one line that says where we listen.
fn log_to_stderr(format: LogFormat) {
    let chosen = std::env::var("RUST_LOG").ok();
    let chosen = chosen.and_then(|text| text.parse::<Targets>().ok());
    let quiet = [("fjall", Level::WARN), ("lsm_tree", Level::WARN)];
    let usual = || Targets::new().with_default(Level::INFO).with_targets(quiet);
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    let logs = match format {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(chosen.unwrap_or_else(usual))
        .with(logs)
        .init();
}
