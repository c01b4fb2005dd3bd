use super::*;
use crate::explore::generate::{Inputs, Text, trees};

const VALUE: Ask = Ask::Value(Text::Plain);
const FAIL: Ask = Ask::Fail(Text::Plain);
const EFFECT: Ask = Ask::Effect(TargetId::Fresh);

fn calls() -> Vec<CallInput> {
    let plans = trees(0, 900).into_iter().map(|tree| tree.current());
    let inputs = plans.filter_map(|plan| match plan {
        Inputs::Action(inputs) => Some(inputs),
        _ => None,
    });
    let process = inputs.flatten().filter_map(|input| match input {
        ActionInput::Process(call) => Some(call),
        ActionInput::Two(_) => None,
    });
    process.collect()
}

fn request(groups: &[&[Ask]], overtaken: bool) -> Request {
    Request {
        groups: groups.iter().map(|group| group.to_vec()).collect(),
        overtaken,
    }
}

#[test]
fn every_kind_of_call_is_drawn_in_every_way() {
    let calls = calls();
    for kind in Kind::ALL {
        let of_kind = || calls.iter().filter(|call| call.kind == kind);
        let some = |is: fn(&CallInput) -> bool| of_kind().any(is);
        assert!(some(|call| !call.burst), "{kind:?}");
        assert_eq!(some(|call| call.burst), kind != Kind::Unary, "{kind:?}");
        assert_eq!(some(|call| call.requests.is_empty()), kind.streams_in());
        assert_eq!(some(|call| call.requests.len() > 1), kind.streams_in());
        let overtaken = some(|call| call.requests.iter().any(|request| request.overtaken));
        assert_eq!(overtaken, kind == Kind::Streamed);
    }
}

#[test]
fn what_does_nothing_is_left_out() {
    let one = || request(&[&[VALUE]], true);
    let unary = effective(Kind::Unary, vec![one(), one()], true);
    assert_eq!(unary.requests, [request(&[&[VALUE]], false)]);
    assert!(!unary.burst);
    let none = effective(Kind::StreamedOut, vec![], true);
    assert_eq!(none.requests, [Request::default()]);
    let waiting = [request(&[], true), one(), request(&[], true), one()];
    let streamed = effective(Kind::Streamed, waiting.to_vec(), false);
    let overtaken: Vec<bool> = streamed.requests.iter().map(|r| r.overtaken).collect();
    assert_eq!(overtaken, [false, true, true, false]);
}

#[test]
fn nothing_comes_after_a_response_that_fails() {
    let failing = request(&[&[VALUE], &[FAIL, EFFECT], &[VALUE]], false);
    let recovers = request(&[&[FAIL, VALUE]], false);
    let requests = vec![recovers.clone(), failing.clone(), recovers.clone()];
    let streamed = effective(Kind::Streamed, requests.clone(), false);
    let cut = request(&[&[VALUE], &[FAIL, EFFECT]], false);
    assert_eq!(streamed.requests, [recovers, cut]);
    let combined = effective(Kind::StreamedIn, requests.clone(), false);
    assert_eq!(combined.requests, requests);
}
