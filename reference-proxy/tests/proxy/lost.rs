//! User functions that go, come back, and are not what they were.

use bytes::Bytes;
use cloudstate_protocol::names::tck::EVENT_SOURCED_MODEL;
use cloudstate_reference_proxy::journal::{Append, Chunk, EntityRef, History, Stored};
use cloudstate_tck::system::Port;
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

/// A journal that takes its time: nothing is stored before it may be.
struct Slow {
    journal: MemoryJournal,
    may_store: watch::Receiver<bool>,
    /// How often something was to be stored.
    asked: watch::Sender<usize>,
}

impl Journal for Slow {
    fn load<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, History> {
        self.journal.load(entity)
    }

    fn events<'a>(&'a self, entity: &'a EntityRef, after: u64) -> Stored<'a, Chunk> {
        self.journal.events(entity, after)
    }

    fn append<'a>(&'a self, entity: &'a EntityRef, after: u64, append: Append) -> Stored<'a, ()> {
        self.asked.send_modify(|asked| *asked += 1);
        let mut may_store = self.may_store.clone();
        async move {
            may_store.wait_for(|may| *may).await.unwrap();
            self.journal.append(entity, after, append).await
        }
        .boxed()
    }

    fn value<'a>(&'a self, entity: &'a EntityRef) -> Stored<'a, Option<Bytes>> {
        self.journal.value(entity)
    }

    fn put_value<'a>(&'a self, entity: &'a EntityRef, value: Option<Bytes>) -> Stored<'a, ()> {
        self.journal.put_value(entity, value)
    }
}

#[tokio::test]
async fn a_command_meets_its_own_type_of_entity_although_another_was_awake() {
    let (may_store, waits) = watch::channel(false);
    let asked = watch::Sender::new(0);
    let mut stores = asked.subscribe();
    let journal = Slow {
        journal: MemoryJournal::default(),
        may_store: waits,
        asked,
    };
    let function = Function::start(Setup::default());
    let proxy = Proxy::start_with(Arc::new(journal), function.address, |config| {
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
