//! Streams: when they begin and end, what waits, and what goes on.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn many_clients_of_one_entity_see_one_order() {
    let (function, proxy) = start(Setup::default()).await;
    let calls = (0..100).map(|_| proxy.process("a", vec![emit("x")]));
    let mut lengths: Vec<usize> = join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().len())
        .collect();
    lengths.sort_unstable();
    assert_eq!(lengths, (1..=100).collect::<Vec<_>>());
    assert_eq!(function.seen().of("a").len(), 1);
}

#[tokio::test]
async fn commands_for_an_entity_that_falls_asleep_are_not_lost() {
    let (function, proxy) = start(Setup::default()).await;
    // The timeout is 50 ms, so that many of these meet a half-close.
    for round in 1..=20 {
        assert_eq!(
            proxy.brief("a", vec![emit("x")]).await.unwrap().len(),
            round
        );
        tokio::time::sleep(Duration::from_millis(46 + round as u64 % 8)).await;
    }
    assert!(function.seen().of("a").len() > 1);
    assert!(function.seen().reports.is_empty());
}

#[tokio::test]
async fn a_stream_that_is_not_ended_after_a_half_close_is_reset() {
    let function = Function::start(Setup::default());
    let short = |config: &mut Config| config.half_close_timeout = Duration::from_millis(300);
    let proxy = Proxy::start(function.address, short).await;
    proxy.brief("a", vec![fail("!linger")]).await.unwrap();
    function.until(|seen| seen.half_closed == 1).await;
    // It arrives while the old stream is still open.
    assert_eq!(proxy.brief("a", vec![emit("x")]).await.unwrap(), "x");
    let seen = function
        .until(|seen| seen.open == 1 || seen.half_closed == 2)
        .await;
    assert_eq!(seen.of("a").len(), 2);
    assert!(seen.reports.is_empty());
}

#[tokio::test]
async fn the_reply_to_a_client_that_has_gone_counts() {
    let (function, proxy) = start(Setup::default()).await;
    let gone = proxy.process("a", vec![emit("x"), fail("!wait")]);
    let arrived = function.until(|seen| seen.of("a").iter().flatten().count() == 2);
    tokio::select! {
        _ = gone => panic!("it was not to be answered"),
        _ = arrived => {}
    }
    let next = proxy.process("a", vec![emit("y")]);
    let (next, ()) = tokio::join!(next, async { function.release() });
    assert_eq!(next.unwrap(), "xy");
    function.until(|seen| seen.of("a").len() == 1).await;
    assert!(function.seen().reports.is_empty());
}

#[tokio::test]
async fn a_command_whose_client_has_gone_while_it_waited_is_dropped() {
    let (function, proxy) = start(Setup::default()).await;
    let first = proxy.process("a", vec![emit("x"), fail("!wait")]);
    let others = async {
        function
            .until(|seen| seen.of("a").iter().flatten().count() == 2)
            .await;
        let waiting = proxy.process("a", vec![emit("never")]);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), waiting)
                .await
                .is_err()
        );
        // The proxy reads what a client sends in order: with this it has read the cancellation.
        proxy.process("b", vec![]).await.unwrap();
        function.release();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.unwrap(), "x");
    assert_eq!(proxy.process("a", vec![emit("y")]).await.unwrap(), "xy");
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_and_recovers() {
    let function = Function::start(Setup::default());
    let proxy = Proxy::start(function.address, |config| config.max_queue = 2).await;
    let first = proxy.process("a", vec![emit("x"), fail("!wait")]);
    let others = async {
        function
            .until(|seen| seen.of("a").iter().flatten().count() == 2)
            .await;
        let calls = (0..10).map(|_| async {
            let answer = proxy.process("a", vec![emit("y")]).await;
            let refused = answer.is_err_and(|status| status.code() == Code::ResourceExhausted);
            if refused {
                function.release();
            }
            refused
        });
        join_all(calls)
            .await
            .into_iter()
            .filter(|refused| *refused)
            .count()
    };
    let (first, refused) = tokio::join!(first, others);
    assert_eq!(first.unwrap(), "x");
    assert!((1..=8).contains(&refused), "{refused}");
    let state = proxy.process("a", vec![]).await.unwrap();
    assert_eq!(state.len(), 1 + 10 - refused);
}

#[tokio::test]
async fn a_slow_reader_gets_its_history_and_stops_nobody() {
    let (function, proxy) = start(Setup::default()).await;
    let big = "x".repeat(100_000);
    for _ in 0..20 {
        proxy.brief("a", vec![emit(&big)]).await.unwrap();
    }
    function.until(|seen| seen.open == 0).await;
    let port = function.port.clone();
    function.kill();
    let slow = Setup {
        slow_reader: true,
        ..Setup::default()
    };
    let function = Function::start_at(port, slow);
    function.until(|seen| !seen.discoveries.is_empty()).await;
    let call = proxy.brief("a", vec![fail("no")]);
    let release = async {
        function.until(|seen| !seen.of("a").is_empty()).await;
        function.release();
    };
    let (answer, ()) = tokio::join!(call, release);
    assert_eq!(answer.unwrap_err().message(), "no");
    assert_eq!(function.seen().of("a")[0].len(), 22);
}

#[tokio::test]
async fn a_restart_keeps_the_order_of_those_who_wait() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let answers = tokio::join!(
        proxy.process("a", vec![emit("!"), fail("restart")]),
        proxy.process("a", vec![emit("1")]),
        proxy.process("a", vec![emit("2")]),
    );
    assert_eq!(answers.0.unwrap_err().message(), "restart");
    let (one, two) = (answers.1.unwrap(), answers.2.unwrap());
    assert_eq!(one.len().max(two.len()), 3);
    let streams = function.seen().of("a");
    assert_eq!(streams.len(), 2);
    assert_eq!(brief(&streams[1])[..2], ["init", "event 1"]);
}
