//! The JSON Schema of scenario files, made of the reader's own table of keys: editors complete and check with it.

use super::keys::{self, KeyDoc, Kind};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudstate conformance scenarios",
        "$ref": "#/$defs/suite",
        "$defs": {
            "suite": object(&[keys::SUITE], &["suite", "scenarios"]),
            "scenario": object(&[keys::SCENARIO], &["id", "title", "chart"]),
            "step": { "anyOf": [
                { "enum": keys::WORDS },
                { "$ref": "#/$defs/call" },
                object(&[keys::STEP, keys::BESIDE, keys::ANSWER], &[]),
            ] },
            "call": object(&[keys::CALL, keys::ANSWER], &["call"]),
            "line": object(&[keys::CALL, keys::ANSWER], &[]),
            "raw": { "anyOf": [ { "enum": keys::RAW }, { "type": "object" } ] },
        }
    })
}

fn object(tables: &[&[KeyDoc]], required: &[&str]) -> Value {
    let mut properties = Map::new();
    for doc in tables.iter().flat_map(|table| table.iter()) {
        let mut value = kind(doc.kind);
        value["description"] = json!(doc.doc);
        properties.entry(doc.key).or_insert(value);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": ["string", "number"] }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer" }),
        Kind::Names => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] }),
        Kind::Scenarios => json!({ "type": "array", "items": { "$ref": "#/$defs/scenario" } }),
        Kind::Steps => json!({ "type": "array", "items": { "$ref": "#/$defs/step" } }),
        Kind::Branches => json!({ "type": "array" }),
        Kind::Step => json!({ "allOf": [ { "$ref": "#/$defs/step" } ] }),
        Kind::Call => json!({ "allOf": [ { "$ref": "#/$defs/call" } ] }),
        Kind::Calls => json!({ "type": "array", "items": { "$ref": "#/$defs/call" } }),
        Kind::Message => json!({}),
        Kind::Lines => json!({ "type": "array", "items": { "$ref": "#/$defs/line" } }),
        Kind::Raw => json!({ "allOf": [ { "$ref": "#/$defs/raw" } ] }),
        Kind::Clients => json!({
            "type": "object",
            "properties": { "clients": { "type": "integer", "minimum": 1, "maximum": 1000 } },
            "required": ["clients"],
        }),
    }
}
