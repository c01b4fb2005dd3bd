//! Moves in words.

use super::{MoveKind, Origin, Script};

impl Script {
    /// A move as a person would say what is awaited.
    pub fn describe(&self, index: usize) -> String {
        let Some(this) = self.moves.get(index) else {
            return "the end".to_owned();
        };
        let call = |c: &usize| {
            let call = &self.calls[*c];
            let what = match call.origin {
                Origin::Element { .. } => "one message of",
                Origin::Client if call.fence => "the fence",
                Origin::Client => "the call",
                Origin::Effect { .. } => "the side effect",
                Origin::Forward { .. } => "the forward",
            };
            match &call.key {
                Some(key) => format!("{what} {} to {key}", call.method),
                None => format!("{what} {}", call.path),
            }
        };
        match &this.kind {
            MoveKind::Request(c) => format!("the request of {}", call(c)),
            MoveKind::Command(c) => format!("the command of {}", call(c)),
            MoveKind::Answer(c) => format!("the function's answer to {}", call(c)),
            MoveKind::Return(c) => format!("what {} returns to the client", call(c)),
            MoveKind::Send(c, i) => format!("request {} of {}", i + 1, call(c)),
            MoveKind::Sent(c) => format!("the client's half-close of {}", call(c)),
            MoveKind::Deliver(c, i) => {
                format!("the proxy to pass on request {} of {}", i + 1, call(c))
            }
            MoveKind::Delivered(c) => format!("the proxy to half-close {}", call(c)),
            MoveKind::End(c) => format!("the function to end {}", call(c)),
            MoveKind::Pass(c) => format!("{} to reach the client", call(c)),
            MoveKind::Cancel(c) => format!("the proxy to cancel {}", call(c)),
            MoveKind::HalfClose(key) => format!("the proxy to half-close the idle stream of {key}"),
            MoveKind::Complete(key) => {
                format!("the function to complete its side of the stream of {key}")
            }
            MoveKind::Message { from, place, .. } => format!("a message of the {from} on {place}"),
            MoveKind::Bytes { from, place, .. } => format!("bytes of the {from} on {place}"),
            MoveKind::Ends { from, place, .. } => format!("the {from} to end {place}"),
            MoveKind::Resets { from, place } => format!("the {from} to reset {place}"),
            MoveKind::Fault { from, fault, .. } => format!("the {from} {fault}"),
            MoveKind::Fails {
                place,
                or_command: false,
            } => format!("the function to fail {place}"),
            MoveKind::Fails {
                place,
                or_command: true,
            } => format!("the function to fail the command or {place}"),
            MoveKind::Acknowledged => "the function to answer reportError".to_owned(),
            MoveKind::Reported(_) => "the proxy to call reportError".to_owned(),
            MoveKind::Discover(_) => "the proxy to call discover".to_owned(),
            MoveKind::Spec(_) => "the function's entity spec".to_owned(),
            MoveKind::NoSpec(_) => "the function to fail discover".to_owned(),
            MoveKind::Kill(party) => format!("the {party} to be killed"),
            MoveKind::Start(party) => format!("the {party} to be started"),
        }
    }
}
