//! The one place where a job gets its end.

use control_core::authorize::SystemScope;
use control_core::quota::Spans;
use serde::Serialize;
use shared_protocol::end::{End, RefuseReason};
use shared_protocol::id::{AgentId, Attempt, Epoch, IncarnationId, JobId, JobRef, MeasurementId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{OpenJob, OpenState, open_columns, open_job};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Question, Tx};
use crate::usage::Used;

/// A job that was just given its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedJob {
    /// The job.
    pub job: JobId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// The agent it was for.
    pub agent: AgentId,
    /// The tenant that asked.
    pub tenant: TenantId,
    /// The tenant's tier at creation.
    pub tier: Tier,
    /// Expected agent-seconds.
    pub cost: u32,
    /// Where it stood before.
    pub was: OpenState,
    /// How often it was handed out.
    pub attempt: Attempt,
    /// Its end.
    pub end: End,
    /// Why, where the end does not say it.
    pub reason: Option<String>,
    /// When.
    pub ended_at: UnixMicros,
}

/// A job that must get an end, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The job.
    pub job: JobId,
    /// Only if this is still the attempt.
    pub attempt: Option<Attempt>,
    /// The end.
    pub end: End,
    /// Why, where the end does not say it.
    pub reason: Option<&'static str>,
}

/// Ends jobs, each with an end of its own; those that have one already, or were handed out again since the attempt that is meant, are left out.
pub async fn end(tx: &mut Tx, _: SystemScope, endings: &[Ending], at: UnixMicros) -> Result<Vec<EndedJob>, StoreError> {
    #[derive(Serialize)]
    struct Meant {
        job: JobId,
        attempt: Option<Attempt>,
    }
    let meant = |&Ending { job, attempt, .. }: &Ending| Meant { job, attempt };
    let meant: Vec<Meant> = endings.iter().map(meant).collect();
    let gone = tx::all(tx, Statement::own(OPEN_MEANT).bind(row::json(&meant)?), open_job).await?;
    let closing = gone.into_iter().filter_map(|gone| {
        // The first that means it, as if they came one after the other.
        let ending = endings.iter().find(|ending| ending.means(&gone))?;
        Some(Closing {
            gone,
            end: ending.end,
            reason: ending.reason,
            at,
            spent: Used::default(),
        })
    });
    close_each(tx, closing.collect())
}

impl Ending {
    fn means(&self, open: &OpenJob) -> bool {
        self.job == open.job && self.attempt.is_none_or(|attempt| attempt == open.attempt)
    }
}

/// Ends jobs, whatever their attempt; those that have an end already are left out.
pub async fn end_all(tx: &mut Tx, _: SystemScope, jobs: &[JobId], end: End, reason: Option<&'static str>, at: UnixMicros) -> Result<Vec<EndedJob>, StoreError> {
    let gone = tx::all(tx, Statement::own(OPEN_MANY).bind(row::json(jobs)?), open_job).await?;
    close(tx, gone, end, reason, at)
}

/// Ends at most `limit` of the jobs of an agent that will do none of them any more, oldest first.
pub async fn end_of_agent(
    tx: &mut Tx,
    _: SystemScope,
    agent: AgentId,
    limit: u32,
    end: End,
    reason: &'static str,
    at: UnixMicros,
) -> Result<Vec<EndedJob>, StoreError> {
    let gone = tx::all(tx, Statement::own(OPEN_OF_AGENT).bind(agent.uuid()).bind(limit), open_job).await?;
    close(tx, gone, end, Some(reason), at)
}

/// Ends a job that the agent to which it was leased will not run.
pub async fn refuse(tx: &mut Tx, _: SystemScope, agent: AgentId, job: JobRef, reason: RefuseReason, at: UnixMicros) -> Result<Option<EndedJob>, StoreError> {
    let statement = Statement::own(OPEN_LEASED).bind(job.job.uuid()).bind(job.attempt.0).bind(agent.uuid());
    let gone = tx::all(tx, statement, open_job).await?;
    Ok(close(tx, gone, End::Refused, Some(reason.as_str()), at)?.into_iter().next())
}

/// Takes jobs out of `job_open` that stand with these agents in these attempts; the caller closes them.
pub(crate) async fn take_handed_out(tx: &mut Tx, of: impl Iterator<Item = (AgentId, JobRef)>) -> Result<Vec<OpenJob>, StoreError> {
    #[derive(Serialize)]
    struct Meant {
        agent: AgentId,
        job: JobId,
        attempt: Attempt,
    }
    let meant: Vec<Meant> = of.map(|(agent, JobRef { job, attempt })| Meant { agent, job, attempt }).collect();
    if meant.is_empty() {
        return Ok(Vec::new());
    }
    tx::all(tx, Statement::own(OPEN_HANDED_OUT).bind(row::json(&meant)?), open_job).await
}

/// A report that may end a job: of which outbox it is, over which session it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Claim {
    pub(crate) agent: AgentId,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: IncarnationId,
    pub(crate) seq: i64,
    #[serde(flatten)]
    pub(crate) job: JobRef,
}

/// [`take_handed_out`], as a question, for those claims alone that come over their agents' latest sessions and are news.
pub(crate) fn take_claimed(claims: &[Claim]) -> Result<Question<OpenJob>, StoreError> {
    Ok((Statement::own(OPEN_CLAIMED).bind(row::json(claims)?), open_job))
}

/// A job whose row was just taken out of `job_open`, and the end that it gets.
pub(crate) struct Closing {
    pub(crate) gone: OpenJob,
    pub(crate) end: End,
    pub(crate) reason: Option<&'static str>,
    pub(crate) at: UnixMicros,
    /// What it used besides its end.
    pub(crate) spent: Used,
}

