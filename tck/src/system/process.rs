//! A process of the system under test: started in a group of its own, its output kept, stopped for certain.

use crate::scenario::Party;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Lines of output that are kept.
const LINES: usize = 200;
/// Bytes of a line that are kept.
const LINE: usize = 2048;
/// Between two attempts to connect to something that starts: the only thing that can be waited for is time.
const ATTEMPT: Duration = Duration::from_millis(5);
/// How long a process may take to end in good order.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    command: Vec<String>,
    env: BTreeMap<String, String>,
    directory: PathBuf,
}

impl Launch {
    /// The command with its placeholders filled in.
    pub fn new(
        command: &[String],
        env: &BTreeMap<String, String>,
        directory: PathBuf,
        values: &[(&str, String)],
    ) -> Launch {
        let fill = |text: &String| {
            values.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
        };
        Launch {
            command: command.iter().map(fill).collect(),
            env: env.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
            directory,
        }
    }

    fn error(&self, reason: impl Into<String>, log: &Log) -> StartError {
        StartError { reason: reason.into(), command: self.command.join(" "), last_words: log.tail(20) }
    }

    fn spawn(&self, log: &Log) -> Result<Child, StartError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(self.error("the command is empty", log));
        };
        // A path with a slash is relative to the directory, as in a shell that stands there.
        let program = match program.contains('/') {
            true => self.directory.join(program),
            false => PathBuf::from(program),
        };
        let program = program.canonicalize().unwrap_or(program);
        let mut child = Command::new(&program)
            .args(arguments)
            .envs(&self.env)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.error(format!("{} can't be started: {error}", program.display()), log))?;
        if let Some(out) = child.stdout.take() {
            log.follow(out);
        }
        if let Some(err) = child.stderr.take() {
            log.follow(err);
        }
        Ok(child)
    }
}

/// A process could not be started, or didn't get ready.
#[derive(Clone, Debug, thiserror::Error)]
pub struct StartError {
    reason: String,
    command: String,
    last_words: Vec<String>,
}

impl StartError {
    /// The party isn't one that the kit started.
    pub fn not_managed(party: Party) -> StartError {
        StartError::because(format!("the kit didn't start the {party}, so it can't start it again"))
    }

    /// Without a command.
    pub fn because(reason: impl Into<String>) -> StartError {
        StartError { reason: reason.into(), command: String::new(), last_words: Vec::new() }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.command.is_empty() {
            write!(f, "\n  command: {}", self.command)?;
        }
        if !self.last_words.is_empty() {
            f.write_str("\n  its last words:")?;
            self.last_words.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}

/// The last lines of a process's output.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE)]).trim_end().to_owned();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(read) = read_line(&mut reader, &mut line).await {
                if !read {
                    return;
                }
                log.push(&line);
                line.clear();
            }
        });
    }
}

/// One line, cut off where a process writes without an end.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(!line.is_empty());
        }
        let (taken, end) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (bytes.len(), false),
        };
        let room = LINE.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..taken.min(room)]);
        reader.consume(taken);
        if end {
            return Ok(true);
        }
    }
}

/// Runs a command to its end and tells each line of its output.
pub(super) async fn run(launch: &Launch, say: &mut impl FnMut(&str)) -> Result<(), StartError> {
    let log = Log::default();
    say(&launch.command.join(" "));
    let mut child = launch.spawn(&log)?;
    let status = child.wait().await.map_err(|error| launch.error(error.to_string(), &log))?;
    if status.success() {
        return Ok(());
    }
    Err(launch.error(format!("what has to run before the system failed: {status}"), &log))
}

/// A port that nobody listens on. Somebody else can take it before the process does; then the process says so,
/// and ends.
pub(super) fn free_port() -> Result<SocketAddr, StartError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| StartError::because(format!("no port is free: {error}")))
}

/// A process that the kit starts and stops.
#[derive(Debug)]
pub struct Managed {
    launch: Launch,
    address: SocketAddr,
    child: Option<Child>,
    log: Log,
}

impl Managed {
    /// Not started yet.
    pub fn new(launch: Launch, address: SocketAddr) -> Managed {
        Managed { launch, address, child: None, log: Log::default() }
    }

    /// Where it listens, once it does.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last lines of its output.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        self.log.tail(lines)
    }

    /// Starts it; one that still runs is left alone.
    ///
    /// # Errors
    /// The command can't be run.
    pub async fn start(&mut self) -> Result<(), StartError> {
        if self.child.is_none() {
            self.child = Some(self.launch.spawn(&self.log)?);
        }
        Ok(())
    }

    /// Waits until it accepts connections.
    ///
    /// # Errors
    /// It ends before, or doesn't in time.
    pub async fn accepts(&mut self, patience: Duration) -> Result<(), StartError> {
        let end = Instant::now() + patience;
        loop {
            if let Some(how) = self.died() {
                return Err(self.error(format!("it ended before it was ready: {how}")));
            }
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > end {
                let text = format!("it doesn't accept connections at {} after {patience:?}", self.address);
                return Err(self.error(text));
            }
            sleep(ATTEMPT).await;
        }
    }

    /// An error about this process, with its last words.
    pub fn error(&self, reason: impl Into<String>) -> StartError {
        self.launch.error(reason, &self.log)
    }

    /// It has ended though nobody asked for that: how.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Waits until it ends by itself: how.
    pub async fn ends(&mut self) -> String {
        match self.child.as_mut() {
            Some(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            None => "it was not started".to_owned(),
        }
    }

    /// Ends it in good order; if it doesn't end, it is killed.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        if self.ended(FAREWELL).await.is_none() {
            self.kill().await;
        }
        self.child = None;
    }

    /// Kills it and everything that it started.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.ended(FAREWELL).await;
        self.child = None;
    }

    async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        timeout(patience, child.wait()).await.ok()?.ok()
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
