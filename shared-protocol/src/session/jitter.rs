//! A tiny seeded generator: spreads keepalives, so that agents that started together do not speak together. Not for secrets.

use std::time::Duration;

/// A seeded source of jitter (splitmix64).
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from a seed; the driver takes it from the operating system, a test from its own generator.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A duration within ± 10 % of the one given.
    pub(super) fn spread(&mut self, interval: Duration) -> Duration {
        let share = u32::try_from(self.next() % 2_001).unwrap_or(0);
        interval.saturating_mul(9_000 + share) / 10_000
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_within_ten_percent_and_differs_by_seed() {
        let interval = Duration::from_secs(15);
        let draw = |seed| {
            let mut jitter = Jitter::from_seed(seed);
            (0..1_000).map(|_| jitter.spread(interval)).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        assert!(
            drawn
                .iter()
                .all(|one| (Duration::from_millis(13_500)..=Duration::from_millis(16_500)).contains(one))
        );
        assert!(drawn.iter().min() < Some(&Duration::from_millis(13_600)));
        assert!(drawn.iter().max() > Some(&Duration::from_millis(16_400)));
        assert_ne!(drawn, draw(2));
    }
}
