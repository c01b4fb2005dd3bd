//! Which scenario what arrives belongs to: each claims its entities, payloads and actions for as long as it is played.

use super::Mailbox;
use crate::script::Script;
use crate::system;
use crate::yaml::Node;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A scenario's claim; it ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    number: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims
            .with(|all| all.owners.retain(|owner| owner.number != self.number));
    }
}

/// All claims at one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<Owners>>);

#[derive(Debug, Default)]
struct Owners {
    next: u64,
    owners: Vec<Owner>,
}

#[derive(Debug)]
struct Owner {
    number: u64,
    ids: Vec<String>,
    payloads: Vec<Bytes>,
    mailbox: Mailbox,
    /// It has the subject for itself, and gets everything.
    exclusive: bool,
    /// It has the actions of this service for itself.
    actions: Option<String>,
    /// How the next calls of `discover` end, instead of an answer.
    refusals: VecDeque<(i32, String)>,
    /// What they are answered, where that isn't the endpoint's own spec.
    specs: VecDeque<Option<Node>>,
}

impl Owner {
    fn new(number: u64, script: &Script, mailbox: Mailbox) -> Owner {
        let ids = script.bindings.values().filter(|id| !id.is_empty());
        let payloads = script.calls.iter().map(|call| call.payload.clone());
        let service = || script.scenario.service.clone();
        Owner {
            number,
            ids: ids.cloned().collect(),
            payloads: payloads.collect(),
            mailbox,
            exclusive: system::needs_own_subject(&script.scenario),
            actions: script.has_actions().then(service),
            refusals: script.refusals(),
            specs: script.specs(),
        }
    }
}

impl Claims {
    /// From now on what belongs to the script's entities goes to this mailbox.
    pub fn claim(&self, script: &Script, mailbox: Mailbox) -> Claim {
        let number = self.with(|all| {
            all.next += 1;
            all.owners.push(Owner::new(all.next, script, mailbox));
            all.next
        });
        Claim {
            claims: self.clone(),
            number,
        }
    }

    /// The scenario that has the subject for itself.
    pub fn exclusive(&self) -> Option<Mailbox> {
        self.find(|_| false)
    }

    /// The scenario that one of the ids in this text belongs to.
    pub fn of_text(&self, text: &str) -> Option<Mailbox> {
        self.find(|owner| owner.ids.iter().any(|id| text.contains(id.as_str())))
    }

    /// The scenario that has the actions of a service for itself.
    pub fn of_actions(&self, is: impl Fn(&str) -> bool) -> Option<Mailbox> {
        self.find(|owner| owner.actions.as_deref().is_some_and(&is))
    }

    /// The scenario that calls with this payload.
    pub fn of_payload(&self, payload: &[u8]) -> Option<Mailbox> {
        if payload.is_empty() {
            return None;
        }
        self.find(|owner| owner.payloads.iter().any(|p| p == payload))
    }

    /// What a scenario with the proxy to itself answers to this call of `discover`, laid over the endpoint's own.
    pub fn spec(&self) -> Option<Node> {
        self.with(|all| {
            let mut owners = all.owners.iter_mut().filter(|owner| owner.exclusive);
            let specs = &mut owners.next()?.specs;
            match specs.len() {
                0 | 1 => specs.front().cloned().flatten(),
                _ => specs.pop_front().flatten(),
            }
        })
    }

    /// How this call of `discover` ends, if a scenario wants it to fail.
    pub fn refusal(&self) -> Option<(i32, String)> {
        self.with(|all| {
            let mut refusals = all.owners.iter_mut().map(|owner| &mut owner.refusals);
            refusals.find_map(VecDeque::pop_front)
        })
    }

    fn find(&self, is: impl Fn(&Owner) -> bool) -> Option<Mailbox> {
        self.with(|all| {
            let mut owners = all.owners.iter();
            let owner = owners.find(|owner| owner.exclusive || is(owner));
            owner.map(|owner| owner.mailbox.clone())
        })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Owners) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
