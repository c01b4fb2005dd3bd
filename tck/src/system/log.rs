//! What a process prints: its last lines, whatever it prints and however much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;

/// Lines that are kept.
const LINES: usize = 200;
/// Bytes of a line that are kept.
const LINE: usize = 2048;

/// The last lines of a process's output. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    /// Those that are gone too.
    count: usize,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut lines = self.lines();
        if lines.kept.len() == LINES {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
        lines.count += 1;
    }

    /// How many lines there have been.
    pub fn count(&self) -> usize {
        self.lines().count
    }

    /// The last lines, at most so many.
    pub fn tail(&self, most: usize) -> Vec<String> {
        self.tail_since(0, most)
    }

    /// The last lines, at most so many, without those that were there when [`Log::count`] was `since`.
    pub fn tail_since(&self, since: usize, most: usize) -> Vec<String> {
        let lines = self.lines();
        let most = most.min(lines.count.saturating_sub(since));
        lines
            .kept
            .iter()
            .skip(lines.kept.len().saturating_sub(most))
            .cloned()
            .collect()
    }

    /// Takes all lines of a stream until its end, and tells them to `tap` if there is one.
    pub async fn follow(
        self,
        stream: impl AsyncRead + Unpin,
        mut tap: Option<mpsc::Sender<String>>,
    ) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(true) = read_line(&mut reader, &mut line).await {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if let Some(sender) = &tap
                && sender.send(text.clone()).await.is_err()
            {
                tap = None;
            }
            self.push(text);
        }
    }
}

/// One line, cut off where a process writes without an end; `false`: there is none.
async fn read_line(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
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
