//! How long to wait before dialling again: full jitter under a doubling ceiling, which only a session that proved stable lowers.
//!
//! The ceiling doubles once it has been lived through, not with each attempt: an agent that drew short waits by chance would else climb to a high
//! ceiling within a short outage, and be the last back.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use serde::Deserialize;
use shared_protocol::close::Disposition;
use shared_protocol::time::MonotonicMicros;

/// The owner's numbers for dialling again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffSettings {
    /// The first ceiling, milliseconds.
    pub backoff_base_ms: u32,
    /// The highest ceiling, milliseconds.
    pub backoff_cap_ms: u32,
    /// How long a session must last before the ceiling falls back to the first, milliseconds.
    pub stable_after_ms: u32,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            backoff_base_ms: 1_000,
            backoff_cap_ms: 60_000,
            stable_after_ms: 30_000,
        }
    }
}

/// What is known about the attempts so far.
#[derive(Debug)]
pub struct Backoff {
    settings: BackoffSettings,
    ceilings: ExponentialBackoff,
    /// The ceiling in force, and when the first attempt under any failed.
    climbing: Option<(Duration, MonotonicMicros)>,
    welcomed_at: Option<MonotonicMicros>,
}

/// What to do before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait this long, then dial.
    Wait(Duration),
    /// Dial no more.
    Stop,
}

impl Backoff {
    /// Begins with the first ceiling.
    pub fn new(settings: BackoffSettings) -> Self {
        Self {
            settings,
            ceilings: ceilings(settings),
            climbing: None,
            welcomed_at: None,
        }
    }

    /// Notes that the control plane took the session; its `welcome` acknowledges the outbox, which is the one acknowledgement an idle agent gets.
    pub const fn welcomed(&mut self, now: MonotonicMicros) {
        self.welcomed_at = Some(now);
    }

    /// Says what follows an attempt or session that ended. `share` is a fresh random number from 0 to 1.
    pub fn next(&mut self, disposition: Disposition, share: f64, now: MonotonicMicros) -> Next {
        let stable_after = Duration::from_millis(u64::from(self.settings.stable_after_ms));
        if self.welcomed_at.take().is_some_and(|at| now.since(at) >= stable_after) {
            self.ceilings = ceilings(self.settings);
            self.climbing = None;
        }
        let share = share.clamp(0.0, 1.0);
        match disposition {
            Disposition::Fatal => Next::Stop,
            Disposition::Backoff => Next::Wait(self.ceiling(now).mul_f64(share)),
            Disposition::After { earliest, latest } => Next::Wait(earliest + latest.saturating_sub(earliest).mul_f64(share)),
        }
    }

    fn ceiling(&mut self, now: MonotonicMicros) -> Duration {
        let (ceiling, since) = match self.climbing {
            Some((ceiling, since)) if now.since(since) < ceiling => (ceiling, since),
            Some((_, since)) => (self.next_ceiling(), since),
            None => (self.next_ceiling(), now),
        };
        self.climbing = Some((ceiling, since));
        ceiling
    }

    fn next_ceiling(&mut self) -> Duration {
        let cap = Duration::from_millis(u64::from(self.settings.backoff_cap_ms));
        self.ceilings.next().unwrap_or(cap).min(cap)
    }
}

