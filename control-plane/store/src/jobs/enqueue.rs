//! Accepting a measurement: all its jobs in one durable step, or none.

use control_core::authorize::{SystemScope, TenantScope};
use control_core::retry::{Choice, RetryPolicy};
use serde::Serialize;
use serde_json::Value;
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::idempotency::{self, NewIdempotency};
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// A measurement to be accepted.
#[derive(Debug, Clone)]
pub struct NewMeasurement {
    /// Its id.
    pub id: MeasurementId,
    /// What is asked: a `ProbeSpec`, defaults filled in.
    pub spec: Value,
    /// The selection as it was asked for.
    pub selection: Value,
    /// The tenant's tier: it fixes how long the reports are kept.
    pub tier: Tier,
    /// What that tier allows the tenant.
    pub caps: Caps,
    /// When it is accepted.
    pub created_at: UnixMicros,
    /// When nobody wants the answer any more.
    pub deadline_at: UnixMicros,
    /// What becomes of a job that comes back without an answer.
    pub retry: RetryPolicy,
    /// Whether another agent may do such a job.
    pub choice: Choice,
}

/// How much a tenant may ask for, by its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Most jobs without an end.
    pub open_jobs: u32,
}

/// One of its jobs.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// The agent it is for.
    pub agent: AgentId,
    /// Expected agent-seconds.
    pub cost: u32,
    /// Not to be handed out before this.
    pub not_before: Option<UnixMicros>,
}

/// What came of enqueueing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The measurement and its jobs are stored.
    Fresh,
    /// The idempotency key made this measurement before, with the same body; nothing was stored.
    Replayed(MeasurementId),
    /// The idempotency key was used before with another body; nothing was stored.
    Mismatch,
    /// The tenant would have more open jobs than its tier allows; nothing was stored.
    TooManyOpen,
}

/// Stores a measurement with its jobs, unless its idempotency key or the cap on open jobs forbids it.
pub async fn enqueue(
    tx: &mut Tx,
    scope: TenantScope,
    measurement: &NewMeasurement,
    jobs: &[NewJob],
    idempotency: Option<&NewIdempotency>,
) -> Result<Enqueued, StoreError> {
    if let Some(key) = idempotency
        && let Some(kept) = idempotency::find(tx, scope.tenant(), &key.key, measurement.created_at).await?
    {
        let same = kept.body_sha256 == key.body_sha256;
        return Ok(if same { Enqueued::Replayed(kept.measurement) } else { Enqueued::Mismatch });
    }
    let cap = u64::from(measurement.caps.open_jobs);
    let new = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
    if open_jobs(tx, scope).await?.saturating_add(new) > cap {
        return Ok(Enqueued::TooManyOpen);
    }
    insert(tx, scope, measurement, jobs).await?;
    if let Some(key) = idempotency {
        idempotency::keep(tx, scope.tenant(), key, measurement.id).await?;
    }
    Ok(Enqueued::Fresh)
}

/// Removes at most `limit` idempotency keys that are past their time; says how many.
pub async fn forget_idempotency(tx: &mut Tx, _: SystemScope, at: UnixMicros, limit: u32) -> Result<u64, StoreError> {
    idempotency::forget(tx, at, limit).await
}

async fn open_jobs(tx: &mut Tx, scope: TenantScope) -> Result<u64, StoreError> {
    let counted = tx::optional(tx, Statement::of(scope, COUNT_OPEN).bind(scope.tenant().uuid()), |row| {
        row.number::<i64>("open")
    })
    .await?;
    Ok(counted.and_then(|open| u64::try_from(open).ok()).unwrap_or(0))
}

async fn insert(tx: &mut Tx, scope: TenantScope, measurement: &NewMeasurement, jobs: &[NewJob]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Job {
        id: JobId,
        agent: AgentId,
        cost: u32,
        not_before: Option<i64>,
    }
    let batch: Vec<_> = jobs
        .iter()
        .map(|job| Job {
            id: job.id,
            agent: job.agent,
            cost: job.cost,
            not_before: job.not_before.map(UnixMicros::micros),
        })
        .collect();
    let batch = row::json(&batch)?;
    let tenant = scope.tenant().uuid();
    let statement = Statement::of(scope, INSERT_MEASUREMENT)
        .bind(measurement.id.uuid())
        .bind(tenant)
        .bind(row::json(&measurement.spec)?)
        .bind(row::json(&measurement.selection)?)
        .bind(measurement.created_at.micros())
        .bind(measurement.deadline_at.micros())
        .bind(measurement.retry.to_string());
    tx::execute(tx, statement).await?;
    let statement = Statement::of(scope, INSERT_JOBS)
        .bind(batch.clone())
        .bind(tenant)
        .bind(measurement.id.uuid())
        .bind(measurement.tier.as_str())
        .bind(measurement.created_at.micros())
        .bind(measurement.deadline_at.micros());
    tx::execute(tx, statement).await?;
    let statement = Statement::of(scope, INSERT_OPEN)
        .bind(batch)
        .bind(tenant)
        .bind(measurement.tier.as_str())
        .bind(measurement.deadline_at.micros())
        .bind(measurement.retry.to_string())
        .bind(measurement.choice.as_str());
    tx::execute(tx, statement).await?;
    Ok(())
}

const COUNT_OPEN: &str = "SELECT COUNT(*) AS open FROM job_open WHERE tenant = $1";
const INSERT_MEASUREMENT: &str = "INSERT INTO measurement (id, tenant, spec, selection, created_at, deadline_at, retry)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
const INSERT_JOBS: &str = concat!(
    "INSERT INTO job (id, tenant, agent, measurement, tier, cost, retention_class, created_at, deadline_at) SELECT ",
    uuid!("value ->> 'id'"),
    ", $2, ",
    uuid!("value ->> 'agent'"),
    ", $3, $4, CAST(value ->> 'cost' AS BIGINT), $4, $5, $6 FROM ",
    rows!("$1")
);
const INSERT_OPEN: &str = concat!(
    "INSERT INTO job_open (id, agent, tenant, tier, cost, state, attempt, deadline_at, not_before, retry, choice) SELECT ",
    uuid!("value ->> 'id'"),
    ", ",
    uuid!("value ->> 'agent'"),
    ", $2, $3, CAST(value ->> 'cost' AS BIGINT), 'queued', 0, $4, CAST(value ->> 'not_before' AS BIGINT), $5, $6 FROM ",
    rows!("$1")
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[COUNT_OPEN, INSERT_MEASUREMENT, INSERT_JOBS, INSERT_OPEN];
