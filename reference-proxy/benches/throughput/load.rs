//! The clients: so many calls at a time, for so long.

use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use cloudstate_protocol::tck::model::event_sourced_tck_model_client::EventSourcedTckModelClient;
use cloudstate_protocol::tck::model::{Emit, Request, RequestAction, request_action};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use tonic::transport::{Channel, Endpoint};

/// How many connections the calls share.
const CONNECTIONS: usize = 5;
/// How large an event is, in bytes.
const EVENT: usize = 100;

type Client = EventSourcedTckModelClient<Channel>;

/// Calls to one target.
pub struct Load {
    clients: Vec<Client>,
    /// The beginning of the entities' ids.
    prefix: String,
    /// Whether a call emits an event.
    emits: bool,
}

impl Load {
    /// Connects to the target.
    pub async fn new(
        prefix: &str,
        target: SocketAddr,
        emits: bool,
    ) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
        let channels = try_join_all((0..CONNECTIONS).map(|_| endpoint.connect())).await?;
        Ok(Self {
            clients: channels.into_iter().map(Client::new).collect(),
            prefix: prefix.to_owned(),
            emits,
        })
    }

    /// Calls for so long, each worker without a pause and to an entity of its own.
    pub async fn run(&self, duration: Duration, workers: usize) -> Result<Measured, CallError> {
        let start = Instant::now();
        let workers = (0..workers).map(|worker| {
            let (client, request) = self.prepare(worker);
            tokio::spawn(call_until(start + duration, client, request))
        });
        let mut measured = Measured::nothing()?;
        for latencies in try_join_all(workers).await? {
            measured.latencies.add(latencies?)?;
        }
        measured.elapsed = start.elapsed();
        Ok(measured)
    }

    /// Calls each of these entities once.
    pub async fn wake(&self, entities: Range<usize>, workers: usize) -> Result<(), tonic::Status> {
        let calls = entities.map(|entity| {
            let (mut client, request) = self.prepare(entity);
            async move { client.process(request).await }
        });
        stream::iter(calls)
            .buffer_unordered(workers)
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    fn prepare(&self, entity: usize) -> (Client, Request) {
        let emit = || RequestAction {
            action: Some(request_action::Action::Emit(Emit {
                value: "x".repeat(EVENT),
            })),
        };
        let request = Request {
            id: format!("{}-{entity}", self.prefix),
            actions: self.emits.then(emit).into_iter().collect(),
        };
        (self.clients[entity % CONNECTIONS].clone(), request)
    }
}

type CallError = Box<dyn Error + Send + Sync>;

async fn call_until(
    end: Instant,
    mut client: Client,
    request: Request,
) -> Result<Histogram<u64>, CallError> {
    let mut latencies = micros()?;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(latencies);
        }
        client.process(request.clone()).await?;
        latencies.record(u64::try_from(start.elapsed().as_micros())?)?;
    }
}

/// Up to a minute, to three digits.
fn micros() -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    Histogram::new_with_max(60_000_000, 3)
}

/// What came out.
pub struct Measured {
    /// In microseconds.
    latencies: Histogram<u64>,
    elapsed: Duration,
}

impl Measured {
    /// Calls a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this part of the calls didn't exceed.
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The measurement before the first round.
    pub fn nothing() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            latencies: micros()?,
            elapsed: Duration::ZERO,
        })
    }

    /// Adds another round.
    pub fn add(&mut self, round: &Self) -> Result<(), hdrhistogram::AdditionError> {
        self.elapsed += round.elapsed;
        self.latencies.add(&round.latencies)
    }
}
