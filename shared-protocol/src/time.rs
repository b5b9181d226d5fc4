//! Instants as plain numbers: wall-clock time for people, monotonic time for durations and deadlines. Nothing here reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A wall-clock instant: microseconds since 1970-01-01T00:00:00Z, without leap seconds. Never used to measure a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(i64);

impl UnixMicros {
    /// Wraps a count of microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch; 0 for an instant before it.
    pub const fn unix_millis(self) -> u64 {
        if self.0 < 0 { 0 } else { self.0.unsigned_abs() / 1_000 }
    }

    /// The instant this much later, held at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant this much earlier, held at the beginning of the range.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later this instant is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A monotonic instant: microseconds since an arbitrary start of the process that reads it. Only differences mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonotonicMicros(u64);

impl MonotonicMicros {
    /// Wraps a count of microseconds since the process's own start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the process's own start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The instant this much later, held at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How much later this instant is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clk_01_differences_never_go_below_zero() {
        let early = UnixMicros::from_micros(-5);
        assert_eq!(early.since(UnixMicros::from_micros(10)), Duration::ZERO);
        assert_eq!(early.unix_millis(), 0);
        assert_eq!(UnixMicros::from_micros(i64::MAX).plus(Duration::MAX), UnixMicros::from_micros(i64::MAX));
        assert_eq!(UnixMicros::from_micros(i64::MIN).minus(Duration::MAX), UnixMicros::from_micros(i64::MIN));
        assert_eq!(MonotonicMicros::from_micros(3).since(MonotonicMicros::from_micros(9)), Duration::ZERO);
    }
}
