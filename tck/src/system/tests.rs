//! Processes are small shell scripts here.

use super::*;
use crate::finding::{Finding, Severity, Verdict};
use crate::party::Party;
use crate::report::{Outcome, ScenarioResult, SourceLine};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn script(text: &str) -> Managed {
    let command = ["sh", "-c", text].map(str::to_owned);
    let launch = Launch::new(&command, &BTreeMap::new(), PathBuf::from("."), &[]);
    Managed::new(launch, Port::free().unwrap())
}

/// A listener that accepts for a process that can't.
fn accepting(process: &Managed) -> TcpListener {
    TcpListener::bind(process.address()).unwrap()
}

async fn said(process: &Managed, line: &str) {
    while !process.log_tail(200).iter().any(|said| said == line) {
        tokio::task::yield_now().await;
    }
}

async fn gone(pid: i32) {
    use nix::sys::signal::kill;
    while kill(nix::unistd::Pid::from_raw(pid), None).is_ok() && !is_zombie(pid) {
        tokio::task::yield_now().await;
    }
}

/// Dead, and nobody has taken notice: in a container nobody may ever.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_none_or(|rest| rest.starts_with('Z'))
}

#[tokio::test]
async fn one_that_accepts_is_ready() {
    let mut process = script("echo up; exec sleep 60");
    let _listener = accepting(&process);
    process.accepts(LONG).await.unwrap();
    assert_eq!(process.died(), None);
    said(&process, "up").await;
    process.stop().await;
}

#[tokio::test]
async fn waiting_can_happen_on_another_thread() {
    let waited = tokio::spawn(async {
        let mut process = script("exec sleep 60");
        let _listener = accepting(&process);
        process.accepts(LONG).await.unwrap();
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn one_that_dies_is_told_with_its_last_words() {
    let mut process = script("echo hello; echo no config >&2; exit 3");
    process.start().await.unwrap();
    let error = process.accepts(LONG).await.unwrap_err();
    assert_eq!(
        error.reason(),
        "the process ended before it was ready: exit status: 3"
    );
    let mut words = error.last_words().to_vec();
    words.sort();
    assert_eq!(words, ["hello", "no config"]);
    assert_eq!(
        error.command(),
        "sh -c 'echo hello; echo no config >&2; exit 3'"
    );
}

#[tokio::test]
async fn one_that_is_never_ready_is_not_waited_for_long() {
    let mut process = script("echo busy; exec sleep 60");
    process.start().await.unwrap();
    said(&process, "busy").await;
    let error = process
        .accepts(Duration::from_millis(50))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "the process was not ready after 50ms: it doesn't accept connections at 127.0.0.1:"
        ),
        "{error}"
    );
    assert!(error.ends_with("\n  its last words:\n    busy"), "{error}");

    let _listener = accepting(&process);
    let never = std::future::pending;
    let error = process
        .get_ready(Duration::from_millis(50), never, "did not call discover")
        .await
        .unwrap_err();
    assert_eq!(
        error.reason(),
        "the process was not ready after 50ms: it did not call discover"
    );
}

#[tokio::test]
async fn one_that_cannot_share_its_port_gets_it() {
    let mut process = script("echo start; echo listen EADDRINUSE >&2; exit 1");
    let address = process.address();
    let error = process.accepts(LONG).await.unwrap_err();
    assert!(error.port_was_taken());
    let starts = process
        .log_tail(10)
        .iter()
        .filter(|line| *line == "start")
        .count();
    // Elsewhere nothing keeps the port, so nothing is won by another attempt.
    assert_eq!(starts, if cfg!(target_os = "linux") { 2 } else { 1 });
    assert_eq!(process.address(), address);
}

#[tokio::test]
async fn output_is_kept_within_bounds() {
    let mut process = script(
        "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done
         head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\377end'",
    );
    process.start().await.unwrap();
    process.ends().await;
    let log = process.log_tail(1000);
    assert_eq!(log.len(), 200);
    assert_eq!(log[197], "line 4999");
    assert_eq!(log[198].len(), 2048);
    assert_eq!(log[199], "\u{fffd}end");
    assert_eq!(process.log_tail(1), ["\u{fffd}end"]);
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed() {
    let mut process = script("trap '' TERM; echo up; while :; do sleep 60; done");
    process.start().await.unwrap();
    said(&process, "up").await;
    let began = Instant::now();
    assert_eq!(process.stop_within(Duration::from_millis(50)).await, None);
    assert!(began.elapsed() < LONG);
    assert_eq!(process.ends().await, "the process was not started");
}

#[tokio::test]
async fn one_that_obeys_sigterm_is_not() {
    let mut process = script("trap 'exit 7' TERM; echo up; while :; do sleep 60 & wait; done");
    process.start().await.unwrap();
    said(&process, "up").await;
    assert_eq!(
        process
            .stop_within(LONG)
            .await
            .and_then(|status| status.code()),
        Some(7)
    );
}

#[tokio::test]
async fn what_it_started_ends_with_it() {
    for how in ["kill", "drop", "die"] {
        let end = if how == "die" { "exit 1" } else { "wait" };
        let mut process = script(&format!("sleep 60 & echo $!; {end}"));
        process.start().await.unwrap();
        while process.log_tail(1).is_empty() {
            tokio::task::yield_now().await;
        }
        let child: i32 = process.log_tail(1)[0].parse().unwrap();
        match how {
            "kill" => process.kill().await,
            "drop" => drop(process),
            _ => assert_eq!(
                process.ends_within(LONG).await.as_deref(),
                Some("exit status: 1")
            ),
        }
        gone(child).await;
    }
}

#[tokio::test]
async fn one_that_died_can_be_started_again() {
    let mut process = script("echo life; exit 1");
    process.start().await.unwrap();
    assert_eq!(process.ends().await, "exit status: 1");
    assert_eq!(process.died().as_deref(), Some("exit status: 1"));
    process.start().await.unwrap();
    process.ends().await;
    assert_eq!(process.log_tail(10), ["life", "life"]);
    let error = process.error("why");
    assert_eq!(error.last_words(), ["life"]);
}

#[tokio::test]
async fn placeholders_stand_in_arguments_and_environment() {
    let command = ["sh", "-c", "echo $WHERE {data} {{port} {other}"].map(str::to_owned);
    let env = BTreeMap::from([("WHERE".to_owned(), "{host}-{port}-{listen}".to_owned())]);
    let launch = Launch::new(
        &command,
        &env,
        PathBuf::from("."),
        &[("data", "{host}".to_owned())],
    );
    let mut process = Managed::new(launch, Port::free().unwrap());
    process.start().await.unwrap();
    process.ends().await;
    let port = process.address().port();
    let expected = format!("127.0.0.1-{port}-127.0.0.1:{port} {{host}} {{{port} {{other}}");
    assert_eq!(process.log_tail(1), [expected]);
}

#[tokio::test]
async fn what_cant_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "").unwrap();
    let error = |program: &str, directory: &str| {
        let directory = folder.path().join(directory);
        let launch = Launch::new(&[program.to_owned()], &BTreeMap::new(), directory, &[]);
        let text = launch.spawn().unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "FOLDER")
    };
    let missing =
        "there is no program FOLDER/missing; is it built and installed?\n  command: ./missing";
    assert_eq!(error("./missing", "."), missing);
    assert_eq!(
        error("./text", ""),
        "FOLDER/text is not executable\n  command: ./text"
    );
    assert_eq!(
        error("sh", "nowhere"),
        "the directory of the process, FOLDER/nowhere, does not exist\n  command: sh"
    );
}

