//! The wall clock as deadlines are held against it: one that was set while the process ran moves no deadline.
//!
//! Deadlines are relative to acceptance, but stand on disk as wall-clock instants. A clock that is set forward by an hour would end every job at once, one
//! that is set back would keep them an hour too long. So what is added or taken at once is taken back here, until the process starts anew.

use std::time::Duration;

use shared_protocol::time::{MonotonicMicros, UnixMicros};

/// A wall clock without jumps.
#[derive(Debug, Clone, Copy, Default)]
pub struct SteadyClock {
    last: Option<(UnixMicros, MonotonicMicros)>,
    /// How far the wall clock was set since the start, microseconds.
    jumped: i64,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The instant without the jumps.
    pub now: UnixMicros,
    /// How far the wall clock was set since the reading before, where it was.
    pub jump: Option<Duration>,
}

impl SteadyClock {
    /// Reads the clock, given both clocks of the machine.
    pub fn read(&mut self, wall: UnixMicros, monotonic: MonotonicMicros) -> Reading {
        let mut jump = None;
        if let Some((wall_before, monotonic_before)) = self.last {
            let expected = wall_before.plus(monotonic.since(monotonic_before));
            let off = wall.since(expected).max(expected.since(wall));
            if off > JUMP {
                self.jumped = self.jumped.saturating_add(wall.micros().saturating_sub(expected.micros()));
                jump = Some(off);
            }
        }
        self.last = Some((wall, monotonic));
        Reading {
            now: self.without_jumps(wall),
            jump,
        }
    }

    /// An instant of the wall clock as it is set now.
    pub const fn without_jumps(&self, wall: UnixMicros) -> UnixMicros {
        UnixMicros::from_micros(wall.micros().saturating_sub(self.jumped))
    }
}

/// What a clock may be off at once before it was set and not only corrected.
const JUMP: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: i64) -> UnixMicros {
        UnixMicros::from_micros(seconds * 1_000_000)
    }

    fn mono(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn clk_08_a_clock_that_is_set_moves_no_deadline() {
        let mut clock = SteadyClock::default();
        assert_eq!(clock.read(wall(10_000), mono(1)), Reading { now: wall(10_000), jump: None });
        let forward = clock.read(wall(10_000 + 3_600), mono(2));
        assert_eq!((forward.now, forward.jump), (wall(10_001), Some(Duration::from_secs(3_599))));
        assert_eq!(
            clock.without_jumps(wall(10_000 + 3_600)),
            wall(10_001),
            "what is accepted from here on is read alike"
        );
        let back = clock.read(wall(5_000), mono(3));
        assert_eq!(back.now, wall(10_002));
        assert_eq!(clock.read(wall(5_010), mono(13)).now, wall(10_012));
    }

    #[test]
    fn a_clock_that_is_only_corrected_is_followed() {
        let mut clock = SteadyClock::default();
        clock.read(wall(1_000), mono(0));
        let corrected = clock.read(wall(1_000 + 290), mono(1));
        assert_eq!(corrected, Reading { now: wall(1_290), jump: None });
    }
}
