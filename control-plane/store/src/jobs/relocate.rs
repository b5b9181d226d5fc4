//! Taking a job to another agent, where its measurement named none.

use control_core::authorize::SystemScope;
use serde_json::Value;
use shared_protocol::id::{AgentId, JobId, JobRef, MeasurementId, TenantId};
use shared_protocol::tier::Tier;

use super::{OpenJob, open_columns, open_job};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// An open job that any agent of its selection may do.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedJob {
    /// The job.
    pub job: JobId,
    /// The tenant that asked.
    pub tenant: TenantId,
    /// The tier it was accepted under.
    pub tier: Tier,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// What to do.
    pub spec: Value,
    /// The selection as it was asked for.
    pub selection: Value,
}

/// Those of some jobs that are open and may go to another agent.
pub async fn matched(on: &mut impl Read, _: SystemScope, jobs: &[JobId]) -> Result<Vec<MatchedJob>, StoreError> {
    tx::all(on, Statement::own(MATCHED).bind(row::json(jobs)?), matched_job).await
}

/// Takes a job from one agent to another, where it waits; none where it ended, was taken back, or went on meanwhile.
pub async fn move_to(tx: &mut Tx, _: SystemScope, job: JobRef, from: AgentId, to: AgentId) -> Result<Option<OpenJob>, StoreError> {
    let statement = Statement::own(MOVE).bind(job.job.uuid()).bind(job.attempt.0).bind(from.uuid()).bind(to.uuid());
    let moved = tx::optional(tx, statement, open_job).await?;
    if moved.is_some() {
        tx::execute(tx, Statement::own(MOVE_JOB).bind(job.job.uuid()).bind(to.uuid())).await?;
    }
    Ok(moved)
}

fn matched_job(row: &Row) -> Result<MatchedJob, RowError> {
    Ok(MatchedJob {
        job: JobId::from_uuid(row.uuid("id")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        tier: row.known("tier")?,
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
        spec: row.document("spec")?,
        selection: row.document("selection")?,
    })
}

const MATCHED: &str = concat!(
    "SELECT o.id, o.tenant, o.tier, j.measurement, m.spec, m.selection FROM job_open o JOIN job j ON j.id = o.id JOIN measurement m ON m.id = j.measurement
WHERE o.choice = 'matched' AND o.id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ")"
);
const MOVE: &str = concat!(
    "UPDATE job_open SET agent = $4, state = 'queued', lease_epoch = NULL, leased_at = NULL, not_before = NULL
WHERE id = $1 AND attempt = $2 AND agent = $3 AND choice = 'matched' AND cancel_requested_at IS NULL RETURNING ",
    open_columns!()
);
const MOVE_JOB: &str = "UPDATE job SET agent = $2 WHERE id = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[MATCHED, MOVE, MOVE_JOB];
