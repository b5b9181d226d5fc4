//! Measurements and their jobs: queued, leased, running, then exactly one end.
//!
//! `job_open` holds one narrow row for each job without an end. Deleting that row is the gate: whoever deletes it writes the end.

use std::str::FromStr;

use control_core::retry::{Choice, RetryPolicy};
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, MeasurementId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::row::{Row, RowError};

mod cached;
mod cancel;
mod end;
mod enqueue;
mod lease;
mod read;
mod readopt;
mod relocate;

pub use crate::idempotency::NewIdempotency;
pub use cached::{CachedReport, cached};
pub use cancel::{CancelOutcome, CancelledMeasurement, cancel_measurement, request_cancel};
pub(crate) use end::{Claim, Closing, close, close_each, take_claimed, take_handed_out};
pub use end::{EndedJob, Ending, end, end_all, end_of_agent, refuse};
pub use enqueue::{Caps, Enqueue, Enqueued, NewJob, NewMeasurement, count_open, earlier, enqueue, forget_idempotency};
pub use lease::{Lease, LeasedJob, Requeue, Running, handed_out, lease, requeue, running};
pub(crate) use lease::{queue_again, standing_with};
pub use read::{Conservation, has_open_jobs};
pub use read::{JobFilter, JobRow, MeasurementRow, conservation, job, jobs, jobs_of, measurement, measurements, open_jobs};
pub use readopt::{Readopted, readopt};
pub use relocate::{MatchedJob, matched, move_to};

/// Where a job without an end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenState {
    /// It waits for its agent.
    Queued,
    /// It was handed to a session.
    Leased,
    /// The agent said that it runs.
    Running,
}

impl OpenState {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Running => "running",
        }
    }
}

/// The text names no state of an open job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of queued, leased, running")]
pub struct UnknownOpenState;

impl FromStr for OpenState {
    type Err = UnknownOpenState;

    fn from_str(text: &str) -> Result<Self, UnknownOpenState> {
        [Self::Queued, Self::Leased, Self::Running]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownOpenState)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It has no end yet.
    Open(OpenState),
    /// It has its end.
    Ended(End),
}

impl JobState {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open(state) => state.as_str(),
            Self::Ended(end) => end.as_str(),
        }
    }
}

/// A job without an end, as the dispatcher needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJob {
    /// The job.
    pub job: JobId,
    /// The agent it is for.
    pub agent: AgentId,
    /// The tenant that asked.
    pub tenant: TenantId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// The tenant's tier at creation.
    pub tier: Tier,
    /// Expected agent-seconds.
    pub cost: u32,
    /// Where it stands.
    pub state: OpenState,
    /// How often it was handed out.
    pub attempt: Attempt,
    /// The session that it was handed to.
    pub lease_epoch: Option<Epoch>,
    /// When nobody wants the answer any more.
    pub deadline_at: UnixMicros,
    /// Not to be handed out before this.
    pub not_before: Option<UnixMicros>,
    /// When somebody took it back.
    pub cancel_requested_at: Option<UnixMicros>,
    /// What becomes of it when it comes back without an answer.
    pub retry: RetryPolicy,
    /// Whether another agent may do it.
    pub choice: Choice,
}

/// The columns of an open job, for a statement that returns them from `job_open`.
macro_rules! open_columns {
    () => {
        "job_open.id, job_open.agent, job_open.tenant, job_open.tier, job_open.cost, job_open.state, job_open.attempt, job_open.lease_epoch,
job_open.deadline_at, job_open.not_before, job_open.cancel_requested_at, job_open.retry, job_open.choice, (SELECT j.measurement FROM job j WHERE j.id = job_open.id) AS measurement"
    };
}
use open_columns;

pub(crate) fn open_job(row: &Row) -> Result<OpenJob, RowError> {
    Ok(OpenJob {
        job: JobId::from_uuid(row.uuid("id")?),
        agent: AgentId::from_uuid(row.uuid("agent")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
        tier: row.known("tier")?,
        cost: row.number("cost")?,
        state: row.known("state")?,
        attempt: Attempt(row.number("attempt")?),
        lease_epoch: row.number_or_none("lease_epoch")?.map(Epoch),
        deadline_at: row.instant("deadline_at")?,
        not_before: row.instant_or_none("not_before")?,
        cancel_requested_at: row.instant_or_none("cancel_requested_at")?,
        retry: row.known("retry")?,
        choice: row.known("choice")?,
    })
}

/// Every statement below this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[
    cached::STATEMENTS,
    cancel::STATEMENTS,
    end::STATEMENTS,
    enqueue::STATEMENTS,
    lease::STATEMENTS,
    read::STATEMENTS,
    readopt::STATEMENTS,
    relocate::STATEMENTS,
];

/// Those of them that the writer applies to sets, for the test of their plans.
#[cfg(test)]
pub(crate) const HOT: &[&[&str]] = &[end::STATEMENTS, enqueue::STATEMENTS, lease::STATEMENTS];
