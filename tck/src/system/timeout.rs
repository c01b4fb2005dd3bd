//! How long a proxy waits for something: what its command can be told by a placeholder.
//!
//! The specification's times are too long for a test. A scenario that waits as long as the proxy does needs the
//! timeout as a feature; a proxy whose command has the placeholder offers it, and is started for that scenario alone
//! with a short time. Everybody else meets the specification's.

use std::time::Duration;

/// One such time.
#[derive(Clone, Copy, Debug)]
pub struct ProxyTimeout {
    /// What a scenario needs.
    pub feature: &'static str,
    /// What stands in the command; milliseconds take its place.
    pub placeholder: &'static str,
    /// The specification's.
    usual: Duration,
}

/// For a scenario that needs it: what else it does must be done sooner, on a busy machine too.
const SHORT: Duration = Duration::from_millis(1500);

impl ProxyTimeout {
    /// For an answer of the user function.
    pub const RELAY_TIMEOUT: ProxyTimeout = ProxyTimeout {
        feature: "relay-timeout",
        placeholder: "relay_timeout",
        usual: Duration::from_secs(60),
    };
    /// For the end of a stream that the proxy has half-closed.
    pub const HALF_CLOSE_TIMEOUT: ProxyTimeout = ProxyTimeout {
        feature: "half-close-timeout",
        placeholder: "half_close_timeout",
        usual: Duration::from_secs(5),
    };
    /// All of them.
    pub const ALL: [ProxyTimeout; 2] = [
        ProxyTimeout::RELAY_TIMEOUT,
        ProxyTimeout::HALF_CLOSE_TIMEOUT,
    ];

    /// The one that a feature is.
    pub fn of(feature: &str) -> Option<ProxyTimeout> {
        ProxyTimeout::ALL
            .into_iter()
            .find(|timeout| timeout.feature == feature)
    }

    /// What its placeholder stands for where these features are needed.
    pub fn value(self, needs: &[String]) -> (&'static str, String) {
        let needed = needs.iter().any(|need| need == self.feature);
        let time = if needed { SHORT } else { self.usual };
        (self.placeholder, time.as_millis().to_string())
    }
}
