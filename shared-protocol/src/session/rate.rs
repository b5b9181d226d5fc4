//! A token bucket in one number (generic cell rate algorithm): the moment at which it would be full again.

use std::time::Duration;

use crate::time::MonotonicMicros;

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// The state of one bucket; new ones are full.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    full_at: MonotonicMicros,
}

/// Whether a bucket had a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It had, and has one less.
    Token,
    /// It is empty.
    Nothing,
}

impl Bucket {
    pub(super) fn take(&mut self, rate: Rate, now: MonotonicMicros) -> Taken {
        let one = Duration::from_secs(1) / rate.per_second;
        let full_at = self.full_at.max(now).plus(one);
        if full_at.since(now) > one * rate.burst {
            return Taken::Nothing;
        }
        self.full_at = full_at;
        Taken::Token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate::new(10, 3);
        let mut bucket = Bucket::default();
        let mut taken_at = |millis: u64| bucket.take(rate, MonotonicMicros::from_micros(millis * 1_000));
        assert_eq!(
            [taken_at(0), taken_at(0), taken_at(0), taken_at(0)],
            [Taken::Token, Taken::Token, Taken::Token, Taken::Nothing]
        );
        assert_eq!([taken_at(99), taken_at(100), taken_at(100)], [Taken::Nothing, Taken::Token, Taken::Nothing]);
        assert_eq!(
            [taken_at(9_000), taken_at(9_000), taken_at(9_000), taken_at(9_000)],
            [Taken::Token, Taken::Token, Taken::Token, Taken::Nothing]
        );
    }
}
