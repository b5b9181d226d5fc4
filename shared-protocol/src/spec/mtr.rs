//! Options of `mtr`: the hops of a path, asked again in each round.

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::path::PathOptions;
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What an mtr is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MtrSpec {
    /// Address or name.
    pub target: Target,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// Rounds, in each of which every hop is asked once, 1 to 100.
    pub rounds: u32,
    /// Time between two rounds, 100 to 60,000 milliseconds.
    pub interval_ms: u32,
    /// What is sent, and how it is waited for.
    #[serde(flatten)]
    pub path: PathOptions,
}

impl MtrSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: fields.target("target")?,
            af: fields.family("af")?,
            rounds: fields.integer("rounds", 1..=100, Some(10))?,
            interval_ms: fields.integer("interval_ms", 100..=60_000, Some(1_000))?,
            path: PathOptions::read(fields)?,
        };
        if spec.run_time() > RUN_TIME_MAX {
            return Err(InvalidField::new(
                "interval_ms",
                "rounds and their waits together must not take more than 300 seconds",
            ));
        }
        Ok(spec)
    }

    /// From the first round to the end of the wait for the last answer, with two seconds to resolve the name.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME + self.path.naming()
    }

    /// Most packets it sends.
    pub const fn packets(&self) -> u32 {
        self.path.hops() * self.rounds
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(self.between_rounds() + Duration::from_millis(self.path.wait_ms.into()))
    }

    pub(super) fn packets_per_second(&self) -> u32 {
        let rounds = 1_000_u32.div_ceil(self.interval_ms).min(self.rounds);
        PathOptions::per_second(self.path.hops() * rounds)
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.rounds > limits.ping_packets {
            return Err(InvalidField::new("rounds", format!("your tier allows at most {}", limits.ping_packets)));
        }
        if self.interval_ms < limits.ping_interval_ms {
            let shortest = limits.ping_interval_ms;
            return Err(InvalidField::new("interval_ms", format!("your tier allows no less than {shortest}")));
        }
        Ok(())
    }

    fn between_rounds(&self) -> Duration {
        Duration::from_millis(u64::from(self.rounds - 1) * u64::from(self.interval_ms))
    }

    fn run_time(&self) -> Duration {
        self.between_rounds() + self.path.waves(self.path.hops())
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("rounds", "0"),
            ("rounds", "101"),
            ("interval_ms", "99"),
            ("interval_ms", "-200"),
            ("interval_ms", "60001"),
            ("queries", "3"),
            ("max_ttl", "65"),
        ] {
            let text = format!(r#"{{"probe":"mtr","target":"127.0.0.1","{option}":{value}}}"#);
            let refused = ProbeSpec::parse(&text).expect_err(&text);
            assert_eq!(refused.field, option, "{refused}");
        }
        let too_long = r#"{"probe":"mtr","target":"127.0.0.1","rounds":100,"interval_ms":60000}"#;
        assert_eq!(ProbeSpec::parse(too_long).unwrap_err().field, "interval_ms");
    }

    #[test]
    fn the_free_tier_has_fewer_and_slower_rounds() {
        let limits = TierLimits::starting(Tier::Free).probe;
        for (options, field) in [("\"rounds\":17", "rounds"), ("\"interval_ms\":100", "interval_ms")] {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"mtr","target":"127.0.0.1",{options}}}"#)).unwrap();
            assert_eq!(spec.check_tier(&limits).unwrap_err().field, field);
            assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Enterprise).probe), Ok(()));
        }
    }
}
