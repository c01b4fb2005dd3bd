//! User functions that go, come back, and are not what they were.

use cloudstate_protocol::names::tck::EVENT_SOURCED_MODEL;

use super::*;

async fn replaced(function: Function, setup: Setup) -> Function {
    let address = function.address;
    function.kill();
    let function = Function::start_at(address, setup);
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
async fn until_answered_with(proxy: &Proxy, code: Code) {
    let answered = async {
        while proxy.process("a", vec![]).await.err().map(|s| s.code()) != Some(code) {
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
    until_answered_with(&proxy, Code::Unimplemented).await;
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
    until_answered_with(&proxy, Code::Unavailable).await;
    let seen = function.until(|seen| seen.discoveries.len() > 1).await;
    assert_eq!(seen.reports.len(), 1);
    assert!(seen.streams.is_empty());
    let _function = replaced(function, Setup::default()).await;
    assert_eq!(proxy.eventually("a", vec![emit("y")]).await, "xy");
}

#[tokio::test]
async fn entities_keep_their_history_under_another_service_name() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let mut renamed = without_the_model();
    // The state belongs to the persistence id.
    renamed.spec.entities[0].persistence_id = EVENT_SOURCED_MODEL.to_owned();
    let _function = replaced(function, renamed).await;
    until_answered_with(&proxy, Code::Unimplemented).await;
    assert_eq!(proxy.two("a", vec![]).await.unwrap(), "x");
}

#[tokio::test]
async fn the_door_opens_when_the_function_has_come() {
    // A port that nobody listens on.
    let probe = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let proxy = Proxy::start(address, |_| {});
    let mut proxy = std::pin::pin!(proxy);
    tokio::select! {
        _ = &mut proxy => panic!("there is no function yet"),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    let _function = Function::start_at(address, Setup::default());
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
