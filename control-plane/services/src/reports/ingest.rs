//! Takes reports in: read, stored once with their jobs' ends, then acknowledged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control_api::measurement::JobReport;
use control_api::stream::StreamEvent;
use control_core::authorize::SystemScope;
use control_core::board::Returned;
use control_core::series::{Measured, asked_at, measured_at, measured_since, readings};
use control_store::StoreError;
use control_store::reports::{Facts, IncomingReport, IncomingWindow, Ingest, IngestOutcome};
use shared_protocol::codec::decode_report;
use shared_protocol::end::End;
use shared_protocol::fault::ErrorCode;
use shared_protocol::id::{AgentId, Epoch, IncarnationId, JobId, JobRef, Sequence};
use shared_protocol::report::Report;
use shared_protocol::standing::StandingWindow;
use shared_protocol::time::UnixMicros;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock;
use crate::jobs::Lifecycle;
use crate::metrics::OutcomeLabel;

/// The reports of one session on their way to the store, in their order: those that come while a commit is under way share the next one.
/// They are bounded by their bytes; where there is no room, the session reads nothing more.
pub(crate) struct Intake {
    lifecycle: Lifecycle,
    agent: AgentId,
    epoch: Epoch,
    incarnation: IncarnationId,
    waiting: Mutex<Waiting>,
    /// In units of [`ROOM_UNIT`] bytes.
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    arrivals: Vec<Arrival>,
    work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Work {
    /// Nobody is at work; whoever brings a report begins.
    #[default]
    Idle,
    /// A task takes what waits.
    Busy,
    /// One could not be stored: what comes after it must not be, or it would count as given up.
    Over,
}

/// A report as it came from its session.
struct Arrival {
    job: JobRef,
    incoming: IncomingReport,
    report: Option<Report>,
    _room: OwnedSemaphorePermit,
}

/// What came of reports.
pub(crate) enum Ingested {
    /// Everything up to here is on disk and may be acknowledged.
    UpTo(Sequence),
    /// The session does not count any more; nothing was changed.
    Fenced,
    /// Nothing was changed, and nothing more is taken in over this session.
    Failed(StoreError),
}

impl Intake {
    pub(crate) fn new(lifecycle: Lifecycle, agent: AgentId, epoch: Epoch, incarnation: IncarnationId) -> Arc<Self> {
        Arc::new(Self {
            lifecycle,
            agent,
            epoch,
            incarnation,
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM)),
        })
    }

    /// Takes a report, and says by `told` what came of it and those before it. A report that cannot be read, or that nobody waits for, is put
    /// aside with its reason and acknowledged all the same.
    pub(crate) async fn take(self: &Arc<Self>, seq: Sequence, job: JobRef, body: String, told: impl Fn(Ingested) + Send + Sync + 'static) {
        let units = u32::try_from(body.len().div_ceil(ROOM_UNIT).clamp(1, ROOM)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(units).await else {
            return;
        };
        let arrival = Arrival::read(seq, job, body, room);
        let mut waiting = self.lock();
        match waiting.work {
            Work::Over => {}
            Work::Busy => waiting.arrivals.push(arrival),
            Work::Idle => {
                waiting.arrivals.push(arrival);
                waiting.work = Work::Busy;
                drop(waiting);
                let intake = Arc::clone(self);
                self.lifecycle.tasks.spawn(async move { intake.work(told).await });
            }
        }
    }

    /// Stores what waits until nothing does.
    async fn work(&self, told: impl Fn(Ingested) + Send + Sync) {
        while let Some(arrivals) = self.next() {
            let ingested = self.store(arrivals, &told).await;
            let goes_on = matches!(ingested, Ingested::UpTo(_));
            told(ingested);
            if !goes_on {
                let mut waiting = self.lock();
                waiting.work = Work::Over;
                waiting.arrivals.clear();
                return;
            }
        }
    }

    fn next(&self) -> Option<Vec<Arrival>> {
        let mut waiting = self.lock();
        if waiting.arrivals.is_empty() {
            waiting.work = Work::Idle;
            return None;
        }
        Some(std::mem::take(&mut waiting.arrivals))
    }

    /// Stores reports together. Where one of them cannot be, those before it are stored by themselves.
    async fn store(&self, arrivals: Vec<Arrival>, told: &impl Fn(Ingested)) -> Ingested {
        match self.try_store(&arrivals).await {
            Err(error) if arrivals.len() > 1 && !error.is_retryable() => {}
            Err(error) => return Ingested::Failed(error),
            Ok(outcomes) => return self.settle(arrivals, outcomes).await,
        }
        let mut last = Ingested::Fenced;
        for arrival in arrivals {
            let alone = vec![arrival];
            last = match self.try_store(&alone).await {
                Ok(outcomes) => self.settle(alone, outcomes).await,
                Err(error) => Ingested::Failed(error),
            };
            match last {
                Ingested::UpTo(seq) => told(Ingested::UpTo(seq)),
                Ingested::Fenced | Ingested::Failed(_) => break,
            }
        }
        last
    }

    async fn try_store(&self, arrivals: &[Arrival]) -> Result<Vec<IngestOutcome>, StoreError> {
        let ingest = Ingest {
            scope: SystemScope::for_own_work(),
            agent: self.agent,
            epoch: self.epoch,
            incarnation: self.incarnation,
            reports: arrivals.iter().map(|arrival| arrival.incoming.clone()).collect(),
        };
        self.lifecycle.store.submit(ingest).await
    }

    /// Makes known what is on disk.
    async fn settle(&self, arrivals: Vec<Arrival>, outcomes: Vec<IngestOutcome>) -> Ingested {
        let mut ingested = Ingested::Fenced;
        for (arrival, outcome) in arrivals.into_iter().zip(outcomes) {
            if outcome == IngestOutcome::Fenced {
                return Ingested::Fenced;
            }
            ingested = Ingested::UpTo(arrival.incoming.seq);
            self.made_known(arrival, outcome).await;
        }
        ingested
    }

    async fn made_known(&self, arrival: Arrival, outcome: IngestOutcome) {
        let lifecycle = &self.lifecycle;
        let Arrival { job, incoming, report, .. } = arrival;
        lifecycle.metrics.reports.get_or_create(&OutcomeLabel { outcome: name(&outcome) }).inc();
        if matches!(outcome, IngestOutcome::Stored(_) | IngestOutcome::Late | IngestOutcome::Window) {
            lifecycle.series.report_stored();
        }
        match outcome {
            IngestOutcome::Stored(ended) => {
                let Some(report) = report else { return };
                let actual = actual_cost(&report);
                let published = || {
                    StreamEvent::Report(JobReport {
                        job: ended.job.to_string(),
                        measurement: ended.measurement.to_string(),
                        agent: self.agent.to_string(),
                        received_at: incoming.at.into(),
                        started_at: report.started_at_us.into(),
                        late: false,
                        cached: false,
                        report,
                    })
                };
                lifecycle.bus.publish_at_end(ended.measurement, published);
                lifecycle.ended(&ended, Some(actual)).await;
            }
            // Whoever reads it asks for it.
            IngestOutcome::Window => {}
            IngestOutcome::Quarantined(Some(ended)) => lifecycle.ended(&ended, None).await,
            IngestOutcome::Retried(open) => {
                let returned = open.not_before.map_or(Returned::Used, Returned::Held);
                lifecycle.dispatch.returned(self.agent, job, returned).await;
            }
            IngestOutcome::Quarantined(None) | IngestOutcome::Late | IngestOutcome::Duplicate | IngestOutcome::Discarded(_) | IngestOutcome::Fenced => {
                tracing::info!(agent = %self.agent, job_id = %job.job, outcome = name(&outcome), "a report was taken in without ending a job");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    fn read(seq: Sequence, job: JobRef, body: String, room: OwnedSemaphorePermit) -> Self {
        let read = decode_report(&body);
        let at = clock::now();
        let measured = read.as_ref().map_or_else(|_| measured_at(job.job, at, at), |report| when(job, report, at));
        let window = read.as_ref().ok().and_then(|report| report.standing);
        let incoming = IncomingReport {
            seq,
            job: job.job,
            attempt: job.attempt,
            body,
            started_at: read.as_ref().map_or(at, |report| report.started_at_us),
            duration_us: read.as_ref().map_or(0, |report| report.duration_us),
            at,
            end: read.as_ref().map_or(End::Failed, end_of),
            readable: read.as_ref().map(|report| facts(report, measured)).map_err(ToString::to_string),
            jitter: clock::random_jitter(),
            window: window.map(|window| IncomingWindow {
                id: JobId::new(measured.at, clock::random_id_bytes()),
                window,
            }),
        };
        Self {
            job,
            incoming,
            report: read.ok(),
            _room: room,
        }
    }
}

/// When a report counts: no window of a standing observation begins before that was made.
fn when(job: JobRef, report: &Report, received_at: UnixMicros) -> Measured {
    match report.standing {
        Some(StandingWindow { id, .. }) => measured_since(asked_at(JobId::from_uuid(id.uuid())), report.started_at_us, received_at),
        None => measured_at(job.job, report.started_at_us, received_at),
    }
}

/// What is kept of a report beside itself.
fn facts(report: &Report, measured: Measured) -> Facts {
    Facts {
        status: report.status,
        fault: report.fault,
        measured,
        readings: readings(report),
    }
}

const fn name(outcome: &IngestOutcome) -> &'static str {
    match outcome {
        IngestOutcome::Stored(_) => "stored",
        IngestOutcome::Late => "late",
        IngestOutcome::Window => "window",
        IngestOutcome::Duplicate => "duplicate",
        IngestOutcome::Discarded(reason) => reason.as_str(),
        IngestOutcome::Quarantined(_) => "quarantined",
        IngestOutcome::Retried(_) => "retried",
        IngestOutcome::Fenced => "fenced",
    }
}

/// A report that says the job was taken back ends it as cancelled; any other, whatever it found, completes it.
fn end_of(report: &Report) -> End {
    match report.error.as_ref().map(|error| error.code) {
        Some(ErrorCode::Cancelled) => End::Cancelled,
        _ => End::Completed,
    }
}

/// What the job really cost: the agent-seconds that it began, at least one. The queue bounds what it believes.
fn actual_cost(report: &Report) -> u32 {
    u32::try_from(report.duration_us.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1)
}

/// What the room for reports on their way is counted in, bytes.
const ROOM_UNIT: usize = 1_024;
/// Units of room for the reports of one session; one that is longer takes all of it.
const ROOM: usize = 1_024;

#[cfg(test)]
mod tests;
