//! What scenarios of one role share: where proxy and function are, the connections to them, the kit's own endpoint,
//! and the processes, if the kit started them.

use super::endpoint::Endpoint;
use crate::door::Door;
use crate::party::Party;
use crate::system::{Managed, StartError};
use crate::wire::Connection;
use crate::wire::door::{DoorConnection, connect};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What becomes of a party's data when its process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It stays.
    Keeps,
    /// The folder is emptied.
    Forgets,
}

/// One party under test: an address, connections, and perhaps a process.
#[derive(Debug)]
pub struct TestedParty {
    address: SocketAddr,
    /// To a function.
    connection: Mutex<Option<Connection>>,
    /// To a proxy, by its doors.
    doors: Mutex<BTreeMap<Door, Arc<dyn DoorConnection>>>,
    process: Option<Mutex<Managed>>,
    /// Removed when the subject is stopped.
    folder: Option<PathBuf>,
    /// What becomes of that when the process is killed.
    memory: Memory,
}

impl TestedParty {
    /// A party that somebody else runs.
    pub fn at(address: SocketAddr) -> TestedParty {
        TestedParty {
            address,
            connection: Mutex::default(),
            doors: Mutex::default(),
            process: None,
            folder: None,
            memory: Memory::Keeps,
        }
    }

    /// A party that the kit runs.
    pub fn managed(process: Managed) -> TestedParty {
        let address = process.address();
        let process = Some(Mutex::new(process));
        TestedParty {
            address,
            connection: Mutex::default(),
            doors: Mutex::default(),
            process,
            folder: None,
            memory: Memory::Keeps,
        }
    }

