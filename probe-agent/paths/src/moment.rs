//! One reading of the agent's two clocks, as the machines are told it.

use shared_protocol::time::MonotonicMicros;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Monotonic time.
    pub monotonic: MonotonicMicros,
    /// Wall clock minus monotonic clock, nanoseconds: it changes only when the wall clock is stepped (slewing moves both).
    pub wall_offset_ns: i64,
}

impl Moment {
    /// The wall clock of this reading, nanoseconds.
    pub fn wall_ns(&self) -> i64 {
        let monotonic_ns = i64::try_from(self.monotonic.micros()).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.wall_offset_ns.saturating_add(monotonic_ns)
    }
}
