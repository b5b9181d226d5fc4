//! Handing jobs to a session, and taking them back into the queue.

use std::collections::HashMap;
use std::iter;

use control_core::authorize::SystemScope;
use serde::Serialize;
use serde_json::Value;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{OpenJob, open_columns, open_job};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A job as it is handed to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    /// The job.
    pub job: JobId,
    /// Which handing-out this is.
    pub attempt: Attempt,
    /// What to do.
    pub spec: Value,
    /// The tenant's tier at creation.
    pub tier: Tier,
    /// What it counts against credit, agent-seconds.
    pub cost: u32,
    /// When nobody wants the answer any more.
    pub deadline_at: UnixMicros,
}

/// Queued jobs of an active agent, to be leased to its session.
#[derive(Debug, Clone)]
pub struct Lease {
    /// On whose behalf.
    pub scope: SystemScope,
    /// The agent.
    pub agent: AgentId,
    /// Its session.
    pub epoch: Epoch,
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// Now.
    pub at: UnixMicros,
}

/// Jobs that agents accepted of those that were leased to them.
#[derive(Debug, Clone)]
pub struct Running {
    /// On whose behalf.
    pub scope: SystemScope,
    /// The jobs, each with its agent.
    pub accepted: Vec<(AgentId, JobRef)>,
}

/// Leases jobs; those left out are not queued any more, or the session is not the agent's latest.
pub async fn lease(tx: &mut Tx, all: &[Lease]) -> Result<Vec<Vec<LeasedJob>>, StoreError> {
    #[derive(Serialize)]
    struct Asked {
        job: JobId,
        agent: AgentId,
        epoch: Epoch,
        at: i64,
    }
    let asked = |lease: &Lease, job| Asked {
        job,
        agent: lease.agent,
        epoch: lease.epoch,
        at: lease.at.micros(),
    };
    let batch: Vec<Asked> = all.iter().flat_map(|lease| lease.jobs.iter().map(|job| asked(lease, *job))).collect();
    let leased = tx::all(tx, Statement::own(LEASE).bind(row::json(&batch)?), leased).await?;
    let mut leased: HashMap<(AgentId, Epoch, JobId), LeasedJob> = leased.into_iter().collect();
    let of = |lease: &Lease| lease.jobs.iter().filter_map(|job| leased.remove(&(lease.agent, lease.epoch, *job))).collect();
    Ok(all.iter().map(of).collect())
}

/// Notes that agents accepted jobs; of those that are not leased to them, nothing is noted.
pub async fn running(tx: &mut Tx, all: &[Running]) -> Result<Vec<()>, StoreError> {
    #[derive(Serialize)]
    struct Accepted {
        agent: AgentId,
        #[serde(flatten)]
        job: JobRef,
    }
    let accepted = all.iter().flat_map(|running| &running.accepted);
    let batch: Vec<Accepted> = accepted.map(|&(agent, job)| Accepted { agent, job }).collect();
    tx::later(tx, Statement::own(RUNNING).bind(row::json(&batch)?));
    Ok(vec![(); all.len()])
}

/// A job that goes back into its agent's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Requeue {
    /// The agent that was handed it.
    pub agent: AgentId,
    /// The job, in the attempt that is over.
    #[serde(flatten)]
    pub job: JobRef,
    /// Not to be handed out before this.
    pub not_before: Option<UnixMicros>,
}

/// Puts jobs that were handed out back into the queue, unless they ended, were handed out again, or somebody took them back.
pub async fn requeue(tx: &mut Tx, _: SystemScope, jobs: &[Requeue]) -> Result<Vec<OpenJob>, StoreError> {
    queue_again(tx, jobs).await
}

/// [`requeue`], for what was decided in here.
pub(crate) async fn queue_again(tx: &mut Tx, jobs: &[Requeue]) -> Result<Vec<OpenJob>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    tx::all(tx, Statement::own(REQUEUE).bind(row::json(jobs)?), open_job).await
}