fn ceilings(settings: BackoffSettings) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(u64::from(settings.backoff_base_ms)))
        .with_factor(2.0)
        .with_max_delay(Duration::from_millis(u64::from(settings.backoff_cap_ms)))
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use shared_protocol::close::CloseReason;

    use super::*;

    fn at(milliseconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(milliseconds * 1_000)
    }

    /// Waits as long as it is told each time, drawing the longest there is.
    fn longest_waits(backoff: &mut Backoff, count: usize) -> Vec<Duration> {
        let mut now = MonotonicMicros::default();
        let waits = (0..count).map(|_| match backoff.next(Disposition::Backoff, 1.0, now) {
            Next::Wait(delay) => {
                now = now.plus(delay);
                delay
            }
            Next::Stop => panic!("the agent stopped"),
        });
        waits.collect()
    }

    #[test]
    fn the_delay_is_drawn_from_zero_to_a_ceiling_that_doubles_once_it_was_lived_through() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        assert_eq!(longest_waits(&mut backoff, 9), [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Duration::from_secs));
        assert_eq!(backoff.next(Disposition::Backoff, 0.0, at(300_000)), Next::Wait(Duration::ZERO));
        let mut lucky = Backoff::new(BackoffSettings::default());
        for tenth in 0..10 {
            assert_eq!(lucky.next(Disposition::Backoff, 0.1, at(tenth * 100)), Next::Wait(Duration::from_millis(100)));
        }
        assert_eq!(lucky.next(Disposition::Backoff, 1.0, at(1_000)), Next::Wait(Duration::from_secs(2)));
    }

    /// How long after an outage the last of 10,000 agents dials, and how often they dialled on average.
    fn last_dial_after(outage: Duration) -> (Duration, u32) {
        let (mut last, mut dials) = (Duration::ZERO, 0);
        for agent in 0..10_000 {
            let mut random = StdRng::seed_from_u64(agent);
            let mut backoff = Backoff::new(BackoffSettings::default());
            let mut passed = Duration::ZERO;
            while passed < outage {
                let Next::Wait(delay) = backoff.next(Disposition::Backoff, random.random(), MonotonicMicros::default().plus(passed)) else {
                    panic!("the agent stopped")
                };
                passed += delay;
                dials += 1;
            }
            last = last.max(passed.saturating_sub(outage));
        }
        (last, dials / 10_000)
    }

    #[test]
    fn net_12_after_an_outage_of_any_length_everybody_dials_soon_and_nobody_often() {
        let (last, dials) = last_dial_after(Duration::from_secs(3));
        assert!(last <= Duration::from_secs(4) && dials <= 4, "{last:?}, {dials} dials");
        let (last, dials) = last_dial_after(Duration::from_mins(1));
        assert!(last <= Duration::from_mins(1) && dials <= 12, "{last:?}, {dials} dials");
    }

    #[test]
    fn frm_24_a_server_that_closes_right_after_accepting_makes_the_delay_grow_to_the_cap() {
        let mut random = StdRng::seed_from_u64(24);
        let mut backoff = Backoff::new(BackoffSettings::default());
        let mut now = 0;
        let mut total = Duration::ZERO;
        for _ in 0..100 {
            backoff.welcomed(at(now));
            now += 20;
            let Next::Wait(delay) = backoff.next(CloseReason::GoingAway.disposition(), random.random(), at(now)) else {
                panic!("the agent stopped")
            };
            assert!(delay <= Duration::from_mins(1));
            now += u64::try_from(delay.as_millis()).unwrap();
            total += delay;
        }
        assert!(total > Duration::from_secs(100 * 20), "{total:?}: the mean must come near half the cap");
        assert_eq!(backoff.next(Disposition::Backoff, 1.0, at(now)), Next::Wait(Duration::from_mins(1)));
    }

    #[test]
    fn only_a_session_that_lasted_brings_the_first_ceiling_back() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        longest_waits(&mut backoff, 10);
        backoff.welcomed(at(400_000));
        assert_eq!(backoff.next(Disposition::Backoff, 1.0, at(429_999)), Next::Wait(Duration::from_mins(1)));
        // The time of an earlier session is not counted for a later attempt that was never welcomed.
        assert_eq!(backoff.next(Disposition::Backoff, 1.0, at(490_000)), Next::Wait(Duration::from_mins(1)));
        backoff.welcomed(at(500_000));
        assert_eq!(backoff.next(Disposition::Backoff, 1.0, at(530_000)), Next::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn what_the_control_plane_asks_is_obeyed() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let busy = CloseReason::Busy { retry_after_ms: Some(8_000) }.disposition();
        assert_eq!(backoff.next(busy, 0.0, at(0)), Next::Wait(Duration::from_secs(8)));
        assert_eq!(backoff.next(busy, 1.0, at(0)), Next::Wait(Duration::from_secs(10)));
        assert_eq!(backoff.next(CloseReason::Revoked.disposition(), 0.5, at(0)), Next::Stop);
        let Next::Wait(unknown) = backoff.next(CloseReason::Unknown.disposition(), 0.5, at(0)) else {
            panic!("stopped")
        };
        assert!((300..=900).contains(&unknown.as_secs()));
    }

    #[test]
    fn a_cap_below_the_base_holds() {
        let mut backoff = Backoff::new(BackoffSettings {
            backoff_base_ms: 500,
            backoff_cap_ms: 10,
            stable_after_ms: 0,
        });
        assert_eq!(backoff.next(Disposition::Backoff, 1.0, at(0)), Next::Wait(Duration::from_millis(10)));
    }
}
