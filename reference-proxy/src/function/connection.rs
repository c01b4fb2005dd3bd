//! One HTTP/2 connection to the user function, and how many streams it still takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much the user function may send ahead on one stream, and on all of a connection.
const WINDOWS: (u32, u32) = (256 << 10, 16 << 20);
/// Many small messages that wait for a slow client are no attack: the windows above limit them. What h2 counts
/// against floods of small frames must not end the connection of everybody else.
const FRAME_BUDGET: usize = 1 << 30;

/// A connection to the user function.
pub struct Connection {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) authority: String,
    pub(super) max_message_size: usize,
    streams: AtomicUsize,
    closed: AtomicBool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.streams.load(Ordering::Relaxed);
        write!(f, "Connection to {} with {streams} streams", self.authority)
    }
}

/// The right to one stream on a connection.
pub struct Permit(pub(super) Arc<Connection>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connection {
    /// Connects to `host:port`. `lost` is called when the connection has ended.
    pub async fn dial(
        address: &str,
        max_message_size: usize,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>, String> {
        let dialled = timeout(CONNECT_TIMEOUT, handshake(address)).await;
        let (requests, driver) =
            dialled.map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))??;
        let connection = Arc::new(Self {
            requests,
            authority: address.to_owned(),
            max_message_size,
            streams: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&connection);
        tokio::spawn(async move {
            let end = driver.await;
            tracing::debug!(?end, "a connection to the user function has ended");
            if let Some(connection) = watched.upgrade() {
                connection.close();
            }
            lost();
        });
        Ok(connection)
    }

    /// Whether nothing more can be opened here.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Nothing more is to be opened here.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The right to one more stream, as long as the user function takes one.
    pub fn permit(self: &Arc<Self>) -> Option<Permit> {
        if self.is_closed() {
            return None;
        }
        let limit = self.requests.current_max_send_streams();
        let claim = |streams| (streams < limit).then_some(streams + 1);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.streams.fetch_update(set, fetch, claim).ok()?;
        Some(Permit(Arc::clone(self)))
    }
}

type Driver = h2::client::Connection<TcpStream, Bytes>;

/// Connects and waits until the user function's settings are known, the number of streams that it
/// takes among them: they precede the answer to the ping.
async fn handshake(
    address: &str,
) -> Result<
    (
        SendRequest<Bytes>,
        impl Future<Output = Result<(), h2::Error>> + use<>,
    ),
    String,
> {
    let socket = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    socket
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let (requests, mut driver): (_, Driver) = h2::client::Builder::new()
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .data_frame_budget(FRAME_BUDGET)
        .enable_push(false)
        .handshake(socket)
        .await
        .map_err(|error| error.to_string())?;
    let ping = driver.ping_pong();
    let mut driver = Box::pin(driver);
    tokio::select! {
        settled = settle(ping) => settled?,
        end = &mut driver => {
            let reason = end.err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
            return Err(format!("it speaks no HTTP/2: {reason}"));
        }
    }
    Ok((requests, driver))
}

async fn settle(ping: Option<PingPong>) -> Result<(), String> {
    let mut ping = ping.ok_or("the connection answers no pings")?;
    ping.ping(Ping::opaque())
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}
