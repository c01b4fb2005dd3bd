//! Where the kit listens for proxies: there it is the user function, or stands before the real one.
//!
//! Scenarios claim what comes: an entity's stream by the entity id (or, if the proxy got the id wrong, by the
//! payload of its first command), a report by the ids it mentions. What nobody claims is answered by the model,
//! or passed on to the real function.

use super::announce::overlay;
use super::claims::{Claim, Claims};
use super::{Arrival, Mailbox, stub};
use crate::protocol::{self, EntityType, FromProxy};
use crate::script::Script;
use crate::system::Port;
use crate::tasks::Panics;
use crate::wire::{self, Connection, Event, IncomingCall, Receiver, Sender};
use bytes::Bytes;
use cloudstate_protocol::cloudstate::{EntitySpec, ProxyInfo, UserFunctionError};
use prost::Message as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What stands behind the endpoint.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The kit itself is the function.
    Kit(Announces),
    /// The real function; the kit watches.
    Function(SocketAddr),
}

/// What the kit as function announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announces {
    /// Its spec as it is.
    Everything,
    /// Only what the proxy says that it supports: one that doesn't would refuse the rest.
    Supported,
}

/// The endpoint, open.
#[derive(Debug)]
pub struct Endpoint {
    port: Port,
    claims: Claims,
    discovered: watch::Receiver<Option<Bytes>>,
    dispatcher: Dispatcher,
    serving: tokio::sync::Mutex<JoinSet<Option<()>>>,
}

