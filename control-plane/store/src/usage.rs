//! What tenants used, day by day. The counters are written in the transactions that they count, once a batch, so they agree with the jobs whatever happens.

use control_core::authorize::TenantScope;
use serde::Serialize;
use shared_protocol::end::End;
use shared_protocol::id::TenantId;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Reader, Tx};

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Used {
    /// Measurements accepted.
    pub measurements: u64,
    /// Jobs accepted, those answered from an earlier report included.
    pub jobs: u64,
    /// Jobs answered from an earlier report.
    pub cached_jobs: u64,
    /// Expected agent-seconds of the jobs accepted; those answered from an earlier report cost nothing.
    pub cost: u64,
    /// Jobs that ended completed.
    pub completed: u64,
    /// Jobs that ended failed.
    pub failed: u64,
    /// Jobs that ended expired.
    pub expired: u64,
    /// Jobs that ended cancelled.
    pub cancelled: u64,
    /// Jobs that ended refused.
    pub refused: u64,
    /// Time that agents spent on the reports stored, microseconds.
    pub agent_us: u64,
    /// Size of the reports stored, bytes.
    pub report_bytes: u64,
}

/// What a tenant used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRow {
    /// The day, counted from 1970-01-01 (UTC).
    pub day: i64,
    /// What was used on it.
    pub used: Used,
}

/// What the tenant used on each of some days, the first and the last included; days without anything are left out.
pub async fn days(on: &mut Reader, scope: TenantScope, first: i64, last: i64) -> Result<Vec<UsageRow>, StoreError> {
    let statement = Statement::of(scope, DAYS).bind(scope.tenant().uuid()).bind(first).bind(last);
    tx::all(on, statement, usage_row).await
}

/// Adds to what tenants used on days.
pub(crate) fn add(tx: &mut Tx, of: &[(i64, TenantId, Used)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        tenant: TenantId,
        day: i64,
        #[serde(flatten)]
        used: Used,
    }
    let batch: Vec<_> = of.iter().map(|&(day, tenant, used)| Row { tenant, day, used }).collect();
    tx::later(tx, Statement::own(ADD).bind(row::json(&batch)?));
    Ok(())
}

impl Used {
    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            measurements: self.measurements + other.measurements,
            jobs: self.jobs + other.jobs,
            cached_jobs: self.cached_jobs + other.cached_jobs,
            cost: self.cost + other.cost,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            expired: self.expired + other.expired,
            cancelled: self.cancelled + other.cancelled,
            refused: self.refused + other.refused,
            agent_us: self.agent_us + other.agent_us,
            report_bytes: self.report_bytes + other.report_bytes,
        }
    }

    /// Jobs that got this end.
    pub(crate) fn ends(end: End, jobs: u64) -> Self {
        let mut used = Self::default();
        let counter = match end {
            End::Completed => &mut used.completed,
            End::Failed => &mut used.failed,
            End::Expired => &mut used.expired,
            End::Cancelled => &mut used.cancelled,
            End::Refused => &mut used.refused,
        };
        *counter = jobs;
        used
    }
}

fn usage_row(row: &Row) -> Result<UsageRow, RowError> {
    Ok(UsageRow {
        day: row.number("day")?,
        used: Used {
            measurements: row.number("measurements")?,
            jobs: row.number("jobs")?,
            cached_jobs: row.number("cached_jobs")?,
            cost: row.number("cost")?,
            completed: row.number("completed")?,
            failed: row.number("failed")?,
            expired: row.number("expired")?,
            cancelled: row.number("cancelled")?,
            refused: row.number("refused")?,
            agent_us: row.number("agent_us")?,
            report_bytes: row.number("report_bytes")?,
        },
    })
}

const DAYS: &str = "SELECT day, measurements, jobs, cached_jobs, cost, completed, failed, expired, cancelled, refused, agent_us, report_bytes
FROM tenant_usage WHERE tenant = $1 AND day >= $2 AND day <= $3 ORDER BY day";
const ADD: &str = concat!(
    "INSERT INTO tenant_usage (tenant, day, measurements, jobs, cached_jobs, cost, completed, failed, expired, cancelled, refused, agent_us, report_bytes) SELECT ",
    uuid!("value ->> 'tenant'"),
    ", CAST(value ->> 'day' AS BIGINT), CAST(value ->> 'measurements' AS BIGINT), CAST(value ->> 'jobs' AS BIGINT), CAST(value ->> 'cached_jobs' AS BIGINT),
CAST(value ->> 'cost' AS BIGINT), CAST(value ->> 'completed' AS BIGINT), CAST(value ->> 'failed' AS BIGINT), CAST(value ->> 'expired' AS BIGINT),
CAST(value ->> 'cancelled' AS BIGINT), CAST(value ->> 'refused' AS BIGINT), CAST(value ->> 'agent_us' AS BIGINT), CAST(value ->> 'report_bytes' AS BIGINT)
FROM ",
    rows!("$1"),
    // SQLite reads the ON of an upsert as one of a join unless a WHERE stands before it.
    " WHERE true ON CONFLICT (tenant, day) DO UPDATE SET
measurements = tenant_usage.measurements + excluded.measurements, jobs = tenant_usage.jobs + excluded.jobs,
cached_jobs = tenant_usage.cached_jobs + excluded.cached_jobs, cost = tenant_usage.cost + excluded.cost,
completed = tenant_usage.completed + excluded.completed, failed = tenant_usage.failed + excluded.failed,
expired = tenant_usage.expired + excluded.expired, cancelled = tenant_usage.cancelled + excluded.cancelled,
refused = tenant_usage.refused + excluded.refused, agent_us = tenant_usage.agent_us + excluded.agent_us,
report_bytes = tenant_usage.report_bytes + excluded.report_bytes"
);

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[DAYS, ADD];
