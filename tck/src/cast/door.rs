//! The kit's door for proxies: there it is the user function, or stands before the real one.
//!
//! Scenarios claim what comes: an entity's stream by the entity id (or, if the proxy got the id wrong, by the
//! payload of its first command), a report by the ids it mentions. What nobody claims is answered by the model,
//! or handed on to the real function.

use super::announce::laid_over;
use super::standin;
use super::{Arrival, Mailbox};
use crate::protocol;
use crate::protocol::EntityType;
use crate::protocol::FromProxy;
use crate::script::Script;
use crate::system;
use crate::system::Port;
use crate::tasks::Panics;
use crate::wire::{self, Called, Connection, Event, Receiver, Sender};
use crate::yaml::Node;
use bytes::Bytes;
use cloudstate_protocol::cloudstate::{EntitySpec, ProxyInfo, UserFunctionError};
use prost::Message as _;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What stands behind the door.
#[derive(Clone, Debug)]
pub enum Behind {
    /// The kit itself is the function.
    Kit {
        /// It announces its spec as it is; else only what the proxy supports.
        whole: bool,
    },
    /// The real function; the kit watches.
    Function(SocketAddr),
}

/// The door, open.
#[derive(Debug)]
pub struct Door {
    port: Port,
    claims: Claims,
    discovered: watch::Receiver<Option<Bytes>>,
    porter: Porter,
    serving: tokio::sync::Mutex<JoinSet<Option<()>>>,
}

/// An owner's claim; it ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    number: u64,
}

#[derive(Clone, Debug, Default)]
struct Claims(Arc<Mutex<Owners>>);

#[derive(Debug, Default)]
struct Owners {
    next: u64,
    owners: Vec<Owner>,
}

#[derive(Clone, Debug)]
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
    /// What they are answered, where that isn't the door's own spec.
    specs: VecDeque<Option<Node>>,
}

impl Claims {
    fn with<T>(&self, run: impl FnOnce(&mut Owners) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, is: impl Fn(&Owner) -> bool) -> Option<Owner> {
        self.with(|all| {
            all.owners
                .iter()
                .find(|owner| owner.exclusive || is(owner))
                .cloned()
        })
    }

    fn of_text(&self, text: &str) -> Option<Owner> {
        self.find(|owner| owner.ids.iter().any(|id| text.contains(id.as_str())))
    }

    /// What a scenario with the proxy to itself answers to this call of `discover`, laid over the door's own.
    fn spec(&self) -> Option<Node> {
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
    fn refusal(&self) -> Option<(i32, String)> {
        self.with(|all| {
            let mut refusals = all.owners.iter_mut().map(|owner| &mut owner.refusals);
            refusals.find_map(VecDeque::pop_front)
        })
    }

    /// The scenario that has the actions of a service for itself.
    fn of_actions(&self, is: impl Fn(&str) -> bool) -> Option<Owner> {
        self.find(|owner| owner.actions.as_deref().is_some_and(&is))
    }

    fn of_payload(&self, payload: &[u8]) -> Option<Owner> {
        if payload.is_empty() {
            return None;
        }
        self.find(|owner| owner.payloads.iter().any(|p| p == payload))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims
            .with(|all| all.owners.retain(|owner| owner.number != self.number));
    }
}

impl Door {
    /// Serves at this port until the door is dropped.
    ///
    /// # Errors
    /// Somebody else listens there.
    pub fn open(port: Port, behind: Behind, spec: EntitySpec) -> std::io::Result<Door> {
        let listener = port.listen()?;
        let claims = Claims::default();
        let (discoveries, discovered) = watch::channel(None);
        let porter = Porter {
            claims: claims.clone(),
            behind,
            spec: Arc::new(spec),
            discoveries: Arc::new(discoveries),
            panics: Panics::default(),
        };
        let serving = porter.serve(listener).into();
        Ok(Door {
            port,
            claims,
            discovered,
            porter,
            serving,
        })
    }

    /// Nobody listens there any more, and every connection is gone.
    pub async fn close(&self) {
        self.port.close();
        self.serving.lock().await.shutdown().await;
    }

