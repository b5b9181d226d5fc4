//! Reading measurements and jobs.

use control_core::authorize::{SystemScope, TenantScope};
use control_core::retry::RetryPolicy;
use serde_json::Value;
use shared_protocol::id::{AgentId, Attempt, JobId, MeasurementId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use super::{JobState, OpenJob, open_columns, open_job};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// A measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurementRow {
    /// Its id.
    pub id: MeasurementId,
    /// What is asked: a `ProbeSpec`, defaults filled in.
    pub spec: Value,
    /// The selection as it was asked for.
    pub selection: Value,
    /// When it was accepted.
    pub created_at: UnixMicros,
    /// When nobody wants the answer any more.
    pub deadline_at: UnixMicros,
    /// What becomes of a job that comes back without an answer.
    pub retry: RetryPolicy,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// The agent it is for.
    pub agent: AgentId,
    /// That agent's name.
    pub agent_name: String,
    /// The tenant's tier at creation.
    pub tier: Tier,
    /// Expected agent-seconds.
    pub cost: u32,
    /// Where it stands.
    pub state: JobState,
    /// Why it ended like this, where the end does not say it.
    pub reason: Option<String>,
    /// How often it was handed out.
    pub attempt: Attempt,
    /// When it was accepted.
    pub created_at: UnixMicros,
    /// When nobody wants the answer any more.
    pub deadline_at: UnixMicros,
    /// When somebody took it back.
    pub cancel_requested_at: Option<UnixMicros>,
    /// When it ended.
    pub ended_at: Option<UnixMicros>,
    /// Whether an earlier report answers it.
    pub cached: bool,
}

/// Which jobs are wanted; every condition given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Of this measurement.
    pub measurement: Option<MeasurementId>,
    /// Of this agent.
    pub agent: Option<AgentId>,
}

/// How many jobs there are, counted three ways that must agree: `open + ended = accepted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conservation {
    /// Jobs ever accepted and still kept.
    pub accepted: u64,
    /// Jobs without an end.
    pub open: u64,
    /// Jobs with an end.
    pub ended: u64,
}

/// Finds a measurement of the tenant.
pub async fn measurement(on: &mut impl Read, scope: TenantScope, id: MeasurementId) -> Result<Option<MeasurementRow>, StoreError> {
    tx::optional(
        on,
        Statement::of(scope, MEASUREMENT).bind(id.uuid()).bind(scope.tenant().uuid()),
        measurement_row,
    )
    .await
}

/// Lists the tenant's measurements, newest first.
pub async fn measurements(on: &mut impl Read, scope: TenantScope, page: &Page<MeasurementId>) -> Result<Vec<MeasurementRow>, StoreError> {
    let statement = Statement::of(scope, MEASUREMENTS)
        .bind(scope.tenant().uuid())
        .bind(page::before(page))
        .bind(page.limit);
    tx::all(on, statement, measurement_row).await
}

/// Every job of some measurements of the tenant, by measurement, then by id.
pub async fn jobs_of(on: &mut impl Read, scope: TenantScope, measurements: &[MeasurementId]) -> Result<Vec<JobRow>, StoreError> {
    let statement = Statement::of(scope, JOBS_OF).bind(scope.tenant().uuid()).bind(row::json(measurements)?);
    tx::all(on, statement, job_row).await
}

/// Finds a job of the tenant.
pub async fn job(on: &mut impl Read, scope: TenantScope, id: JobId) -> Result<Option<JobRow>, StoreError> {
    tx::optional(on, Statement::of(scope, JOB).bind(id.uuid()).bind(scope.tenant().uuid()), job_row).await
}

/// Lists the tenant's jobs, newest first.
pub async fn jobs(on: &mut impl Read, scope: TenantScope, filter: JobFilter, page: &Page<JobId>) -> Result<Vec<JobRow>, StoreError> {
    let tenant = scope.tenant().uuid();
    let statement = match (filter.measurement, filter.agent) {
        (None, None) => Statement::of(scope, JOBS).bind(tenant).bind(page::before(page)).bind(page.limit),
        (None, Some(agent)) => Statement::of(scope, JOBS_BY_AGENT)
            .bind(tenant)
            .bind(page::before(page))
            .bind(page.limit)
            .bind(agent.uuid()),
        (Some(measurement), agent) => Statement::of(scope, JOBS_BY_MEASUREMENT)
            .bind(tenant)
            .bind(page::before(page))
            .bind(page.limit)
            .bind(measurement.uuid())
            .bind(agent.map(AgentId::uuid)),
    };
    tx::all(on, statement, job_row).await
}

/// Jobs without an end in the order of their ids, under the tier that their tenant has now: what the dispatcher loads when it starts, page by page.
pub async fn open_jobs(on: &mut impl Read, _: SystemScope, after: Option<JobId>, limit: u32) -> Result<Vec<OpenJob>, StoreError> {
    let statement = Statement::own(OPEN_JOBS).bind(after.map_or(Uuid::nil(), JobId::uuid)).bind(limit);
    tx::all(on, statement, waiting_job).await
}

