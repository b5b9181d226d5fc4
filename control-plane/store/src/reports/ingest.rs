//! Taking a report in. One transaction stores it, ends its job and moves the outbox on, so that what is acknowledged is on disk.

use control_core::authorize::SystemScope;
use control_core::quota::Spans;
use control_core::retry::{Loss, Return, returned};
use control_core::series::{Good, Measured, Reading, Trust};
use shared_protocol::end::End;
use shared_protocol::fault::{Fault, Status};
use shared_protocol::id::{AgentId, Attempt, Epoch, IncarnationId, JobId, JobRef, Sequence, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::jobs::{self, EndedJob, OpenJob};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};
use crate::usage::{self, Used};

/// A whole report as it came from an agent.
#[derive(Debug, Clone)]
pub struct IncomingReport {
    /// The agent whose session it came over.
    pub agent: AgentId,
    /// That session.
    pub epoch: Epoch,
    /// The life of the outbox that it comes from.
    pub incarnation: IncarnationId,
    /// Its number there.
    pub seq: Sequence,
    /// The job it answers.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// The report's JSON.
    pub body: String,
    /// When the probe began, by the agent's clock.
    pub started_at: UnixMicros,
    /// How long it took, microseconds.
    pub duration_us: u64,
    /// Now.
    pub at: UnixMicros,
    /// The end that it gives its job: completed, or cancelled where the agent was told to stop.
    pub end: End,
    /// What it says, or why it cannot be understood.
    pub readable: Result<Facts, String>,
    /// Drawn evenly: the pause before a retry.
    pub jitter: u32,
}

/// What a report says, as far as it is found again by it and goes into series.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The probe's verdict.
    pub status: Status,
    /// Whose fault it is.
    pub fault: Fault,
    /// When it counts.
    pub measured: Measured,
    /// Its numbers; none where it says nothing about its target.
    pub readings: Vec<Reading>,
}

/// What became of a report. It is acknowledged in every case but [`IngestOutcome::Fenced`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestOutcome {
    /// It is stored, and its job has its end by it.
    Stored(EndedJob),
    /// It is stored beside the end that its job already had.
    Late,
    /// It was taken in before.
    Duplicate,
    /// It is not stored; the reason is.
    Discarded(DiscardReason),
    /// It could not be understood; it is set aside, and its job has failed, unless that had its end already.
    Quarantined(Option<EndedJob>),
    /// It could not be understood; it is set aside, and its job is queued again, as its retry policy says.
    Retried(Box<OpenJob>),
    /// The session is not the agent's latest, or the agent may not work any more: nothing was changed.
    Fenced,
}

/// Why a report is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiscardReason {
    /// No such job of this agent.
    UnknownJob,
    /// The job was handed out again since.
    FencedAttempt,
    /// Somebody took the job back.
    Cancelled,
    /// The job has its end, and there is nothing to add.
    AlreadyEnded,
    /// A report of the job is stored already.
    AlreadyReported,
}

impl DiscardReason {
    /// The name in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownJob => "unknown_job",
            Self::FencedAttempt => "fenced_attempt",
            Self::Cancelled => "cancelled",
            Self::AlreadyEnded => "already_ended",
            Self::AlreadyReported => "already_reported",
        }
    }
}

/// Takes a report in.
pub async fn ingest(tx: &mut Tx, system: SystemScope, report: &IncomingReport) -> Result<IngestOutcome, StoreError> {
    let statement = Statement::own(SESSION).bind(report.agent.uuid()).bind(report.epoch.0);
    let Some(outbox) = tx::optional(tx, statement, outbox).await? else {
        return Ok(IngestOutcome::Fenced);
    };
    let taken_up_to = outbox
        .filter(|(incarnation, _)| *incarnation == report.incarnation)
        .map_or(0, |(_, up_to)| up_to);
    if report.seq.value() <= taken_up_to {
        return Ok(IngestOutcome::Duplicate);
    }
    if report.seq.value() > taken_up_to + 1 {
        record_gap(tx, report, taken_up_to + 1).await?;
    }
    move_outbox(tx, report).await?;
    match &report.readable {
        Ok(facts) => store(tx, report, facts).await,
        Err(why) => quarantine(tx, system, report, why).await,
    }
}

async fn store(tx: &mut Tx, report: &IncomingReport, facts: &Facts) -> Result<IngestOutcome, StoreError> {
    if let Some(ended) = end(tx, report, report.end, None).await? {
        insert(tx, report, facts, ended.tier, Timing::InTime).await?;
        return Ok(IngestOutcome::Stored(ended));
    }
    let statement = Statement::own(STANDING).bind(report.job.uuid()).bind(report.agent.uuid());
    match judge(tx::optional(tx, statement, standing).await?, report.attempt) {
        Ok((tenant, retention_class)) => {
            if insert(tx, report, facts, retention_class, Timing::Late).await? {
                usage::add(tx, Spans::of(report.at).day, &[(tenant, spent(report))]).await?;
                Ok(IngestOutcome::Late)
            } else {
                discard(tx, report, DiscardReason::AlreadyReported).await
            }
        }
        Err(reason) => discard(tx, report, reason).await,
    }
}

