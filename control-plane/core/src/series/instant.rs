//! When a report counts: at the instant its probe began, as far as the control plane's own clock bears it out.

use std::time::Duration;

use shared_protocol::id::JobId;
use shared_protocol::time::UnixMicros;

/// The instant at which a report counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The instant.
    pub at: UnixMicros,
    /// Whether it is the agent's word.
    pub trust: Trust,
}

/// Whether the agent's clock could be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The probe began after it was asked for and before its report came.
    Plausible,
    /// It claims to have begun before it was asked for, or after its report came: the control plane's receive time stands.
    Skewed,
}

/// An hour, counted from 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

/// Decides when a report counts. An agent's clock may be off by days; that no probe begins before its job was accepted, nor after its
/// report has come, both by the control plane's clock, is certain.
pub fn measured_at(job: JobId, started_at: UnixMicros, received_at: UnixMicros) -> Measured {
    measured_since(asked_at(job), started_at, received_at)
}

/// The same, where what was asked for has no job: nothing begins before that instant.
pub fn measured_since(asked_at: UnixMicros, started_at: UnixMicros, received_at: UnixMicros) -> Measured {
    let plausible = started_at >= asked_at.minus(TOLERANCE) && started_at <= received_at.plus(TOLERANCE);
    if plausible {
        Measured {
            at: started_at.min(received_at),
            trust: Trust::Plausible,
        }
    } else {
        Measured {
            at: received_at,
            trust: Trust::Skewed,
        }
    }
}

/// When a job was accepted, to the millisecond: its id says it.
pub fn asked_at(job: JobId) -> UnixMicros {
    let millis = job.uuid().as_u128() >> 80;
    UnixMicros::from_micros(i64::try_from(millis).unwrap_or(0).saturating_mul(1_000))
}

impl Hour {
    /// The hour of an instant.
    pub const fn of(at: UnixMicros) -> Self {
        Self(at.micros().div_euclid(HOUR_MICROS))
    }

    /// Its first instant.
    pub const fn start(self) -> UnixMicros {
        UnixMicros::from_micros(self.0.saturating_mul(HOUR_MICROS))
    }

    /// Its day.
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(24))
    }
}

impl Day {
    /// The day of an instant.
    pub const fn of(at: UnixMicros) -> Self {
        Hour::of(at).day()
    }
}

/// How far a clock may be off and still be believed.
const TOLERANCE: Duration = Duration::from_secs(5);
const HOUR_MICROS: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn clk_07_a_skewed_agents_report_counts_when_it_was_received() {
        let job = JobId::new(at(0), [1; 10]);
        assert_eq!(asked_at(job), at(0));
        for (started, received, expected, trust) in [
            (at(1), at(2), at(1), Trust::Plausible),
            (at(1), at(20_000), at(1), Trust::Plausible),
            (at(172_800), at(2), at(2), Trust::Skewed),
            (at(-172_800), at(2), at(2), Trust::Skewed),
            (at(5), at(2), at(2), Trust::Plausible),
            (UnixMicros::from_micros(i64::MAX), at(2), at(2), Trust::Skewed),
            (UnixMicros::from_micros(i64::MIN), at(2), at(2), Trust::Skewed),
        ] {
            assert_eq!(measured_at(job, started, received), Measured { at: expected, trust });
        }
    }

    #[test]
    fn api_16_hours_and_days_hold_on_both_sides_of_the_epoch() {
        let hour = |micros| Hour::of(UnixMicros::from_micros(micros));
        assert_eq!((hour(0), hour(-1), hour(HOUR_MICROS)), (Hour(0), Hour(-1), Hour(1)));
        assert_eq!((Hour(-1).day(), Hour(23).day(), Hour(24).day()), (Day(-1), Day(0), Day(1)));
        assert_eq!(Hour(5).start(), UnixMicros::from_micros(5 * HOUR_MICROS));
        assert_eq!(Day::of(UnixMicros::from_micros(-1)), Day(-1));
    }
}
