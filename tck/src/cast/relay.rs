//! A relay stands before a party and applies the rules of a mutant to what passes.

use crate::mutant::{Direction, Passing, Rule, Way};
use crate::system::ports;
use crate::wire::{self, Called, Connection, Event, Receiver, Sender};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A relay, open.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    _serving: tokio::task::JoinSet<()>,
}

impl Relay {
    /// Listens, and hands every call on to `target`. `call` is the way from the caller to it, `back` the other.
    ///
    /// # Errors
    /// No port is free.
    pub async fn open(
        target: SocketAddr,
        call: Direction,
        back: Direction,
        rules: Vec<Rule>,
    ) -> std::io::Result<Relay> {
        let listener = ports::listen_here().await?;
        let address = listener.local_addr()?;
        let (calls, mut incoming) = mpsc::unbounded_channel();
        let rules = Arc::new(rules);
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(wire::serve(listener, calls));
        serving.spawn(async move {
            let mut relaying = tokio::task::JoinSet::new();
            let mut upstream: Option<Connection> = None;
            while let Some(mut called) = incoming.recv().await {
                let live = upstream.take().filter(|connection| !connection.is_closed());
                let connection = match live {
                    Some(connection) => Ok(connection),
                    None => Connection::open(target).await,
                };
                match connection {
                    Ok(connection) => {
                        upstream = Some(connection.clone());
                        relaying.spawn(relay(called, connection, call, back, rules.clone()));
                    }
                    Err(error) => called.sender.end(14, &error.to_string()).await,
                }
                while relaying.try_join_next().is_some() {}
            }
        });
        Ok(Relay {
            address,
            _serving: serving,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn relay(
    called: Called,
    target: Connection,
    call: Direction,
    back: Direction,
    rules: Arc<Vec<Rule>>,
) {
    let Called {
        path,
        metadata,
        mut receiver,
        sender: mut answers,
    } = called;
    let (mut asks, mut answered) = target.call(&path, &metadata);
    let (mut there, mut here) = (Way::new(call, &path), Way::new(back, &path));
    let mut asking = true;
    loop {
        tokio::select! {
            event = asked(&mut receiver, asking) => {
                let passing = match event {
                    Event::Message(bytes) => Passing::Message(bytes),
                    Event::HalfClose => { asking = false; Passing::HalfClose }
                    _ => Passing::Reset,
                };
                for passing in there.apply(&rules, passing) {
                    match passing {
                        Passing::Message(bytes) => asks.send(bytes).await,
                        Passing::HalfClose => asks.finish(),
                        Passing::Back(bytes) => { answers.send(bytes).await; answers.end(0, "").await; }
                        Passing::End(code, text) => return answers.end(code, &text).await,
                        Passing::Reset => return asks.reset().await,
                    }
                }
            }
            event = answered.next() => {
                let passing = match event {
                    Event::Message(bytes) => Passing::Message(bytes),
                    Event::End(status) if status.trailers => Passing::End(status.code, status.message),
                    Event::End(_) => Passing::Reset,
                    _ => continue,
                };
                let end = matches!(passing, Passing::End(..) | Passing::Reset);
                let passing = here.apply(&rules, passing);
                if hand_back(&mut answers, passing).await || end {
                    return;
                }
            }
        }
    }
}

/// What the caller sends; once it is done, that it resets the stream.
async fn asked(receiver: &mut Receiver, asking: bool) -> Event {
    if asking {
        receiver.next().await
    } else {
        receiver.reset().await
    }
}

/// `true`: that was the end.
async fn hand_back(answers: &mut Sender, all: Vec<Passing>) -> bool {
    for passing in all {
        match passing {
            Passing::Message(bytes) | Passing::Back(bytes) => answers.send(bytes).await,
            Passing::End(code, text) => {
                answers.end(code, &text).await;
                return true;
            }
            Passing::Reset => {
                answers.reset().await;
                return true;
            }
            Passing::HalfClose => {}
        }
    }
    false
}
