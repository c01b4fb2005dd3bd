//! Steps below the level of calls.

use super::expand::{Expansion, Frontier};
use super::plan::{bad_request, metadata, read_returns};
use crate::party::{Party, Role};
use crate::protocol::Key;
use crate::scenario::Raw;
use crate::scenario::message;
use crate::script::reason::NotPlayable;
use crate::script::{CallPlan, MoveKind, Origin, Place, Returns};
use crate::services;
use crate::yaml::Node;
use prost::Message as _;

impl Expansion {
    pub(super) fn raw(
        &mut self,
        info: usize,
        party: Party,
        what: &Raw,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let place = self.meant(party)?;
        let from = party;
        let kind = match what {
            Raw::Message(node) => MoveKind::Message {
                from,
                place,
                node: node.clone(),
            },
            Raw::Bytes(bytes) => MoveKind::Bytes {
                from,
                place,
                bytes: bytes.clone().into(),
            },
            Raw::Ends(status) if party == Party::Function && self.discovering(&after) => {
                MoveKind::NoSpec(status.clone())
            }
            Raw::Ends(status) => MoveKind::Ends {
                from,
                place,
                status: status.clone(),
            },
            Raw::Resets => MoveKind::Resets { from, place },
            Raw::Fault(fault) => MoveKind::Fault {
                from,
                place,
                fault: fault.clone(),
            },
            Raw::Fails | Raw::Refuses => MoveKind::Fails {
                place,
                or_command: matches!(what, Raw::Refuses),
            },
            Raw::Discover(info) => MoveKind::Discover(info.clone()),
            Raw::Spec(spec) => MoveKind::Spec(spec.clone()),
            Raw::Reported(text) => return Ok(self.reported(info, text.clone(), after)),
            Raw::Call { .. } => return self.raw_call(info, what, after),
        };
        Ok(vec![self.add(info, after, kind)])
    }

    /// The stream that a raw step is about.
    fn meant(&self, party: Party) -> Result<Place, NotPlayable> {
        match self.within.map(|call| (call, &self.calls[call].key)) {
            Some((call, _)) if party == Party::Client => Ok(Place::Call(call)),
            Some((call, None)) => Ok(Place::Call(call)),
            Some((_, Some(key))) => self.place(key),
            None => self.place(&self.key),
        }
    }

    /// The stream of an entity.
    fn place(&self, key: &Key) -> Result<Place, NotPlayable> {
        match services::entity_type(&key.service) {
            Some(entity_type) => Ok(Place::Entity(entity_type, key.clone())),
            None => Err(NotPlayable::UnknownService(key.service.clone())),
        }
    }

    fn reported(&mut self, info: usize, text: Option<Node>, after: Frontier) -> Frontier {
        let reported = vec![self.add(info, after, MoveKind::Reported(text))];
        if self.role == Role::Sdk {
            vec![self.add(info, reported, MoveKind::Acknowledged)]
        } else {
            reported
        }
    }

    /// The proxy has just called `discover`: what ends is that call.
    fn discovering(&self, after: &Frontier) -> bool {
        let discover = |index: &usize| matches!(self.moves[*index].kind, MoveKind::Discover(_));
        self.role == Role::Proxy && after.iter().any(discover)
    }

    /// A call of the client by hand; `what` is one.
    fn raw_call(
        &mut self,
        info: usize,
        what: &Raw,
        after: Frontier,
    ) -> Result<Frontier, NotPlayable> {
        let Raw::Call {
            target,
            request,
            bytes,
            frame,
            metadata: headers,
            returns,
        } = what
        else {
            return Ok(after);
        };
        if self.role == Role::Sdk {
            return Err(NotPlayable::NoProxy);
        }
        let method = if target.starts_with('/') {
            None
        } else {
            Some(self.method(target)?)
        };
        let payload = match (bytes.as_ref().or(frame.as_ref()), request, &method) {
            (Some(bytes), _, _) => bytes.clone(),
            (None, Some(node), Some(method)) => {
                let built = message::build(node, &method.input(), &self.scope());
                let built = built.map_err(|error| bad_request("the", target, error))?;
                built.encode_to_vec()
            }
            (None, _, _) => Vec::new(),
        };
        self.calls.push(CallPlan {
            bare: frame.is_some(),
            payload: payload.into(),
            metadata: metadata(headers.as_ref()),
            returns: returns.as_ref().map_or(Returns::Anything, read_returns),
            returns_written: returns.is_some(),
            ..CallPlan::to(Origin::Client, target, method.as_ref())
        });
        let index = self.calls.len() - 1;
        let request = self.add(info, after, MoveKind::Request(index));
        Ok(vec![self.add(info, vec![request], MoveKind::Return(index))])
    }
}
