//! Handing jobs to a session, and taking them back into the queue.

use control_core::authorize::SystemScope;
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

/// Leases queued jobs of an active agent to its session; those left out are not queued any more, or the session is not the agent's latest.
pub async fn lease(tx: &mut Tx, _: SystemScope, agent: AgentId, epoch: Epoch, jobs: &[JobId], at: UnixMicros) -> Result<Vec<LeasedJob>, StoreError> {
    let statement = Statement::own(LEASE).bind(row::json(jobs)?).bind(agent.uuid()).bind(epoch.0).bind(at.micros());
    tx::all(tx, statement, leased).await
}

/// Notes that an agent accepted jobs that were leased to it; says how many.
pub async fn running(tx: &mut Tx, _: SystemScope, agent: AgentId, jobs: &[JobRef]) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(RUNNING).bind(row::json(jobs)?).bind(agent.uuid())).await
}

/// Puts jobs that were handed out back into the queue, unless they ended, were handed out again, or somebody took them back.
pub async fn requeue(tx: &mut Tx, _: SystemScope, agent: AgentId, jobs: &[JobRef], not_before: Option<UnixMicros>) -> Result<Vec<OpenJob>, StoreError> {
    let statement = Statement::own(REQUEUE)
        .bind(row::json(jobs)?)
        .bind(agent.uuid())
        .bind(not_before.map(UnixMicros::micros));
    tx::all(tx, statement, open_job).await
}

/// The job as it stands with its agent in this attempt; none where it ended or was taken from it.
pub async fn handed_out(on: &mut impl Read, _: SystemScope, agent: AgentId, job: JobRef) -> Result<Option<OpenJob>, StoreError> {
    let statement = Statement::own(HANDED_OUT).bind(job.job.uuid()).bind(job.attempt.0).bind(agent.uuid());
    tx::optional(on, statement, open_job).await
}

fn leased(row: &Row) -> Result<LeasedJob, RowError> {
    Ok(LeasedJob {
        job: JobId::from_uuid(row.uuid("id")?),
        attempt: Attempt(row.number("attempt")?),
        spec: row.document("spec")?,
        tier: row.known("tier")?,
        cost: row.number("cost")?,
        deadline_at: row.instant("deadline_at")?,
    })
}

const LEASE: &str = concat!(
    "UPDATE job_open SET state = 'leased', attempt = attempt + 1, lease_epoch = $3, leased_at = $4 WHERE id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ") AND agent = $2 AND state = 'queued' AND cancel_requested_at IS NULL
AND EXISTS (SELECT 1 FROM agent_session s JOIN agent a ON a.id = s.agent WHERE s.agent = $2 AND s.epoch = $3 AND a.state = 'active')
RETURNING id, attempt, tier, cost, deadline_at,
(SELECT m.spec FROM job j JOIN measurement m ON m.id = j.measurement WHERE j.id = job_open.id) AS spec"
);
const RUNNING: &str = concat!(
    "UPDATE job_open SET state = 'running' WHERE (id, attempt) IN (SELECT ",
    uuid!("value ->> 'job'"),
    ", CAST(value ->> 'attempt' AS BIGINT) FROM ",
    rows!("$1"),
    ") AND agent = $2 AND state = 'leased'"
);
const REQUEUE: &str = concat!(
    "UPDATE job_open SET state = 'queued', lease_epoch = NULL, leased_at = NULL, not_before = $3 WHERE (id, attempt) IN (SELECT ",
    uuid!("value ->> 'job'"),
    ", CAST(value ->> 'attempt' AS BIGINT) FROM ",
    rows!("$1"),
    ") AND agent = $2 AND state IN ('leased', 'running') AND cancel_requested_at IS NULL RETURNING ",
    open_columns!()
);

const HANDED_OUT: &str = concat!(
    "SELECT ",
    open_columns!(),
    " FROM job_open WHERE id = $1 AND attempt = $2 AND agent = $3 AND state IN ('leased', 'running')"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[LEASE, RUNNING, REQUEUE, HANDED_OUT];