#[tokio::test]
async fn a_link_is_started_as_the_link_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
    let command = ["./link", "-c", "echo $0"].map(str::to_owned);
    let launch = Launch::new(&command, &BTreeMap::new(), folder.path().to_owned(), &[]);
    let mut process = Managed::new(launch, Port::free().unwrap());
    process.start().await.unwrap();
    process.ends().await;
    assert_eq!(process.log_tail(1), [link.display().to_string()]);
}

#[tokio::test]
async fn preparing_shows_its_output() {
    let prepared = async |line: &str| {
        let function = PartyConfig {
            prepare: ["sh", "-c", line].map(str::to_owned).to_vec(),
            ..PartyConfig::at(SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        let system = System {
            function: Some(function),
            folder: PathBuf::from("."),
            ..System::default()
        };
        let mut shown = Vec::new();
        let done = system
            .prepare(&[Role::Sdk], |line| shown.push(line.to_owned()))
            .await;
        (done, shown)
    };
    let (done, shown) = prepared("echo building; echo built").await;
    done.unwrap();
    assert_eq!(
        shown,
        ["sh -c 'echo building; echo built'", "building", "built"]
    );
    let (done, _) = prepared("echo broken; exit 2").await;
    let error = done.unwrap_err();
    assert_eq!(
        error.reason(),
        "what has to run before the system failed: exit status: 2"
    );
    assert_eq!(error.last_words(), ["broken"]);
}

fn read_text(text: &str) -> Result<System, SourceError> {
    let source = Arc::new(Source {
        name: "system.yaml".to_owned(),
        text: text.to_owned(),
    });
    read::read(&source, &[])
}

#[test]
fn a_system_file_is_read() {
    let system = read_text(
        "name: mine\nversion: 1.0\nfunction:\n  command: [run, --port, \"{port}\", \"\"]\n  env: { A: 1 }\n  \
         streams: 3\nproxy: { address: \"localhost:9000\", function_listen: \"[::1]:8080\" }\n\
         features: [durable]\nlacks: [http]\n\
         waivers: [ { scenario: \"commands/*\", role: sdk, requirement: commands.answer-id, reason: known } ]\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (system.name.as_str(), system.version.as_deref()),
        ("mine", Some("1.0"))
    );
    assert_eq!(system.roles(), Role::ALL);
    let function = system.function.clone().unwrap();
    assert_eq!(function.command, ["run", "--port", "{port}", ""]);
    assert_eq!(
        (function.env["A"].as_str(), function.streams),
        ("1", Some(3))
    );
    let proxy = system.proxy.clone().unwrap();
    assert_eq!(
        proxy.address,
        Some(SocketAddr::from(([127, 0, 0, 1], 9000)))
    );
    assert_eq!(proxy.function_listen.unwrap().to_string(), "[::1]:8080");
    assert_eq!(system.waivers.0[0].role, Some(Role::Sdk));

    let has = |need: &str, role| system.has(&[need.to_owned()], role).is_ok();
    assert!(has("managed", Role::Sdk) && !has("managed", Role::Proxy));
    assert!(
        has("durable", Role::Proxy) && !has("http", Role::Proxy) && !has("eventing", Role::Proxy)
    );
    assert!(
        System::default()
            .has(&["http".to_owned()], Role::Proxy)
            .is_ok()
    );
}

#[test]
fn mistakes_in_system_files_are_told_where_they_stand() {
    let function = "name: x\nfunction: { command: [f, \"{listen}\"] }\n";
    let waiver = |keys: &str| format!("{function}waivers:\n  - {{ scenario: a/b, {keys} }}\n");
    let files = [
        String::new(),
        "- name: x\n".to_owned(),
        "nam: x\n".to_owned(),
        "function: {}\n".to_owned(),
        "name: x\n".to_owned(),
        "name: x\nname: y\n".to_owned(),
        "name: x\nfunction:\n  adress: localhost:1\n".to_owned(),
        "name: x\nfunction:\n  address: 8080\n".to_owned(),
        "name: x\nfunction:\n  streams: 8\n".to_owned(),
        "name: x\nfunction: { address: \"localhost:1\", command: [f, \"{port}\"] }\n".to_owned(),
        "name: x\nfunction:\n  command: ./run --listen {listen}\n".to_owned(),
        "name: x\nfunction:\n  command: [./run, --listen, {listen}]\n".to_owned(),
        "name: x\nfunction:\n  command: [./run]\n  env: { PORT: {port} }\n".to_owned(),
        "name: x\nfunction:\n  command: [./run]\n".to_owned(),
        "name: x\nfunction:\n  command: [./run, \"{port}\"]\n  env: { DATA: \"{data}\" }\n"
            .to_owned(),
        "name: x\nfunction:\n  command: [./run, \"{port}\"]\n  streams: many\n".to_owned(),
        "name: x\nproxy:\n  address: localhost:1\n".to_owned(),
        "name: x\nproxy:\n  command: [./proxy, \"{listen}\"]\n".to_owned(),
        "name: x\nproxy:\n  command: [./proxy, \"{listen}\", \"{fun}\"]\n".to_owned(),
        "name: x\nproxy:\n  streams: 8\n".to_owned(),
        format!("{function}features: durable\n"),
        format!("{function}features: [durabel]\n"),
        format!("{function}features: [managed]\n"),
        format!("{function}features: [http]\nlacks: [http]\n"),
        waiver("role: sdk"),
        waiver("reason: \"\""),
        waiver("role: client, reason: x"),
        waiver("requirement: commands.answer-idd, reason: x"),
        waiver("because: x"),
        waiver("reason: x"),
        waiver("reason: x").replace("a/b", "failures/secnd-reply"),
        waiver("requirement: x, reason: x"),
    ];
    let told = |text: &String| match read_text(text) {
        Ok(_) => format!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(files.iter().map(told).collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn a_file_that_isnt_there_says_so() {
    let error = System::read(Path::new("/nowhere/system.yaml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/system.yaml:1:1: this file can't be read: No such file"),
        "{error}"
    );
}

fn result(name: &str, role: Role, broken: &[&str]) -> ScenarioResult {
    let finding = |requirement: &&str| Finding {
        requirement: (*requirement).to_owned(),
        severity: Severity::Failure,
        blame: Some(Party::Function),
        summary: String::new(),
        mismatches: Vec::new(),
        step: None,
        entry: None,
        consequence: false,
    };
    ScenarioResult {
        name: name.to_owned(),
        instance: None,
        role,
        door: crate::door::Door::Grpc,
        title: String::new(),
        source: SourceLine::default(),
        outcome: Outcome::Ran {
            verdict: if broken.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
        },
        findings: broken.iter().map(finding).collect(),
        step_line: None,
        diagram: String::new(),
        log_tail: Vec::new(),
        duration_ms: None,
        entries: 0,
        transcript: None,
        error: None,
    }
}

fn waiver(scenario: &str, requirement: Option<&str>, reason: &str) -> Waiver {
    let (scenario, reason) = (scenario.to_owned(), reason.to_owned());
    Waiver {
        scenario,
        role: Some(Role::Sdk),
        requirement: requirement.map(str::to_owned),
        reason,
    }
}

#[test]
fn a_waiver_excuses_what_it_names_and_nothing_else() {
    let waivers = WaiverSet(vec![
        waiver("a/*", Some("x.one"), "first"),
        waiver("a/c", Some("x.two"), "second"),
    ]);
    let excused = |mut result: ScenarioResult| {
        waivers.excuse(&mut result);
        match result.outcome {
            Outcome::Waived {
                reason,
                verdict: Verdict::Fail,
            } => Some(reason),
            _ => None,
        }
    };
    assert_eq!(
        excused(result("a/b", Role::Sdk, &["x.one"])).as_deref(),
        Some("first")
    );
    assert_eq!(excused(result("a/b", Role::Proxy, &["x.one"])), None);
    assert_eq!(excused(result("a/b", Role::Sdk, &["x.two"])), None);
    assert_eq!(excused(result("b/b", Role::Sdk, &["x.one"])), None);
    // One known failure is no excuse for another beside it.
    assert_eq!(excused(result("a/b", Role::Sdk, &["x.one", "x.two"])), None);
    assert_eq!(
        excused(result("a/c", Role::Sdk, &["x.one", "x.two"])).as_deref(),
        Some("first; second")
    );
    let mut error = result("a/b", Role::Sdk, &["x.one"]);
    error.outcome = Outcome::Ran {
        verdict: Verdict::Error,
    };
    assert_eq!(excused(error), None);
    // What only follows from something else needs no excuse, nor does a warning.
    let mut consequence = result("a/b", Role::Sdk, &["x.one", "x.two", "x.three"]);
    consequence.findings[1].consequence = true;
    consequence.findings[2].severity = Severity::Warning;
    assert_eq!(excused(consequence).as_deref(), Some("first"));
}

#[test]
fn a_waiver_that_is_not_needed_is_stale() {
    // The same reason twice, as two waivers of one issue have it.
    let waivers = WaiverSet(vec![
        waiver("a/b", Some("x.one"), "issue 1"),
        waiver("a/c", None, "issue 1"),
        waiver("a/d", None, "issue 2"),
        waiver("a/e", Some("x.one"), "issue 3"),
    ]);
    let mut results = vec![
        result("a/b", Role::Sdk, &["x.one"]),
        result("a/c", Role::Sdk, &[]),
        result("a/e", Role::Sdk, &["x.one", "x.two"]),
    ];
    results.iter_mut().for_each(|result| waivers.excuse(result));
    let summary = waivers.summary(&results);
    let used: Vec<_> = summary
        .used
        .iter()
        .map(|used| used.pattern.as_str())
        .collect();
    assert_eq!(used, ["a/b in sdk, x.one", "a/e in sdk, x.one"]);
    assert_eq!(summary.used[0].excused, [results[0].full_name()]);
    let stale: Vec<_> = summary
        .stale
        .iter()
        .map(|stale| (stale.pattern.as_str(), stale.passing.len()))
        .collect();
    assert_eq!(stale, [("a/c in sdk", 1), ("a/d in sdk", 0)]);
}

#[test]
fn stars_stay_within_a_part_and_double_stars_do_not() {
    assert!(glob("failures/*", "failures/second-reply"));
    assert!(glob("**", "failures/second-reply"));
    assert!(glob("*/second-*", "failures/second-reply"));
    assert!(!glob("fail*", "failures/second-reply"));
    assert!(!glob("failures/second", "failures/second-reply"));
}

/// The systems that the repository brings.
#[test]
fn the_system_files_here_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/systems");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            System::read(&path).unwrap_or_else(|error| panic!("{error}"));
            read += 1;
        }
    }
    assert!(read > 0);
}
