//! A client's deadline: the proxy may not say that it has passed before it has.

use crate::finding::Mismatch;
use crate::judge::collector::Collector;
use crate::judge::objection::Objection;
use crate::party::Party;
use crate::play::Aligned;
use crate::requirement::names;
use crate::transcript::What;
use std::time::Duration;

/// The timeout has passed when this much of it has: clocks are read at different places, and some count whole
/// milliseconds.
const PASSED: f64 = 0.9;

/// Of a call that ended with DEADLINE_EXCEEDED.
pub(super) fn of_return(collector: &mut Collector<'_>, aligned: &Aligned) {
    let case = collector.case;
    let Some(end) = case.entry(aligned.entry) else {
        return;
    };
    let mut entries = case.transcript.entries.iter();
    let opened = entries.find_map(|entry| match &entry.what {
        What::Open { metadata, .. } if entry.stream == end.stream => Some((entry.at, metadata)),
        _ => None,
    });
    let Some((began, metadata)) = opened else {
        return;
    };
    let mut timeouts = metadata.iter().filter(|(name, _)| name == "grpc-timeout");
    let Some(timeout) = timeouts.find_map(|(_, value)| parse(value)) else {
        return;
    };
    let lasted = Duration::from_micros(end.at.saturating_sub(began));
    if lasted >= timeout.mul_f64(PASSED) {
        return;
    }
    let text = "the proxy says that the client's deadline has passed, before it has";
    let [expected, received] =
        [timeout, lasted].map(|time| format!("after {} ms", time.as_millis()));
    let mismatch = Mismatch::new("", expected, received);
    let objection = Objection::to(aligned, Party::Proxy, text).with([mismatch]);
    collector.object(names::ACTIONS_DEADLINE, objection);
}

/// As gRPC writes it: up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_numbers_with_a_unit() {
        assert_eq!(parse("300m"), Some(Duration::from_millis(300)));
        assert_eq!(parse("2H"), Some(Duration::from_secs(7200)));
        for wrong in ["", "m", "300", "3x", "-1S", "é", "99999999999S"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
