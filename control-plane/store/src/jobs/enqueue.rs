//! Accepting a measurement: all its jobs in one durable step, or none.

use std::collections::HashMap;
use std::iter;

use control_core::authorize::{SystemScope, TenantScope};
use control_core::quota::{Quota, Span, Spans};
use control_core::retry::{Choice, RetryPolicy};
use serde::Serialize;
use serde_json::Value;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef, MeasurementId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::CachedReport;
use crate::dialect::{bytes, rows, uuid};
use crate::error::StoreError;
use crate::idempotency::{self, Keys, NewIdempotency};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tally::{self, Tally};
use crate::tx::{self, Read, Tx};
use crate::usage::Used;

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

/// A measurement to be accepted with its jobs, unless its idempotency key or a limit forbids it.
#[derive(Debug, Clone)]
pub struct Enqueue {
    /// Whose it is.
    pub scope: TenantScope,
    /// The measurement.
    pub measurement: NewMeasurement,
    /// Its jobs.
    pub jobs: Vec<NewJob>,
    /// The key that came with the request.
    pub idempotency: Option<NewIdempotency>,
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
    /// The session of its agent to which it is leased in the same step, where that is still the latest one.
    pub lease: Option<Epoch>,
}

/// What came of enqueueing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// The measurement and its jobs are stored; these of them are leased to their sessions.
    Fresh(Vec<JobRef>),
    /// The idempotency key made this measurement before, with the same body; nothing was stored.
    Replayed(MeasurementId),
    /// The idempotency key was used before with another body; nothing was stored.
    Mismatch,
    /// The tenant would have more open jobs than its tier allows; nothing was stored.
    TooManyOpen,
    /// The tenant has used up the measurements that its tier allows in this span; nothing was stored.
    OverQuota(Span),
}

