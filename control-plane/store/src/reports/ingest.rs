//! Taking reports in. One transaction stores them, ends their jobs and moves the outboxes on, so that what is acknowledged is on disk.

use std::collections::{HashMap, HashSet};

use control_core::authorize::SystemScope;
use control_core::series::{Good, Measured, Reading};
use shared_protocol::end::End;
use shared_protocol::fault::{Fault, Status};
use shared_protocol::id::{AgentId, Attempt, Epoch, IncarnationId, JobId, JobRef, Sequence};
use shared_protocol::standing::StandingWindow;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::jobs::{EndedJob, OpenJob};
use crate::tx::Tx;
use crate::usage::Used;

mod aside;
mod discarded;
mod gate;
mod in_time;
mod insert;
mod late;
mod outbox;
mod windows;

use gate::Gate;
use outbox::Taken;
use windows::Window;

/// Reports that came over one session, in their order. They are taken in together or not at all.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// On whose behalf.
    pub scope: SystemScope,
    /// The agent.
    pub agent: AgentId,
    /// Its session.
    pub epoch: Epoch,
    /// The life of the outbox that they come from.
    pub incarnation: IncarnationId,
    /// The reports.
    pub reports: Vec<IncomingReport>,
}

/// A whole report as it came from an agent.
#[derive(Debug, Clone)]
pub struct IncomingReport {
    /// Its number in its outbox.
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
    /// What it is a window of; absent where it answers a job.
    pub window: Option<IncomingWindow>,
}

/// The window of a standing observation that a report is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingWindow {
    /// The id it gets: in the order in which windows count.
    pub id: JobId,
    /// What the agent says it is.
    pub window: StandingWindow,
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
    /// It is stored as a window of a standing observation.
    Window,
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
    /// A report of the job, or of the window, is stored already.
    AlreadyReported,
    /// No such standing observation was ever wanted of this agent, or it was deleted.
    UnknownStanding,
    /// There cannot have been so many windows, or one so long.
    TooManyWindows,
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
            Self::UnknownStanding => "unknown_standing",
            Self::TooManyWindows => "too_many_windows",
        }
    }
}

/// A report, and where it came from.
#[derive(Debug, Clone, Copy)]
struct Arrived<'a> {
    from: &'a Ingest,
    report: &'a IncomingReport,
}

/// Takes reports in, as if they came one after the other.
pub async fn ingest(tx: &mut Tx, all: &[Ingest]) -> Result<Vec<Vec<IngestOutcome>>, StoreError> {
    let (taken, mut gate) = outbox::take(tx, all).await?;
    let fresh: Vec<Arrived<'_>> = taken.iter().filter_map(Taken::fresh).collect();
    let mut settled = Vec::with_capacity(fresh.len());
    let mut rest = fresh.as_slice();
    while !rest.is_empty() {
        let (wave, later) = rest.split_at(wave(rest));
        settled.append(&mut settle(tx, wave, &mut gate).await?);
        rest = later;
    }
    gate.shut()?;
    let (mut taken, mut settled) = (taken.into_iter(), settled.into_iter());
    let mut next = |_: &IncomingReport| match taken.next()? {
        Taken::Known(outcome) => Some(outcome),
        Taken::Fresh(_) => settled.next(),
    };
    Ok(all.iter().map(|from| from.reports.iter().filter_map(&mut next).collect()).collect())
}

/// How many of these reports are settled at once: none of them is of the same job as another, and their bytes have a bound.
fn wave(of: &[Arrived<'_>]) -> usize {
    let (mut jobs, mut bytes) = (HashSet::with_capacity(of.len()), 0_usize);
    let mut fits = |arrived: &Arrived<'_>| {
        bytes += arrived.report.body.len();
        jobs.insert(arrived.report.job) && bytes <= WAVE_BYTES
    };
    of.iter().take_while(|arrived| fits(arrived)).count().max(1)
}

/// Settles reports of as many jobs; one outcome for each, in their order.
async fn settle(tx: &mut Tx, wave: &[Arrived<'_>], gate: &mut Gate) -> Result<Vec<IngestOutcome>, StoreError> {
    let (mut readable, mut windows, mut unreadable) = (Vec::with_capacity(wave.len()), Vec::new(), Vec::new());
    for &arrived in wave {
        match (&arrived.report.readable, &arrived.report.window) {
            (Ok(facts), Some(of)) => windows.push(Window { arrived, facts, of }),
            (Ok(facts), None) => readable.push((arrived, facts)),
            (Err(why), _) => unreadable.push((arrived, why.as_str())),
        }
    }
    let mut outcomes = HashMap::with_capacity(wave.len());
    let untimely = in_time::store(tx, gate, readable, &mut outcomes).await?;
    late::judge(tx, untimely, &mut outcomes).await?;
    windows::store(tx, windows, &mut outcomes).await?;
    aside::set(tx, unreadable, &mut outcomes).await?;
    Ok(wave.iter().filter_map(|arrived| outcomes.remove(&arrived.report.job)).collect())
}

impl Arrived<'_> {
    /// The job, as the agent was handed it.
    const fn job(&self) -> JobRef {
        JobRef {
            job: self.report.job,
            attempt: self.report.attempt,
        }
    }

    /// What the report stands for in the tenant's usage, whether it can be understood or not.
    fn spent(&self) -> Used {
        Used {
            agent_us: self.report.duration_us.min(DURATION_MAX_US),
            report_bytes: u64::try_from(self.report.body.len()).unwrap_or(u64::MAX),
            ..Used::default()
        }
    }
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

/// Most bytes of the reports that one statement carries, unless a single one is longer.
const WAVE_BYTES: usize = 8 * 1024 * 1024;
/// Longest run that is counted, microseconds: an agent may say anything.
const DURATION_MAX_US: u64 = 86_400_000_000;

#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[
    aside::STATEMENTS,
    discarded::STATEMENTS,
    insert::STATEMENTS,
    late::STATEMENTS,
    outbox::STATEMENTS,
    windows::STATEMENTS,
];
