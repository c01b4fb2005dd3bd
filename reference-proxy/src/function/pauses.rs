//! How long to wait before the user function is tried again.

use std::time::Duration;

/// The first pause between two attempts, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The pauses between attempts: twice as long each time, up to the longest, and none of them
/// exact, so that many proxies don't come back at once.
#[derive(Debug, Default)]
pub struct Pauses(u32);

impl Pauses {
    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let full = PAUSES.0.saturating_mul(1 << self.0.min(16)).min(PAUSES.1);
        self.0 = self.0.saturating_add(1);
        full.mul_f64(0.5 + 0.5 * random_fraction())
    }
}

/// A number in 0..1; the standard library's hasher is seeded at random.
fn random_fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    f64::from((RandomState::new().hash_one(0) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_never_equal_for_all() {
        let mut pauses = Pauses::default();
        let mut full = PAUSES.0;
        for _ in 0..40 {
            let pause = pauses.next_pause();
            assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
            full = (full * 2).min(PAUSES.1);
        }
        assert_eq!(full, PAUSES.1);
    }
}