    /// Listens again, where it did before.
    ///
    /// # Errors
    /// Somebody else has the port by now.
    pub async fn reopen(&self) -> std::io::Result<()> {
        let listener = self.port.listen()?;
        *self.serving.lock().await = self.porter.serve(listener);
        Ok(())
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on what belongs to the script's entities goes to this mailbox.
    pub fn claim(&self, script: &Script, mailbox: Mailbox) -> Claim {
        let ids = script
            .bindings
            .values()
            .filter(|id| !id.is_empty())
            .cloned()
            .collect();
        let payloads = script
            .calls
            .iter()
            .map(|call| call.payload.clone())
            .collect();
        let exclusive = system::needs_own_subject(&script.scenario);
        let actions = script
            .has_actions()
            .then(|| script.scenario.service.clone());
        let refusals = script.refusals();
        let specs = script.specs();
        let number = self.claims.with(|all| {
            all.next += 1;
            all.owners.push(Owner {
                number: all.next,
                ids,
                payloads,
                mailbox,
                exclusive,
                actions,
                refusals,
                specs,
            });
            all.next
        });
        Claim {
            claims: self.claims.clone(),
            number,
        }
    }

    /// Waits until a proxy has called `discover` and was answered.
    pub async fn discovered(&self) {
        let mut discovered = self.discovered.clone();
        let _ = discovered.wait_for(Option::is_some).await;
    }
}

impl Door {
    /// The `ProxyInfo` of the last `discover`.
    pub fn announced(&self) -> Option<Bytes> {
        self.discovered.borrow().clone()
    }

    /// The panics of what answers there: each may have cost whoever waits for a call.
    pub fn panics(&self) -> &Panics {
        &self.porter.panics
    }
}

#[derive(Clone, Debug)]
struct Porter {
    claims: Claims,
    behind: Behind,
    spec: Arc<EntitySpec>,
    discoveries: Arc<watch::Sender<Option<Bytes>>>,
    panics: Panics,
}

impl Porter {
    fn serve(&self, listener: TcpListener) -> JoinSet<Option<()>> {
        let (calls, mut incoming) = mpsc::unbounded_channel();
        let porter = self.clone();
        let watch = self.panics.clone();
        let mut serving = JoinSet::new();
        serving.spawn(watch.clone().watch(wire::serve(listener, calls)));
        serving.spawn(self.panics.clone().watch(async move {
            let mut answering = JoinSet::new();
            while let Some(called) = incoming.recv().await {
                answering.spawn(watch.clone().watch(porter.clone().answer(called)));
                while answering.try_join_next().is_some() {}
            }
        }));
        serving
    }

    async fn answer(self, mut called: Called) {
        match (called.path.as_str(), EntityType::of_path(&called.path)) {
            (protocol::DISCOVER, _) => self.discover(called).await,
            (protocol::REPORT_ERROR, _) => self.report(called).await,
            (_, Some(EntityType::Action)) => self.action(called).await,
            (_, Some(entity_type)) => self.entity(called, entity_type).await,
            _ => {
                called
                    .sender
                    .end(12, "the kit's function doesn't serve this")
                    .await
            }
        }
    }

    async fn discover(self, mut called: Called) {
        let Event::Message(info) = called.receiver.next().await else {
            return called.sender.end(3, "discover needs a ProxyInfo").await;
        };
        if let Some(owner) = self.claims.find(|_| false) {
            self.tell(&owner, &called.path, &called.metadata, info.clone());
        }
        if let Some((code, message)) = self.claims.refusal() {
            return called.sender.end(code, &message).await;
        }
        let spec = self.spec_for(&info);
        let spec = match self.claims.spec() {
            // The scenario was checked, so it can be built.
            Some(written) => laid_over(&written, spec.clone()).unwrap_or(spec),
            None => spec,
        };
        called.sender.send(spec.encode_to_vec().into()).await;
        called.sender.end(0, "").await;
        self.discoveries.send_replace(Some(info));
    }

    /// A proxy refuses what it doesn't support, so it is told of the rest only.
    fn spec_for(&self, info: &[u8]) -> EntitySpec {
        let mut spec = EntitySpec::clone(&self.spec);
        let whole = matches!(self.behind, Behind::Kit { whole: true });
        if let (false, Ok(info)) = (whole, ProxyInfo::decode(info)) {
            let supported = |name: &String| info.supported_entity_types.contains(name);
            spec.entities
                .retain(|entity| supported(&entity.entity_type));
        }
        spec
    }

