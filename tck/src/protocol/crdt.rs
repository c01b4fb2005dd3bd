//! The messages of CRDTs: what is known of them so far. Charts with them can be read, checked and drawn; nobody plays
//! them yet.

use super::{
    Command, FromFunction, FromProxy, Key, Protocol, Reply, StateContent, StatePart, Stored,
};

/// `cloudstate.crdt.Crdt`.
#[derive(Debug)]
pub struct CrdtProtocol;

/// Why its messages are read as garbage.
const UNPLAYED: &str = "a message of an entity type that isn't played";

impl Protocol for CrdtProtocol {
    fn path(&self) -> &'static str {
        "/cloudstate.crdt.Crdt/handle"
    }

    fn noun(&self) -> &'static str {
        "a CRDT"
    }

    fn messages(&self) -> (&'static str, &'static str) {
        (
            "cloudstate.crdt.CrdtStreamIn",
            "cloudstate.crdt.CrdtStreamOut",
        )
    }

    fn state_parts(&self) -> &'static [StatePart] {
        &[
            StatePart {
                key: "delta",
                content: StateContent::Message("cloudstate.crdt.CrdtDelta"),
                path: &["state_action", "update"],
            },
            StatePart {
                key: "delete",
                content: StateContent::Flag,
                path: &["state_action", "delete"],
            },
        ]
    }

    fn replay_keys(&self) -> &'static [&'static str] {
        &["delta"]
    }

    fn read_in(&self, _: &[u8]) -> FromProxy {
        FromProxy::Garbage(UNPLAYED.to_owned())
    }

    fn read_out(&self, _: &[u8]) -> FromFunction {
        FromFunction::Garbage(UNPLAYED.to_owned())
    }

    fn activation(&self, _: &Key, _: &Stored) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn command(&self, _: Command) -> Vec<u8> {
        Vec::new()
    }

    fn reply(&self, _: Reply) -> Vec<u8> {
        Vec::new()
    }
}
