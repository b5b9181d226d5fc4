//! Accepting a measurement: all its jobs in one durable step, or none.

use control_core::authorize::{SystemScope, TenantScope};
use control_core::quota::{Quota, Span, Spans};
use control_core::retry::{Choice, RetryPolicy};
use serde::Serialize;
use serde_json::Value;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::CachedReport;
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::idempotency::{self, NewIdempotency};
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};
use crate::usage::Used;
use crate::{quota, usage};

/// A measurement to be accepted.
#[derive(Debug, Clone)]
pub struct NewMeasurement {
    /// Its id.
    pub id: MeasurementId,
    /// What is asked: a `ProbeSpec`, defaults filled in.
    pub spec: Value,
    /// SHA-256 of the spec: equal questions have equal ones.
    pub spec_sha256: [u8; 32],
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
    /// Most measurements in an hour, a day and a month.
    pub quota: Quota,
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
    /// The earlier report that answers it: the job has its end at once and is not handed out.
    pub cached_from: Option<CachedReport>,
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
    /// The tenant has used up the measurements that its tier allows in this span; nothing was stored.
    OverQuota(Span),
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
        && let Some(earlier) = earlier(tx, scope, key, measurement.created_at).await?
    {
        return Ok(earlier);
    }
    let cap = u64::from(measurement.caps.open_jobs);
    let new = count(jobs.iter().filter(|job| job.cached_from.is_none()));
    if count_open(tx, scope).await?.saturating_add(new) > cap {
        return Ok(Enqueued::TooManyOpen);
    }
    let spans = Spans::of(measurement.created_at);
    if let Err(counted) = quota::count(tx, scope, spans, measurement.caps.quota).await? {
        return Ok(Enqueued::OverQuota(measurement.caps.quota.used_up(counted).unwrap_or(Span::Hour)));
    }
    usage::add(tx, spans.day, &[(scope.tenant(), accepted(jobs))]).await?;
    insert(tx, scope, measurement, jobs).await?;
    if let Some(key) = idempotency {
        idempotency::keep(tx, scope.tenant(), key, measurement.id).await?;
    }
    Ok(Enqueued::Fresh)
}

/// What an idempotency key stands for already: the measurement it made, or that it came with another body.
pub async fn earlier(on: &mut impl Read, scope: TenantScope, key: &NewIdempotency, at: UnixMicros) -> Result<Option<Enqueued>, StoreError> {
    let kept = idempotency::find(on, scope.tenant(), &key.key, at).await?;
    Ok(kept.map(|kept| {
        if kept.body_sha256 == key.body_sha256 {
            Enqueued::Replayed(kept.measurement)
        } else {
            Enqueued::Mismatch
        }
    }))
}

/// Removes at most `limit` idempotency keys that are past their time; says how many.
pub async fn forget_idempotency(tx: &mut Tx, _: SystemScope, at: UnixMicros, limit: u32) -> Result<u64, StoreError> {
    idempotency::forget(tx, at, limit).await
}

/// Jobs of the tenant without an end.
pub async fn count_open(on: &mut impl Read, scope: TenantScope) -> Result<u64, StoreError> {
    let counted = tx::optional(on, Statement::of(scope, COUNT_OPEN).bind(scope.tenant().uuid()), |row| {
        row.number::<i64>("open")
    })
    .await?;
    Ok(counted.and_then(|open| u64::try_from(open).ok()).unwrap_or(0))
}

fn accepted(jobs: &[NewJob]) -> Used {
    let (all, cached) = (count(jobs.iter()), count(jobs.iter().filter(|job| job.cached_from.is_some())));
    let open = jobs.iter().filter(|job| job.cached_from.is_none());
    Used {
        measurements: 1,
        jobs: all,
        cached_jobs: cached,
        cost: open.map(|job| u64::from(job.cost)).sum(),
        completed: cached,
        ..Used::default()
    }
}

fn count(of: impl Iterator) -> u64 {
    u64::try_from(of.count()).unwrap_or(u64::MAX)
}