    async fn report(self, mut called: Called) {
        let Event::Message(bytes) = called.receiver.next().await else {
            return called
                .sender
                .end(3, "reportError needs a UserFunctionError")
                .await;
        };
        let text = UserFunctionError::decode(bytes.clone())
            .map(|error| error.message)
            .unwrap_or_default();
        let owner = self.claims.of_text(&text);
        // A report about an action's call has no id.
        let owner = owner.or_else(|| self.claims.of_actions(|service| text.contains(service)));
        if let Some(owner) = owner {
            self.tell(&owner, &called.path, &called.metadata, bytes.clone());
        }
        if let Behind::Function(address) = self.behind
            && let Ok(connection) = Connection::open(address).await
        {
            connection.unary(protocol::REPORT_ERROR, bytes).await;
        }
        called.sender.send(Bytes::new()).await;
        called.sender.end(0, "").await;
    }

    /// Gives a scenario a copy of a unary call that the kit answers by itself.
    fn tell(&self, owner: &Owner, path: &str, metadata: &wire::Metadata, message: Bytes) {
        let copy = Called {
            path: path.to_owned(),
            metadata: metadata.clone(),
            receiver: Receiver::ended(),
            sender: Sender::closed(),
            begin: None,
        };
        let _ = owner.mailbox.send(Arrival::Called(
            Box::new(copy),
            vec![Event::Message(message)],
        ));
    }

    /// Reads until it is known whose stream this is.
    async fn entity(self, mut called: Called, entity_type: EntityType) {
        let mut seen = Vec::new();
        loop {
            let event = called.receiver.next().await;
            let owner = match &event {
                Event::Message(bytes) => match protocol::read_in(entity_type, bytes) {
                    FromProxy::Init { entity, .. } => self.claims.of_text(&entity),
                    FromProxy::Command(command) => {
                        let payload = command.payload.unwrap_or_default().value;
                        self.claims
                            .of_text(&command.entity)
                            .or_else(|| self.claims.of_payload(&payload))
                    }
                    _ => None,
                },
                _ => None,
            };
            let decided = owner.is_some()
                || !matches!(&event, Event::Message(bytes)
                    if matches!(protocol::read_in(entity_type, bytes), FromProxy::Init { .. } | FromProxy::Event { .. }));
            seen.push(event);
            match owner {
                Some(owner) => {
                    let _ = owner.mailbox.send(Arrival::Called(Box::new(called), seen));
                    return;
                }
                None if decided => return self.unclaimed(called, seen).await,
                None => {}
            }
        }
    }

    /// An action's first message says whose it is by its payload; else it is the one's that has the actions to
    /// itself.
    async fn action(self, mut called: Called) {
        let first = called.receiver.next().await;
        let owner = match &first {
            Event::Message(bytes) => match protocol::read_in(EntityType::Action, bytes) {
                FromProxy::Command(command) => {
                    let payload = command.payload.unwrap_or_default().value;
                    let text = String::from_utf8_lossy(&payload);
                    let by_id = (!payload.is_empty()).then(|| self.claims.of_text(&text));
                    // One with the id of a scenario that is over is nobody's.
                    let leased = || self.claims.of_actions(|service| service == command.service);
                    by_id.flatten().or_else(leased)
                }
                _ => self.claims.of_actions(|_| true),
            },
            _ => None,
        };
        match owner {
            Some(owner) => {
                let arrival = Arrival::Called(Box::new(called), vec![first]);
                let _ = owner.mailbox.send(arrival);
            }
            None => self.unclaimed(called, vec![first]).await,
        }
    }

    async fn unclaimed(self, called: Called, seen: Vec<Event>) {
        match self.behind {
            Behind::Kit { .. } => standin::answer(called, seen).await,
            Behind::Function(address) => hand_on(called, seen, address).await,
        }
    }
}

async fn hand_on(mut called: Called, seen: Vec<Event>, address: SocketAddr) {
    let Ok(connection) = Connection::open(address).await else {
        return called.sender.end(14, "the function can't be reached").await;
    };
    let (mut upstream, mut answers) = connection.call(&called.path, &called.metadata);
    for event in seen {
        if let Event::Message(bytes) = event {
            upstream.send(bytes).await;
        }
    }
    let mut asking = true;
    loop {
        tokio::select! {
            event = called.receiver.next(), if asking => match event {
                Event::Message(bytes) => upstream.send(bytes).await,
                Event::HalfClose => { upstream.finish(); asking = false; }
                _ => return upstream.reset().await,
            },
            event = answers.next() => match event {
                Event::Message(bytes) => called.sender.send(bytes).await,
                Event::End(status) => return called.sender.end(status.code, &status.message).await,
                _ => {}
            },
        }
    }
}
