//! Reports as people look for them: newest first, by what they are about and what they say.
//!
//! The order is that of the jobs' ids, so of when the work was accepted by the control plane's own clock; a stretch of time is a range of ids.

use control_core::authorize::TenantScope;
use control_core::series::first_job_at;
use shared_protocol::fault::{Fault, Status};
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use super::read::{self, ReportRow};
use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// Which reports are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Of this measurement.
    pub measurement: Option<MeasurementId>,
    /// By this agent.
    pub agent: Option<AgentId>,
    /// Of this probe.
    pub probe: Option<String>,
    /// About this target.
    pub target: Option<String>,
    /// With this verdict.
    pub status: Option<Status>,
    /// With this fault.
    pub fault: Option<Fault>,
    /// Of jobs accepted at or after this.
    pub from: Option<UnixMicros>,
    /// Of jobs accepted before this.
    pub to: Option<UnixMicros>,
    /// Only late ones, or only those in time.
    pub late: Option<bool>,
}

/// A report with what it is found by.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    /// The report.
    pub report: ReportRow,
    /// The probe.
    pub probe: String,
    /// What was measured.
    pub target: String,
    /// When it counts.
    pub measured_at: UnixMicros,
    /// Whether the agent's clock could not be believed.
    pub skewed: bool,
}

/// The tenant's reports, newest first.
pub async fn history(on: &mut impl Read, scope: TenantScope, filter: &ReportFilter, page: &Page<JobId>) -> Result<Vec<HistoryRow>, StoreError> {
    let below = filter.to.map_or(Uuid::max(), first_job_at).min(page::before(page));
    let statement = Statement::of(scope, way(filter))
        .bind(scope.tenant().uuid())
        .bind(below)
        .bind(filter.from.map_or(Uuid::nil(), first_job_at))
        .bind(page.limit)
        .bind(filter.agent.map(AgentId::uuid))
        .bind(filter.measurement.map(MeasurementId::uuid))
        .bind(filter.probe.clone())
        .bind(filter.target.clone())
        .bind(filter.status.map(Status::as_str))
        .bind(filter.fault.map(Fault::as_str))
        .bind(filter.late.map(i64::from));
    tx::all(on, statement, history_row).await
}

/// The report of a job of the tenant.
pub async fn of_job_with_facts(on: &mut impl Read, scope: TenantScope, job: JobId) -> Result<Option<HistoryRow>, StoreError> {
    tx::optional(on, Statement::of(scope, ONE).bind(job.uuid()).bind(scope.tenant().uuid()), history_row).await
}

/// The index that leads to the fewest rows.
const fn way(filter: &ReportFilter) -> &'static str {
    if filter.measurement.is_some() {
        OF_MEASUREMENT
    } else if filter.target.is_some() {
        OF_TARGET
    } else if matches!(filter.late, Some(true)) {
        LATE
    } else if matches!(filter.status, Some(Status::Degraded | Status::Failed | Status::Timeout)) {
        NOT_OK
    } else if filter.agent.is_some() {
        OF_AGENT
    } else {
        OF_TENANT
    }
}

fn history_row(row: &Row) -> Result<HistoryRow, RowError> {
    Ok(HistoryRow {
        report: read::report(row)?,
        probe: row.text("probe")?,
        target: row.text("target")?,
        measured_at: row.instant("measured_at")?,
        skewed: row.number::<i64>("skewed")? != 0,
    })
}

macro_rules! columns {
    () => {
        "SELECT j.id AS job, j.measurement, j.agent, r.attempt, r.late, r.started_at, r.received_at, r.body, r.probe, r.target, r.measured_at, r.skewed,
CAST(CASE WHEN j.cached_from IS NULL THEN 0 ELSE 1 END AS BIGINT) AS cached "
    };
}

/// The joins are written as cross joins because SQLite keeps their order: from the rows that the index finds to the others.
macro_rules! by_job {
    ($condition:literal) => {
        concat!(
            columns!(),
            "FROM job j CROSS JOIN report r WHERE r.retention_class = j.retention_class AND r.job = j.id AND j.tenant = $1 AND r.tenant = $1
AND j.id < $2 AND j.id >= $3 AND (j.agent = $5 OR $5 IS NULL) AND (j.measurement = $6 OR $6 IS NULL) AND (r.probe = $7 OR $7 IS NULL)
AND (r.target = $8 OR $8 IS NULL) AND (r.status = $9 OR $9 IS NULL) AND (r.fault = $10 OR $10 IS NULL) AND (r.late = $11 OR $11 IS NULL)",
            $condition,
            " ORDER BY j.id DESC LIMIT $4"
        )
    };
}

macro_rules! by_report {
    ($condition:literal) => {
        concat!(
            columns!(),
            "FROM report r CROSS JOIN job j WHERE j.id = r.job AND r.tenant = $1 AND j.tenant = $1
AND r.job < $2 AND r.job >= $3 AND (j.agent = $5 OR $5 IS NULL) AND (j.measurement = $6 OR $6 IS NULL) AND (r.probe = $7 OR $7 IS NULL)
AND (r.target = $8 OR $8 IS NULL) AND (r.status = $9 OR $9 IS NULL) AND (r.fault = $10 OR $10 IS NULL) AND (r.late = $11 OR $11 IS NULL)",
            $condition,
            " ORDER BY r.job DESC LIMIT $4"
        )
    };
}

const OF_TENANT: &str = by_job!("");
const OF_AGENT: &str = by_job!(" AND j.agent = $5");
const OF_MEASUREMENT: &str = by_job!(" AND j.measurement = $6");
const OF_TARGET: &str = by_report!(" AND r.target = $8");
const NOT_OK: &str = by_report!(" AND r.status <> 'ok'");
const LATE: &str = by_report!(" AND r.late = 1");
const ONE: &str = concat!(
    columns!(),
    "FROM job j JOIN report r ON r.retention_class = COALESCE(j.cached_class, j.retention_class) AND r.job = COALESCE(j.cached_from, j.id)
WHERE j.id = $1 AND j.tenant = $2"
);

#[cfg(test)]
pub(super) const WAYS: &[&str] = &[OF_TENANT, OF_AGENT, OF_MEASUREMENT, OF_TARGET, NOT_OK, LATE];
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OF_TENANT, OF_AGENT, OF_MEASUREMENT, OF_TARGET, NOT_OK, LATE, ONE];
