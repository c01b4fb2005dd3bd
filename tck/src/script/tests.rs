use super::choice::Instance;
use super::expand::expand;
use super::*;
use crate::scenario::read;
use crate::yaml::Source;
use std::fmt::Write as _;

const EVENT_SOURCED: &str = "EventSourcedTckModel";
const ACTION: &str = "action.ActionTckModel";

fn scenario(service: &str, head: &str, chart: &str) -> Arc<Scenario> {
    let text = format!(
        "suite: s\nservice: cloudstate.tck.model.{service}\nscenarios:\n  - id: a\n    title: A\n    verifies: commands.answer-id\n    ids: [b, c]\n{head}    chart:\n{chart}"
    );
    let name = "s.yaml".to_owned();
    let source = Arc::new(Source { name, text });
    let scenarios = read::read(&source).unwrap_or_else(|errors| panic!("{}", errors[0]));
    Arc::new(scenarios[0].clone())
}

fn script(scenario: &Arc<Scenario>, role: Role, alternative: usize) -> Result<Script, NotPlayable> {
    let names = ["id", "b", "c"];
    let bindings = names.map(|name| (name.to_owned(), name.to_owned()));
    expand(scenario, role, alternative, bindings.into_iter().collect())
}

/// The moves of a script, one a line: its number, the moves that it waits for, who makes it and what it is. Without the
/// fence at the end, which is in every chart for a proxy.
fn listed(script: &Script) -> String {
    let last = script.steps.len() - 1;
    let closing = |this: &Move| script.role != Role::Sdk && this.step == last;
    let moves = script.moves.iter().enumerate();
    lines(script, moves.filter(|(_, this)| !closing(this)))
}

fn lines<'s>(script: &Script, moves: impl Iterator<Item = (usize, &'s Move)>) -> String {
    let mut text = String::new();
    for (index, this) in moves {
        let mut after = this.after.clone();
        after.sort_unstable();
        after.dedup();
        let after: Vec<String> = after.iter().map(usize::to_string).collect();
        let what = script.describe(index);
        let what = what.replace("/cloudstate.tck.model.action.", "");
        let _ = writeln!(
            text,
            "{index} [{}] {}: {what}",
            after.join(" "),
            this.from()
        );
    }
    text
}

fn played(scenario: &Arc<Scenario>, role: Role) -> String {
    script(scenario, role, 0).map_or_else(|reason| reason.to_string(), |script| listed(&script))
}

/// The moves of a chart in a role, or why there are none.
fn moves(service: &str, role: Role, chart: &str) -> String {
    played(&scenario(service, "", chart), role)
}

fn scripted(service: &str, role: Role, party: &str, chart: &str) -> String {
    let head = format!("    scripted: {party}\n");
    played(&scenario(service, &head, chart), role)
}

// === Entities ===

const CALL: &str = "
      - call: Process
        request: { actions: [ { emit: { value: A } } ] }
";

#[test]
fn of_a_call_a_function_sees_the_command() {
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Sdk, CALL));
}

#[test]
fn a_proxy_is_called_and_fenced() {
    let script = script(&scenario(EVENT_SOURCED, "", CALL), Role::Proxy, 0).unwrap();
    insta::assert_snapshot!(lines(&script, script.moves.iter().enumerate()));
}

#[test]
fn a_client_waits_for_synchronous_effects_and_the_forward() {
    let chart = "
      - call: Process
        request: { actions: [ { effect: { id: $b, synchronous: true } }, { effect: { id: $c } }, { forward: { id: $b } } ] }
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

#[test]
fn effects_are_not_run_for_a_function() {
    let chart = "
      - call: Process
        request: { actions: [ { effect: { id: $b, synchronous: true } } ] }
      - passivate
      - call: Process
        request: {}
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Sdk, chart));
}

