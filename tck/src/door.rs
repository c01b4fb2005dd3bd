//! The doors of a proxy: by which wire a client calls it.
//!
//! A chart is written once and played through every door that a proxy has. This is the list of them; how one is used is
//! in `wire/door.rs`.

use std::fmt;

/// A door of a proxy.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// gRPC over HTTP/2: every proxy has it, so it is not part of a scenario's name.
    #[default]
    Grpc,
}

impl Door {
    /// All of them, in the order they are tried.
    pub const ALL: [Door; 1] = [Door::Grpc];

    /// It is the one that goes without saying.
    pub fn is_grpc(&self) -> bool {
        *self == Door::Grpc
    }

    /// A scenario's name with the door that it is played through, and with the instance if there are several:
    /// `suite/id@door[restart=true]`.
    pub fn full_name(self, scenario: &str, instance: Option<&str>) -> String {
        let door = if self.is_grpc() {
            String::new()
        } else {
            format!("@{self}")
        };
        let instance = instance.map_or(String::new(), |instance| format!("[{instance}]"));
        format!("{scenario}{door}{instance}")
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::Grpc => "grpc",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_door_is_not_named() {
        assert_eq!(Door::Grpc.full_name("a/b", None), "a/b");
        assert_eq!(
            Door::default().full_name("a/b", Some("restart=true")),
            "a/b[restart=true]"
        );
    }
}
