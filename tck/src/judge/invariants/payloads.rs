//! The rule for every payload that a function sends to be stored, forwarded or executed. Of a reply's own payload
//! another sentence says the whole type.

use crate::judge::evaluation::Evaluation;
use crate::protocol::{Change, PROTOBUF, Reply};
use crate::requirement::names;
use cloudstate_protocol::cloudstate::client_action::Action;
use prost_types::Any;

/// The conventions for type URLs.
const CONVENTIONS: [&str; 3] = [PROTOBUF, "p.cloudstate.io/", "json.cloudstate.io/"];

/// One evaluation for each payload of a reply that names a type.
pub(super) fn of_reply(reply: &Reply) -> Vec<Evaluation> {
    let mut all: Vec<(&str, &Any)> = Vec::new();
    all.extend(reply.events.iter().map(|event| ("event", event)));
    all.extend(reply.snapshot.iter().map(|snapshot| ("snapshot", snapshot)));
    if let Some(Change::Update(Some(value))) = &reply.value {
        all.push(("value", value));
    }
    for effect in &reply.side_effects {
        all.extend(
            effect
                .payload
                .iter()
                .map(|payload| ("side effect", payload)),
        );
    }
    if let Some(Action::Forward(forward)) = &reply.action {
        all.extend(forward.payload.iter().map(|any| ("forward", any)));
    }
    let named = all.into_iter().filter(|(_, any)| !any.type_url.is_empty());
    named
        .map(|(what, any)| convention(what, &any.type_url))
        .collect()
}

fn convention(what: &str, url: &str) -> Evaluation {
    let holds = CONVENTIONS.iter().any(|known| url.starts_with(known));
    let text = format!("the {what}'s type URL {url:?} follows no convention");
    Evaluation::new(names::PAYLOADS_PROTOBUF_TYPE_URL, holds, text)
}
