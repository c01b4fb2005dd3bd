//! What the kit does: each act is recorded before its bytes leave.

use super::stage::Until;
use super::{Actor, Arrival, OpenStream, PerformError};
use crate::party::Party;
use crate::play::Act;
use crate::scenario::Fault;
use crate::transcript::{Hop, Lost, StreamId, What};
use crate::wire::door::{CallSender, DoorConnection};
use crate::wire::{Event, HangUp, Status};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;

impl Actor<'_> {
    /// Does what comes next.
    pub(super) async fn act(&mut self, act: Act) {
        match act {
            Act::Open {
                from,
                hop,
                path,
                metadata,
            } => self.open(from, hop, path, metadata).await,
            Act::Send {
                from,
                stream,
                bytes,
            } => self.send(from, stream, bytes).await,
            Act::HalfClose { from, stream } => self.half_close(from, stream),
            Act::End {
                stream,
                code,
                message,
            } => self.end(stream, code, message).await,
            Act::Reset { from, stream } => self.reset(from, stream).await,
            Act::Fault {
                from,
                stream,
                fault,
            } => self.fault(from, stream, fault).await,
            Act::Kill(party) => {
                self.did(party, What::Killed);
                self.stage.kill(party).await;
            }
            Act::Start(party) => self.start(party).await,
        }
    }

    async fn open(&mut self, from: Party, hop: Hop, path: String, metadata: Vec<(String, String)>) {
        let connection = self.connection(hop).await;
        let stream = self.recorder.stream();
        let what = What::Open {
            path: path.clone(),
            metadata: metadata.clone(),
        };
        self.record(Some(hop), Some(stream), from, true, what);
        let to = match hop {
            Hop::Front => Party::Proxy,
            Hop::Back => Party::Function,
        };
        match connection {
            Ok(connection) => {
                let (sender, receiver) = connection.call(&path, &metadata);
                let mut readers = JoinSet::new();
                readers.spawn(self.answers(stream, to, receiver));
                let open = OpenStream {
                    to_callee: Some(sender),
                    to_caller: None,
                    readers,
                };
                self.streams.insert(stream, open);
            }
            Err(error) => {
                let event = Event::End(Status::unreachable(&error));
                let _ = self.mailbox.send(Arrival::On {
                    stream,
                    from: to,
                    event,
                });
            }
        }
    }

    /// To the proxy by the client's door, or to the function.
    async fn connection(&self, hop: Hop) -> io::Result<Arc<dyn DoorConnection>> {
        Ok(match hop {
            Hop::Front => self.stage.proxy(self.door).await?,
            Hop::Back => Arc::new(self.stage.function().await?),
        })
    }

    async fn send(&mut self, from: Party, stream: StreamId, bytes: Bytes) {
        let what = What::Message {
            bytes: bytes.clone(),
        };
        self.sent(stream, from, what);
        if let Some(sender) = self.sender(stream, from) {
            sender.send(bytes).await;
        }
    }

    fn half_close(&mut self, from: Party, stream: StreamId) {
        self.sent(stream, from, What::HalfClose);
        if let Some(sender) = self.sender(stream, from) {
            sender.finish();
        }
    }

    async fn end(&mut self, stream: StreamId, code: i32, message: String) {
        let what = What::End {
            code,
            message: message.clone(),
            trailers: true,
        };
        self.sent(stream, Party::Function, what);
        let open = self.streams.get_mut(&stream);
        if let Some(sender) = open.and_then(|open| open.to_caller.as_mut()) {
            sender.end(code, &message).await;
        }
    }

    async fn reset(&mut self, from: Party, stream: StreamId) {
        let what = match from {
            Party::Function => What::End {
                code: 1,
                message: "reset by the kit".into(),
                trailers: false,
            },
            Party::Client | Party::Proxy => What::Cancel,
        };
        self.sent(stream, from, what);
        if let Some(sender) = self.sender(stream, from) {
            sender.reset().await;
        }
        // A caller that has half-closed its side leaves by giving up the answer.
        if from != Party::Function {
            self.streams.remove(&stream);
        }
    }

    async fn fault(&mut self, from: Party, stream: StreamId, fault: Fault) {
        let what = What::Fault {
            what_broke: fault.to_string(),
            lost: lost_by(&fault),
        };
        self.sent(stream, from, what);
        let leaves = match fault {
            Fault::Frame(bytes) => {
                if let Some(sender) = self.sender(stream, from) {
                    sender.send_raw(bytes).await;
                }
                return;
            }
            Fault::NoTrailers => {
                if let Some(sender) = self.sender(stream, from) {
                    sender.finish();
                }
                return;
            }
            Fault::Disconnects => HangUp::Now,
            Fault::GoesAway => HangUp::Later,
        };
        let open = self.streams.get_mut(&stream);
        if let Some(sender) = open.and_then(|open| open.to_caller.as_mut()) {
            sender.hang_up(leaves);
        }
    }

    async fn start(&mut self, party: Party) {
        self.did(party, What::Started);
        let role = self.play.script().role;
        // A proxy that must refuse the chart's spec need not accept clients.
        let until = if self.play.script().scenario.spec.is_none() {
            Until::Accepts
        } else {
            Until::Started
        };
        match self.stage.start(party, until, self.limits.patience).await {
            Ok(()) => {}
            Err(error) if role.kit_plays(party) => {
                self.failed = Some(PerformError::CantStart { party, error });
            }
            Err(error) => self.gave_up(format!("the {party} to start: {error}")),
        }
    }

    /// Where a party sends: the function to whoever called it, the others to whom they called.
    fn sender(&mut self, stream: StreamId, from: Party) -> Option<&mut dyn CallSender> {
        let open = self.streams.get_mut(&stream)?;
        match from {
            Party::Function => open.to_caller.as_mut().map(|sender| sender as _),
            Party::Client | Party::Proxy => open.to_callee.as_deref_mut().map(|sender| sender as _),
        }
    }
}

/// What a fault takes with it.
fn lost_by(fault: &Fault) -> Lost {
    match fault {
        Fault::Frame(_) | Fault::GoesAway => Lost::Nothing,
        Fault::NoTrailers => Lost::Stream,
        Fault::Disconnects => Lost::Connection,
    }
}
