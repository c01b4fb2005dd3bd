//! The JSON Schema of scenario files, made of the reader's own tables: editors complete and check with it.
//!
//! It knows the language, not the messages: fields are checked by `cloudstate-tck check`.

use super::keys::{self, FormDoc, KeyDoc, KeyKind};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let steps = keys::STEPS.iter().map(form);
    let raws = keys::RAW_FORMS.iter().map(form);
    // `{ fence }` is a map with a key and no value.
    let word = |(word, _): &(&str, &str)| ((*word).to_owned(), json!({ "type": "null" }));
    let braces = json!({
        "type": "object",
        "properties": keys::WORDS.iter().map(word).collect::<Map<_, _>>(),
        "additionalProperties": false,
        "minProperties": 1,
    });
    let message = json!({ "description": "A message of the entity's stream.", "type": "object" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudstate conformance scenarios",
        "$ref": "#/$defs/suite",
        "$defs": {
            "suite": object(&[keys::SUITE]),
            "scenario": object(&[keys::SCENARIO]),
            "step": { "anyOf": words(keys::WORDS).chain([braces]).chain(steps).collect::<Vec<_>>() },
            "nested": object(&[keys::NESTED, keys::ANSWER]),
            "line": object(&[keys::LINE, keys::ANSWER]),
            "part": object(&[keys::ANSWER]),
            "raw": { "anyOf": words(keys::RAW).chain(raws).chain([message]).collect::<Vec<_>>() },
            "operator": {
                "anyOf": [
                    { "enum": ["$any", "$absent"] },
                    { "type": "object", "patternProperties": { "^\\$": {} }, "additionalProperties": false },
                ],
            },
        }
    })
}

fn words(words: &'static [(&str, &str)]) -> impl Iterator<Item = Value> {
    words
        .iter()
        .map(|(word, doc)| json!({ "const": word, "description": doc }))
}

fn form(form: &FormDoc) -> Value {
    let head = [KeyDoc {
        required: true,
        ..form.head
    }];
    let tables: Vec<&[KeyDoc]> = std::iter::once(&head[..])
        .chain(form.beside.iter().copied())
        .collect();
    object(&tables)
}

fn object(tables: &[&[KeyDoc]]) -> Value {
    let docs = || tables.iter().flat_map(|table| table.iter());
    let property = |doc: &KeyDoc| {
        let mut property = kind(doc.kind);
        property["description"] = json!(doc.doc);
        (doc.key.to_owned(), property)
    };
    let required: Vec<&str> = docs()
        .filter(|doc| doc.required)
        .map(|doc| doc.key)
        .collect();
    json!({
        "type": "object",
        "properties": docs().map(property).collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}

fn kind(kind: KeyKind) -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let operator = json!({ "$ref": "#/$defs/operator" });
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let list = |item: Value| json!({ "type": "array", "items": item });
    match kind {
        KeyKind::Text => scalar,
        KeyKind::Word(words) => json!({ "enum": words }),
        KeyKind::Truth => json!({ "type": "boolean" }),
        KeyKind::Pattern => json!({ "anyOf": [scalar, operator] }),
        KeyKind::Hex => json!({ "type": ["string", "number"] }),
        KeyKind::Names => json!({ "anyOf": [ scalar, list(scalar.clone()) ] }),
        KeyKind::NamesOf(names) => {
            let one = json!({ "enum": names });
            json!({ "anyOf": [ one, list(one.clone()) ] })
        }
        KeyKind::Message(words) => {
            json!({ "anyOf": [ { "type": "object" }, operator, { "enum": words } ] })
        }
        KeyKind::Messages => json!({ "anyOf": [ list(json!({ "type": "object" })), operator ] }),
        KeyKind::Metadata => json!({ "type": "object" }),
        KeyKind::Scenarios => list(reference("scenario")),
        KeyKind::Step => json!({ "anyOf": [reference("step")] }),
        KeyKind::Steps => list(reference("step")),
        KeyKind::Branches => list(
            json!({ "anyOf": [ reference("step"), list(reference("step")), reference("part") ] }),
        ),
        KeyKind::Nested => json!({ "anyOf": [reference("nested")] }),
        KeyKind::NestedList => list(reference("nested")),
        KeyKind::Lines => {
            let lines = list(json!({ "anyOf": [reference("line"), reference("step")] }));
            json!({ "anyOf": [lines, { "type": "object" }] })
        }
        KeyKind::Raw => json!({ "anyOf": [reference("raw")] }),
        KeyKind::Clients => json!({
            "type": "object",
            "properties": { "clients": { "type": "integer", "minimum": 1, "maximum": 1000 } },
            "required": ["clients"],
            "additionalProperties": false,
        }),
    }
}
