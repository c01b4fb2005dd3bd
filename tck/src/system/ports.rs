//! Ports of this machine: those that the kit gives to processes, and those where it listens itself. None is both, so
//! that whoever answers at a process's port is that process.

use super::launch::StartError;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpListener;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on, given out once. Another program can take it before the process does: then the
/// process says so and ends, and [`super::Managed::get_ready`] tries once more.
pub(super) fn free() -> Result<SocketAddr, StartError> {
    for _ in 0..100 {
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| StartError::because(format!("no port is free: {error}")))?;
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(address.port()) {
            return Ok(address);
        }
    }
    Err(StartError::because(
        "no port is free: the kit has used them up",
    ))
}

/// Listens; where the address leaves the port open, on one that was given to nobody.
///
/// # Errors
/// The address can't be listened on.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut refused = Vec::new();
    loop {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if address.port() != 0 || !given.contains(&port) {
            return Ok(listener);
        }
        // Held until another is found, else the system might offer it again.
        refused.push(listener);
    }
}

/// Listens on this machine, on a port of its own.
///
/// # Errors
/// No port is free.
pub async fn listen_here() -> io::Result<TcpListener> {
    listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_listens_on_a_port_that_was_given_away() {
        let mut given = BTreeSet::new();
        let mut listening = Vec::new();
        for _ in 0..200 {
            given.insert(free().unwrap().port());
            let listener = listen_here().await.unwrap();
            assert!(!given.contains(&listener.local_addr().unwrap().port()));
            listening.push(listener);
        }
        assert_eq!(given.len(), 200);
    }
}