/// Writes the end of jobs whose rows were just taken out of `job_open`: only who took a row out may call this.
pub(crate) fn close(tx: &mut Tx, gone: Vec<OpenJob>, end: End, reason: Option<&'static str>, at: UnixMicros) -> Result<Vec<EndedJob>, StoreError> {
    let closing = |gone| Closing {
        gone,
        end,
        reason,
        at,
        spent: Used::default(),
    };
    close_each(tx, gone.into_iter().map(closing).collect())
}

/// [`close`], each with an end of its own.
pub(crate) fn close_each(tx: &mut Tx, closing: Vec<Closing>) -> Result<Vec<EndedJob>, StoreError> {
    #[derive(Serialize)]
    struct Closed {
        id: JobId,
        outcome: &'static str,
        reason: Option<&'static str>,
        ended_at: i64,
        attempt: u32,
        cancel_requested_at: Option<i64>,
    }
    if closing.is_empty() {
        return Ok(Vec::new());
    }
    let closed = |one: &Closing| Closed {
        id: one.gone.job,
        outcome: one.end.as_str(),
        reason: one.reason,
        ended_at: one.at.micros(),
        attempt: one.gone.attempt.0,
        cancel_requested_at: one.gone.cancel_requested_at.map(UnixMicros::micros),
    };
    let batch: Vec<Closed> = closing.iter().map(closed).collect();
    tx::later(tx, Statement::own(WRITE_END).bind(row::json(&batch)?));
    for one in &closing {
        let tenant = one.gone.tenant;
        tx.tally.closed(tenant);
        tx.tally.used(Spans::of(one.at).day, tenant, Used::ends(one.end, 1).plus(one.spent));
    }
    Ok(closing.into_iter().map(ended).collect())
}

fn ended(closing: Closing) -> EndedJob {
    let Closing { gone, end, reason, at, .. } = closing;
    EndedJob {
        job: gone.job,
        measurement: gone.measurement,
        agent: gone.agent,
        tenant: gone.tenant,
        tier: gone.tier,
        cost: gone.cost,
        was: gone.state,
        attempt: gone.attempt,
        end,
        reason: reason.map(str::to_owned),
        ended_at: at,
    }
}

const OPEN_MEANT: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT o.id FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, CAST(value ->> 'attempt' AS BIGINT) AS attempt FROM ",
    rows!("$1"),
    ") AS meant JOIN job_open o ON o.id = meant.job WHERE o.attempt = COALESCE(meant.attempt, o.attempt)) RETURNING ",
    open_columns!()
);
const OPEN_MANY: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ") RETURNING ",
    open_columns!()
);
const OPEN_OF_AGENT: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT o.id FROM job_open o WHERE o.agent = $1 ORDER BY o.id LIMIT $2) RETURNING ",
    open_columns!()
);
const OPEN_LEASED: &str = concat!(
    "DELETE FROM job_open WHERE id = $1 AND attempt = $2 AND agent = $3 AND state IN ('leased', 'running') RETURNING ",
    open_columns!()
);
/// Also where it was queued again meanwhile: a report of its latest attempt is as good as any.
const OPEN_HANDED_OUT: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT o.id FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'attempt' AS BIGINT) AS attempt FROM ",
    rows!("$1"),
    ") AS meant JOIN job_open o ON o.id = meant.job WHERE o.attempt = meant.attempt AND o.attempt > 0 AND o.agent = meant.agent) RETURNING ",
    open_columns!()
);
/// The conditions on sessions and outboxes are those of `reports::ingest::outbox`.
const OPEN_CLAIMED: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT o.id FROM (SELECT ",
    uuid!("value ->> 'job'"),
    " AS job, ",
    uuid!("value ->> 'agent'"),
    " AS agent, ",
    uuid!("value ->> 'incarnation'"),
    " AS incarnation, CAST(value ->> 'attempt' AS BIGINT) AS attempt, CAST(value ->> 'epoch' AS BIGINT) AS epoch, CAST(value ->> 'seq' AS BIGINT) AS seq FROM ",
    rows!("$1"),
    ") AS claim JOIN job_open o ON o.id = claim.job JOIN agent_session s ON s.agent = claim.agent AND s.epoch = claim.epoch
JOIN agent a ON a.id = s.agent AND a.state = 'active' LEFT JOIN agent_outbox b ON b.agent = s.agent AND b.incarnation = claim.incarnation
WHERE o.attempt = claim.attempt AND o.attempt > 0 AND o.agent = claim.agent AND claim.seq > COALESCE(b.up_to, 0)) RETURNING ",
    open_columns!()
);
const WRITE_END: &str = concat!(
    "UPDATE job SET outcome = gone.outcome, reason = gone.reason, ended_at = gone.ended_at, attempt = gone.attempt, cancel_requested_at = gone.cancel_requested_at
FROM (SELECT ",
    uuid!("value ->> 'id'"),
    " AS id, value ->> 'outcome' AS outcome, value ->> 'reason' AS reason, CAST(value ->> 'ended_at' AS BIGINT) AS ended_at,
CAST(value ->> 'attempt' AS BIGINT) AS attempt, CAST(value ->> 'cancel_requested_at' AS BIGINT) AS cancel_requested_at FROM ",
    rows!("$1"),
    ") AS gone WHERE job.id = gone.id"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OPEN_MEANT, OPEN_MANY, OPEN_OF_AGENT, OPEN_LEASED, OPEN_HANDED_OUT, OPEN_CLAIMED, WRITE_END];
