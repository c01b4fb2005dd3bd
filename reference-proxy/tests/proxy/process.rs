//! The binary as a process: killed, stopped, misconfigured.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloudstate_protocol::tck::model::valueentity::request_action::Action as DoValue;
use cloudstate_protocol::tck::model::valueentity::value_entity_tck_model_client::ValueEntityTckModelClient;
use cloudstate_protocol::tck::model::valueentity::{
    Delete, RequestAction as ValueEntityRequestAction, Update,
};
use cloudstate_reference_proxy::journal::durable::DurableLog;

use super::*;

const BINARY: &str = env!("CARGO_BIN_EXE_cloudstate-reference-proxy");

struct Process {
    child: Child,
    channel: Channel,
}

impl Process {
    async fn start(function: SocketAddr, data: &Path) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--journal", "durable"])
            .arg(format!("--function={function}"))
            .arg(format!("--data-dir={}", data.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self { child, channel }
    }

    async fn process(&self, id: &str, actions: Vec<Do>) -> Result<String, Status> {
        let mut client = EventSourcedTckModelClient::new(self.channel.clone())
            .max_decoding_message_size(8 << 20);
        let answer = client.process(request(id, actions)).await?;
        Ok(message(answer.into_inner()))
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Process {
    /// Waits for its end; the client must go on meanwhile, for it takes two to close a connection.
    async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::task::block_in_place(|| self.child.wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Emits events until the proxy is gone; what the last answer said was the state.
async fn emit_until_gone(proxy: &Process, id: &str) -> String {
    let mut acknowledged = String::new();
    for n in 0.. {
        match proxy.process(id, vec![emit(&format!("{n},"))]).await {
            Ok(state) => acknowledged = state,
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let function = Function::start(Setup::default());
    let ids: Vec<String> = (0..20).map(|n| format!("round-0-{n}")).collect();
    let proxy = Process::start(function.address, data.path()).await;
    let emitting = futures_util::future::join_all(ids.iter().map(|id| emit_until_gone(&proxy, id)));
    let killing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.signal("-KILL");
    };
    let (acknowledged, ()) = tokio::join!(emitting, killing);
    drop(proxy);
    assert!(acknowledged.iter().all(|state| !state.is_empty()));

    let proxy = Process::start(function.address, data.path()).await;
    for (id, acknowledged) in ids.iter().zip(acknowledged) {
        let state = proxy.process(id, vec![]).await.unwrap();
        assert!(state.starts_with(&acknowledged), "{id}: {state}");
        // At most the one that was under way when the proxy was killed.
        let extra = state[acknowledged.len()..].matches(',').count();
        assert!(
            extra <= 1,
            "{id}: {extra} events more than were acknowledged"
        );
    }
}

/// The kit's model function, which has value entities too.
async fn model_function() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    tokio::spawn(cloudstate_tck::model::function::serve(listener, never));
    address
}

impl Process {
    async fn process_value(&self, id: &str, action: Option<DoValue>) -> Result<String, Status> {
        let mut client = ValueEntityTckModelClient::new(self.channel.clone());
        let actions = action.map(|action| ValueEntityRequestAction {
            action: Some(action),
        });
        let request = ValueEntityRequest {
            id: id.to_owned(),
            actions: actions.into_iter().collect(),
        };
        Ok(client.process(request).await?.into_inner().message)
    }
}

/// Writes numbers, and removes the value after each, until the proxy is gone. Returns what is stored
/// after the last answer, and what may be if the command after it was carried out.
async fn update_until_gone(proxy: &Process, id: &str) -> [String; 2] {
    let mut state = String::new();
    for n in 0.. {
        let (action, next) = if n % 2 == 0 {
            let value = n.to_string();
            let update = Update {
                value: value.clone(),
            };
            (DoValue::Update(update), value)
        } else {
            (DoValue::Delete(Delete {}), String::new())
        };
        match proxy.process_value(id, Some(action)).await {
            Ok(answer) => assert_eq!(answer, next),
            Err(_) => return [state, next],
        }
        state = next;
    }
    unreachable!("the proxy is killed long before")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_values_and_removals_survive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let function = model_function().await;
    let ids: Vec<String> = (0..20).map(|n| format!("value-{n}")).collect();
    let proxy = Process::start(function, data.path()).await;
    let updating = ids.iter().map(|id| update_until_gone(&proxy, id));
    let killing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.signal("-KILL");
    };
    let (possible, ()) = tokio::join!(futures_util::future::join_all(updating), killing);
    drop(proxy);

    let proxy = Process::start(function, data.path()).await;
    for (id, possible) in ids.iter().zip(possible) {
        let state = proxy.process_value(id, None).await.unwrap();
        assert!(possible.contains(&state), "{id}: {state}, not {possible:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_stops_in_order() {
    let data = tempfile::tempdir().unwrap();
    let function = Function::start(Setup::default());
    let mut proxy = Process::start(function.address, data.path()).await;
    proxy.process("a", vec![emit("x")]).await.unwrap();
    proxy.signal("-TERM");
    assert!(proxy.ended().await.success());
    function.until(|seen| seen.half_closed == 1).await;
    let proxy = Process::start(function.address, data.path()).await;
    assert_eq!(proxy.process("a", vec![emit("y")]).await.unwrap(), "xy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_at_once() {
    let data = tempfile::tempdir().unwrap();
    let function = Function::start(Setup::default());
    let mut proxy = Process::start(function.address, data.path()).await;
    let stuck = proxy.process("a", vec![fail("!silence")]);
    let signals = async {
        function
            .until(|seen| seen.of("a").iter().flatten().count() == 2)
            .await;
        proxy.signal("-TERM");
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.signal("-INT");
    };
    let (answer, ()) = tokio::join!(stuck, signals);
    assert!(answer.is_err());
    assert_eq!(proxy.ended().await.code(), Some(130));
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(BINARY)
        .args(args)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    (child.wait().unwrap().code(), text)
}

#[test]
fn a_wrong_setting_is_told_in_a_sentence_with_its_own_exit_code() {
    for args in [
        &["--listen", "nowhere"][..],
        &["--function", "localhost"],
        &["--relay-timeout", "soon"],
        &["--no-such-flag"],
        &["--config", "/no/such/file.yaml"],
    ] {
        let (code, text) = run(args);
        assert_eq!(code, Some(64), "{args:?}: {text}");
        assert_eq!(text.trim().lines().count(), 1, "{args:?}: {text}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let function = Function::start(Setup::default());
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let function_address = function.address.to_string();
    let args = [
        "--listen",
        &taken,
        "--function",
        &function_address,
        "--journal",
        "memory",
    ];
    let (code, text) = run(&args);
    drop(listener);
    assert_eq!(code, Some(1));
    assert!(text.contains(&taken), "{text}");
}

#[test]
fn a_damaged_data_directory_is_not_served_and_what_is_missing_is_named() {
    let data = tempfile::tempdir().unwrap();
    DurableLog::open(data.path()).unwrap().close();
    std::fs::remove_file(data.path().join("keyspaces/1/current")).unwrap();
    let data_dir = format!("--data-dir={}", data.path().display());
    let (code, text) = run(&["--journal", "durable", &data_dir]);
    assert_eq!(code, Some(1));
    assert!(text.contains("is damaged"), "{text}");
    assert!(
        text.contains("keyspaces/1/current: it is missing"),
        "{text}"
    );
}
