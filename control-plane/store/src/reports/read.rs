//! Reading reports, and what was not kept of them.

use control_core::authorize::{SystemScope, TenantScope};
use serde_json::value::RawValue;
use shared_protocol::id::{AgentId, Attempt, IncarnationId, JobId, MeasurementId};
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// The report of a job.
#[derive(Debug, Clone)]
pub struct ReportRow {
    /// The job.
    pub job: JobId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// The agent.
    pub agent: AgentId,
    /// Which handing-out of the job.
    pub attempt: Attempt,
    /// Whether it came after the job had ended without it.
    pub late: bool,
    /// Whether it is an earlier job's, which the tenant took for this one.
    pub cached: bool,
    /// When the probe began, by the agent's clock.
    pub started_at: UnixMicros,
    /// When it was stored.
    pub received_at: UnixMicros,
    /// The report's JSON, as it came.
    pub body: Box<RawValue>,
}

/// Why a report is not there, or numbers of reports are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscardedRow {
    /// The life of the outbox.
    pub incarnation: IncarnationId,
    /// The number; the first one of a gap.
    pub seq: u64,
    /// The last number of a gap; else the number again.
    pub last_seq: u64,
    /// The job that it claimed to answer; none of a gap.
    pub job: Option<JobId>,
    /// Why.
    pub why: String,
    /// When.
    pub at: UnixMicros,
}

/// A report that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// The life of the outbox.
    pub incarnation: IncarnationId,
    /// Its number there.
    pub seq: u64,
    /// The job that it claimed to answer.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// Why it could not be understood.
    pub why: String,
    /// What came.
    pub body: String,
    /// When.
    pub at: UnixMicros,
}

/// The reports of a measurement of the tenant, newest job first.
pub async fn of_measurement(on: &mut impl Read, scope: TenantScope, measurement: MeasurementId, page: &Page<JobId>) -> Result<Vec<ReportRow>, StoreError> {
    let statement = Statement::of(scope, OF_MEASUREMENT)
        .bind(measurement.uuid())
        .bind(scope.tenant().uuid())
        .bind(page::before(page))
        .bind(page.limit);
    tx::all(on, statement, report).await
}

/// The report of a job of the tenant.
pub async fn of_job(on: &mut impl Read, scope: TenantScope, job: JobId) -> Result<Option<ReportRow>, StoreError> {
    tx::optional(on, Statement::of(scope, OF_JOB).bind(job.uuid()).bind(scope.tenant().uuid()), report).await
}

/// What was discarded of an agent's reports, the latest first.
pub async fn discarded(on: &mut impl Read, _: SystemScope, agent: AgentId, limit: u32) -> Result<Vec<DiscardedRow>, StoreError> {
    tx::all(on, Statement::own(DISCARDED).bind(agent.uuid()).bind(limit), discarded_row).await
}

/// What was set aside of an agent's reports, the latest first.
pub async fn quarantined(on: &mut impl Read, _: SystemScope, agent: AgentId, limit: u32) -> Result<Vec<QuarantinedRow>, StoreError> {
    tx::all(on, Statement::own(QUARANTINED).bind(agent.uuid()).bind(limit), quarantined_row).await
}

pub(super) fn report(row: &Row) -> Result<ReportRow, RowError> {
    let body = RawValue::from_string(row.text("body")?).map_err(|_| RowError::Unknown("body"))?;
    Ok(ReportRow {
        job: JobId::from_uuid(row.uuid("job")?),
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
        agent: AgentId::from_uuid(row.uuid("agent")?),
        attempt: Attempt(row.number("attempt")?),
        late: row.number::<i64>("late")? != 0,
        cached: row.number::<i64>("cached")? != 0,
        started_at: row.instant("started_at")?,
        received_at: row.instant("received_at")?,
        body,
    })
}

fn discarded_row(row: &Row) -> Result<DiscardedRow, RowError> {
    Ok(DiscardedRow {
        incarnation: IncarnationId::from_uuid(row.uuid("incarnation")?),
        seq: row.number("seq")?,
        last_seq: row.number("last_seq")?,
        job: row.uuid_or_none("job")?.map(JobId::from_uuid),
        why: row.text("why")?,
        at: row.instant("at")?,
    })
}

fn quarantined_row(row: &Row) -> Result<QuarantinedRow, RowError> {
    Ok(QuarantinedRow {
        incarnation: IncarnationId::from_uuid(row.uuid("incarnation")?),
        seq: row.number("seq")?,
        job: JobId::from_uuid(row.uuid("job")?),
        attempt: Attempt(row.number("attempt")?),
        why: row.text("why")?,
        body: row.text("body")?,
        at: row.instant("at")?,
    })
}

const OF_MEASUREMENT: &str = "SELECT j.id AS job, j.measurement, j.agent, r.attempt, r.late, r.started_at, r.received_at, r.body,
CAST(CASE WHEN j.cached_from IS NULL THEN 0 ELSE 1 END AS BIGINT) AS cached
FROM job j JOIN report r ON r.retention_class = COALESCE(j.cached_class, j.retention_class) AND r.job = COALESCE(j.cached_from, j.id)
WHERE j.measurement = $1 AND j.tenant = $2 AND j.id < $3 ORDER BY j.id DESC LIMIT $4";
const OF_JOB: &str = "SELECT j.id AS job, j.measurement, j.agent, r.attempt, r.late, r.started_at, r.received_at, r.body,
CAST(CASE WHEN j.cached_from IS NULL THEN 0 ELSE 1 END AS BIGINT) AS cached
FROM job j JOIN report r ON r.retention_class = COALESCE(j.cached_class, j.retention_class) AND r.job = COALESCE(j.cached_from, j.id) WHERE j.id = $1 AND j.tenant = $2";
const DISCARDED: &str = "SELECT incarnation, seq, last_seq, job, why, at FROM report_discarded WHERE agent = $1 ORDER BY at DESC, seq DESC LIMIT $2";
const QUARANTINED: &str = "SELECT incarnation, seq, job, attempt, why, body, at FROM report_quarantine WHERE agent = $1
ORDER BY at DESC, seq DESC LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OF_MEASUREMENT, OF_JOB, DISCARDED, QUARANTINED];
