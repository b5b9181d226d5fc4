//! Times that were measured, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Times in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Takes all of another's.
    pub fn absorb(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest time that at least this share of all does not exceed; none of none.
    pub fn quantile(&self, per_mille: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
        sorted.get(rank - 1).copied()
    }

    /// Count, median, 90th, 99th percentile and the longest, milliseconds.
    pub fn record(&self) -> Value {
        let at = |per_mille| self.quantile(per_mille).map(milliseconds);
        json!({"n": self.len(), "p50_ms": at(500), "p90_ms": at(900), "p99_ms": at(990), "max_ms": at(1_000)})
    }
}

impl Extend<Duration> for Latencies {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, times: T) {
        self.0.extend(times);
    }
}

/// A time in milliseconds, to the microsecond.
pub fn milliseconds(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_micros()).unwrap_or(u32::MAX)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let mut times = Latencies::default();
        assert_eq!(times.quantile(500), None);
        times.extend((1..=100).rev().map(Duration::from_millis));
        let at = |per_mille| times.quantile(per_mille).unwrap().as_millis();
        assert_eq!([at(0), at(10), at(500), at(990), at(1_000)], [1, 1, 50, 99, 100]);
    }
}
