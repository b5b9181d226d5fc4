//! What probes have in common that do the same thing several times: how long that takes, what it costs, what a tier allows.

use std::time::Duration;

use super::fields::InvalidField;
use crate::limits::COST_MAX;
use crate::tier::ProbeLimits;

/// Something done `count` times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    pub(super) count: u32,
    pub(super) interval_ms: u32,
    pub(super) wait_ms: u32,
    /// Time that comes on top.
    pub(super) beside: Duration,
}

impl Rounds {
    /// From the first round to the end of the wait for the last answer, with two seconds to resolve the name.
    pub(super) fn timeout(self) -> Duration {
        self.run_time() + RESOLVE_TIME
    }

    pub(super) fn cost(self) -> u32 {
        cost_of(self.run_time())
    }

    /// Most of them that begin within a second.
    pub(super) const fn per_second(self) -> u32 {
        let fits = 1_000_u32.div_ceil(self.interval_ms);
        if fits < self.count { fits } else { self.count }
    }

    pub(super) fn check_tier(self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.count > limits.ping_packets {
            return Err(InvalidField::new("count", format!("your tier allows at most {}", limits.ping_packets)));
        }
        if self.interval_ms < limits.ping_interval_ms {
            let shortest = limits.ping_interval_ms;
            return Err(InvalidField::new("interval_ms", format!("your tier allows no less than {shortest}")));
        }
        Ok(())
    }

    pub(super) fn check_run_time(self) -> Result<(), InvalidField> {
        if self.run_time() > RUN_TIME_MAX {
            return Err(InvalidField::new(
                "interval_ms",
                "count and interval_ms together must not take more than 300 seconds",
            ));
        }
        Ok(())
    }

    fn run_time(self) -> Duration {
        Duration::from_millis(u64::from(self.count - 1) * u64::from(self.interval_ms) + u64::from(self.wait_ms)) + self.beside
    }
}

/// What a probe of this length costs, agent-seconds.
pub(super) fn cost_of(run_time: Duration) -> u32 {
    u32::try_from(run_time.as_millis().div_ceil(1_000)).unwrap_or(COST_MAX).clamp(1, COST_MAX)
}

/// Longest a probe may be asked to run.
pub(super) const RUN_TIME_MAX: Duration = Duration::from_mins(5);
/// Room in a probe's time limit for resolving the target's name.
pub(super) const RESOLVE_TIME: Duration = Duration::from_secs(2);
