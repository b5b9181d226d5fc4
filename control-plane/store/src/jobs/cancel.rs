//! Taking jobs back on behalf of the tenant that asked for them.

use control_core::authorize::TenantScope;
use shared_protocol::end::End;
use shared_protocol::id::{JobId, MeasurementId};
use shared_protocol::time::UnixMicros;

use super::{EndedJob, OpenJob, close, open_columns, open_job};
use crate::error::StoreError;
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// What came of taking a job back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was queued, so it ended at once.
    Ended(EndedJob),
    /// It is with its agent, which is to be told; it ends at the agent's word or at the deadline.
    Requested(OpenJob),
    /// It had its end before.
    AlreadyEnded,
    /// The tenant has no such job.
    NotFound,
}

/// What came of taking a measurement back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CancelledMeasurement {
    /// Its jobs that were queued: they ended at once.
    pub ended: Vec<EndedJob>,
    /// Its jobs that are with their agents, which are to be told.
    pub requested: Vec<OpenJob>,
}

/// Takes a job of the tenant back.
pub async fn request_cancel(tx: &mut Tx, scope: TenantScope, job: JobId, at: UnixMicros) -> Result<CancelOutcome, StoreError> {
    let tenant = scope.tenant().uuid();
    let gone = tx::all(tx, Statement::of(scope, OPEN_QUEUED).bind(job.uuid()).bind(tenant), open_job).await?;
    if let Some(ended) = close(tx, cancelled_now(gone, at), End::Cancelled, None, at)?.into_iter().next() {
        return Ok(CancelOutcome::Ended(ended));
    }
    let statement = Statement::of(scope, REQUEST).bind(job.uuid()).bind(tenant).bind(at.micros());
    if let Some(open) = tx::optional(tx, statement, open_job).await? {
        return Ok(CancelOutcome::Requested(open));
    }
    let known = tx::optional(tx, Statement::of(scope, HAS_JOB).bind(job.uuid()).bind(tenant), |row| row.number::<i64>("n")).await?;
    Ok(if known.is_some() {
        CancelOutcome::AlreadyEnded
    } else {
        CancelOutcome::NotFound
    })
}

/// Takes every open job of a measurement back; none where the tenant has no such measurement.
pub async fn cancel_measurement(
    tx: &mut Tx,
    scope: TenantScope,
    measurement: MeasurementId,
    at: UnixMicros,
) -> Result<Option<CancelledMeasurement>, StoreError> {
    let tenant = scope.tenant().uuid();
    let statement = Statement::of(scope, HAS_MEASUREMENT).bind(measurement.uuid()).bind(tenant);
    if tx::optional(tx, statement, |row| row.number::<i64>("n")).await?.is_none() {
        return Ok(None);
    }
    let gone = tx::all(tx, Statement::of(scope, OPEN_QUEUED_OF).bind(measurement.uuid()).bind(tenant), open_job).await?;
    let ended = close(tx, cancelled_now(gone, at), End::Cancelled, None, at)?;
    let statement = Statement::of(scope, REQUEST_OF).bind(measurement.uuid()).bind(tenant).bind(at.micros());
    let requested = tx::all(tx, statement, open_job).await?;
    Ok(Some(CancelledMeasurement { ended, requested }))
}

fn cancelled_now(mut gone: Vec<OpenJob>, at: UnixMicros) -> Vec<OpenJob> {
    for job in &mut gone {
        job.cancel_requested_at = Some(at);
    }
    gone
}

const OPEN_QUEUED: &str = concat!(
    "DELETE FROM job_open WHERE id = $1 AND tenant = $2 AND state = 'queued' RETURNING ",
    open_columns!()
);
const REQUEST: &str = concat!(
    "UPDATE job_open SET cancel_requested_at = COALESCE(cancel_requested_at, $3) WHERE id = $1 AND tenant = $2 RETURNING ",
    open_columns!()
);
const HAS_JOB: &str = "SELECT CAST(1 AS BIGINT) AS n FROM job WHERE id = $1 AND tenant = $2";
const HAS_MEASUREMENT: &str = "SELECT CAST(1 AS BIGINT) AS n FROM measurement WHERE id = $1 AND tenant = $2";
const OPEN_QUEUED_OF: &str = concat!(
    "DELETE FROM job_open WHERE id IN (SELECT j.id FROM job j WHERE j.measurement = $1) AND tenant = $2 AND state = 'queued' RETURNING ",
    open_columns!()
);
const REQUEST_OF: &str = concat!(
    "UPDATE job_open SET cancel_requested_at = COALESCE(cancel_requested_at, $3)
WHERE id IN (SELECT j.id FROM job j WHERE j.measurement = $1) AND tenant = $2 RETURNING ",
    open_columns!()
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OPEN_QUEUED, REQUEST, HAS_JOB, HAS_MEASUREMENT, OPEN_QUEUED_OF, REQUEST_OF];
