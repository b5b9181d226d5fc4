//! How long what is kept, by the tier that a tenant had when it asked.

use std::time::Duration;

use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use super::instant::{Day, Hour};

/// How long each kind of thing of a retention class is kept, days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Reports, their jobs and measurements, and samples.
    pub reports_days: u32,
    /// Hourly roll-ups.
    pub rollups_days: u32,
}

/// What is past its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    /// Jobs with lower ids, and their reports.
    pub jobs_below: Uuid,
    /// Samples of earlier days.
    pub days_below: Day,
    /// Roll-ups of earlier hours.
    pub hours_below: Hour,
}

impl Retention {
    /// The retention of a class whose reports are kept for so many days; an hour costs a sixtieth of its samples and stays longer.
    pub fn of(class: Tier, reports_days: u32) -> Self {
        let rollups_days = match class {
            Tier::Free => 30,
            Tier::Standard | Tier::Enterprise => 400,
        };
        Self {
            reports_days,
            rollups_days: reports_days.max(rollups_days),
        }
    }

    /// What is past its time now.
    pub fn cutoff(self, now: UnixMicros) -> Cutoff {
        let reports = now.minus(days(self.reports_days));
        Cutoff {
            jobs_below: first_job_at(reports),
            days_below: Day::of(reports),
            hours_below: Hour::of(now.minus(days(self.rollups_days))),
        }
    }
}

/// The lowest id that a job accepted at this instant can have.
pub fn first_job_at(at: UnixMicros) -> Uuid {
    Uuid::from_u128(u128::from(at.unix_millis()) << 80)
}

/// Most series a tenant of a tier may have; the numbers of further ones are not kept, their reports are.
pub const fn series_max(tier: Tier) -> u32 {
    match tier {
        Tier::Free => 1_000,
        Tier::Standard => 20_000,
        Tier::Enterprise => 500_000,
    }
}

const fn days(days: u32) -> Duration {
    #[expect(clippy::as_conversions, reason = "a widening that const allows no other way")]
    Duration::from_secs(days as u64 * 86_400)
}

#[cfg(test)]
mod tests {
    use shared_protocol::id::JobId;

    use super::*;

    #[test]
    fn a_job_is_past_its_time_by_its_id_alone() {
        let now = UnixMicros::from_micros(1_700_000_000_000_000);
        let cutoff = Retention::of(Tier::Free, 7).cutoff(now);
        let old = JobId::new(now.minus(days(7)).minus(Duration::from_millis(1)), [0xff; 10]);
        let young = JobId::new(now.minus(days(7)), [0; 10]);
        assert!(old.uuid() < cutoff.jobs_below && young.uuid() >= cutoff.jobs_below);
        assert_eq!(cutoff.days_below, Day::of(now.minus(days(7))));
        assert_eq!(cutoff.hours_below, Hour::of(now.minus(days(30))));
        assert_eq!(Retention::of(Tier::Enterprise, 700).rollups_days, 700, "hours never go before their reports");
    }
}
