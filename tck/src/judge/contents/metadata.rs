//! Metadata: what a client's headers, a function's effects and forwards, and its replies carry besides payloads.

use super::{Aligned, Bench, CallPlan, Origin, differs, last_answer, objection, read_out};
use crate::party::Party;
use crate::play::Stream;
use crate::protocol;
use crate::protocol::FromFunction;
use crate::protocol::metadata;
use crate::requirement::names;
use crate::transcript::What;
use cloudstate_protocol::cloudstate::client_action::Action;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use cloudstate_protocol::cloudstate::{MetadataEntry, Reply};

/// The metadata of a command, against what its caller gave it.
pub(super) fn of_command(
    bench: &mut Bench<'_>,
    aligned: &Aligned,
    call: &CallPlan,
    entries: &[MetadataEntry],
) {
    let written = call
        .metadata
        .iter()
        .filter(|(name, _)| !metadata::reserved(name));
    for (name, value) in written {
        let requirement = match call.origin {
            Origin::Effect { .. } | Origin::Forward { .. } => {
                names::METADATA_EFFECTS_CARRY_THEIR_OWN
            }
            _ if call.key.is_some() => names::COMMANDS_REQUEST_METADATA,
            _ if name.ends_with("-bin") => names::METADATA_BINARY_HEADERS,
            _ => names::METADATA_REQUEST_HEADERS,
        };
        bench.covered(requirement);
        let is = |entry: &&MetadataEntry| entry.key.eq_ignore_ascii_case(name);
        let all = call.metadata.iter().filter(|(other, _)| other == name);
        let wanted: Vec<_> = all
            .map(|(name, value)| metadata::metadata_value(name, value))
            .collect();
        let found: Vec<_> = entries
            .iter()
            .filter(is)
            .map(|entry| entry.value.clone())
            .collect();
        // Those of one name keep their order; what else a proxy adds is its own affair.
        let mut rest = found.iter();
        if !wanted.iter().all(|one| rest.any(|other| other == one)) {
            let text = format!("the header {name} is not in the metadata");
            let mut objection = objection(aligned, Party::Proxy, text);
            let found = entries
                .iter()
                .find(is)
                .map(|entry| shown(entry.value.as_ref()));
            let found = found.unwrap_or("not there".to_owned());
            objection
                .mismatches
                .push(differs(&format!("metadata.{name}"), value, found));
            bench.object(requirement, objection);
        }
    }
    if !matches!(call.origin, Origin::Client) {
        let known = |entry: &MetadataEntry| {
            let mut written = call.metadata.iter();
            written.any(|(name, _)| entry.key.eq_ignore_ascii_case(name))
        };
        if let Some(entry) = entries.iter().find(|entry| !known(entry)) {
            let text = format!(
                "the command has the metadata {}, which nobody gave it",
                entry.key
            );
            let requirement = names::METADATA_EFFECTS_CARRY_THEIR_OWN;
            bench.object(requirement, objection(aligned, Party::Proxy, text));
        }
        return;
    }
    bench.covered(names::METADATA_RESERVED_NAMES);
    if let Some(entry) = entries.iter().find(|entry| metadata::reserved(&entry.key)) {
        let text = format!(
            "the metadata has {}, which is the transport's own",
            entry.key
        );
        bench.object(
            names::METADATA_RESERVED_NAMES,
            objection(aligned, Party::Proxy, text),
        );
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
pub(super) fn of_reply(bench: &mut Bench<'_>, aligned: &Aligned, index: usize) {
    let Some(reply) = first_reply(bench, index) else {
        return;
    };
    let headers = match bench.case.play.front(index) {
        Some(Stream::Front {
            headers: Some(entry),
            ..
        }) => headers_of(bench, *entry),
        _ => Vec::new(),
    };
    let entries = reply.metadata.unwrap_or_default().entries;
    for entry in entries
        .iter()
        .filter(|entry| !metadata::reserved(&entry.key))
    {
        let Some(Value::StringValue(value)) = &entry.value else {
            continue;
        };
        let requirement = names::METADATA_REPLY_HEADERS;
        bench.covered(requirement);
        let name = entry.key.to_lowercase();
        if !headers
            .iter()
            .any(|(key, text)| *key == name && text == value)
        {
            let text = format!("the reply's {name} is not among the response headers");
            let mut objection = objection(aligned, Party::Proxy, text);
            let found = headers.iter().find(|(key, _)| *key == name);
            let found = found.map_or("not there", |(_, text)| text.as_str());
            objection
                .mismatches
                .push(differs(&format!("headers.{name}"), value, found));
            bench.object(requirement, objection);
        }
    }
}

fn headers_of(bench: &Bench<'_>, entry: u64) -> Vec<(String, String)> {
    let at = usize::try_from(entry).ok();
    match at
        .and_then(|at| bench.case.transcript.entries.get(at))
        .map(|entry| &entry.what)
    {
        Some(What::Headers { metadata }) => metadata.clone(),
        _ => Vec::new(),
    }
}

/// The first reply that a call's function sent, at the end of its forwards.
fn first_reply(bench: &Bench<'_>, index: usize) -> Option<Reply> {
    let script = bench.case.script;
    let streamed = script.calls[index].kind.streams_out();
    let mut answers = script
        .answers(index)
        .filter(|answer| !streamed || *answer != index);
    answers.find_map(|answer| {
        let (last, entry) = last_answer(bench, answer)?;
        match read_out(bench, &script.calls[last], entry) {
            FromFunction::Reply(protocol::Reply {
                action: Some(Action::Reply(reply)),
                ..
            }) => Some(reply),
            _ => None,
        }
    })
}
