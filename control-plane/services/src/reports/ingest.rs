//! Takes a report in: read, stored once with its job's end, then acknowledged.

use control_api::measurement::JobReport;
use control_api::stream::StreamEvent;
use control_core::authorize::SystemScope;
use control_core::board::Returned;
use control_core::series::{measured_at, readings};
use control_store::StoreError;
use control_store::reports::{Facts, IncomingReport, IngestOutcome};
use shared_protocol::codec::decode_report;
use shared_protocol::end::End;
use shared_protocol::fault::ErrorCode;
use shared_protocol::id::{AgentId, Epoch, IncarnationId, JobRef, Sequence};
use shared_protocol::report::Report;
use shared_protocol::time::UnixMicros;

use crate::clock;
use crate::jobs::Lifecycle;
use crate::metrics::OutcomeLabel;

/// A report as it came from its session.
pub(crate) struct Ingestion {
    pub(crate) agent: AgentId,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: IncarnationId,
    pub(crate) seq: Sequence,
    pub(crate) job: JobRef,
    pub(crate) body: String,
}

/// What came of a report.
pub(crate) enum Ingested {
    /// Everything up to here is on disk and may be acknowledged.
    UpTo(Sequence),
    /// The session does not count any more; nothing was changed.
    Fenced,
}

impl Ingestion {
    /// Stores the report; a report that cannot be read, or that nobody waits for, is put aside with its reason and acknowledged all the same.
    pub(crate) async fn run(self, lifecycle: &Lifecycle) -> Result<Ingested, StoreError> {
        let report = decode_report(&self.body);
        let at = clock::now();
        let incoming = IncomingReport {
            agent: self.agent,
            epoch: self.epoch,
            incarnation: self.incarnation,
            seq: self.seq,
            job: self.job.job,
            attempt: self.job.attempt,
            body: self.body,
            started_at: report.as_ref().map_or(at, |report| report.started_at_us),
            duration_us: report.as_ref().map_or(0, |report| report.duration_us),
            at,
            end: report.as_ref().map_or(End::Failed, end_of),
            readable: report.as_ref().map(|report| facts(self.job, report, at)).map_err(ToString::to_string),
            jitter: clock::random_jitter(),
        };
        let outcome = lifecycle
            .store
            .write(move |tx| Box::pin(async move { control_store::reports::ingest(tx, SystemScope::for_own_work(), &incoming).await }))
            .await?;
        lifecycle.metrics.reports.get_or_create(&OutcomeLabel { outcome: name(&outcome) }).inc();
        if matches!(outcome, IngestOutcome::Stored(_) | IngestOutcome::Late) {
            lifecycle.series.report_stored();
        }
        match outcome {
            IngestOutcome::Stored(ended) => {
                if let Ok(report) = report {
                    let actual = actual_cost(&report);
                    let published = JobReport {
                        job: ended.job.to_string(),
                        measurement: ended.measurement.to_string(),
                        agent: self.agent.to_string(),
                        received_at: at.into(),
                        started_at: report.started_at_us.into(),
                        late: false,
                        cached: false,
                        report,
                    };
                    lifecycle.bus.publish(ended.measurement, &StreamEvent::Report(published));
                    lifecycle.ended(&ended, Some(actual)).await;
                }
            }
            IngestOutcome::Fenced => return Ok(Ingested::Fenced),
            IngestOutcome::Quarantined(Some(ended)) => lifecycle.ended(&ended, None).await,
            IngestOutcome::Retried(open) => {
                let returned = open.not_before.map_or(Returned::Used, Returned::Held);
                lifecycle.dispatch.returned(self.agent, self.job, returned).await;
            }
            IngestOutcome::Quarantined(None) | IngestOutcome::Late | IngestOutcome::Duplicate | IngestOutcome::Discarded(_) => {
                tracing::info!(agent = %self.agent, job_id = %self.job.job, outcome = name(&outcome), "a report was taken in without ending a job");
            }
        }
        Ok(Ingested::UpTo(self.seq))
    }
}

/// What is kept of a report beside itself.
fn facts(job: JobRef, report: &Report, received_at: UnixMicros) -> Facts {
    Facts {
        status: report.status,
        fault: report.fault,
        measured: measured_at(job.job, report.started_at_us, received_at),
        readings: readings(report),
    }
}

const fn name(outcome: &IngestOutcome) -> &'static str {
    match outcome {
        IngestOutcome::Stored(_) => "stored",
        IngestOutcome::Late => "late",
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
