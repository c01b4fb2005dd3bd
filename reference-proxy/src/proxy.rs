//! The proxy as a whole: its parts put together in the order a command passes them, started, and
//! stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::Serving;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::discovery::check::Terms;
use crate::front::grpc::Grpc;
use crate::front::{Door, Front};
use crate::function::Function;
use crate::journal::{Claimed, LogError, Shard, ShardLog};
use crate::router::{Limits, Router};

/// How long a stop waits for the calls that are under way, and then for the streams.
const DRAIN_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(7), Duration::from_secs(3));

/// Why a proxy can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or isn't ours.
    #[error("can't listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The log isn't ours.
    #[error("the journal can't be used: {0}")]
    Journal(LogError),
    /// Something without which nothing works came to an end by a fault of the proxy's own. To go on
    /// would be to look alive and serve nobody.
    #[error("{0} failed, which is a fault of the proxy; what is above this line says more")]
    Fault(&'static str),
}

/// Makes a door to a router.
pub type MakeDoor = Box<dyn FnOnce(&Arc<Router>) -> Box<dyn Door> + Send>;

/// What a proxy is made of that can be made otherwise.
pub struct Parts {
    /// How it runs.
    pub config: Config,
    /// Where its entities keep what they are.
    pub log: Arc<dyn ShardLog>,
    /// Doors besides the one for gRPC, which are asked before it.
    pub doors: Vec<MakeDoor>,
}

type OnListening<'a> = Box<dyn FnOnce(SocketAddr) + Send + 'a>;

/// Runs a proxy until `shutdown` resolves and everything under way is done.
///
/// Clients are refused until the user function's specification was accepted; then `on_listening`
/// is called with the address of the door.
pub fn serve<'a>(
    parts: Parts,
    on_listening: impl FnOnce(SocketAddr) + Send + 'a,
    shutdown: impl Future<Output = ()> + Send + 'a,
) -> BoxFuture<'a, Result<(), ServeError>> {
    Box::pin(serve_boxed(
        parts,
        Box::new(on_listening),
        Box::pin(shutdown),
    ))
}

/// Without type parameters, so that it is compiled here and not once more by each caller.
async fn serve_boxed(
    parts: Parts,
    on_listening: OnListening<'_>,
    shutdown: BoxFuture<'_, ()>,
) -> Result<(), ServeError> {
    let Parts { config, log, doors } = parts;
    let journal = Claimed::claim(Arc::clone(&log), Shard::ONLY).await;
    let journal = Arc::new(journal.map_err(ServeError::Journal)?);
    let discovery = Discovery::new(Terms {
        check_version: config.protocol_compatibility_check,
        passivation_timeout: config.passivation_timeout,
    });
    let serving = discovery.serving();
    let function = Function::new(&config.function, config.max_message_size, discovery);
    let limits = Limits {
        relay_timeout: config.relay_timeout,
        hop_limit: config.hop_limit,
        max_queue: config.max_queue,
        half_close_timeout: config.half_close_timeout,
    };
    let router = Router::new(
        serving.clone(),
        Arc::clone(&function),
        Arc::clone(&journal),
        limits,
    );
    let connected = tokio::spawn(function.stay_connected());
    let served = serve_clients(&config, serving, &router, doors, on_listening, shutdown);
    let served = unless_ended("the journal", log.failed(), served);
    let keeper = "the task that stays connected to the user function";
    let served = unless_ended(keeper, AbortOnDropHandle::new(connected), served).await;
    if let Err(error) = journal.release().await {
        tracing::debug!("the shard was not given back: {error}");
    }
    log.close();
    served
}

/// What `served` comes to, unless something ends first that should go on as long.
async fn unless_ended(
    name: &'static str,
    goes_on: impl Future,
    served: impl Future<Output = Result<(), ServeError>>,
) -> Result<(), ServeError> {
    tokio::select! {
        served = served => served,
        _ = goes_on => Err(ServeError::Fault(name)),
    }
}

async fn serve_clients(
    config: &Config,
    mut serving: Serving,
    router: &Arc<Router>,
    doors: Vec<MakeDoor>,
    on_listening: OnListening<'_>,
    mut shutdown: BoxFuture<'_, ()>,
) -> Result<(), ServeError> {
    tokio::select! {
        // It can't fail: the sender lives as long as the router does.
        _ = serving.wait_for(Option::is_some) => {}
        () = &mut shutdown => return Ok(()),
    }
    let grpc = Grpc::new(Arc::clone(router), config.max_message_size);
    let mut doors: Vec<Box<dyn Door>> = doors.into_iter().map(|make| make(router)).collect();
    doors.push(Box::new(grpc));
    let listen = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let front = Front::bind(config.listen, doors).await.map_err(listen)?;
    on_listening(front.address().map_err(listen)?);
    let stop = CancellationToken::new();
    let mut front = AbortOnDropHandle::new(tokio::spawn(front.serve(stop.clone())));
    tokio::select! {
        () = shutdown => {}
        _ = &mut front => return Err(ServeError::Fault("the door")),
    }
    stop.cancel();
    if timeout(DRAIN_TIMEOUTS.0, &mut front).await.is_err() {
        tracing::warn!(
            "clients were cut off: not all calls ended within {:?}",
            DRAIN_TIMEOUTS.0
        );
    }
    if timeout(DRAIN_TIMEOUTS.1, router.fall_asleep())
        .await
        .is_err()
    {
        let awake = router.awake();
        tracing::warn!(
            awake,
            "not all entities fell asleep within {:?}",
            DRAIN_TIMEOUTS.1
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_the_proxy() {
        let panics = AbortOnDropHandle::new(tokio::spawn(async { panic!("for the test") }));
        let ended = unless_ended("the task", panics, std::future::pending()).await;
        assert!(matches!(ended, Err(ServeError::Fault("the task"))));
    }

    #[tokio::test]
    async fn a_proxy_that_stops_takes_its_tasks_along() {
        let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let task = tokio::spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await
        });
        let task = AbortOnDropHandle::new(task);
        let ended = unless_ended("the task", task, async { Ok(()) }).await;
        assert!(ended.is_ok());
        assert_eq!(gone.recv().await, None);
    }
}
