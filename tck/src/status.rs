//! The status codes of gRPC.

use crate::yaml::Node;

/// gRPC status code UNKNOWN.
pub const UNKNOWN: i32 = 2;

/// gRPC status code INTERNAL.
pub const INTERNAL: i32 = 13;
/// gRPC status code DEADLINE_EXCEEDED.
pub const DEADLINE_EXCEEDED: i32 = 4;

/// A status code's name.
pub fn status_name(code: i32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| STATUS.get(code));
    known.map_or_else(|| code.to_string(), ToString::to_string)
}

/// The code of this name.
pub fn status_code(name: &str) -> Option<i32> {
    STATUS
        .iter()
        .position(|s| *s == name)
        .map(|code| code as i32)
}

/// The names of the gRPC status codes, each at its number.
pub const STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The code and message of a status as a chart writes it; OK where it has none.
pub fn end_status(node: Option<&Node>) -> (i32, String) {
    let text = |key: &str| {
        node.and_then(|n| n.get(key))
            .and_then(Node::as_text)
            .unwrap_or_default()
    };
    let code = STATUS
        .iter()
        .position(|s| *s == text("status"))
        .unwrap_or(0);
    (code as i32, text("message").to_owned())
}