async fn insert(tx: &mut Tx, scope: TenantScope, measurement: &NewMeasurement, jobs: &[NewJob]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Job {
        id: JobId,
        agent: AgentId,
        cost: u32,
        not_before: Option<i64>,
        outcome: Option<&'static str>,
        attempt: Option<u32>,
        ended_at: Option<i64>,
        cached_from: Option<JobId>,
        cached_class: Option<&'static str>,
    }
    let row_of = |job: &NewJob| Job {
        id: job.id,
        agent: job.agent,
        cost: job.cost,
        not_before: job.not_before.map(UnixMicros::micros),
        outcome: job.cached_from.map(|_| End::Completed.as_str()),
        attempt: job.cached_from.map(|_| 0),
        ended_at: job.cached_from.map(|_| measurement.created_at.micros()),
        cached_from: job.cached_from.map(|cached| cached.job),
        cached_class: job.cached_from.map(|cached| cached.retention_class.as_str()),
    };
    let (open, cached): (Vec<Job>, Vec<Job>) = jobs.iter().map(row_of).partition(|job| job.cached_from.is_none());
    let tenant = scope.tenant().uuid();
    let statement = Statement::of(scope, INSERT_MEASUREMENT)
        .bind(measurement.id.uuid())
        .bind(tenant)
        .bind(row::json(&measurement.spec)?)
        .bind(row::json(&measurement.selection)?)
        .bind(measurement.created_at.micros())
        .bind(measurement.deadline_at.micros())
        .bind(measurement.retry.to_string())
        .bind(measurement.spec_sha256.to_vec())
        .bind(measurement.spec.get("probe").and_then(Value::as_str).unwrap_or_default().to_owned())
        .bind(target(&measurement.spec));
    tx::execute(tx, statement).await?;
    let open = row::json(&open)?;
    for batch in [open.clone(), row::json(&cached)?].into_iter().filter(|batch| batch != NO_ROWS) {
        let statement = Statement::of(scope, INSERT_JOBS)
            .bind(batch)
            .bind(tenant)
            .bind(measurement.id.uuid())
            .bind(measurement.tier.as_str())
            .bind(measurement.created_at.micros())
            .bind(measurement.deadline_at.micros());
        tx::execute(tx, statement).await?;
    }
    let statement = Statement::of(scope, INSERT_OPEN)
        .bind(open)
        .bind(tenant)
        .bind(measurement.tier.as_str())
        .bind(measurement.deadline_at.micros())
        .bind(measurement.retry.to_string())
        .bind(measurement.choice.as_str());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// What a spec is aimed at, as reports and series are found by it: the target, with its port where there is one.
fn target(spec: &Value) -> String {
    let named = ["target", "url", "name"].iter().find_map(|name| spec.get(name)?.as_str()).unwrap_or_default();
    // A name that is asked about has no port; the one in its spec is its server's.
    let port = spec.get("target").and_then(|_| spec.get("port")).and_then(Value::as_u64);
    match port {
        Some(port) if named.contains(':') => format!("[{named}]:{port}"),
        Some(port) => format!("{named}:{port}"),
        None => named.to_owned(),
    }
}

/// What a batch without rows looks like.
const NO_ROWS: &str = "[]";

const COUNT_OPEN: &str = "SELECT COUNT(*) AS open FROM job_open WHERE tenant = $1";
const INSERT_MEASUREMENT: &str = "INSERT INTO measurement (id, tenant, spec, selection, created_at, deadline_at, retry, spec_sha256, probe, target)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const INSERT_JOBS: &str = concat!(
    "INSERT INTO job (id, tenant, agent, measurement, tier, cost, retention_class, created_at, deadline_at, outcome, attempt, ended_at, cached_from, cached_class)
SELECT ",
    uuid!("value ->> 'id'"),
    ", $2, ",
    uuid!("value ->> 'agent'"),
    ", $3, $4, CAST(value ->> 'cost' AS BIGINT), $4, $5, $6, value ->> 'outcome', CAST(value ->> 'attempt' AS BIGINT), CAST(value ->> 'ended_at' AS BIGINT), ",
    uuid!("value ->> 'cached_from'"),
    ", value ->> 'cached_class' FROM ",
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
