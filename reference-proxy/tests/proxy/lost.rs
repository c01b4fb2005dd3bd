//! User functions that go, come back, and are not what they were.

use std::sync::atomic::{AtomicBool, Ordering};

use cloudstate_protocol::names::tck::EVENT_SOURCED_MODEL;
use cloudstate_reference_proxy::journal::{
    Chunk, EntityRef, Epoch, History, LogError, Owner, Position, Shard, Stored, Tail, Versioned,
    Write,
};
use cloudstate_tck::system::Port;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::sync::watch;

use super::*;

async fn replaced(function: Function, setup: Setup) -> Function {
    let port = function.port.clone();
    function.kill();
    let function = Function::start_at(port, setup);
    function.until(|seen| !seen.discoveries.is_empty()).await;
    function
}

fn without_the_model() -> Setup {
    let mut setup = Setup::default();
    let entities = &mut setup.spec.entities;
    entities.retain(|entity| entity.service_name != EVENT_SOURCED_MODEL);
    setup
}

/// Calls until the answer has this code: when the proxy has taken note of the new specification.
async fn until_answered_with(call: impl AsyncFn() -> Result<String, Status>, code: Code) {
    let answered = async {
        while call().await.err().map(|s| s.code()) != Some(code) {
            tokio::task::yield_now().await;
        }
    };
    let soon = tokio::time::timeout(Duration::from_secs(10), answered);
    soon.await.expect("the proxy has not taken note");
}

#[tokio::test]
async fn another_specification_is_taken_up() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let function = replaced(function, without_the_model()).await;
    until_answered_with(
        async || proxy.process("a", vec![]).await,
        Code::Unimplemented,
    )
    .await;
    assert_eq!(proxy.two("a", vec![]).await.unwrap(), "");
    let _function = replaced(function, Setup::default()).await;
    assert_eq!(proxy.eventually("a", vec![emit("y")]).await, "xy");
}

#[tokio::test]
async fn a_refused_specification_is_not_served_and_a_better_one_is() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let mut refused = Setup::default();
    refused.spec.entities.clear();
    let function = replaced(function, refused).await;
    until_answered_with(async || proxy.process("a", vec![]).await, Code::Unavailable).await;
    let seen = function.until(|seen| seen.discoveries.len() > 1).await;
    assert_eq!(seen.reports.len(), 1);
    assert!(seen.streams.is_empty());
    let _function = replaced(function, Setup::default()).await;
    assert_eq!(proxy.eventually("a", vec![emit("y")]).await, "xy");
}

/// Its files are in a language that the proxy doesn't know.
fn of_the_future() -> Setup {
    let mut setup = Setup::default();
    let mut set = FileDescriptorSet::decode(&*setup.spec.proto).unwrap();
    set.file[0].syntax = Some("editions".to_owned());
    setup.spec.proto = set.encode_to_vec();
    setup
}

#[tokio::test]
async fn an_unknown_language_takes_a_good_specification_out_of_service_and_is_asked_again() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let function = replaced(function, of_the_future()).await;
    until_answered_with(async || proxy.process("a", vec![]).await, Code::Unavailable).await;
    let seen = function.until(|seen| seen.discoveries.len() > 1).await;
    assert_eq!(seen.reports.len(), 1);
    assert!(seen.reports[0].contains("editions"), "{:?}", seen.reports);
    let _function = replaced(function, Setup::default()).await;
    assert_eq!(proxy.eventually("a", vec![emit("y")]).await, "xy");
}

#[tokio::test]
async fn an_unknown_language_at_the_start_is_reported_until_there_is_a_better_one() {
    let function = Function::start(of_the_future());
    let starting = Proxy::start(function.address, |_| {});
    let replacing = async {
        let seen = function.until(|seen| seen.discoveries.len() >= 3).await;
        assert_eq!(seen.reports.len(), 1);
        let port = function.port.clone();
        function.kill();
        Function::start_at(port, Setup::default())
    };
    let (proxy, _function) = tokio::join!(starting, replacing);
    assert_eq!(proxy.process("a", vec![emit("x")]).await.unwrap(), "x");
}

#[tokio::test]
async fn entities_keep_their_history_under_another_service_name() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let mut renamed = without_the_model();
    // The state belongs to the persistence id.
    renamed.spec.entities[0].persistence_id = EVENT_SOURCED_MODEL.to_owned();
    let _function = replaced(function, renamed).await;
    until_answered_with(
        async || proxy.process("a", vec![]).await,
        Code::Unimplemented,
    )
    .await;
    assert_eq!(proxy.two("a", vec![]).await.unwrap(), "x");
}

/// A log that does something of its own before it appends; all else is that of the memory.
struct Special<F> {
    log: Arc<MemoryLog>,
    before_append: F,
}

impl<F> ShardLog for Special<F>
where
    F: Fn() -> BoxFuture<'static, Result<(), LogError>> + Send + Sync + 'static,
{
    fn append(&self, shard: Shard, epoch: Epoch, writes: Vec<Write>) -> Stored<'_, Vec<Position>> {
        let before = (self.before_append)();
        async move {
            before.await?;
            self.log.append(shard, epoch, writes).await
        }
        .boxed()
    }

    fn claim(&self, shard: Shard, owner: Owner) -> Stored<'_, Epoch> {
        self.log.claim(shard, owner)
    }

    fn renew(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        self.log.renew(shard, epoch)
    }

    fn release(&self, shard: Shard, epoch: Epoch) -> Stored<'_, ()> {
        self.log.release(shard, epoch)
    }

    fn head(&self, shard: Shard, epoch: Epoch) -> Stored<'_, Position> {
        self.log.head(shard, epoch)
    }

    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        self.log.load(entity)
    }

    fn replay<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        self.log.replay(entity, after)
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Versioned> {
        self.log.value(entity)
    }

    fn tail(&self, shard: Shard, after: Position) -> Stored<'_, Tail> {
        self.log.tail(shard, after)
    }
}

