//! Metadata: what a client's headers, a function's effects and forwards, and its replies carry besides payloads.

use crate::finding::Mismatch;
use crate::judge::collector::{Case, Collector};
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::{Aligned, StreamState};
use crate::protocol::metadata::{metadata_value, reserved};
use crate::requirement::{RequirementName, names};
use crate::script::{CallPlan, Origin};
use crate::transcript::What;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use cloudstate_protocol::cloudstate::{MetadataEntry, Reply};

/// The metadata of a command, against what its caller gave it.
pub(super) fn of_command(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    entries: &[MetadataEntry],
) {
    for (name, value) in &call.metadata {
        if !reserved(name) {
            given(collector, aligned, call, (name, value), entries);
        }
    }
    match call.origin {
        Origin::Client => {
            let requirement = names::METADATA_RESERVED_NAMES;
            collector.covered(requirement);
            if let Some(entry) = entries.iter().find(|entry| reserved(&entry.key)) {
                let name = &entry.key;
                let text = format!("the metadata has {name}, which is the transport's own");
                collector.object(requirement, Objection::to(aligned, Party::Proxy, text));
            }
        }
        Origin::Effect { .. } | Origin::Forward { .. } | Origin::Element { .. } => {
            let has = |call: &CallPlan, entry: &MetadataEntry| {
                let mut given = call.metadata.iter();
                given.any(|(name, _)| entry.key.eq_ignore_ascii_case(name))
            };
            let asking = asking(&collector.case, call);
            let inherited = |entry: &&MetadataEntry| {
                !has(call, entry) && asking.iter().any(|asking| has(asking, entry))
            };
            // What else is there is the proxy's own, for instance of its tracing.
            if let Some(entry) = entries.iter().find(inherited) {
                let name = &entry.key;
                let text =
                    format!("the command has the metadata {name} of the command that asked for it");
                let requirement = names::METADATA_EFFECTS_CARRY_THEIR_OWN;
                collector.object(requirement, Objection::to(aligned, Party::Proxy, text));
            }
        }
    }
}

/// The calls on the way from the client to a command that nobody but a function asked for.
fn asking<'a>(case: &Case<'a>, call: &CallPlan) -> Vec<&'a CallPlan> {
    let mut origin = call.origin;
    let mut all = Vec::new();
    while let Origin::Effect { parent, .. }
    | Origin::Forward { parent }
    | Origin::Element { parent } = origin
    {
        let asking = &case.script.calls[parent];
        all.push(asking);
        origin = asking.origin;
    }
    all
}

/// One entry that the caller gave the command.
fn given(
    collector: &mut Collector<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    (name, value): (&str, &str),
    entries: &[MetadataEntry],
) {
    let requirement = given_requirement(call, name);
    collector.covered(requirement);
    let wanted = call.metadata.iter().filter(|(other, _)| other == name);
    let mut wanted = wanted.map(|(name, value)| metadata_value(name, value));
    let of_name = |entry: &&MetadataEntry| entry.key.eq_ignore_ascii_case(name);
    let found = entries.iter().filter(of_name);
    // Those of one name keep their order; a proxy may add others.
    let mut rest = found.clone();
    if wanted.all(|one| rest.any(|other| other.value == one)) {
        return;
    }
    let text = format!("the header {name} is not in the metadata");
    let mut found = found;
    let received = found.next().map(|entry| shown(entry.value.as_ref()));
    let received = received.unwrap_or("not there".to_owned());
    let mismatch = Mismatch::new(&format!("metadata.{name}"), value, &received);
    let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
    collector.object(requirement, objection);
}

fn given_requirement(call: &CallPlan, name: &str) -> RequirementName {
    match call.origin {
        Origin::Effect { .. } | Origin::Forward { .. } => names::METADATA_EFFECTS_CARRY_THEIR_OWN,
        _ if call.key.is_some() => names::COMMANDS_REQUEST_METADATA,
        _ if name.ends_with("-bin") => names::METADATA_BINARY_HEADERS,
        _ => names::METADATA_REQUEST_HEADERS,
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BytesValue(bytes)) => format!("{} bytes", bytes.len()),
        None => "no value".to_owned(),
    }
}

/// The metadata of the first reply must have reached the client as headers.
pub(super) fn of_reply(collector: &mut Collector<'_>, aligned: &Aligned, index: usize) {
    let Some(reply) = first_reply(&collector.case, index) else {
        return;
    };
    let headers = headers(&collector.case, index);
    for entry in reply.metadata.unwrap_or_default().entries {
        let Some(Value::StringValue(value)) = entry.value.filter(|_| !reserved(&entry.key)) else {
            continue;
        };
        let requirement = names::METADATA_REPLY_HEADERS;
        collector.covered(requirement);
        let name = entry.key.to_lowercase();
        let mut named = headers.iter().filter(|(key, _)| *key == name);
        if named.clone().any(|(_, text)| *text == value) {
            continue;
        }
        let text = format!("the reply's {name} is not among the response headers");
        let received = named.next().map_or("not there", |(_, text)| text.as_str());
        let mismatch = Mismatch::new(&format!("headers.{name}"), &value, received);
        let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
        collector.object(requirement, objection);
    }
}

/// The response headers of a client's call.
fn headers<'a>(case: &Case<'a>, call: usize) -> &'a [(String, String)] {
    let Some(StreamState::Front {
        headers: Some(entry),
        ..
    }) = case.play.front(call)
    else {
        return &[];
    };
    match case.entry(*entry).map(|entry| &entry.what) {
        Some(What::Headers { metadata }) => metadata,
        _ => &[],
    }
}

/// The first reply that a call's function sent, at the end of its forwards.
fn first_reply(case: &Case<'_>, index: usize) -> Option<Reply> {
    let streamed = case.script.calls[index].kind.streams_out();
    let answers = case.script.answers(index);
    let mut answers = answers.filter(|answer| !streamed || *answer != index);
    answers.find_map(|answer| match case.last_reply(answer)?.1.action {
        Some(Action::Reply(reply)) => Some(reply),
        _ => None,
    })
}
