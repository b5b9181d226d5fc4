//! The only place of this crate that reads a clock.

use nix::time::{ClockId, clock_gettime};
use shared_protocol::time::{MonotonicMicros, UnixMicros};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Monotonic time.
    pub monotonic: MonotonicMicros,
    /// Wall clock minus monotonic clock, nanoseconds: it changes only when the wall clock is stepped (slewing moves both).
    pub wall_offset_ns: i64,
}

impl Moment {
    /// The wall clock of this reading, nanoseconds.
    pub(crate) fn wall_ns(&self) -> i64 {
        let monotonic_ns = i64::try_from(self.monotonic.micros()).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.wall_offset_ns.saturating_add(monotonic_ns)
    }
}

/// Monotonic time.
pub(crate) fn monotonic() -> MonotonicMicros {
    MonotonicMicros::from_micros(nanoseconds(ClockId::CLOCK_MONOTONIC).unsigned_abs() / 1_000)
}

/// Wall-clock time.
pub(crate) fn wall() -> UnixMicros {
    UnixMicros::from_micros(nanoseconds(ClockId::CLOCK_REALTIME) / 1_000)
}

/// Reads both clocks as close together as the host lets us: a reading torn apart by the scheduler is taken again.
pub(crate) fn moment() -> Moment {
    let mut reading = paired();
    for _ in 0..READINGS_MAX {
        if reading.0 <= READING_GAP_NS {
            break;
        }
        reading = paired();
    }
    reading.1
}

fn paired() -> (i64, Moment) {
    let before = nanoseconds(ClockId::CLOCK_MONOTONIC);
    let wall = nanoseconds(ClockId::CLOCK_REALTIME);
    let after = nanoseconds(ClockId::CLOCK_MONOTONIC);
    let moment = Moment {
        monotonic: MonotonicMicros::from_micros(after.unsigned_abs() / 1_000),
        wall_offset_ns: wall.saturating_sub(after),
    };
    (after.saturating_sub(before), moment)
}

fn nanoseconds(clock: ClockId) -> i64 {
    // Both clocks exist on every Linux, so the call cannot fail there.
    clock_gettime(clock).map_or(0, |time| time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec()))
}

const READINGS_MAX: u32 = 3;
const READING_GAP_NS: i64 = 100_000;