/// The gate: whoever takes the row out of `job_open` writes the end.
async fn end(tx: &mut Tx, report: &IncomingReport, end: End, reason: Option<&str>) -> Result<Option<EndedJob>, StoreError> {
    let gone = jobs::take_handed_out(tx, report.agent, report.job, report.attempt).await?;
    Ok(jobs::close_with(tx, gone, end, reason, report.at, spent(report)).await?.into_iter().next())
}

/// What the report stands for in the tenant's usage, whether it can be understood or not.
fn spent(report: &IncomingReport) -> Used {
    Used {
        agent_us: report.duration_us.min(DURATION_MAX_US),
        report_bytes: u64::try_from(report.body.len()).unwrap_or(u64::MAX),
        ..Used::default()
    }
}

/// Where the job of a report stands that did not pass the gate.
struct Standing {
    tenant: TenantId,
    outcome: Option<End>,
    reason: Option<String>,
    attempt: Attempt,
    retention_class: Tier,
}

/// Whether a report that did not end its job is kept beside the end, for whom, and in which retention class.
fn judge(standing: Option<Standing>, attempt: Attempt) -> Result<(TenantId, Tier), DiscardReason> {
    let standing = standing.ok_or(DiscardReason::UnknownJob)?;
    let outcome = standing.outcome.ok_or(DiscardReason::FencedAttempt)?;
    if standing.attempt != attempt {
        return Err(DiscardReason::FencedAttempt);
    }
    match outcome {
        End::Expired => Ok((standing.tenant, standing.retention_class)),
        End::Failed if standing.reason.as_deref() == Some(AGENT_LOST) => Ok((standing.tenant, standing.retention_class)),
        End::Cancelled => Err(DiscardReason::Cancelled),
        End::Completed | End::Failed | End::Refused => Err(DiscardReason::AlreadyEnded),
    }
}

async fn quarantine(tx: &mut Tx, system: SystemScope, report: &IncomingReport, why: &str) -> Result<IngestOutcome, StoreError> {
    let statement = Statement::own(QUARANTINE)
        .bind(report.agent.uuid())
        .bind(report.incarnation.uuid())
        .bind(sequence(report.seq.value()))
        .bind(report.job.uuid())
        .bind(report.attempt.0)
        .bind(why.to_owned())
        .bind(report.body.clone())
        .bind(report.at.micros());
    tx::execute(tx, statement).await?;
    if let Some(again) = retry(tx, system, report).await? {
        return Ok(IngestOutcome::Retried(Box::new(again)));
    }
    Ok(IngestOutcome::Quarantined(end(tx, report, End::Failed, Some(BAD_REPORT)).await?))
}

/// Queues the job of a report that could not be understood again, if its policy says so.
async fn retry(tx: &mut Tx, system: SystemScope, report: &IncomingReport) -> Result<Option<OpenJob>, StoreError> {
    let job = JobRef {
        job: report.job,
        attempt: report.attempt,
    };
    let Some(open) = jobs::handed_out(tx, system, report.agent, job).await? else {
        return Ok(None);
    };
    let left = open.deadline_at.since(report.at);
    match returned(open.retry, report.attempt, Loss::BadReport, left, report.jitter) {
        Return::Queue { after } => {
            let again = jobs::requeue(tx, system, report.agent, &[job], Some(report.at.plus(after))).await?;
            Ok(again.into_iter().next())
        }
        Return::End => Ok(None),
    }
}

async fn discard(tx: &mut Tx, report: &IncomingReport, reason: DiscardReason) -> Result<IngestOutcome, StoreError> {
    let seq = sequence(report.seq.value());
    record(tx, report, (seq, seq), Some(report.job), reason.as_str()).await?;
    Ok(IngestOutcome::Discarded(reason))
}

/// Reports that the agent gave up leave a gap in the numbers; that is noted, not an error.
async fn record_gap(tx: &mut Tx, report: &IncomingReport, first: u64) -> Result<(), StoreError> {
    let last = report.seq.value() - 1;
    record(tx, report, (sequence(first), sequence(last)), None, GAP).await
}

