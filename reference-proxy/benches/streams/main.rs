//! Streams of an action: a million small messages through the proxy, next to the same stream straight to a server.
//! The two take turns, three rounds of them.
//!
//! Ends with what happens when the reader stops: how far the writer gets, and the proxy's memory meanwhile.
//!
//! `cargo bench -p cloudstate-reference-proxy --bench streams`, with `-- --quick` for a few seconds of it.

#[path = "../throughput/proxy.rs"]
mod proxy;
mod servers;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloudstate_protocol::tck::model::action::Request;
use cloudstate_protocol::tck::model::action::action_tck_model_client::ActionTckModelClient;
use futures_util::{StreamExt, stream};
use proxy::Proxy;
use servers::{SENT, Servers, TAKEN, endless, of_length};
use tonic::transport::{Channel, Endpoint};

type Failure = Box<dyn Error + Send + Sync>;
type Client = ActionTckModelClient<Channel>;

/// The targets take turns, so that whatever else the machine does hits both.
const ROUNDS: usize = 3;

/// A way for the messages to go.
#[derive(Clone, Copy)]
enum Kind {
    In,
    Out,
    Both,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    let quick = given("--quick") || !given("--bench");
    let messages = if quick { 20_000 } else { 1_000_000 };
    let servers = Servers::start()?;
    println!("{messages} empty messages in each direction that streams, {ROUNDS} times");
    println!();
    println!(
        "| stream       | direct, messages/s | proxy, messages/s | of direct | proxy before | proxy at most |"
    );
    println!(
        "|--------------|-------------------:|------------------:|----------:|-------------:|--------------:|"
    );
    for (name, kind) in [
        ("streamed-in", Kind::In),
        ("streamed-out", Kind::Out),
        ("both ways", Kind::Both),
    ] {
        let proxy = Proxy::start(servers.function, &["--journal=memory"])?;
        let (direct, through) = (
            connect(servers.direct).await?,
            connect(proxy.address).await?,
        );
        // The first thousand warm up both, so that what is left is what the stream itself takes.
        run(kind, direct.clone(), 1000).await?;
        run(kind, through.clone(), 1000).await?;
        let before = proxy.resident_bytes()?;
        let mut elapsed = [Duration::ZERO; 2];
        for _ in 0..ROUNDS {
            elapsed[0] += run(kind, direct.clone(), messages).await?;
            elapsed[1] += run(kind, through.clone(), messages).await?;
        }
        let [direct, through] = elapsed.map(|elapsed| rate(ROUNDS * messages, elapsed));
        println!(
            "| {name:12} | {direct:18.0} | {through:17.0} | {:7.1} % | {:8.1} MiB | {:9.1} MiB |",
            100.0 * through / direct,
            mebibytes(before),
            mebibytes(proxy.peak_bytes()?),
        );
    }
    println!();
    stalled(&servers, Kind::Out).await?;
    stalled(&servers, Kind::In).await
}

fn rate(messages: usize, elapsed: Duration) -> f64 {
    messages as f64 / elapsed.as_secs_f64()
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn connect(address: SocketAddr) -> Result<Client, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(Client::new(endpoint.connect().await?))
}

/// How long a stream of so many messages takes, from the call to its end.
async fn run(kind: Kind, mut client: Client, messages: usize) -> Result<Duration, Failure> {
    let start = Instant::now();
    let requests = || stream::repeat_with(Request::default).take(messages);
    let received = match kind {
        Kind::In => {
            client.process_streamed_in(requests()).await?;
            messages
        }
        Kind::Out => {
            let answers = client.process_streamed_out(of_length(messages)).await?;
            answers.into_inner().count().await
        }
        Kind::Both => {
            let answers = client.process_streamed(requests()).await?;
            answers.into_inner().count().await
        }
    };
    match received == messages {
        true => Ok(start.elapsed()),
        false => Err(format!("{received} of {messages} messages came").into()),
    }
}

/// The writer would go on for ever; the reader takes nothing.
async fn stalled(servers: &Servers, kind: Kind) -> Result<(), Failure> {
    let proxy = Proxy::start(servers.function, &["--journal=memory"])?;
    let mut client = connect(proxy.address).await?;
    run(kind, client.clone(), 1000).await?;
    let before = proxy.resident_bytes()?;
    let (who, counter) = match kind {
        Kind::Out => ("the user function, whose client doesn't read,", &SENT),
        _ => ("the client, whose user function doesn't read,", &TAKEN),
    };
    counter.store(0, Ordering::Relaxed);
    let call = tokio::spawn(async move {
        match kind {
            Kind::Out => {
                let answers = client.process_streamed_out(endless()).await;
                // Held, and never read.
                std::future::pending::<()>().await;
                drop(answers);
            }
            _ => {
                let requests = stream::repeat_with(|| {
                    TAKEN.fetch_add(1, Ordering::Relaxed);
                    endless()
                });
                drop(client.process_streamed_in(requests).await);
            }
        }
    });
    let mut sent = usize::MAX;
    while sent != counter.load(Ordering::Relaxed) {
        sent = counter.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!(
        "{who} was stopped after {sent} messages; the proxy grew from {:.1} to {:.1} MiB",
        mebibytes(before),
        mebibytes(proxy.peak_bytes()?),
    );
    call.abort();
    Ok(())
}