/// Whether a measurement has a job without an end.
pub async fn has_open_jobs(on: &mut impl Read, _: SystemScope, measurement: MeasurementId) -> Result<bool, StoreError> {
    let found = tx::optional(on, Statement::own(HAS_OPEN).bind(measurement.uuid()), |row| row.uuid("id")).await?;
    Ok(found.is_some())
}

/// Counts all jobs; reads them all, so it is for now and then.
pub async fn conservation(on: &mut impl Read, _: SystemScope) -> Result<Conservation, StoreError> {
    Ok(tx::optional(on, Statement::own(CONSERVATION), conserved).await?.unwrap_or_default())
}

fn waiting_job(row: &Row) -> Result<OpenJob, RowError> {
    let job = open_job(row)?;
    let tier = row.known_or_none("tenant_tier")?.unwrap_or(job.tier);
    Ok(OpenJob { tier, ..job })
}

fn measurement_row(row: &Row) -> Result<MeasurementRow, RowError> {
    Ok(MeasurementRow {
        id: MeasurementId::from_uuid(row.uuid("id")?),
        spec: row.document("spec")?,
        selection: row.document("selection")?,
        created_at: row.instant("created_at")?,
        deadline_at: row.instant("deadline_at")?,
        retry: row.known("retry")?,
    })
}

fn job_row(row: &Row) -> Result<JobRow, RowError> {
    let state = match row.known_or_none("outcome")? {
        Some(end) => JobState::Ended(end),
        None => JobState::Open(row.known("state")?),
    };
    Ok(JobRow {
        id: JobId::from_uuid(row.uuid("id")?),
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
        agent: AgentId::from_uuid(row.uuid("agent")?),
        agent_name: row.text("agent_name")?,
        tier: row.known("tier")?,
        cost: row.number("cost")?,
        state,
        reason: row.text_or_none("reason")?,
        attempt: Attempt(row.number("attempt")?),
        created_at: row.instant("created_at")?,
        deadline_at: row.instant("deadline_at")?,
        cancel_requested_at: row.instant_or_none("cancel_requested_at")?,
        ended_at: row.instant_or_none("ended_at")?,
        cached: row.number::<i64>("cached")? != 0,
    })
}

fn conserved(row: &Row) -> Result<Conservation, RowError> {
    Ok(Conservation {
        accepted: row.number("accepted")?,
        open: row.number("open")?,
        ended: row.number("ended")?,
    })
}

/// The columns of a job with its open row and its agent's name, as every reading statement lists them.
macro_rules! select_job {
    ($($rest:expr),+) => {
        concat!(
            "SELECT j.id, j.measurement, j.agent, COALESCE(a.name, '') AS agent_name, j.tier, j.cost, j.outcome, o.state, j.reason, ",
            "COALESCE(j.attempt, o.attempt, 0) AS attempt, j.created_at, j.deadline_at, ",
            "COALESCE(j.cancel_requested_at, o.cancel_requested_at) AS cancel_requested_at, j.ended_at, ",
            "CAST(CASE WHEN j.cached_from IS NULL THEN 0 ELSE 1 END AS BIGINT) AS cached ",
            "FROM job j LEFT JOIN job_open o ON o.id = j.id LEFT JOIN agent a ON a.id = j.agent WHERE ",
            $($rest),+
        )
    };
}

const MEASUREMENT: &str = "SELECT id, spec, selection, created_at, deadline_at, retry FROM measurement WHERE id = $1 AND tenant = $2";
const MEASUREMENTS: &str = "SELECT id, spec, selection, created_at, deadline_at, retry FROM measurement
WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const JOBS_OF: &str = select_job!(
    "j.tenant = $1 AND j.measurement IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$2"),
    ") ORDER BY j.measurement, j.id"
);
const JOB: &str = select_job!("j.id = $1 AND j.tenant = $2");
const JOBS: &str = select_job!("j.tenant = $1 AND j.id < $2 ORDER BY j.id DESC LIMIT $3");
const JOBS_BY_AGENT: &str = select_job!("j.tenant = $1 AND j.agent = $4 AND j.id < $2 ORDER BY j.id DESC LIMIT $3");
const JOBS_BY_MEASUREMENT: &str =
    select_job!("j.tenant = $1 AND j.measurement = $4 AND j.id < $2 AND j.agent = COALESCE($5, j.agent) ORDER BY j.id DESC LIMIT $3");
const OPEN_JOBS: &str = concat!(
    "SELECT ",
    open_columns!(),
    ", (SELECT t.tier FROM tenant t WHERE t.id = job_open.tenant) AS tenant_tier FROM job_open WHERE id > $1 ORDER BY id LIMIT $2"
);
const HAS_OPEN: &str = "SELECT o.id FROM job j JOIN job_open o ON o.id = j.id WHERE j.measurement = $1 LIMIT 1";
const CONSERVATION: &str = "SELECT (SELECT COUNT(*) FROM job) AS accepted, (SELECT COUNT(*) FROM job_open) AS open,
(SELECT COUNT(*) FROM job WHERE outcome IS NOT NULL) AS ended";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    MEASUREMENT,
    MEASUREMENTS,
    JOBS_OF,
    JOB,
    JOBS,
    JOBS_BY_AGENT,
    JOBS_BY_MEASUREMENT,
    OPEN_JOBS,
    HAS_OPEN,
    CONSERVATION,
];