    /// A party that the kit runs, called through a relay; its folder goes with it.
    pub fn managed_behind(
        process: Managed,
        relay: SocketAddr,
        folder: PathBuf,
        memory: Memory,
    ) -> TestedParty {
        TestedParty {
            address: relay,
            folder: Some(folder),
            memory,
            ..TestedParty::managed(process)
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A live connection to a proxy by one of its doors, shared by the scenarios.
    ///
    /// # Errors
    /// It doesn't accept one.
    pub async fn by_door(&self, door: Door) -> io::Result<Arc<dyn DoorConnection>> {
        let mut held = self.doors.lock().await;
        if let Some(connection) = held.get(&door).filter(|held| !held.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = connect(door, self.address).await?;
        held.insert(door, connection.clone());
        Ok(connection)
    }

    /// A live connection to a function, shared by the scenarios.
    ///
    /// # Errors
    /// It doesn't accept one.
    pub async fn connection(&self) -> io::Result<Connection> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(self.address).await?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    /// The last lines that its process printed.
    pub async fn log_tail(&self, lines: usize) -> Vec<String> {
        match &self.process {
            Some(process) => process.lock().await.log_tail(lines),
            None => Vec::new(),
        }
    }

    /// Its process has ended, though nobody asked for that, or does so within this time: who, and how.
    async fn died(&self, patience: Duration) -> Option<String> {
        let mut process = self.process.as_ref()?.lock().await;
        let how = process.ends_within(patience).await?;
        Some(format!("{} died: {how}", process.name()))
    }

    /// Starts its process again, if it ended.
    ///
    /// # Errors
    /// It doesn't get ready in time.
    pub async fn revive(&self, patience: Duration) -> Result<(), StartError> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let mut process = process.lock().await;
        if process.died().is_some() {
            process.kill().await;
            process.accepts(patience).await?;
        }
        Ok(())
    }

    /// Kills its process, if the kit started it.
    async fn kill(&self) {
        if let Some(process) = &self.process {
            process.lock().await.kill().await;
        }
        if let (Memory::Forgets, Some(folder)) = (self.memory, &self.folder) {
            let _ = std::fs::remove_dir_all(folder);
            let _ = std::fs::create_dir_all(folder);
        }
    }

    /// Ends its process in good order.
    pub async fn stop(&self) {
        if let Some(process) = &self.process {
            process.lock().await.stop().await;
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// What is waited for when a party's process is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// That it accepts connections.
    Accepts,
    /// Nothing more than that it runs.
    Started,
}

/// Where scenarios are played.
#[derive(Debug, Default)]
pub struct Stage {
    /// The user function under test, or behind the interceptor.
    pub function: Option<TestedParty>,
    /// The proxy under test.
    pub proxy: Option<TestedParty>,
    /// Where the kit is the function, or listens in.
    pub endpoint: Option<Endpoint>,
    /// Held by the scenario whose actions' calls carry no id.
    pub actions: Mutex<()>,
}

impl Stage {
    /// Where the kit listens, if it does in this role.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// The last lines that the subjects printed.
    pub async fn log_tail(&self, lines: usize) -> Vec<String> {
        let mut words = Vec::new();
        for (name, subject) in [("function", &self.function), ("proxy", &self.proxy)] {
            if let Some(subject) = subject {
                let said = subject.log_tail(lines).await;
                words.extend(said.into_iter().map(|line| format!("{name}: {line}")));
            }
        }
        words
    }

    /// One of the subjects has ended, or does so within this time: who, and how.
    pub async fn died(&self, patience: Duration) -> Option<String> {
        for subject in [&self.function, &self.proxy].into_iter().flatten() {
            if let Some(how) = subject.died(patience).await {
                return Some(how);
            }
        }
        None
    }

    /// Starts what has ended again.
    ///
    /// # Errors
    /// It doesn't get ready in time.
    pub async fn revive(&self, patience: Duration) -> Result<(), StartError> {
        for subject in [&self.function, &self.proxy].into_iter().flatten() {
            subject.revive(patience).await?;
        }
        Ok(())
    }

    /// Ends the subjects in good order: the proxy first, it still talks to the function.
    pub async fn stop(&self) {
        for subject in [&self.proxy, &self.function].into_iter().flatten() {
            subject.stop().await;
        }
    }

    /// A connection to the proxy by one of its doors.
    ///
    /// # Errors
    /// There is none.
    pub async fn proxy(&self, door: Door) -> io::Result<Arc<dyn DoorConnection>> {
        existing(self.proxy.as_ref(), Party::Proxy)?
            .by_door(door)
            .await
    }

    /// A connection to the function.
    ///
    /// # Errors
    /// There is none.
    pub async fn function(&self) -> io::Result<Connection> {
        existing(self.function.as_ref(), Party::Function)?
            .connection()
            .await
    }

    /// Kills the process of a party, if the kit started it. Where the kit is the function, it closes its endpoint.
    pub async fn kill(&self, party: Party) {
        if let Some(own) = self.own_endpoint(party) {
            return own.close().await;
        }
        if let Some(subject) = self.subject(party) {
            subject.kill().await;
        }
    }

    /// Starts a party's process.
    ///
    /// # Errors
    /// It isn't the kit's to start, or it doesn't start in time.
    pub async fn start(
        &self,
        party: Party,
        until: Until,
        patience: Duration,
    ) -> Result<(), StartError> {
        if let Some(own) = self.own_endpoint(party) {
            let closed = |error: io::Error| StartError::because(error.to_string());
            return own.reopen().await.map_err(closed);
        }
        let process = self.subject(party).and_then(|s| s.process.as_ref());
        let Some(process) = process else {
            return Err(StartError::not_managed(party));
        };
        let mut process = process.lock().await;
        match until {
            Until::Accepts => process.accepts(patience).await,
            Until::Started => process.start().await,
        }
    }

    fn own_endpoint(&self, party: Party) -> Option<&Endpoint> {
        let is_kit = party == Party::Function && self.function.is_none();
        self.endpoint.as_ref().filter(|_| is_kit)
    }

    fn subject(&self, party: Party) -> Option<&TestedParty> {
        match party {
            Party::Proxy => self.proxy.as_ref(),
            Party::Function => self.function.as_ref(),
            Party::Client => None,
        }
    }
}

fn existing(subject: Option<&TestedParty>, party: Party) -> io::Result<&TestedParty> {
    subject.ok_or_else(|| io::Error::other(format!("there is no {party} in this role")))
}