/// Stores measurements with their jobs: each whole or not at all, as if they came one after the other.
pub async fn enqueue(tx: &mut Tx, all: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError> {
    let asked = all.iter().filter_map(|one| Some((one.scope.tenant(), one.idempotency.as_ref()?.key.as_str())));
    let mut keys = idempotency::find(tx, asked).await?;
    tally::load(tx, all.iter().map(|one| one.scope.tenant())).await?;
    let mut fresh = Vec::with_capacity(all.len());
    let mut answers = Vec::with_capacity(all.len());
    for one in all {
        let answer = decide(&mut tx.tally, &mut keys, one);
        if matches!(answer, Enqueued::Fresh(_)) {
            fresh.push(one);
        }
        answers.push(answer);
    }
    let leased = insert(tx, &fresh).await?;
    for (one, answer) in all.iter().zip(&mut answers) {
        if let Enqueued::Fresh(jobs) = answer {
            jobs.extend(one.jobs.iter().filter_map(|job| leased.get(&job.id)));
        }
    }
    Ok(answers)
}

/// What an idempotency key stands for already: the measurement it made, or that it came with another body.
pub async fn earlier(on: &mut impl Read, scope: TenantScope, key: &NewIdempotency, at: UnixMicros) -> Result<Option<Enqueued>, StoreError> {
    let kept = idempotency::find(on, iter::once((scope.tenant(), key.key.as_str()))).await?;
    Ok(kept.earlier(scope.tenant(), key, at))
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

/// Whether it is accepted; if it is, it is counted already.
fn decide(tally: &mut Tally, keys: &mut Keys, one: &Enqueue) -> Enqueued {
    let Enqueue {
        scope,
        measurement,
        jobs,
        idempotency,
    } = one;
    let tenant = scope.tenant();
    if let Some(earlier) = idempotency.as_ref().and_then(|key| keys.earlier(tenant, key, measurement.created_at)) {
        return earlier;
    }
    let used = accepted(jobs);
    let new = used.jobs - used.cached_jobs;
    let open = tally.open_jobs(tenant).unwrap_or(u64::MAX);
    if open.saturating_add(new) > u64::from(measurement.caps.open_jobs) {
        return Enqueued::TooManyOpen;
    }
    let spans = Spans::of(measurement.created_at);
    if let Err(span) = tally.count(tenant, spans, measurement.caps.quota) {
        return Enqueued::OverQuota(span);
    }
    tally.opened(tenant, new);
    tally.used(spans.day, tenant, used);
    if let Some(key) = idempotency {
        keys.made(tenant, key, measurement.id);
    }
    Enqueued::Fresh(Vec::new())
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

/// Stores what was accepted; says which jobs were leased with it.
async fn insert(tx: &mut Tx, fresh: &[&Enqueue]) -> Result<HashMap<JobId, JobRef>, StoreError> {
    if fresh.is_empty() {
        return Ok(HashMap::new());
    }
    let measurements = fresh.iter().map(|one| measurement_row(one)).collect::<Result<Vec<_>, _>>()?;
    let statement = Statement::own(INSERT_MEASUREMENTS).bind(row::json(&measurements)?);
    tx::later(tx, statement);
    let jobs: Vec<_> = fresh.iter().flat_map(|one| one.jobs.iter().map(|job| job_row(one, job))).collect();
    let jobs = row::json(&jobs)?;
    tx::later(tx, Statement::own(INSERT_JOBS).bind(jobs.clone()));
    idempotency::keep(
        tx,
        fresh
            .iter()
            .filter_map(|one| Some((one.scope.tenant(), one.idempotency.as_ref()?, one.measurement.id))),
    )?;
    if fresh.iter().flat_map(|one| &one.jobs).all(|job| job.lease.is_none()) {
        tx::later(tx, Statement::own(INSERT_OPEN).bind(jobs));
        return Ok(HashMap::new());
    }
    let leased = tx::all(tx, Statement::own(INSERT_OPEN_AND_LEASE).bind(jobs), leased).await?;
    Ok(leased.into_iter().flatten().map(|leased| (leased.job, leased)).collect())
}

/// The job, where it was leased.
fn leased(row: &Row) -> Result<Option<JobRef>, RowError> {
    let job = JobId::from_uuid(row.uuid("id")?);
    let attempt = Attempt(row.number("attempt")?);
    Ok((attempt > Attempt(0)).then_some(JobRef { job, attempt }))
}

#[derive(Serialize)]
struct MeasurementRow {
    id: MeasurementId,
    tenant: TenantId,
    spec: String,
    selection: String,
    created_at: i64,
    deadline_at: i64,
    retry: String,
    spec_sha256: String,
    probe: String,
    target: String,
}

#[derive(Serialize)]
struct JobRow {
    id: JobId,
    tenant: TenantId,
    agent: AgentId,
    measurement: MeasurementId,
    tier: &'static str,
    cost: u32,
    created_at: i64,
    deadline_at: i64,
    not_before: Option<i64>,
    retry: String,
    choice: &'static str,
    outcome: Option<&'static str>,
    attempt: Option<u32>,
    ended_at: Option<i64>,
    cached_from: Option<JobId>,
    cached_class: Option<&'static str>,
    lease_epoch: Option<Epoch>,
}

fn measurement_row(one: &Enqueue) -> Result<MeasurementRow, StoreError> {
    let measurement = &one.measurement;
    Ok(MeasurementRow {
        id: measurement.id,
        tenant: one.scope.tenant(),
        spec: row::json(&measurement.spec)?,
        selection: row::json(&measurement.selection)?,
        created_at: measurement.created_at.micros(),
        deadline_at: measurement.deadline_at.micros(),
        retry: measurement.retry.to_string(),
        spec_sha256: row::hexadecimal(&measurement.spec_sha256),
        probe: measurement.spec.get("probe").and_then(Value::as_str).unwrap_or_default().to_owned(),
        target: target(&measurement.spec),
    })
}

fn job_row(one: &Enqueue, job: &NewJob) -> JobRow {
    let measurement = &one.measurement;
    JobRow {
        id: job.id,
        tenant: one.scope.tenant(),
        agent: job.agent,
        measurement: measurement.id,
        tier: measurement.tier.as_str(),
        cost: job.cost,
        created_at: measurement.created_at.micros(),
        deadline_at: measurement.deadline_at.micros(),
        not_before: job.not_before.map(UnixMicros::micros),
        retry: measurement.retry.to_string(),
        choice: measurement.choice.as_str(),
        outcome: job.cached_from.map(|_| End::Completed.as_str()),
        attempt: job.cached_from.map(|_| 0),
        ended_at: job.cached_from.map(|_| measurement.created_at.micros()),
        cached_from: job.cached_from.map(|cached| cached.job),
        cached_class: job.cached_from.map(|cached| cached.retention_class.as_str()),
        lease_epoch: job.lease,
    }
}

/// What a spec is aimed at, as reports and series are found by it: the target, with its port where there is one.
pub(super) fn target(spec: &Value) -> String {
    let named = ["target", "url", "name"].iter().find_map(|name| spec.get(name)?.as_str()).unwrap_or_default();
    // A name that is asked about has no port; the one in its spec is its server's.
    let port = spec.get("target").and_then(|_| spec.get("port")).and_then(Value::as_u64);
    let whole = match port {
        Some(port) if named.contains(':') => format!("[{named}]:{port}"),
        Some(port) => format!("{named}:{port}"),
        None => named.to_owned(),
    };
    row::without_nul(&whole)
}

const COUNT_OPEN: &str = "SELECT COUNT(*) AS open FROM job_open WHERE tenant = $1";
const INSERT_MEASUREMENTS: &str = concat!(
    "INSERT INTO measurement (id, tenant, spec, selection, created_at, deadline_at, retry, spec_sha256, probe, target) SELECT ",
    uuid!("value ->> 'id'"),
    ", ",
    uuid!("value ->> 'tenant'"),
    ", value ->> 'spec', value ->> 'selection', CAST(value ->> 'created_at' AS BIGINT), CAST(value ->> 'deadline_at' AS BIGINT), value ->> 'retry', ",
    bytes!("value ->> 'spec_sha256'"),
    ", value ->> 'probe', value ->> 'target' FROM ",
    rows!("$1")
);
const INSERT_JOBS: &str = concat!(
    "INSERT INTO job (id, tenant, agent, measurement, tier, cost, retention_class, created_at, deadline_at, outcome, attempt, ended_at, cached_from, cached_class)
SELECT ",
    uuid!("value ->> 'id'"),
    ", ",
    uuid!("value ->> 'tenant'"),
    ", ",
    uuid!("value ->> 'agent'"),
    ", ",
    uuid!("value ->> 'measurement'"),
    ", value ->> 'tier', CAST(value ->> 'cost' AS BIGINT), value ->> 'tier', CAST(value ->> 'created_at' AS BIGINT), CAST(value ->> 'deadline_at' AS BIGINT),
value ->> 'outcome', CAST(value ->> 'attempt' AS BIGINT), CAST(value ->> 'ended_at' AS BIGINT), ",
    uuid!("value ->> 'cached_from'"),
    ", value ->> 'cached_class' FROM ",
    rows!("$1")
);
/// A job that was answered from an earlier report has its end already. One that is to be leased is, where its session is the agent's latest.
macro_rules! insert_open {
    ($end:literal) => {
        concat!(
            "INSERT INTO job_open (id, agent, tenant, tier, cost, state, attempt, lease_epoch, leased_at, deadline_at, not_before, retry, choice)
SELECT new.id, new.agent, new.tenant, new.tier, new.cost, CASE WHEN s.agent IS NULL THEN 'queued' ELSE 'leased' END, CASE WHEN s.agent IS NULL THEN 0 ELSE 1 END,
s.epoch, CASE WHEN s.agent IS NULL THEN NULL ELSE new.created_at END, new.deadline_at, new.not_before, new.retry, new.choice FROM (SELECT ",
            uuid!("value ->> 'id'"),
            " AS id, ",
            uuid!("value ->> 'agent'"),
            " AS agent, ",
            uuid!("value ->> 'tenant'"),
            " AS tenant, value ->> 'tier' AS tier, CAST(value ->> 'cost' AS BIGINT) AS cost, CAST(value ->> 'lease_epoch' AS BIGINT) AS epoch,
CAST(value ->> 'created_at' AS BIGINT) AS created_at, CAST(value ->> 'deadline_at' AS BIGINT) AS deadline_at, CAST(value ->> 'not_before' AS BIGINT) AS not_before,
value ->> 'retry' AS retry, value ->> 'choice' AS choice FROM ",
            rows!("$1"),
            " WHERE value ->> 'outcome' IS NULL) AS new LEFT JOIN agent_session s ON s.agent = new.agent AND s.epoch = new.epoch
AND EXISTS (SELECT 1 FROM agent a WHERE a.id = s.agent AND a.state = 'active')",
            $end
        )
    };
}

const INSERT_OPEN: &str = insert_open!("");
const INSERT_OPEN_AND_LEASE: &str = insert_open!(" RETURNING id, attempt");

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[COUNT_OPEN, INSERT_MEASUREMENTS, INSERT_JOBS, INSERT_OPEN, INSERT_OPEN_AND_LEASE];