async fn record(tx: &mut Tx, report: &IncomingReport, (first, last): (i64, i64), job: Option<JobId>, why: &'static str) -> Result<(), StoreError> {
    let statement = Statement::own(DISCARD)
        .bind(report.agent.uuid())
        .bind(report.incarnation.uuid())
        .bind(first)
        .bind(last)
        .bind(job.map(JobId::uuid))
        .bind(why)
        .bind(report.at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

async fn move_outbox(tx: &mut Tx, report: &IncomingReport) -> Result<(), StoreError> {
    let statement = Statement::own(MOVE_OUTBOX)
        .bind(report.agent.uuid())
        .bind(report.incarnation.uuid())
        .bind(sequence(report.seq.value()));
    tx::execute(tx, statement).await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Timing {
    InTime,
    Late,
}

/// Stores the report, and that its numbers are to go into series; says whether there was none of this job yet.
async fn insert(tx: &mut Tx, report: &IncomingReport, facts: &Facts, retention_class: Tier, timing: Timing) -> Result<bool, StoreError> {
    let late = match timing {
        Timing::InTime => 0_i64,
        Timing::Late => 1,
    };
    let skewed = match facts.measured.trust {
        Trust::Plausible => 0_i64,
        Trust::Skewed => 1,
    };
    let statement = Statement::own(INSERT)
        .bind(retention_class.as_str())
        .bind(report.job.uuid())
        .bind(report.attempt.0)
        .bind(late)
        .bind(facts.status.as_str())
        .bind(facts.fault.as_str())
        .bind(report.started_at.micros())
        .bind(facts.measured.at.micros())
        .bind(skewed)
        .bind(report.at.micros())
        .bind(report.body.clone());
    let fresh = tx::execute(tx, statement).await? > 0;
    if fresh && !facts.readings.is_empty() {
        let good = match facts.good() {
            Good::Yes => 1_i64,
            Good::No => 0,
        };
        let statement = Statement::own(INSERT_DUE)
            .bind(report.job.uuid())
            .bind(facts.measured.at.micros())
            .bind(good)
            .bind(row::json(&facts.readings)?);
        tx::execute(tx, statement).await?;
    }
    Ok(fresh)
}

impl Facts {
    /// Whether the answer was as it should be.
    pub const fn good(&self) -> Good {
        match self.status {
            Status::Ok => Good::Yes,
            Status::Degraded | Status::Failed | Status::Timeout => Good::No,
        }
    }
}

fn sequence(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn outbox(row: &Row) -> Result<Option<(IncarnationId, u64)>, RowError> {
    let incarnation = row.uuid_or_none("incarnation")?.map(IncarnationId::from_uuid);
    Ok(incarnation.zip(row.number_or_none("up_to")?))
}

fn standing(row: &Row) -> Result<Standing, RowError> {
    Ok(Standing {
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        outcome: row.known_or_none("outcome")?,
        reason: row.text_or_none("reason")?,
        attempt: Attempt(row.number_or_none("attempt")?.unwrap_or(0)),
        retention_class: row.known("retention_class")?,
    })
}

/// Longest run that is counted, microseconds: an agent may say anything.
const DURATION_MAX_US: u64 = 86_400_000_000;
/// The reason of a job whose agent lost it.
const AGENT_LOST: &str = "agent_lost";
/// The reason of a job whose report could not be understood.
const BAD_REPORT: &str = "bad_report";
/// Why numbers are missing that were never sent.
const GAP: &str = "gap";

const SESSION: &str = "SELECT o.incarnation, o.up_to FROM agent_session s JOIN agent a ON a.id = s.agent
LEFT JOIN agent_outbox o ON o.agent = s.agent WHERE s.agent = $1 AND s.epoch = $2 AND a.state = 'active'";
const MOVE_OUTBOX: &str = "INSERT INTO agent_outbox (agent, incarnation, up_to) VALUES ($1, $2, $3)
ON CONFLICT (agent) DO UPDATE SET incarnation = excluded.incarnation, up_to = excluded.up_to";
const INSERT: &str = "INSERT INTO report
(retention_class, job, tenant, attempt, late, probe, target, status, fault, started_at, measured_at, skewed, received_at, body)
SELECT $1, j.id, j.tenant, $3, $4, m.probe, m.target, $5, $6, $7, $8, $9, $10, $11 FROM job j JOIN measurement m ON m.id = j.measurement
WHERE j.id = $2 ON CONFLICT (retention_class, job) DO NOTHING";
const INSERT_DUE: &str = "INSERT INTO series_due (job, tenant, agent, probe, target, at, good, readings)
SELECT j.id, j.tenant, j.agent, m.probe, m.target, $2, $3, $4 FROM job j JOIN measurement m ON m.id = j.measurement WHERE j.id = $1";
const STANDING: &str = "SELECT tenant, outcome, reason, attempt, retention_class FROM job WHERE id = $1 AND agent = $2";
const DISCARD: &str = "INSERT INTO report_discarded (agent, incarnation, seq, last_seq, job, why, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (agent, incarnation, seq) DO NOTHING";
const QUARANTINE: &str = "INSERT INTO report_quarantine (agent, incarnation, seq, job, attempt, why, body, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (agent, incarnation, seq) DO NOTHING";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SESSION, MOVE_OUTBOX, INSERT, INSERT_DUE, STANDING, DISCARD, QUARANTINE];
