//! Forwards, side effects and metadata.

use cloudstate_protocol::cloudstate::metadata_entry::Value;

use super::*;

fn commands(function: &Function, id: &str) -> usize {
    let is_command = |message: &In| matches!(message, In::Command(_));
    let streams = function.seen().of(id);
    streams.iter().flatten().filter(|m| is_command(m)).count()
}

#[tokio::test]
async fn an_effect_on_the_entity_itself_is_no_deadlock() {
    let (function, proxy) = start(Setup::default()).await;
    let answer = proxy.process("a", vec![fail("!effect-on-itself")]).await;
    assert_eq!(answer.unwrap(), "fine");
    assert_eq!(commands(&function, "a"), 2);
    assert!(function.seen().reports.is_empty());
}

#[tokio::test]
async fn metadata_of_an_effect_is_passed_on_as_it_is() {
    let (function, proxy) = start(Setup::default()).await;
    proxy
        .process("a", vec![fail("!effect-on-itself")])
        .await
        .unwrap();
    let In::Command(effect) = function.seen().of("a")[0][2].clone() else {
        panic!("no command")
    };
    let entries = effect.metadata.unwrap().entries;
    assert_eq!(entries.len(), 7);
    assert_eq!(entries[6].value, Some(Value::BytesValue(b"b".to_vec())));
}

#[tokio::test]
async fn an_effect_that_is_never_answered_does_not_matter() {
    let function = Function::start(Setup::default());
    let short = |config: &mut Config| config.relay_timeout = Duration::from_millis(200);
    let proxy = Proxy::start(function.address, short).await;
    // The target is busy for ever.
    let silent = proxy.two("b", vec![fail("!silence")]).await;
    assert_eq!(silent.unwrap_err().code(), Code::DeadlineExceeded);
    let actions = vec![emit("x"), effect("b", true), effect("c", true)];
    assert_eq!(proxy.process("a", actions).await.unwrap(), "x");
    assert_eq!(commands(&function, "c"), 1);
    // It wasn't given up, only not waited for.
    assert_eq!(commands(&function, "b"), 1);
}

#[tokio::test]
async fn forwards_in_a_circle_come_to_an_end() {
    let function = Function::start(Setup::default());
    let proxy = Proxy::start(function.address, |config| config.hop_limit = 5).await;
    let failed = proxy.process("a", vec![fail("!forward-to-itself")]).await;
    assert_eq!(failed.unwrap_err().code(), Code::Unknown);
    assert_eq!(commands(&function, "a"), 6);
    let seen = function.until(|seen| seen.reports.len() == 1).await;
    assert!(seen.reports[0].contains("forward"), "{}", seen.reports[0]);
}

#[tokio::test]
async fn effects_of_a_failure_run_and_its_events_are_dropped() {
    let (function, proxy) = start(Setup::default()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    let failed = proxy.process("a", vec![fail("!failure-with-event")]).await;
    assert_eq!(failed.unwrap_err().message(), "refused");
    function
        .until(|seen| !seen.of("effect-of-failure").is_empty())
        .await;
    assert_eq!(proxy.process("a", vec![]).await.unwrap(), "x");
    let streams = function.seen().of("a");
    assert_eq!(brief(&streams[1]), ["init", "event 1", "command 1 Process"]);
}

#[tokio::test]
async fn an_effect_without_a_key_is_reported_and_does_not_matter() {
    let (function, proxy) = start(Setup::default()).await;
    let answer = proxy.process("a", vec![fail("!effect-without-key")]).await;
    assert_eq!(answer.unwrap(), "fine");
    let seen = function.until(|seen| seen.reports.len() == 1).await;
    assert!(
        seen.reports[0].contains("entity key"),
        "{}",
        seen.reports[0]
    );
}

#[tokio::test]
async fn a_forward_to_an_entity_without_a_name_is_the_clients_answer() {
    let (_function, proxy) = start(Setup::default()).await;
    let failed = proxy.process("a", vec![forward("")]).await.unwrap_err();
    assert_eq!(failed.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn headers_travel_in_both_directions() {
    let (function, proxy) = start(Setup::default()).await;
    let mut call = tonic::Request::new(request("a", vec![fail("!metadata")]));
    call.metadata_mut().append("x-asked", "1".parse().unwrap());
    call.metadata_mut().append("x-asked", "2".parse().unwrap());
    let answer = proxy.model().process(call).await.unwrap();
    let told = answer.metadata().get_all("x-told");
    assert_eq!(told.iter().collect::<Vec<_>>(), ["one", "two"]);
    for name in ["x-bytes", "x-control"] {
        assert!(answer.metadata().get(name).is_none(), "{name}");
    }
    let In::Command(command) = function.seen().of("a")[0][1].clone() else {
        panic!("no command")
    };
    let entries = command.metadata.unwrap().entries;
    let of = |name| entries.iter().filter(move |entry| entry.key == name);
    let asked: Vec<_> = of("x-asked").map(|e| e.value.clone().unwrap()).collect();
    let text = |value: &str| Value::StringValue(value.to_owned());
    assert_eq!(asked, [text("1"), text("2")]);
    for name in ["te", "content-type", "grpc-timeout"] {
        assert_eq!(of(name).count(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_reply_of_another_type_is_passed_on_and_reported_once() {
    let (function, proxy) = start(Setup::default()).await;
    for _ in 0..3 {
        let answer = proxy.process("a", vec![fail("!other-type")]).await;
        assert_eq!(answer.unwrap(), "fine");
    }
    let answer = proxy.process("a", vec![fail("!no-payload")]).await;
    assert_eq!(answer.unwrap(), "");
    let seen = function.until(|seen| !seen.reports.is_empty()).await;
    assert!(seen.reports[0].contains("Something"), "{}", seen.reports[0]);
    proxy.process("a", vec![]).await.unwrap();
    assert_eq!(function.seen().reports.len(), 1);
}