impl Endpoint {
    /// Serves at this port until it is dropped.
    ///
    /// # Errors
    /// Somebody else listens there.
    pub fn open(port: Port, backend: Backend, spec: EntitySpec) -> std::io::Result<Endpoint> {
        let listener = port.listen()?;
        let claims = Claims::default();
        let (discoveries, discovered) = watch::channel(None);
        let dispatcher = Dispatcher {
            claims: claims.clone(),
            backend,
            spec: Arc::new(spec),
            discoveries: Arc::new(discoveries),
            panics: Panics::default(),
        };
        let serving = dispatcher.serve(listener).into();
        Ok(Endpoint {
            port,
            claims,
            discovered,
            dispatcher,
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
        *self.serving.lock().await = self.dispatcher.serve(listener);
        Ok(())
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on what belongs to the script's entities goes to this mailbox.
    pub fn claim(&self, script: &Script, mailbox: Mailbox) -> Claim {
        self.claims.claim(script, mailbox)
    }

    /// Waits until a proxy has called `discover` and was answered.
    pub async fn discovered(&self) {
        let mut discovered = self.discovered.clone();
        let _ = discovered.wait_for(Option::is_some).await;
    }

    /// The `ProxyInfo` of the last `discover`.
    pub fn announced(&self) -> Option<Bytes> {
        self.discovered.borrow().clone()
    }

    /// The panics of what answers there: each may have cost whoever waits for a call.
    pub fn panics(&self) -> &Panics {
        &self.dispatcher.panics
    }
}

/// Gives each call to the scenario that claims it, or to the backend.
#[derive(Clone, Debug)]
struct Dispatcher {
    claims: Claims,
    backend: Backend,
    spec: Arc<EntitySpec>,
    discoveries: Arc<watch::Sender<Option<Bytes>>>,
    panics: Panics,
}

impl Dispatcher {
    fn serve(&self, listener: TcpListener) -> JoinSet<Option<()>> {
        let (calls, mut incoming) = mpsc::unbounded_channel();
        let dispatcher = self.clone();
        let watch = self.panics.clone();
        let mut serving = JoinSet::new();
        serving.spawn(watch.clone().watch(wire::serve(listener, calls)));
        serving.spawn(self.panics.clone().watch(async move {
            let mut answering = JoinSet::new();
            while let Some(called) = incoming.recv().await {
                answering.spawn(watch.clone().watch(dispatcher.clone().answer(called)));
                while answering.try_join_next().is_some() {}
            }
        }));
        serving
    }

    async fn answer(self, mut called: IncomingCall) {
        match (called.path.as_str(), EntityType::of_path(&called.path)) {
            (protocol::DISCOVER, _) => self.discover(called).await,
            (protocol::REPORT_ERROR, _) => self.report(called).await,
            (_, Some(EntityType::Action)) => self.action(called).await,
            (
                _,
                Some(
                    entity_type @ (EntityType::EventSourced | EntityType::Value | EntityType::Crdt),
                ),
            ) => self.entity(called, entity_type).await,
            (_, None) => {
                called
                    .sender
                    .end(12, "the kit's function doesn't serve this")
                    .await
            }
        }
    }

    async fn discover(self, mut called: IncomingCall) {
        let Event::Message(info) = called.receiver.next().await else {
            return called.sender.end(3, "discover needs a ProxyInfo").await;
        };
        if let Some(owner) = self.claims.exclusive() {
            copy(&owner, &called.path, &called.metadata, info.clone());
        }
        if let Some((code, message)) = self.claims.refusal() {
            return called.sender.end(code, &message).await;
        }
        let spec = self.spec_for(&info);
        let spec = match self.claims.spec() {
            // The scenario was checked, so it can be built.
            Some(written) => overlay(&written, spec.clone()).unwrap_or(spec),
            None => spec,
        };
        called.sender.send(spec.encode_to_vec().into()).await;
        called.sender.end(0, "").await;
        self.discoveries.send_replace(Some(info));
    }

    fn spec_for(&self, info: &[u8]) -> EntitySpec {
        let mut spec = EntitySpec::clone(&self.spec);
        let whole = matches!(self.backend, Backend::Kit(Announces::Everything));
        if let (false, Ok(info)) = (whole, ProxyInfo::decode(info)) {
            let supported = |name: &String| info.supported_entity_types.contains(name);
            spec.entities
                .retain(|entity| supported(&entity.entity_type));
        }
        spec
    }

    async fn report(self, mut called: IncomingCall) {
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
            copy(&owner, &called.path, &called.metadata, bytes.clone());
        }
        if let Backend::Function(address) = self.backend
            && let Ok(connection) = Connection::open(address).await
        {
            connection.unary(protocol::REPORT_ERROR, bytes).await;
        }
        called.sender.send(Bytes::new()).await;
        called.sender.end(0, "").await;
    }

    /// Reads until it is known whose stream this is: a replay may come before the first command.
    async fn entity(self, mut called: IncomingCall, entity_type: EntityType) {
        let mut seen = Vec::new();
        loop {
            let event = called.receiver.next().await;
            let message = match &event {
                Event::Message(bytes) => Some(protocol::read_in(entity_type, bytes)),
                _ => None,
            };
            seen.push(event);
            if let Some(owner) = message.as_ref().and_then(|message| self.owner(message)) {
                let _ = owner.send(Arrival::Call(Box::new(called), seen));
                return;
            }
            if !matches!(
                message,
                Some(FromProxy::Init { .. } | FromProxy::Event { .. })
            ) {
                return self.unclaimed(called, seen).await;
            }
        }
    }

    /// Whose entity this is about.
    fn owner(&self, message: &FromProxy) -> Option<Mailbox> {
        match message {
            FromProxy::Init { entity, .. } => self.claims.of_text(entity),
            FromProxy::Command(command) => {
                let by_payload = || {
                    let payload = command.payload.as_ref()?;
                    self.claims.of_payload(&payload.value)
                };
                self.claims.of_text(&command.entity).or_else(by_payload)
            }
            _ => None,
        }
    }

    /// An action's first message says whose it is by its payload; else it is the one's that has the actions to
    /// itself.
    async fn action(self, mut called: IncomingCall) {
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
                let arrival = Arrival::Call(Box::new(called), vec![first]);
                let _ = owner.send(arrival);
            }
            None => self.unclaimed(called, vec![first]).await,
        }
    }

    async fn unclaimed(self, called: IncomingCall, seen: Vec<Event>) {
        match self.backend {
            Backend::Kit(_) => stub::answer(called, seen).await,
            Backend::Function(address) => pass_on(called, seen, address).await,
        }
    }
}

/// Gives a scenario a copy of a unary call that the kit answers by itself.
fn copy(owner: &Mailbox, path: &str, metadata: &wire::Metadata, message: Bytes) {
    let copy = IncomingCall {
        path: path.to_owned(),
        metadata: metadata.clone(),
        receiver: Receiver::ended(),
        sender: Sender::closed(),
        begin: None,
    };
    let _ = owner.send(Arrival::Call(Box::new(copy), vec![Event::Message(message)]));
}

/// The real function answers.
async fn pass_on(mut called: IncomingCall, seen: Vec<Event>, address: SocketAddr) {
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
