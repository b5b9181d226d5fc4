//! Sorting out, at the start of a session, which jobs the agent still has.

use std::collections::HashSet;

use control_core::authorize::SystemScope;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef};
use shared_protocol::time::UnixMicros;

use super::{EndedJob, OpenJob, close, open_columns, open_job};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// What came of comparing an agent's hands with what it was handed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readopted {
    /// In hand, and still wanted: they belong to the new session and keep their attempt.
    pub kept: Vec<JobRef>,
    /// In hand, and not wanted any more: ended, cancelled, handed out again, or never the agent's.
    pub drop: Vec<JobId>,
    /// Handed out and not in hand: the agent lost them. The caller queues them again or ends them, in the same transaction.
    pub lost: Vec<OpenJob>,
    /// Handed out and taken back meanwhile: they ended as cancelled in this very transaction.
    pub cancelled: Vec<EndedJob>,
}

/// Moves the jobs that an agent has in hand to its new session and names those that it lost. Nothing where the session is not its latest.
pub async fn readopt(tx: &mut Tx, _: SystemScope, agent: AgentId, epoch: Epoch, in_hand: &[JobRef], at: UnixMicros) -> Result<Option<Readopted>, StoreError> {
    if tx::optional(tx, Statement::own(IS_LATEST).bind(agent.uuid()).bind(epoch.0), |row| row.number::<u32>("epoch"))
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let gone = tx::all(tx, Statement::own(OPEN_CANCELLED).bind(agent.uuid()), open_job).await?;
    let cancelled = close(tx, gone, End::Cancelled, None, at)?;
    let statement = Statement::own(KEEP).bind(row::json(in_hand)?).bind(agent.uuid()).bind(epoch.0);
    let kept = tx::all(tx, statement, reference).await?;
    let lost = tx::all(tx, Statement::own(LOST).bind(row::json(&kept)?).bind(agent.uuid()), open_job).await?;
    let still: HashSet<JobRef> = kept.iter().copied().collect();
    let drop = in_hand.iter().filter(|job| !still.contains(job)).map(|job| job.job).collect();
    Ok(Some(Readopted { kept, drop, lost, cancelled }))
}

fn reference(row: &Row) -> Result<JobRef, RowError> {
    Ok(JobRef {
        job: JobId::from_uuid(row.uuid("id")?),
        attempt: Attempt(row.number("attempt")?),
    })
}

const IS_LATEST: &str = "SELECT epoch FROM agent_session WHERE agent = $1 AND epoch = $2";
const OPEN_CANCELLED: &str = concat!(
    "DELETE FROM job_open WHERE agent = $1 AND state IN ('leased', 'running') AND cancel_requested_at IS NOT NULL RETURNING ",
    open_columns!()
);
/// What is in hand was accepted, also where the word of it was lost; so it runs.
const KEEP: &str = concat!(
    "UPDATE job_open SET state = 'running', lease_epoch = $3 WHERE (id, attempt) IN (SELECT ",
    uuid!("value ->> 'job'"),
    ", CAST(value ->> 'attempt' AS BIGINT) FROM ",
    rows!("$1"),
    ") AND agent = $2 AND state IN ('leased', 'running') RETURNING id, attempt"
);
const LOST: &str = concat!(
    "SELECT ",
    open_columns!(),
    " FROM job_open WHERE agent = $2 AND state IN ('leased', 'running') AND id NOT IN (SELECT ",
    uuid!("value ->> 'job'"),
    " FROM ",
    rows!("$1"),
    ") ORDER BY id"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[IS_LATEST, OPEN_CANCELLED, KEEP, LOST];
