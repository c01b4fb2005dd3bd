//! What the kit is about to do: acts whose streams may not be open yet.

use super::Play;
use crate::party::Party;
use crate::protocol::{EntityType, Key, Kind};
use crate::scenario::Fault;
use crate::transcript::{Hop, StreamId};
use bytes::Bytes;

/// What the kit does next. Each act becomes one entry of the transcript.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Begin a call.
    Open {
        /// Client or proxy.
        from: Party,
        /// Front or back.
        hop: Hop,
        /// Its path.
        path: String,
        /// Its headers.
        metadata: Vec<(String, String)>,
    },
    /// Send one message.
    Send {
        /// Who.
        from: Party,
        /// On which stream.
        stream: StreamId,
        /// What.
        bytes: Bytes,
    },
    /// The caller is done.
    HalfClose {
        /// Who.
        from: Party,
        /// On which stream.
        stream: StreamId,
    },
    /// The called ends the call.
    End {
        /// On which stream.
        stream: StreamId,
        /// gRPC status code.
        code: i32,
        /// Its message.
        message: String,
    },
    /// Reset the stream.
    Reset {
        /// Who.
        from: Party,
        /// Which stream.
        stream: StreamId,
    },
    /// Break something below the messages.
    Fault {
        /// As whom.
        from: Party,
        /// On which stream.
        stream: StreamId,
        /// What.
        fault: Fault,
    },
    /// Kill the process of a party.
    Kill(Party),
    /// Start the process of a party.
    Start(Party),
}

/// An act in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) draft: Draft,
    /// The move that is made when this act is done.
    pub(super) owner: Option<usize>,
}

/// An act of which it isn't known yet on which stream it is.
#[derive(Debug)]
pub(super) enum Draft {
    Open(Opening),
    On(DraftTarget, Deed),
    Kill(Party),
    Start(Party),
}

/// A stream to be opened.
#[derive(Debug)]
pub(super) enum Opening {
    /// The client's stream of a call.
    Front(usize),
    /// The proxy's stream of an action's call.
    Action(usize),
    /// An entity's stream; of an action a call that is made by hand.
    Entity(EntityType, Key),
    /// A call of `discover` or `reportError`.
    Unary(&'static str),
}

/// Who acts, and on which stream.
#[derive(Debug)]
pub(super) enum DraftTarget {
    /// The client, on the stream of this call.
    Front(usize),
    /// The proxy, on the stream of this action's call.
    Action(usize),
    /// The proxy, on the entity's current stream.
    Entity(Key),
    /// The proxy, on its last call of `discover` or `reportError`.
    Unary,
    /// This party, on this stream.
    Stream(Party, StreamId),
}

/// What is done on a stream.
#[derive(Debug)]
pub(super) enum Deed {
    Send(Bytes),
    HalfClose,
    End(i32, String),
    Reset,
    Fault(Fault),
}

impl Play {
    /// A draft as an act, if its stream is open.
    pub(super) fn act(&self, draft: &Draft) -> Option<Act> {
        Some(match draft {
            Draft::Open(opening) => self.opened(opening),
            Draft::On(target, deed) => {
                let (from, stream) = self.locate(target)?;
                deed.by(from, stream)
            }
            Draft::Kill(party) => Act::Kill(*party),
            Draft::Start(party) => Act::Start(*party),
        })
    }

    fn opened(&self, opening: &Opening) -> Act {
        let back = |path: &str| Act::Open {
            from: Party::Proxy,
            hop: Hop::Back,
            path: path.to_owned(),
            metadata: Vec::new(),
        };
        match opening {
            Opening::Front(call) => {
                let call = &self.script.calls[*call];
                Act::Open {
                    from: Party::Client,
                    hop: Hop::Front,
                    path: call.path.clone(),
                    metadata: call.metadata.clone(),
                }
            }
            Opening::Action(call) => back(self.script.calls[*call].kind.path()),
            Opening::Entity(entity_type, _) if entity_type.has_entities() => {
                back(entity_type.protocol().path())
            }
            Opening::Entity(..) => back(Kind::Unary.path()),
            Opening::Unary(path) => back(path),
        }
    }

    pub(super) fn locate(&self, target: &DraftTarget) -> Option<(Party, StreamId)> {
        Some(match target {
            DraftTarget::Front(call) => (Party::Client, *self.fronts.get(call)?),
            DraftTarget::Action(call) => (Party::Proxy, *self.backs.get(call)?),
            DraftTarget::Entity(key) => (Party::Proxy, *self.current.get(key)?),
            DraftTarget::Unary => (Party::Proxy, self.unary?),
            DraftTarget::Stream(from, stream) => (*from, *stream),
        })
    }
}

impl Deed {
    fn by(&self, from: Party, stream: StreamId) -> Act {
        match self {
            Deed::Send(bytes) => Act::Send {
                from,
                stream,
                bytes: bytes.clone(),
            },
            Deed::HalfClose => Act::HalfClose { from, stream },
            Deed::End(code, message) => Act::End {
                stream,
                code: *code,
                message: message.clone(),
            },
            Deed::Reset => Act::Reset { from, stream },
            Deed::Fault(fault) => Act::Fault {
                from,
                stream,
                fault: fault.clone(),
            },
        }
    }
}