#[test]
fn a_call_to_the_same_entity_waits_for_the_answer() {
    let chart = "
      - call: Process
        request: {}
        during:
          - call: Process
            request: {}
          - call: Process
            request: { id: $b }
          - none: [ returns ]
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

#[test]
fn a_client_that_leaves_gets_nothing() {
    let chart = "
      - call: Process
        request: {}
        during: [ client: resets ]
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

#[test]
fn a_process_is_killed_behind_the_answer() {
    let chart = "
      - call: Process
        request: {}
        then: { kill: proxy }
      - start: proxy
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

#[test]
fn clients_and_lists_go_their_own_ways() {
    let chart = "
      - concurrent: { clients: 2 }
        each:
          - call: Process
            request: { actions: [ { emit: { value: $client } } ] }
      - unordered:
          - - call: Process
              request: { id: $b }
          - - call: Process
              request: { id: $c }
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

// === Raw steps ===

#[test]
fn what_comes_after_the_end_of_an_idle_stream_is_fenced() {
    let chart = "
      - call: Process
        request: {}
        reply: {}
      - function: { ends: { status: OK } }
";
    insta::assert_snapshot!(scripted(EVENT_SOURCED, Role::Proxy, "function", chart));
}

#[test]
fn messages_are_sent_by_hand() {
    let chart = "
      - proxy: { init: { entity_id: $id } }
      - proxy: { bytes: \"0a01\" }
      - function: fails
      - function: refuses
      - proxy: ends
";
    insta::assert_snapshot!(scripted(EVENT_SOURCED, Role::Sdk, "proxy", chart));
}

#[test]
fn a_function_is_asked_and_told() {
    let chart = "
      - proxy: { discover: $any }
      - function: { spec: default }
      - proxy: reported
        text: $any
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Sdk, chart));
}

#[test]
fn a_client_calls_by_hand() {
    let chart = "
      - client: { call: /nobody/Knows, bytes: \"0a01\", returns: { status: UNIMPLEMENTED } }
";
    insta::assert_snapshot!(moves(EVENT_SOURCED, Role::Proxy, chart));
}

// === Actions ===

#[test]
fn a_unary_call_of_an_action_ends() {
    let chart = "
      - call: ProcessUnary
        request: { groups: [ { steps: [ { reply: { message: A } } ] } ] }
";
    insta::assert_snapshot!(moves(ACTION, Role::Stack, chart));
}

#[test]
fn streamed_answers_are_passed_on_one_by_one() {
    let chart = "
      - call: ProcessStreamedOut
        request: { groups: [ { steps: [ { reply: { message: A } } ] }, { steps: [ { effect: { id: $b, synchronous: true } }, { reply: { message: B } } ] } ] }
";
    insta::assert_snapshot!(moves(ACTION, Role::Stack, chart));
}

#[test]
fn streamed_requests_have_one_answer() {
    insta::assert_snapshot!(moves(
        ACTION,
        Role::Stack,
        "
      - call: ProcessStreamedIn
        stream:
          - request: {}
          - request: { groups: [ { steps: [ { reply: { message: A } } ] } ] }
"
    ));
}

const STREAM: &str = "
          - request: { groups: [ { steps: [ { reply: { message: A } } ] } ] }
          - request: { groups: [ { steps: [ { reply: { message: B } } ] } ] }
";

#[test]
fn in_lock_step_each_line_waits() {
    let chart = format!("\n      - call: ProcessStreamed\n        stream:{STREAM}");
    insta::assert_snapshot!(moves(ACTION, Role::Stack, &chart));
}

#[test]
fn in_a_burst_nobody_waits() {
    let chart =
        format!("\n      - call: ProcessStreamed\n        burst: true\n        stream:{STREAM}");
    insta::assert_snapshot!(moves(ACTION, Role::Stack, &chart));
}

#[test]
fn a_function_sees_no_client_of_a_stream() {
    let chart = format!("\n      - call: ProcessStreamed\n        stream:{STREAM}");
    insta::assert_snapshot!(moves(ACTION, Role::Sdk, &chart));
}

#[test]
fn a_failure_ends_the_call_and_the_rest_is_cancelled() {
    let chart = "
      - call: ProcessStreamed
        stream:
          - request: {}
          - failure: no
          - reply: { message: late }
          - client: ends
";
    insta::assert_snapshot!(scripted(ACTION, Role::Proxy, "function", chart));
}

#[test]
fn an_effect_on_a_stream_is_answered_once() {
    let chart = "
      - call: ProcessUnary
        request: {}
        reply: {}
        effects:
          - call: ProcessStreamedIn
            synchronous: true
            request: {}
            reply: {}
";
    insta::assert_snapshot!(scripted(ACTION, Role::Proxy, "function", chart));
}

// === What is not played ===

#[test]
fn a_reason_has_a_sentence_and_a_code() {
    let reason = |role, chart| {
        let reason = script(&scenario(EVENT_SOURCED, "", chart), role, 0).err();
        reason.map(|reason| (reason.code(), reason.to_string()))
    };
    let kill = reason(Role::Sdk, "      - kill: proxy\n");
    let kit = "the chart starts or kills the proxy, which the kit plays";
    assert_eq!(kill, Some(("own-process", kit.to_owned())));
    let hand = reason(
        Role::Sdk,
        "      - client: { call: Process, request: {} }\n",
    );
    assert_eq!(hand.map(|(code, _)| code), Some("no-proxy"));
    let one_of = reason(
        Role::Proxy,
        "      - one_of: [ [ passivate ], [ fence ] ]\n",
    );
    assert_eq!(one_of.map(|(code, _)| code), Some("not-yet"));
}

// === Choices ===

/// What the instances of a chart are called.
fn instances(scenario: &Scenario, role: Role) -> Vec<String> {
    let name = |instance: Instance| instance.name.unwrap_or_default();
    choice::instances(scenario, role)
        .into_iter()
        .map(name)
        .collect()
}

#[test]
fn each_alternative_of_a_reply_is_played() {
    let chart = "
      - call: Process
        request: { actions: [ { emit: { value: a } } ] }
        reply: { $either: [ { message: a }, { message: b } ] }
        events: [ { Persisted: { value: a } } ]
";
    let scenario = scenario(EVENT_SOURCED, "", chart);
    assert_eq!(instances(&scenario, Role::Proxy), ["reply=1", "reply=2"]);
    assert_eq!(instances(&scenario, Role::Sdk), [""]);
    assert_eq!(instances(&scenario, Role::Stack), [""]);
    let replies = [0, 1].map(|alternative| {
        let script = script(&scenario, Role::Proxy, alternative).unwrap();
        let answer = script.calls[0].answer.clone().unwrap();
        crate::scenario::message::flow(&answer.reply.unwrap())
    });
    assert_eq!(replies, ["{ message: a }", "{ message: b }"]);
    let open = script(&scenario, Role::Stack, 0).unwrap();
    let reply = open.calls[0].answer.clone().unwrap().reply.unwrap();
    assert!(reply.operator().is_some(), "any may come");
}

#[test]
fn a_restart_is_called_by_what_is_chosen() {
    let chart = "
      - call: Process
        request: {}
        failure: no
        restart: { $either: [ false, true ] }
";
    let scenario = scenario(EVENT_SOURCED, "", chart);
    assert_eq!(
        instances(&scenario, Role::Proxy),
        ["restart=false", "restart=true"]
    );
}

#[test]
fn the_kit_has_a_choice_wherever_it_sends_something() {
    let events = "
      - call: Process
        request: {}
        reply: {}
        events: [ { Persisted: { value: { $either: [ A, B, C ] } } } ]
";
    let raw = "
      - call: Process
        request: {}
        during:
          - function: { reply: { command_id: { $either: [ 1, 2 ] } } }
";
    let effect = "
      - call: Process
        request: {}
        reply: {}
        effects: [ { call: EventSourcedTwo.Call, request: { id: { $either: [ $b, $c ] } } } ]
";
    let request = "
      - call: Process
        request: { actions: [ { emit: { value: { $either: [ A, B ] } } } ] }
        reply: { $either: [ {}, { message: A }, { message: B } ] }
";
    let of = |chart, role| {
        instances(
            &scenario(EVENT_SOURCED, "    scripted: function\n", chart),
            role,
        )
    };
    assert_eq!(
        of(events, Role::Proxy),
        ["events=1", "events=2", "events=3"]
    );
    assert_eq!(of(raw, Role::Proxy), ["function=1", "function=2"]);
    assert_eq!(of(effect, Role::Proxy), ["request=1", "request=2"]);
    assert_eq!(of(request, Role::Proxy), ["1", "2", "3"]);
    assert_eq!(of(request, Role::Stack), ["request=1", "request=2"]);
    for chart in [events, raw, effect] {
        assert_eq!(of(chart, Role::Stack), [""]);
    }
}

#[test]
fn what_others_send_is_no_choice_of_the_kit() {
    let chart = "
      - call: Process
        request: {}
        returns: { $either: [ {}, { status: UNKNOWN } ] }
        during: [ none: [ { call: Process, request: { $either: [ {}, { id: $b } ] } } ] ]
";
    let scenario = scenario(EVENT_SOURCED, "", chart);
    for role in Role::ALL {
        assert_eq!(instances(&scenario, role), [""]);
    }
}
