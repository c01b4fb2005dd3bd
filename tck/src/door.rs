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

    /// The parts of such a name: the scenario's name, the door and the instance. A door that is none is taken for a part
    /// of the scenario's name.
    pub fn parts(full_name: &str) -> (&str, Door, Option<&str>) {
        let (name, instance) = full_name
            .strip_suffix(']')
            .and_then(|name| name.split_once('['))
            .map_or((full_name, None), |(name, instance)| (name, Some(instance)));
        let named = name.rsplit_once('@').and_then(|(scenario, door)| {
            let all = Door::ALL.into_iter();
            all.map(|known| (scenario, known))
                .find(|(_, known)| known.to_string() == door)
        });
        let (scenario, door) = named.unwrap_or((name, Door::Grpc));
        (scenario, door, instance)
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

    #[test]
    fn a_name_has_the_parts_that_it_was_made_of() {
        for door in Door::ALL {
            for instance in [None, Some("restart=true")] {
                let name = door.full_name("a/b", instance);
                assert_eq!(Door::parts(&name), ("a/b", door, instance), "{name}");
            }
        }
        assert_eq!(Door::parts("a/b@moon"), ("a/b@moon", Door::Grpc, None));
    }
}
