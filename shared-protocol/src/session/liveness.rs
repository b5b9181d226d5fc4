//! When to say that one is alive, and when the peer is not: the same on both ends, by the reader's own clock.

use std::time::Duration;

use crate::limits::KEEPALIVES_MISSED;
use crate::session::Jitter;
use crate::time::MonotonicMicros;

/// Times the keepalives of one end and judges the silence of the other.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    jitter: Jitter,
    last_received: MonotonicMicros,
    next_keepalive: MonotonicMicros,
}

impl Liveness {
    pub(super) fn new(interval: Duration, jitter: Jitter, now: MonotonicMicros) -> Self {
        let mut liveness = Self {
            interval,
            jitter,
            last_received: now,
            next_keepalive: now,
        };
        liveness.postpone(now);
        liveness
    }

    /// Takes the interval that the control plane set; held within bounds in which the arithmetic means something.
    pub(super) fn set_interval(&mut self, interval_ms: u32, now: MonotonicMicros) {
        self.interval = Duration::from_millis(u64::from(interval_ms)).clamp(INTERVAL_MIN, INTERVAL_MAX);
        self.postpone(now);
    }

    /// Any byte proves life; a successful write proves nothing.
    pub(super) fn received(&mut self, now: MonotonicMicros) {
        self.last_received = self.last_received.max(now);
    }

    pub(super) fn is_silent(&self, now: MonotonicMicros) -> bool {
        now >= self.silent_at()
    }

    /// Starts a new interval.
    pub(super) fn postpone(&mut self, now: MonotonicMicros) {
        self.next_keepalive = now.plus(self.jitter.spread(self.interval));
    }

    pub(super) fn keepalive_is_due(&self, now: MonotonicMicros) -> bool {
        now >= self.next_keepalive
    }

    /// The next moment at which this end must look.
    pub(super) fn deadline(&self) -> MonotonicMicros {
        self.next_keepalive.min(self.silent_at())
    }

    fn silent_at(&self) -> MonotonicMicros {
        self.last_received.plus(self.interval * KEEPALIVES_MISSED)
    }
}

const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_mins(5);
