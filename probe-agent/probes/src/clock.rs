//! The only place of this crate that reads a clock.

pub(crate) use agent_paths::Moment;
use nix::time::{ClockId, clock_gettime};
use shared_protocol::time::{MonotonicMicros, UnixMicros};

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
