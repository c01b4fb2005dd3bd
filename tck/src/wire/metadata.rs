//! Metadata: the headers that belong to the call and not to the transport.

use http::{HeaderMap, HeaderName};

/// Headers and metadata: names in lower case.
pub type Metadata = Vec<(String, String)>;

/// Headers that the transport owns, left out of metadata.
const TRANSPORT: [&str; 9] = [
    "content-type",
    "te",
    "user-agent",
    "content-length",
    "date",
    "accept-encoding",
    "grpc-accept-encoding",
    "grpc-encoding",
    "host",
];

/// The metadata among these headers, by name.
pub(super) fn metadata(headers: &HeaderMap) -> Metadata {
    let own = |name: &HeaderName| !TRANSPORT.contains(&name.as_str());
    let mut all: Metadata = headers
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    // Those of one name keep their order.
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}
