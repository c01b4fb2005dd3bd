//! A relay stands before a party and applies the rules of a mutant to what passes.

use crate::mutant::{Direction, Filter, Passing, Rule};
use crate::system::Port;
use crate::tasks::Panics;
use crate::wire::{self, Connection, Event, IncomingCall, Metadata, Receiver, Sender};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// A relay, open.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    panics: Panics,
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
        let port = Port::free()?;
        let listener = port.listen()?;
        let address = port.address();
        let rules = Arc::new(rules);
        let panics = Panics::default();
        let mut serving = tokio::task::JoinSet::new();
        let watched = panics.clone();
        serving.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        let relaying = connection(stream, target, call, back, rules.clone(), watched.clone());
                        connections.spawn(watched.clone().watch(relaying));
                    }
                    Some(_) = connections.join_next() => {}
                    else => return,
                }
            }
        });
        Ok(Relay {
            address,
            panics,
            _serving: serving,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first panic of what relays: what was seen since is not the parties' doing.
    pub fn panic(&self) -> Option<String> {
        self.panics.after(0)
    }
}

/// One connection there for each that is accepted: where one is lost, or can't be had, so is the other.
async fn connection(
    stream: TcpStream,
    target: SocketAddr,
    call: Direction,
    back: Direction,
    rules: Arc<Vec<Rule>>,
    panics: Panics,
) {
    let Ok(there) = Connection::open(target).await else {
        return;
    };
    let (calls, mut incoming) = mpsc::unbounded_channel();
    let mut serving = std::pin::pin!(wire::relay(stream, calls));
    let mut relaying = tokio::task::JoinSet::new();
    // A stream that nobody ends is reset with its connection.
    let mut lost = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = &mut serving => return,
            Some(called) = incoming.recv() => {
                let one = relay(called, there.clone(), call, back, rules.clone());
                relaying.spawn(panics.clone().watch(one));
            }
            Some(joined) = relaying.join_next() => lost.extend(joined.ok().flatten().flatten()),
            // What came before the loss still arrives.
            () = there.closed(), if relaying.is_empty() => return,
        }
    }
}

/// Relays one call. What the caller was to be answered on is given back if the connection there was lost.
async fn relay(
    called: IncomingCall,
    target: Connection,
    call: Direction,
    back: Direction,
    rules: Arc<Vec<Rule>>,
) -> Option<Sender> {
    let IncomingCall {
        path,
        metadata,
        mut receiver,
        sender: answers,
        begin,
    } = called;
    let (asks, mut answered) = target.call(&path, &metadata);
    let (mut there, mut here) = (Filter::new(call, &path), Filter::new(back, &path));
    let mut ends = Ends {
        asks,
        answers,
        begin,
    };
    let mut asking = true;
    loop {
        tokio::select! {
            event = asked(&mut receiver, asking) => {
                let passing = match event {
                    Event::Message(bytes) => Passing::Message(bytes),
                    Event::HalfClose => { asking = false; Passing::HalfClose }
                    Event::Headers(_) | Event::End(_) => Passing::Reset,
                };
                if ends.ask(there.apply(&rules, passing)).await {
                    return None;
                }
            }
            event = answered.next() => {
                let passing = match event {
                    Event::Headers(metadata) => {
                        ends.begin(metadata);
                        continue;
                    }
                    Event::Message(bytes) => Passing::Message(bytes),
                    Event::End(status) if status.trailers => Passing::End(status.code, status.message),
                    // The connection goes with it, and the caller's with that.
                    Event::End(status) if status.lost => return Some(ends.answers),
                    Event::End(_) => Passing::Reset,
                    Event::HalfClose => continue,
                };
                let end = matches!(passing, Passing::End(..) | Passing::Reset);
                if ends.answer(here.apply(&rules, passing)).await || end {
                    return None;
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

/// Where a relay sends: both ends of one call.
struct Ends {
    asks: Sender,
    answers: Sender,
    /// How the answer begins, until it does.
    begin: Option<oneshot::Sender<Metadata>>,
}

impl Ends {
    fn begin(&mut self, metadata: Metadata) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(metadata);
        }
    }

    /// Passes on what the caller sent. `true`: that was the end.
    async fn ask(&mut self, all: Vec<Passing>) -> bool {
        for passing in all {
            match passing {
                Passing::Message(bytes) => self.asks.send(bytes).await,
                Passing::HalfClose => self.asks.finish(),
                // It answers by itself, without waiting for how the answer from there begins.
                Passing::Back(bytes) => {
                    self.begin = None;
                    self.answers.send(bytes).await;
                    self.answers.end(0, "").await;
                }
                Passing::End(code, text) => {
                    self.answers.end(code, &text).await;
                    return true;
                }
                Passing::Reset => {
                    self.asks.reset().await;
                    return true;
                }
            }
        }
        false
    }

    /// Passes on what came back. `true`: that was the end.
    async fn answer(&mut self, all: Vec<Passing>) -> bool {
        for passing in all {
            match passing {
                Passing::Message(bytes) | Passing::Back(bytes) => self.answers.send(bytes).await,
                Passing::End(code, text) => {
                    self.answers.end(code, &text).await;
                    return true;
                }
                Passing::Reset => {
                    self.answers.reset().await;
                    return true;
                }
                Passing::HalfClose => {}
            }
        }
        false
    }
}
