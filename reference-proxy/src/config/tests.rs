use super::*;

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args = std::iter::once(&"proxy").chain(args).map(OsString::from);
    let env = |name: &str| {
        let found = env.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::load(args, env)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn error(args: &[&str], env: &[(&str, &str)]) -> String {
    match load(args, env) {
        Err(ConfigError::Invalid(sentence)) => sentence,
        other => panic!("not invalid: {other:?}"),
    }
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(load(&[], &[]), Ok(Config::default()));
}

#[test]
fn flags_beat_the_environment_beats_the_file() {
    let file = file("max-queue: 1\nhop-limit: 8\nrelay-timeout: 1m\n");
    let path = file.path().to_str().unwrap();
    let args = ["--max-queue", "3", "--config", path];
    let config = load(
        &args,
        &[("CLOUDSTATE_MAX_QUEUE", "2"), ("CLOUDSTATE_HOP_LIMIT", "9")],
    )
    .unwrap();
    assert_eq!(config.max_queue, 3);
    assert_eq!(config.hop_limit, 9);
    assert_eq!(config.relay_timeout, Duration::from_secs(60));
    assert_eq!(config.log, LogFormat::Text);
}

#[test]
fn the_environment_of_the_field_works() {
    let port = ("USER_FUNCTION_PORT", "8081");
    let config = load(&[], &[("HTTP_PORT", "9001"), port]).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9001");
    assert_eq!(config.function, "127.0.0.1:8081");
    let host = ("USER_FUNCTION_HOST", "function");
    assert_eq!(load(&[], &[host, port]).unwrap().function, "function:8081");
    let whole = ("CLOUDSTATE_FUNCTION", "other:1");
    assert_eq!(load(&[], &[host, whole]).unwrap().function, "other:1");
}

#[test]
fn every_key_has_the_same_name_everywhere() {
    let values = [
        ("listen", "127.0.0.1:1"),
        ("function", "h:1"),
        ("journal", "memory"),
        ("data-dir", "/d"),
        ("passivation-timeout", "100ms"),
        ("relay-timeout", "2s"),
        ("half-close-timeout", "1h"),
        ("max-message-size", "64KiB"),
        ("max-queue", "7"),
        ("hop-limit", "8"),
        ("protocol-compatibility-check", "false"),
        ("log", "json"),
    ];
    assert_eq!(values.len() + 1, KEYS.len());
    let flags: Vec<String> = values.iter().map(|(k, v)| format!("--{k}={v}")).collect();
    let flags = load(&flags.iter().map(String::as_str).collect::<Vec<_>>(), &[]).unwrap();
    let names: Vec<String> = values.iter().map(|(key, _)| variable(key)).collect();
    let env: Vec<(&str, &str)> = std::iter::zip(&names, values)
        .map(|(name, (_, value))| (name.as_str(), value))
        .collect();
    let lines = values.iter().map(|(k, v)| format!("{k}: {v}\n"));
    let file = file(&lines.collect::<String>());
    let path = file.path().to_str().unwrap();
    assert_eq!(load(&[], &env).unwrap(), flags);
    assert_eq!(load(&["--config", path], &[]).unwrap(), flags);
    assert_eq!(flags.half_close_timeout, Duration::from_secs(3600));
    assert_eq!(flags.passivation_timeout, Duration::from_millis(100));
    assert_eq!(flags.max_message_size, 65536);
}

#[test]
fn an_unknown_key_in_the_file_is_an_error_with_its_line() {
    let file = file("max-queue: 1\nmax-que: 1\n");
    let sentence = error(&["--config", file.path().to_str().unwrap()], &[]);
    assert!(sentence.contains("max-que`"), "{sentence}");
    assert!(sentence.contains("line 2"), "{sentence}");
}

#[test]
fn a_wrong_value_in_the_file_is_an_error_with_its_line() {
    let file = file("max-queue: 1\nrelay-timeout: soon\n");
    let sentence = error(&["--config", file.path().to_str().unwrap()], &[]);
    assert!(sentence.contains("as in 30s"), "{sentence}");
    assert!(sentence.contains("line 2"), "{sentence}");
}

/// spec: effects.hop-limit, "never below 8"
#[test]
fn what_would_break_the_protocol_is_refused_wherever_it_is_set() {
    assert!(error(&["--hop-limit", "7"], &[]).contains("at least 8"));
    assert!(error(&[], &[("CLOUDSTATE_HOP_LIMIT", "0")]).contains("at least 8"));
    let file = file("max-queue: 1\nhop-limit: 7\n");
    let sentence = error(&["--config", file.path().to_str().unwrap()], &[]);
    assert!(
        sentence.contains("hop-limit: write a number, at least 8"),
        "{sentence}"
    );
    for flag in ["relay", "passivation", "half-close"].map(|name| format!("--{name}-timeout")) {
        let sentence = error(&[&flag, "0ms"], &[]);
        assert!(
            sentence.contains(&flag) && sentence.contains("above 0"),
            "{sentence}"
        );
    }
}

#[test]
fn errors_are_one_sentence() {
    let errors = [
        error(&["--relay-timeout", "30"], &[]),
        error(&["--function", "localhost"], &[]),
        error(&["--journal", "paper"], &[]),
        error(&["--nonsense"], &[]),
        error(&["--max-message-size", "12MB"], &[]),
        error(&["--max-queue", "0"], &[]),
        error(&["--hop-limit", "7"], &[]),
        error(&["--listen", "9000"], &[]),
        error(&[], &[("HTTP_PORT", "http")]),
        error(&["--config", "/nowhere/at.all"], &[]),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn help() {
    let Err(ConfigError::Asked(help)) = load(&["--help"], &[]) else {
        panic!("no help");
    };
    insta::assert_snapshot!(help);
}
