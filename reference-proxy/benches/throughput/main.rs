//! What the proxy costs: the same unary calls straight to an echo server, and through the proxy to
//! event sourced entities, side by side in one run. Ends with the memory that a live entity takes.
//!
//! The proxy is the built binary, in processes of its own; the echo server and the user function
//! share this process with the load. All of it shares the machine's cores, so that the numbers say
//! what a command costs on it, and not what the proxy can do on a machine of its own.
//!
//! `cargo bench -p cloudstate-reference-proxy`, with `-- --quick` for a few seconds of it.

mod load;
mod proxy;
mod servers;

use std::error::Error;
use std::time::Duration;

use load::{Load, Measured};
use proxy::Proxy;
use servers::Servers;

/// How many calls are under way at any time.
const CONCURRENCY: usize = 50;
/// The targets take turns, so that whatever else the machine does hits them all.
const ROUNDS: u32 = 3;

/// How much is measured.
struct Extent {
    /// Of one target, in all rounds.
    duration: Duration,
    /// Of which the memory is measured.
    entities: usize,
}

impl Extent {
    /// `cargo bench` says `--bench`; whoever else runs this only wants to see it run.
    fn of_args() -> Self {
        let given = |flag: &str| std::env::args().any(|arg| arg == flag);
        if given("--quick") || !given("--bench") {
            Self {
                duration: Duration::from_millis(1500),
                entities: 1000,
            }
        } else {
            Self {
                duration: Duration::from_secs(15),
                entities: 10_000,
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let extent = Extent::of_args();
    let servers = Servers::start()?;
    let data = tempfile::tempdir()?;
    let data_dir = format!("--data-dir={}", data.path().display());
    let durable = Proxy::start(servers.function, &["--journal=durable", &data_dir])?;
    let memory = Proxy::start(servers.function, &["--journal=memory"])?;

    let targets = [
        ("direct", Load::new("direct", servers.echo, true).await?),
        (
            "proxy, no event",
            Load::new("none", memory.address, false).await?,
        ),
        (
            "proxy, memory",
            Load::new("memory", memory.address, true).await?,
        ),
        (
            "proxy, durable",
            Load::new("durable", durable.address, true).await?,
        ),
    ];
    let mut rows: Vec<(&str, Measured)> = Vec::new();
    for (name, load) in &targets {
        load.run(extent.duration / 10, CONCURRENCY).await?;
        rows.push((name, Measured::nothing()?));
    }
    for _ in 0..ROUNDS {
        for ((_, load), (_, measured)) in targets.iter().zip(&mut rows) {
            measured.add(&load.run(extent.duration / ROUNDS, CONCURRENCY).await?)?;
        }
    }
    print_table(&rows);
    print_memory(servers.function, extent.entities).await
}

fn print_table(rows: &[(&str, Measured)]) {
    println!("{CONCURRENCY} unary calls at a time, each worker to an entity of its own");
    println!();
    println!("| target          |  calls/s |  p50 ms |  p99 ms |  max ms | of direct |");
    println!("|-----------------|---------:|--------:|--------:|--------:|----------:|");
    let direct = rows.first().map_or(f64::NAN, |(_, direct)| direct.rate());
    for (name, measured) in rows {
        println!(
            "| {name:15} | {:8.0} | {:7.2} | {:7.2} | {:7.2} | {:7.1} % |",
            measured.rate(),
            measured.milliseconds(0.5),
            measured.milliseconds(0.99),
            measured.milliseconds(1.0),
            100.0 * measured.rate() / direct,
        );
    }
    println!();
}

/// On a proxy of its own, whose memory nothing else has touched.
async fn print_memory(
    function: std::net::SocketAddr,
    entities: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let proxy = Proxy::start(function, &["--journal=memory"])?;
    let load = Load::new("live", proxy.address, false).await?;
    load.wake(0..CONCURRENCY, CONCURRENCY).await?;
    let before = proxy.resident_bytes()?;
    load.wake(CONCURRENCY..CONCURRENCY + entities, CONCURRENCY)
        .await?;
    let after = proxy.resident_bytes()?;
    let each = after.saturating_sub(before) / entities;
    println!(
        "{entities} live entities: {:.1} MiB more resident memory of the proxy, {each} bytes each",
        after.saturating_sub(before) as f64 / f64::from(1 << 20),
    );
    Ok(())
}
