//! What the user function serves: asked of it, checked, and made into a [`Catalog`].
//!
//! This is the first stage of the proxy: the door opens when a specification was accepted. The
//! question is asked anew on every connection, so that no command ever reaches a user function
//! whose specification wasn't checked.

pub mod check;

use std::sync::Arc;
use std::time::Duration;

use cloudstate_protocol::cloudstate::{EntitySpec, ProxyInfo};
use cloudstate_protocol::names::PROTOCOL_VERSION;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use crate::catalog::{Catalog, Serving};
use crate::function::Admission;
use crate::function::connection::Connection;
use crate::function::report::report_on;
use check::{Refusal, Terms, check, supported};

/// How long the user function may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What is asked.
const DISCOVER: &str = "/cloudstate.EntityDiscovery/discover";

/// Why a connection to a user function isn't used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotAdmitted {
    #[error("discovery failed: {0}")]
    NoAnswer(String),
    #[error("its specification is refused: {0}")]
    Refused(Refusal),
}

/// The specification in force.
#[derive(Debug)]
pub struct Discovery {
    terms: Terms,
    serving: watch::Sender<Option<Arc<Catalog>>>,
    latest: Mutex<Latest>,
}

/// What the user function answered last, and what was found wrong with it.
#[derive(Debug, Default)]
struct Latest {
    spec: Option<EntitySpec>,
    refusal: Option<Refusal>,
}

impl Discovery {
    /// Nothing is known yet.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            serving: watch::Sender::default(),
            latest: Mutex::default(),
        }
    }

    /// What is served at the moment, and whenever that changes.
    pub fn serving(&self) -> Serving {
        self.serving.subscribe()
    }

    /// Asks the user function at the other end for its specification. Nothing but discovery
    /// travels on a connection before this has succeeded on it.
    pub async fn admit(&self, connection: &Arc<Connection>) -> Result<(), NotAdmitted> {
        // spec: discovery.proxy-calls-discover
        let spec = ask(connection).await.map_err(NotAdmitted::NoAnswer)?;
        let mut latest = self.latest.lock().await;
        if latest.refusal.is_none() && latest.spec.as_ref() == Some(&spec) {
            return Ok(());
        }
        let checked = check(&spec, self.terms);
        latest.spec = Some(spec);
        match checked {
            Ok(catalog) => {
                tracing::info!(methods = catalog.len(), "a specification was accepted");
                latest.refusal = None;
                self.serving.send_replace(Some(Arc::new(catalog)));
                Ok(())
            }
            Err(refusal) => {
                // spec: discovery.refusal-serves-nothing
                self.serving.send_replace(None);
                if latest.refusal.replace(refusal.clone()).as_ref() != Some(&refusal) {
                    report_refusal(connection, &refusal).await;
                }
                Err(NotAdmitted::Refused(refusal))
            }
        }
    }
}

impl Admission for Discovery {
    fn admit<'a>(&'a self, connection: &'a Arc<Connection>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            self.admit(connection)
                .await
                .map_err(|error| error.to_string())
        }
        .boxed()
    }
}

async fn report_refusal(connection: &Arc<Connection>, refusal: &Refusal) {
    // spec: discovery.reports-refusal
    let message = format!("the specification is refused: {refusal}");
    tracing::warn!(message, "reported to the user function");
    if let Some(permit) = connection.permit() {
        report_on(permit, message).await;
    }
}

async fn ask(connection: &Arc<Connection>) -> Result<EntitySpec, String> {
    // spec: discovery.announces-version, discovery.announces-entity-types
    let info = ProxyInfo {
        protocol_major_version: PROTOCOL_VERSION.0,
        protocol_minor_version: PROTOCOL_VERSION.1,
        proxy_name: env!("CARGO_PKG_NAME").to_owned(),
        proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
        supported_entity_types: supported(),
    };
    let permit = connection.permit().ok_or("it takes no streams")?;
    timeout(ANSWER_TIMEOUT, permit.unary(DISCOVER, &info))
        .await
        .map_err(|_| format!("no answer within {ANSWER_TIMEOUT:?}"))?
}
