//! The way to the user function: as many connections as its streams need.
//!
//! Entities [`Function::open`] their streams here. A user function takes only so many streams on
//! a connection, so another one is made when all are full. Each new connection needs an
//! [`Admission`] first: what was put behind the address may not be what was there before.

pub mod call;
pub mod connection;
mod pauses;
pub mod report;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use call::Call;
use connection::{Connection, Permit};
use pauses::Pauses;
use report::report_on;

/// The user function can't be reached, or isn't one that can be served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the user function at {address} can't be reached: {reason}")]
pub struct Unreachable {
    address: Arc<str>,
    reason: Arc<str>,
}

/// Looks at each new connection before anything else travels on it.
pub trait Admission: fmt::Debug + Send + Sync + 'static {
    /// Whether the connection may be used; else why not.
    fn admit<'a>(&'a self, connection: &'a Arc<Connection>) -> BoxFuture<'a, Result<(), String>>;
}

/// The user function, wherever it is.
#[derive(Debug)]
pub struct Function {
    address: Arc<str>,
    max_message_size: usize,
    admission: Box<dyn Admission>,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Held while connecting, so that many who need a connection don't make one each; holds the
    /// last failure, which counts for everybody who was waiting for that attempt.
    connecting: tokio::sync::Mutex<Option<(Instant, Unreachable)>>,
    lost: Notify,
}

impl Function {
    /// A user function at `host:port`; nothing is connected yet.
    pub fn new(address: &str, max_message_size: usize, admission: impl Admission) -> Arc<Self> {
        Arc::new(Self {
            address: address.into(),
            max_message_size,
            admission: Box::new(admission),
            connections: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Opens a stream: a gRPC call to this path.
    pub async fn open(self: &Arc<Self>, path: &str) -> Result<Call, Unreachable> {
        self.open_with(path, None).await
    }

    /// Opens a stream for which the user function has so much time.
    pub async fn open_with(
        self: &Arc<Self>,
        path: &str,
        timeout: Option<Duration>,
    ) -> Result<Call, Unreachable> {
        loop {
            // A connection on which opening fails is closed, so this ends.
            match self.permit().await?.open(path, timeout).await {
                Ok(call) => return Ok(call),
                Err(reason) => tracing::debug!(reason, "a stream could not be opened"),
            }
        }
    }

    /// Keeps a connection to the user function, so that a specification is known as long as the
    /// user function is there, and a new one soon after it was replaced. Never ends.
    pub async fn stay_connected(self: Arc<Self>) -> Infallible {
        let mut pauses = Pauses::default();
        loop {
            match self.permit().await {
                Ok(permit) => {
                    drop(permit);
                    pauses = Pauses::default();
                    self.until_lost().await;
                }
                Err(unreachable) => tracing::info!("{unreachable}; the proxy will try again"),
            }
            // spec: discovery.retries
            tokio::time::sleep(pauses.next_pause()).await;
        }
    }

    async fn until_lost(&self) {
        while self.open_connections().iter().any(|c| !c.is_closed()) {
            self.lost.notified().await;
        }
    }

    /// Tells the user function what is wrong with it. Nothing depends on the arrival.
    pub fn report(self: &Arc<Self>, message: String) {
        tracing::warn!(message, "reported to the user function");
        let function = Arc::clone(self);
        tokio::spawn(async move {
            match function.permit().await {
                Ok(permit) => report_on(permit, message).await,
                Err(unreachable) => tracing::debug!("a report did not arrive: {unreachable}"),
            }
        });
    }

    async fn permit(self: &Arc<Self>) -> Result<Permit, Unreachable> {
        if let Some(permit) = self.find_permit() {
            return Ok(permit);
        }
        let since = Instant::now();
        let mut last_failure = self.connecting.lock().await;
        if let Some(permit) = self.find_permit() {
            return Ok(permit);
        }
        if let Some((at, failure)) = &*last_failure
            && *at > since
        {
            return Err(failure.clone());
        }
        self.connect().await.map_err(|reason| {
            let failure = Unreachable {
                address: Arc::clone(&self.address),
                reason: reason.into(),
            };
            *last_failure = Some((Instant::now(), failure.clone()));
            failure
        })
    }

    fn find_permit(&self) -> Option<Permit> {
        let mut connections = self.open_connections();
        connections.retain(|connection| !connection.is_closed());
        connections.iter().find_map(Connection::permit)
    }

    async fn connect(self: &Arc<Self>) -> Result<Permit, String> {
        let function = Arc::downgrade(self);
        let lost = move || {
            if let Some(function) = function.upgrade() {
                function.lost.notify_one();
            }
        };
        let connection = Connection::dial(&self.address, self.max_message_size, lost).await?;
        self.admission.admit(&connection).await?;
        let permit = connection.permit().ok_or("it takes no streams")?;
        self.open_connections().push(connection);
        Ok(permit)
    }

    fn open_connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
