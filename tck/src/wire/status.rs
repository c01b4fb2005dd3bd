//! How a call ended, and how gRPC writes that into trailers.

use http::{HeaderMap, HeaderValue};

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The gRPC status code.
    pub code: i32,
    /// Its message.
    pub message: String,
    /// It came as trailers; else the kit made it up from what the transport said.
    pub trailers: bool,
    /// Not the stream alone ended, but its connection.
    pub lost: bool,
}

impl Status {
    /// The end of a call that could not even be begun.
    pub fn unreachable(error: &std::io::Error) -> Status {
        Status {
            lost: true,
            ..Status::broken(14, error.to_string())
        }
    }

    pub(super) fn broken(code: i32, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
            trailers: false,
            lost: false,
        }
    }

    /// What an error of the transport comes to.
    pub(super) fn failed(code: i32, error: &hyper::Error) -> Status {
        let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
        Status {
            lost: !cause.is_some_and(h2::Error::is_reset),
            ..Status::broken(code, chain(error))
        }
    }
}

/// The trailers that say so.
pub(super) fn trailers(code: i32, message: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty()
        && let Ok(value) = HeaderValue::from_str(&percent_encode(message))
    {
        map.insert("grpc-message", value);
    }
    map
}

/// The encoding of `grpc-message`: printable ASCII but `%` stays, every other byte is escaped.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            0x20..=0x7e => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The reverse; what isn't an escape stays as it is.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The status that these headers or trailers bring.
pub(super) fn read_status(headers: &HeaderMap) -> Option<Status> {
    let code = headers
        .get("grpc-status")?
        .to_str()
        .ok()?
        .parse()
        .unwrap_or(2);
    let message = headers
        .get("grpc-message")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    Some(Status {
        code,
        message: percent_decode(message),
        trailers: true,
        lost: false,
    })
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
