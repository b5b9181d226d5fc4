//! When requests come: not evenly, as nobody's do, but the same for the same seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Arrivals of a Poisson process: moments since the beginning, without end.
#[derive(Debug)]
pub struct Arrivals {
    random: StdRng,
    per_second: f64,
    at: f64,
}

impl Arrivals {
    /// So many a second in the mean.
    pub fn new(per_second: u32, seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            per_second: f64::from(per_second.max(1)),
            at: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // From 0 to below 1, so that what is taken the logarithm of is never 0.
        let share: f64 = self.random.random();
        self.at -= (1.0 - share).ln() / self.per_second;
        Some(Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_repeat_with_their_seed() {
        let first: Vec<Duration> = Arrivals::new(200, 7).take(20_000).collect();
        let seconds = first.last().unwrap().as_secs_f64();
        assert!((95.0..105.0).contains(&seconds), "{seconds}");
        assert!(first.is_sorted());
        assert_eq!(first, Arrivals::new(200, 7).take(20_000).collect::<Vec<_>>());
        assert_ne!(first, Arrivals::new(200, 8).take(20_000).collect::<Vec<_>>());
    }
}