/// The job as it stands with its agent in this attempt; none where it ended or was taken from it.
pub async fn handed_out(on: &mut impl Read, _: SystemScope, agent: AgentId, job: JobRef) -> Result<Option<OpenJob>, StoreError> {
    Ok(standing_with(on, iter::once((agent, job))).await?.into_iter().next())
}

/// Those of some jobs that stand with these agents in these attempts.
pub(crate) async fn standing_with(on: &mut impl Read, of: impl Iterator<Item = (AgentId, JobRef)>) -> Result<Vec<OpenJob>, StoreError> {
    #[derive(Serialize)]
    struct Meant {
        agent: AgentId,
        #[serde(flatten)]
        job: JobRef,
    }
    let meant: Vec<Meant> = of.map(|(agent, job)| Meant { agent, job }).collect();
    tx::all(on, Statement::own(HANDED_OUT).bind(row::json(&meant)?), open_job).await
}

fn leased(row: &Row) -> Result<((AgentId, Epoch, JobId), LeasedJob), RowError> {
    let job = JobId::from_uuid(row.uuid("id")?);
    let to = (AgentId::from_uuid(row.uuid("agent")?), Epoch(row.number("lease_epoch")?), job);
    let leased = LeasedJob {
        job,
        attempt: Attempt(row.number("attempt")?),
        spec: row.document("spec")?,
        tier: row.known("tier")?,
        cost: row.number("cost")?,
        deadline_at: row.instant("deadline_at")?,
    };
    Ok((to, leased))
}

const LEASE: &str = concat!(
    "UPDATE job_open SET state = 'leased', attempt = attempt + 1, lease_epoch = asked.epoch, leased_at = asked.at FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'epoch' AS BIGINT) AS epoch, CAST(value ->> 'at' AS BIGINT) AS at FROM ",
    rows!("$1"),
    ") AS asked WHERE job_open.id = asked.job AND job_open.agent = asked.agent AND job_open.state = 'queued' AND job_open.cancel_requested_at IS NULL
AND EXISTS (SELECT 1 FROM agent_session s JOIN agent a ON a.id = s.agent WHERE s.agent = asked.agent AND s.epoch = asked.epoch AND a.state = 'active')
RETURNING id, job_open.agent, lease_epoch, attempt, tier, cost, deadline_at,
(SELECT m.spec FROM job j JOIN measurement m ON m.id = j.measurement WHERE j.id = job_open.id) AS spec"
);
const RUNNING: &str = concat!(
    "UPDATE job_open SET state = 'running' FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'attempt' AS BIGINT) AS attempt FROM ",
    rows!("$1"),
    ") AS accepted WHERE job_open.id = accepted.job AND job_open.attempt = accepted.attempt AND job_open.agent = accepted.agent AND job_open.state = 'leased'"
);
const REQUEUE: &str = concat!(
    "UPDATE job_open SET state = 'queued', lease_epoch = NULL, leased_at = NULL, not_before = back.not_before FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'attempt' AS BIGINT) AS attempt, CAST(value ->> 'not_before' AS BIGINT) AS not_before FROM ",
    rows!("$1"),
    ") AS back WHERE job_open.id = back.job AND job_open.attempt = back.attempt AND job_open.agent = back.agent
AND job_open.state IN ('leased', 'running') AND job_open.cancel_requested_at IS NULL RETURNING ",
    open_columns!()
);
const HANDED_OUT: &str = concat!(
    "SELECT ",
    open_columns!(),
    " FROM ",
    rows!("$1"),
    " AS meant JOIN job_open ON job_open.id = ",
    uuid!("meant.value ->> 'job'"),
    " AND job_open.attempt = CAST(meant.value ->> 'attempt' AS BIGINT) AND job_open.agent = ",
    uuid!("meant.value ->> 'agent'"),
    " WHERE job_open.state IN ('leased', 'running')"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[LEASE, RUNNING, REQUEUE, HANDED_OUT];
