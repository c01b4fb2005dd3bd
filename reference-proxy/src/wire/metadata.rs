//! Headers as `cloudstate.Metadata`, and the other way.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use cloudstate_protocol::cloudstate::Metadata;
use cloudstate_protocol::cloudstate::metadata_entry::Value;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{field_len, put_field, put_header};

/// The headers of a client's request as `cloudstate.Metadata`, if there are any of its own.
pub fn metadata_of(headers: &HeaderMap) -> Option<Bytes> {
    let mut encoded = BytesMut::new();
    passed_on(headers).for_each(|entry| entry.put(&mut encoded));
    (!encoded.is_empty()).then(|| encoded.freeze())
}

/// `cloudstate.MetadataEntry`.
struct HeaderEntry<'a> {
    key: &'a str,
    value: Cow<'a, [u8]>,
    binary: bool,
}

impl<'a> HeaderEntry<'a> {
    fn of(key: &'a str, value: &'a [u8]) -> Self {
        // spec: metadata.binary-headers
        let decoded = key
            .ends_with("-bin")
            .then(|| decode_base64(value))
            .flatten();
        let text = std::str::from_utf8(value).is_ok();
        Self {
            key,
            binary: decoded.is_some() || !text,
            value: decoded.map_or(Cow::Borrowed(value), Cow::Owned),
        }
    }

    /// The field for text, or that for bytes where the value is none.
    fn value_tag(&self) -> u32 {
        if self.binary { 3 } else { 2 }
    }

    fn len(&self) -> usize {
        field_len(1, self.key.len()) + field_len(2, self.value.len())
    }

    fn put(&self, out: &mut impl BufMut) {
        put_header(1, self.len(), out);
        put_field(1, self.key.as_bytes(), out);
        put_field(self.value_tag(), &self.value, out);
    }
}

/// The headers that are the client's own and not those of the transport.
fn passed_on(headers: &HeaderMap) -> impl Iterator<Item = HeaderEntry<'_>> {
    // spec: commands.request-metadata, metadata.request-headers, metadata.reserved-names
    headers
        .iter()
        .filter(|(name, _)| !is_transport(name.as_str()))
        .map(|(name, value)| HeaderEntry::of(name.as_str(), value.as_bytes()))
}

/// The entries that can be headers: text, under names that HTTP allows and gRPC doesn't claim.
pub fn headers_of(metadata: Metadata) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in metadata.entries {
        let Some(Value::StringValue(value)) = entry.value else {
            continue;
        };
        let name = HeaderName::try_from(entry.key.as_str());
        match (name, HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) if !is_transport(name.as_str()) => {
                headers.append(name, value);
            }
            _ => tracing::debug!(key = entry.key, "an entry of metadata can't be a header"),
        }
    }
    headers
}

/// With or without padding, as gRPC allows.
fn decode_base64(value: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    STANDARD
        .decode(value)
        .or_else(|_| STANDARD_NO_PAD.decode(value))
        .ok()
}

/// Whether a header belongs to gRPC or HTTP, and not to the application.
fn is_transport(name: &str) -> bool {
    const HTTP: [&str; 10] = [
        "user-agent",
        "te",
        "content-type",
        "content-length",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "host",
    ];
    name.starts_with("grpc-") || HTTP.contains(&name)
}
