//! Headers as metadata.

use cloudstate_protocol::cloudstate as common;

/// The value of a header as metadata: text, or the bytes that a `-bin` header has in base64.
pub fn metadata_value(name: &str, value: &str) -> Option<common::metadata_entry::Value> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use common::metadata_entry::Value;
    let bytes = name
        .to_lowercase()
        .ends_with("-bin")
        .then(|| {
            STANDARD
                .decode(value)
                .or_else(|_| STANDARD_NO_PAD.decode(value))
                .ok()
        })
        .flatten();
    Some(match bytes {
        Some(bytes) => Value::BytesValue(bytes),
        None => Value::StringValue(value.to_owned()),
    })
}

/// Is this a name of the transport's own, which no metadata has?
pub fn reserved(name: &str) -> bool {
    const OWN: [&str; 9] = [
        "te",
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "content-type",
        "content-length",
        "user-agent",
    ];
    let name = name.to_lowercase();
    name.starts_with("grpc-") || name.starts_with(':') || OWN.contains(&name.as_str())
}

/// A caller's headers as metadata, without the transport's own.
pub fn entries(headers: &[(String, String)]) -> Vec<common::MetadataEntry> {
    let passed = headers.iter().filter(|(name, _)| !reserved(name));
    let entry = |(name, value): &(String, String)| common::MetadataEntry {
        key: name.clone(),
        value: metadata_value(name, value),
    };
    passed.map(entry).collect()
}
