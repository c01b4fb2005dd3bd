//! Who talks, and who of them is under test.

use std::fmt;

/// One of the three that talk.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// Calls the proxy.
    Client,
    /// Holds state and speaks to both others.
    Proxy,
    /// Commands in, events out: a service written with a language SDK.
    Function,
}

impl Party {
    /// All of them, from the left of a chart to the right.
    pub const ALL: [Party; 3] = [Party::Client, Party::Proxy, Party::Function];
}

/// Who is under test; the kit plays the others.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The user function is under test.
    Sdk,
    /// The proxy is under test.
    Proxy,
    /// Proxy and user function together; the kit stands between them.
    Stack,
}

impl Role {
    /// All of them, in the order they are run.
    pub const ALL: [Role; 3] = [Role::Sdk, Role::Proxy, Role::Stack];

    /// Does the kit play this party (in a stack it only watches proxy and function)?
    pub fn kit_plays(self, party: Party) -> bool {
        match self {
            Role::Sdk => party != Party::Function,
            Role::Proxy => party != Party::Proxy,
            Role::Stack => party == Party::Client,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Party::Client => "client",
            Party::Proxy => "proxy",
            Party::Function => "function",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Sdk => "sdk",
            Role::Proxy => "proxy",
            Role::Stack => "stack",
        })
    }
}
