//! When to stop: asked once, in order; asked twice, at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The status of a process that was told twice to stop: as if the signal had killed it.
const EXIT_INTERRUPTED: i32 = 130;

/// Listens for SIGTERM and SIGINT from now on. The returned future resolves at the first one; the
/// second one ends the process.
pub fn requested() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    Ok(async move {
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            signals.next().await;
            // Nothing is lost: what was acknowledged is on disk.
            std::process::exit(EXIT_INTERRUPTED);
        });
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