#[tokio::test]
async fn what_may_be_stored_or_not_is_unavailable_and_the_stream_begins_anew() {
    let fails = Arc::new(AtomicBool::new(true));
    let once = Arc::clone(&fails);
    let log = Special {
        log: Arc::default(),
        before_append: move || {
            let fails = once.swap(false, Ordering::Relaxed);
            let lost = || LogError::Unknown("the connection was lost".to_owned());
            std::future::ready(if fails { Err(lost()) } else { Ok(()) }).boxed()
        },
    };
    let function = Function::start(Setup::default());
    let proxy = Proxy::start_with(Arc::new(log), function.address, |_| {}).await;
    let unknown = proxy.process("a", vec![emit("x")]).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown}");
    assert!(unknown.message().contains("isn't known"), "{unknown}");
    assert_eq!(proxy.process("a", vec![emit("y")]).await.unwrap(), "y");
    assert_eq!(function.seen().of("a").len(), 2);
}

#[tokio::test]
async fn an_owner_of_before_stores_nothing_more() {
    let log = Arc::new(MemoryLog::default());
    let taken = Arc::clone(&log);
    let special = Special {
        log: Arc::clone(&log),
        before_append: move || {
            let log = Arc::clone(&taken);
            async move {
                // As if another proxy had found the claim run out.
                let held = log.claim(Shard::ONLY, Owner(1)).await;
                let Err(LogError::Held { owner, .. }) = held else {
                    panic!("the proxy has claimed it: {held:?}")
                };
                log.claim(Shard::ONLY, owner).await.map(drop)
            }
            .boxed()
        },
    };
    let function = Function::start(Setup::default());
    let proxy = Proxy::start_with(Arc::new(special), function.address, |_| {}).await;
    let fenced = proxy.process("a", vec![emit("x")]).await.unwrap_err();
    assert_eq!(fenced.code(), Code::Unavailable, "{fenced}");
    assert!(
        log.tail(Shard::ONLY, Position(0))
            .await
            .unwrap()
            .writes
            .is_empty()
    );
}

#[tokio::test]
async fn a_proxy_without_the_shard_does_not_serve() {
    let log = Arc::new(MemoryLog::default());
    log.claim(Shard::ONLY, Owner(1)).await.unwrap();
    let listening = |_| panic!("it must not listen");
    let parts = Parts {
        config: Config::default(),
        log,
        doors: Vec::new(),
    };
    let served = serve(parts, listening, std::future::pending()).await;
    let error = served.unwrap_err().to_string();
    assert!(error.contains("claimed by another proxy"), "{error}");
}

#[tokio::test]
async fn a_command_meets_its_own_type_of_entity_although_another_was_awake() {
    let (may_store, waits) = watch::channel(false);
    let asked = watch::Sender::new(0);
    let mut stores = asked.subscribe();
    let log = Special {
        log: Arc::default(),
        before_append: move || {
            asked.send_modify(|asked| *asked += 1);
            let mut may_store = waits.clone();
            async move {
                may_store
                    .wait_for(|may| *may)
                    .await
                    .map(drop)
                    .map_err(|_| LogError::Failed("the test is over".to_owned()))
            }
            .boxed()
        },
    };
    let function = Function::start(Setup::default());
    let proxy = Proxy::start_with(Arc::new(log), function.address, |config| {
        config.max_queue = 1;
    });
    let proxy = proxy.await;
    let (old, new) = tokio::join!(proxy.process("a", vec![emit("x")]), async {
        stores.wait_for(|asked| *asked == 1).await.unwrap();
        // The entity is awake and stores; meanwhile the same service has become a value entity.
        let mut setup = Setup::default();
        setup.spec.entities.truncate(1);
        setup.spec.entities[0].entity_type = VALUE_ENTITY.to_owned();
        let function = replaced(function, setup).await;
        until_answered_with(async || proxy.two("b", vec![]).await, Code::Unimplemented).await;
        // When one is refused, the other is in the entity's queue.
        let calls = (0..2).map(|_| proxy.process("a", vec![]));
        let mut calls: FuturesUnordered<_> = calls.collect();
        let refused = calls.next().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        may_store.send_replace(true);
        let queued = calls.next().await.unwrap();
        // It has no value entities in truth, and none of its event sourced ones may be asked.
        let wrong = function.seen().of("a");
        assert!(wrong.is_empty(), "{wrong:?}");
        queued
    });
    assert_eq!(old.unwrap(), "x");
    assert_eq!(new.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn the_door_opens_when_the_function_has_come() {
    let port = Arc::new(Port::free().unwrap());
    let proxy = Proxy::start(port.address(), |_| {});
    let mut proxy = std::pin::pin!(proxy);
    tokio::select! {
        _ = &mut proxy => panic!("there is no function yet"),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    let _function = Function::start_at(port, Setup::default());
    assert_eq!(
        proxy.await.process("a", vec![emit("x")]).await.unwrap(),
        "x"
    );
}

#[tokio::test]
async fn everybody_in_the_queue_hears_at_once_that_the_function_is_gone() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    function.kill();
    let calls = (0..50).map(|_| proxy.process("a", vec![emit("y")]));
    let started = std::time::Instant::now();
    for answer in futures_util::future::join_all(calls).await {
        let code = answer.unwrap_err().code();
        assert!(
            matches!(code, Code::Unavailable | Code::Unknown),
            "{code:?}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}
