//! A process of the system under test: started in a group of its own, its output kept, stopped for certain.

use super::launch::{Launch, StartError};
use super::log::Log;
use super::ports::Port;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Between two attempts to reach something that starts, at first and at most: nothing tells when it listens, so
/// time is all that can be waited for.
const ATTEMPT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How long a process may take to end in good order.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the output of a process that ended may stay open. It closes at once, unless something that left the
/// process's group still has it.
const ECHO: Duration = Duration::from_secs(1);

/// A process that runs, or has ended and was not yet forgotten. Dropping it kills it with all that it started.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Until it is known to be gone. The group outlives its first process while others are in it.
    group: Option<Pid>,
    /// They end with the output.
    readers: JoinSet<()>,
    /// How many lines there were before it.
    since: usize,
}

impl Running {
    fn start(
        launch: &Launch,
        log: &Log,
        tap: Option<mpsc::Sender<String>>,
    ) -> Result<Running, StartError> {
        let since = log.count();
        let mut child = launch.spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let mut readers = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(log.clone().follow(out, tap.clone()));
        }
        if let Some(err) = child.stderr.take() {
            readers.spawn(log.clone().follow(err, tap));
        }
        Ok(Running {
            child,
            group,
            readers,
            since,
        })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = killpg(group, signal);
        }
    }

    /// Kills what is left of the group and forgets it: its number can go to somebody else.
    fn sweep(&mut self) {
        self.signal(Signal::SIGKILL);
        self.group = None;
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok()??;
        self.sweep();
        Some(status)
    }

    /// Waits until it ended and all it said is in the log.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.sweep();
        let _ = timeout(ECHO, async {
            while self.readers.join_next().await.is_some() {}
        })
        .await;
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sweep();
    }
}

fn how(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Runs a command to its end and tells each line of its output.
pub(super) async fn run(launch: &Launch, say: &mut impl FnMut(&str)) -> Result<(), StartError> {
    let log = Log::default();
    let (tap, mut lines) = mpsc::channel(64);
    say(&launch.line());
    let mut running = Running::start(launch, &log, Some(tap))?;
    // The readers wait while nobody takes their lines, so both go on together.
    let status = loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => say(&line),
            status = running.end() => break status,
        }
    };
    while let Ok(line) = lines.try_recv() {
        say(&line);
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        status => {
            let reason = format!("what has to run before the system failed: {}", how(status));
            Err(launch.error(reason, &log, 0))
        }
    }
}

/// A process that the kit starts and stops. Dropping it kills it, with all that it started.
#[derive(Debug)]
pub struct Managed {
    launch: Launch,
    port: Port,
    running: Option<Running>,
    log: Log,
}

impl Managed {
    /// Not started yet.
    pub fn new(launch: Launch, port: Port) -> Managed {
        Managed {
            launch,
            port,
            running: None,
            log: Log::default(),
        }
    }

    /// As errors call it.
    pub fn name(&self) -> &str {
        self.launch.name()
    }

    /// Where it listens, once it does.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The last lines of its output, over all its lives.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        self.log.tail(lines)
    }

    /// Starts it; one that still runs is left alone.
    ///
    /// # Errors
    /// The command can't be run.
    pub async fn start(&mut self) -> Result<(), StartError> {
        if self.died().is_some() {
            self.running = None;
        }
        if self.running.is_none() {
            let launch = self.launch.listening(self.address());
            self.running = Some(Running::start(&launch, &self.log, None)?);
        }
        Ok(())
    }

    /// Ends it in good order and starts it again.
    ///
    /// # Errors
    /// The command can't be run.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        self.start().await
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// It can't be started, ends before, or doesn't in time.
    pub async fn accepts(&mut self, patience: Duration) -> Result<(), StartError> {
        let address = self.address();
        let missing = format!("doesn't accept connections at {address}");
        self.get_ready(patience, || connects(address), &missing)
            .await
    }

    /// Starts it and waits until it is `ready`; `missing` is what it does while it isn't. A process that can't share
    /// its port gets it for itself, and is started once more.
    ///
    /// # Errors
    /// It can't be started, ends before it is ready, or isn't ready in time.
    pub async fn get_ready<F: Future<Output = ()>>(
        &mut self,
        patience: Duration,
        ready: impl Fn() -> F,
        missing: &str,
    ) -> Result<(), StartError> {
        match self.ready(patience, ready(), missing).await {
            Err(error) if error.port_was_taken() && self.died().is_some() && self.port.let_go() => {
                self.ready(patience, ready(), missing).await
            }
            ready => ready,
        }
    }

    async fn ready(
        &mut self,
        patience: Duration,
        ready: impl Future<Output = ()>,
        missing: &str,
    ) -> Result<(), StartError> {
        self.start().await?;
        let name = self.name().to_owned();
        tokio::select! {
            // Whatever answers when the process has ended is somebody else.
            biased;
            how = self.ends() => Err(self.error(format!("{name} ended before it was ready: {how}"))),
            in_time = timeout(patience, ready) => in_time.map_err(|_| {
                self.error(format!("{name} was not ready after {patience:?}: it {missing}"))
            }),
        }
    }

    /// An error about this process, with its last words.
    pub fn error(&self, reason: impl Into<String>) -> StartError {
        let since = self.running.as_ref().map_or(0, |running| running.since);
        self.launch
            .listening(self.address())
            .error(reason, &self.log, since)
    }

    /// It has ended though nobody asked for that: how. What it said at last may not be in the log yet.
    pub fn died(&mut self) -> Option<String> {
        Some(self.running.as_mut()?.has_ended()?.to_string())
    }

    /// It has ended, or does so within this time: how. All it said is in the log then.
    ///
    /// A process that dies closes its connections first: who sees them break and asks at once may be too early.
    pub async fn ends_within(&mut self, patience: Duration) -> Option<String> {
        match self.died() {
            Some(_) => Some(self.ends().await),
            None => timeout(patience, self.ends()).await.ok(),
        }
    }

    /// Waits until it ends by itself: how. All it said is in the log then.
    pub async fn ends(&mut self) -> String {
        match &mut self.running {
            Some(running) => how(running.end().await),
            None => format!("{} was not started", self.name()),
        }
    }

    /// Ends it in good order; if it doesn't end, it is killed.
    pub async fn stop(&mut self) {
        self.stop_within(FAREWELL).await;
    }

    /// Ends it in good order; if it hasn't ended by then, it is killed. How it ended, if it did by itself.
    pub async fn stop_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let running = self.running.as_mut()?;
        running.signal(Signal::SIGTERM);
        let ended = timeout(patience, running.end()).await;
        self.kill().await;
        ended.ok()?.ok()
    }

    /// Kills it and everything that it started.
    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal(Signal::SIGKILL);
            let _ = timeout(FAREWELL, running.end()).await;
        }
    }
}

/// Tries until somebody accepts connections there.
pub async fn connects(address: SocketAddr) {
    let (mut pause, longest) = ATTEMPT;
    while TcpStream::connect(address).await.is_err() {
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
