//! Ports of this machine: each is one owner's for as long as it wants, listening or not. Who looks for a free port, or
//! connects from one, doesn't get it meanwhile.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted, as in tokio.
const BACKLOG: u32 = 1024;

/// A port that is kept until this is dropped: for a process of the kit, or for the kit itself.
///
/// It is kept by a socket that is bound to it and never listens. Linux lets another socket listen there that asks for
/// `SO_REUSEADDR`, as servers do that mean to survive a restart; a process that does not can have it let go.
/// Elsewhere two sockets can't share a port, so nothing keeps it.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    kept: Option<TcpSocket>,
    /// The socket that listens there, or did.
    listening: Mutex<Option<OwnedFd>>,
}

impl Port {
    /// One of this machine that nobody has.
    ///
    /// # Errors
    /// There is none.
    pub fn free() -> io::Result<Port> {
        Port::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// This one; where the address leaves it open, one that nobody has.
    ///
    /// # Errors
    /// Somebody listens there, or the address isn't one of this machine.
    pub fn at(address: SocketAddr) -> io::Result<Port> {
        let socket = shared(address)?;
        Ok(Port {
            address: socket.local_addr()?,
            kept: cfg!(target_os = "linux").then_some(socket),
            listening: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens there.
    ///
    /// # Errors
    /// Somebody else listens there.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let listener = shared(self.address)?.listen(BACKLOG)?;
        let own = listener.as_fd().try_clone_to_owned()?;
        *self.last() = Some(own);
        Ok(listener)
    }

    /// Nobody listens there any more.
    ///
    /// A process that is being started has a copy of the kit's sockets until it runs its own program. With that copy a
    /// socket that the kit merely drops goes on listening for a moment.
    pub fn close(&self) {
        if let Some(listening) = self.last().take() {
            // The call is the same for every socket; the standard library has it for this kind.
            let _ = TcpStream::from(listening).shutdown(Shutdown::Both);
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it no longer. Was it kept?
    pub(super) fn let_go(&mut self) -> bool {
        self.kept.take().is_some()
    }
}

fn shared(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn each_is_given_out_once() {
        let (mut ports, mut listening) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let own = Port::free().unwrap();
            listening.push(own.listen().unwrap());
            ports.extend([own, Port::free().unwrap()]);
        }
        let different: BTreeSet<u16> = ports.iter().map(|port| port.address().port()).collect();
        assert_eq!(different.len(), 200);
    }

    #[tokio::test]
    async fn one_that_was_closed_can_be_listened_on_whatever_is_started_meanwhile() {
        let port = Port::free().unwrap();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = done.clone();
        let starter = std::thread::spawn(move || {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let child = std::process::Command::new("true").spawn();
                child.unwrap().wait().unwrap();
            }
        });
        let listened = (0..2000).try_for_each(|_| {
            let listener = port.listen()?;
            port.close();
            drop(listener);
            io::Result::Ok(())
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        starter.join().unwrap();
        listened.unwrap();
    }

    #[tokio::test]
    async fn nobody_else_gets_one_that_is_not_listened_on() {
        let port = Port::free().unwrap();
        let listener = port.listen().unwrap();
        port.close();
        drop(listener);
        let refused = tokio::net::TcpStream::connect(port.address()).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let listener = port.listen().unwrap();
        assert_eq!(listener.local_addr().unwrap(), port.address());
        assert!(port.listen().is_err());
        port.close();
        // std asks for SO_REUSEADDR, as servers do.
        std::net::TcpListener::bind(port.address()).unwrap();
    }
}
