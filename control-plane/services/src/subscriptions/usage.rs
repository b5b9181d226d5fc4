//! What a tenant used, against what its tier allows.

use control_api::timestamp::{Day, NotADay};
use control_api::usage::{Allowance, Usage, UsageOfDay, UsageQuery, Used};
use control_core::authorize::Grant;
use control_core::quota::Spans;
use control_store::{Reader, usage};
use shared_protocol::tier::TierLimits;

use super::Subscriptions;
use crate::allowances;
use crate::clock;
use crate::error::ServiceError;

impl Subscriptions {
    /// What the tenant used on some days, and what its tier leaves it now.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for days that are none, out of order or too many.
    pub async fn usage(&self, grant: &Grant, query: &UsageQuery) -> Result<Usage, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let (from, to) = days(query, Day::from_number(Spans::of(clock::now()).day))?;
        let mut reader = self.lifecycle.store.reader().await?;
        let rows = usage::days(&mut reader, scope, from.number(), to.number()).await?;
        let tiers = self.lifecycle.tiers.table();
        let limits = tiers.of(tier);
        let rates = allowances::rates(&self.lifecycle, scope, grant.actor(), limits).await?;
        let mut allowances: Vec<Allowance> = rates.into_iter().map(|rate| rate.allowance).collect();
        allowances.extend(self.standing(&mut reader, grant, limits).await?);
        Ok(Usage {
            tier: tier.as_str().to_owned(),
            from: from.to_string(),
            to: to.to_string(),
            total: shown(rows.iter().fold(usage::Used::default(), |sum, row| sum.plus(row.used))),
            days: rows
                .iter()
                .map(|row| UsageOfDay {
                    day: Day::from_number(row.day).to_string(),
                    used: shown(row.used),
                })
                .collect(),
            allowances,
        })
    }

    /// What is not counted over time but stands.
    async fn standing(&self, reader: &mut Reader, grant: &Grant, limits: &TierLimits) -> Result<Vec<Allowance>, ServiceError> {
        let scope = grant.scope()?;
        let standing = [
            ("open_jobs", limits.open_jobs, control_store::jobs::count_open(reader, scope).await?),
            ("agents", limits.agents, control_store::agents::count(reader, scope).await?),
            ("keys", limits.keys, control_store::keys::count(reader, scope, clock::now()).await?),
        ];
        Ok(standing
            .into_iter()
            .map(|(name, limit, used)| Allowance {
                name: name.to_owned(),
                limit: u64::from(limit),
                used,
                left: u64::from(limit).saturating_sub(used),
                resets_at: None,
            })
            .collect())
    }
}

fn days(query: &UsageQuery, today: Day) -> Result<(Day, Day), ServiceError> {
    let read = |field: &str, text: &Option<String>| {
        let day = text.as_deref().map(str::parse::<Day>).transpose();
        day.map_err(|refused: NotADay| ServiceError::invalid(field, refused.to_string()))
    };
    let to = read("to", &query.to)?.unwrap_or(today);
    let from = read("from", &query.from)?.unwrap_or(Day::from_number(to.number() - DAYS_DEFAULT));
    match to.number() - from.number() {
        0..=DAYS_MAX => Ok((from, to)),
        ..0 => Err(ServiceError::invalid("to", "must not be before `from`")),
        _ => Err(ServiceError::invalid("from", format!("must be at most {DAYS_MAX} days before `to`"))),
    }
}

const fn shown(used: usage::Used) -> Used {
    let usage::Used {
        measurements,
        jobs,
        cached_jobs,
        cost,
        completed,
        failed,
        expired,
        cancelled,
        refused,
        agent_us,
        report_bytes,
    } = used;
    Used {
        measurements,
        jobs,
        cached_jobs,
        cost,
        completed,
        failed,
        expired,
        cancelled,
        refused,
        agent_us,
        report_bytes,
    }
}

/// Days before the last one that are shown where the request names no first.
const DAYS_DEFAULT: i64 = 29;
/// Most days between the first and the last.
const DAYS_MAX: i64 = 366;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_16_days_out_of_order_too_far_apart_or_no_days_are_refused_by_name() {
        let today = Day::from_number(20_000);
        let asked = |from: &str, to: &str| {
            let query = UsageQuery {
                from: (!from.is_empty()).then(|| from.to_owned()),
                to: (!to.is_empty()).then(|| to.to_owned()),
            };
            days(&query, today).map_err(|error| error.field().map(str::to_owned))
        };
        assert_eq!(asked("", ""), Ok((Day::from_number(19_971), today)));
        assert!(asked("2024-02-29", "2024-02-29").is_ok());
        for (from, to, field) in [
            ("2024-03-02", "2024-03-01", "to"),
            ("2023-01-01", "2024-03-01", "from"),
            ("0001-01-01", "9999-12-31", "from"),
            ("2023-02-29", "", "from"),
            ("", "now", "to"),
        ] {
            assert_eq!(asked(from, to), Err(Some(field.to_owned())), "{from}..{to}");
        }
    }
}
