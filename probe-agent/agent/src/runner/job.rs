//! One job, from its place in the line to its report on disk.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use shared_protocol::codec::encode_report;
use shared_protocol::event::ProbeEvent;
use shared_protocol::fault::{ErrorCode, Status};
use shared_protocol::id::JobRef;
use shared_protocol::limits::REPORT_BYTES;
use shared_protocol::report::Report;
use shared_protocol::spec::ProbeSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::engine::ProbeEngine;
use super::verdict;
use crate::clock;
use crate::outbox::Outbox;

/// A job that was admitted.
pub(crate) struct Job {
    pub(crate) id: JobRef,
    pub(crate) spec: ProbeSpec,
    pub(crate) deadline: MonotonicMicros,
    pub(crate) cancel: CancellationToken,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) engine: Arc<dyn ProbeEngine>,
    pub(crate) findings: mpsc::Sender<(JobRef, ProbeEvent)>,
}

impl Job {
    /// Runs the job and puts its report on disk, however long the disk refuses.
    pub(super) async fn run_to_disk(self, outbox: Outbox) -> JobRef {
        let job = self.id;
        let body = text_of(&self.run().await);
        keep(&outbox, job, &body).await;
        job
    }

    /// Runs the job to its report, whatever its probe does.
    pub(crate) async fn run(self) -> Report {
        let slots = Arc::clone(&self.slots);
        let at = clock::wall();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => verdict::without_findings(Status::Failed, ErrorCode::Cancelled, "the job was taken back before it began", at),
            () = clock::sleep_until(self.deadline) => {
                verdict::without_findings(Status::Timeout, ErrorCode::Timeout, "the job's time ran out while it waited for its turn", at)
            }
            // Held to the end of this branch: the probe runs with it.
            _slot = slots.acquire() => self.probe().await,
        }
    }

    async fn probe(self) -> Report {
        let limit = self.deadline.min(clock::monotonic().plus(self.spec.timeout()));
        let (events, mut found) = mpsc::channel(EVENTS);
        let stop = self.cancel.child_token();
        let probe = AssertUnwindSafe(self.engine.run(&self.spec, events, stop.clone())).catch_unwind();
        tokio::pin!(probe);
        let report = loop {
            tokio::select! {
                biased;
                Some(finding) = found.recv() => self.tell(finding),
                report = &mut probe => break report,
                () = clock::sleep_until(limit), if !stop.is_cancelled() => stop.cancel(),
                () = clock::sleep_until(limit.plus(OBEDIENCE)) => {
                    tracing::error!(job_id = %self.id.job, "a probe did not end when it was told to");
                    break Ok(verdict::without_findings(Status::Failed, ErrorCode::Internal, "the probe did not end in time", clock::wall()));
                }
            }
        };
        while let Ok(finding) = found.try_recv() {
            self.tell(finding);
        }
        match report {
            Ok(report) if self.cancel.is_cancelled() => report,
            Ok(report) => verdict::out_of_time(report),
            Err(_) => {
                tracing::error!(job_id = %self.id.job, "a probe panicked");
                verdict::without_findings(Status::Failed, ErrorCode::Internal, "the probe broke; the agent's log says how", clock::wall())
            }
        }
    }

    /// Best effort: without room the finding is dropped, the report holds it again.
    fn tell(&self, finding: ProbeEvent) {
        let _ = self.findings.try_send((self.id, finding));
    }
}

/// The text of a report, without its findings where no frames could carry them.
pub(crate) fn text_of(report: &Report) -> String {
    let body = encode_report(report);
    if body.len() <= REPORT_BYTES {
        return body;
    }
    let report = shared_protocol::codec::decode_report(&body).map(verdict::shortened);
    let fallback = |_| verdict::without_findings(Status::Failed, ErrorCode::Internal, "the report was too long", clock::wall());
    encode_report(&report.unwrap_or_else(fallback))
}

/// Tries until the report is on disk: a report is never dropped while the process lives, and no new jobs are taken meanwhile.
async fn keep(outbox: &Outbox, job: JobRef, body: &str) {
    let mut delay = RETRY_FIRST;
    while let Err(error) = outbox.append(job, body, clock::wall()).await {
        tracing::error!(job_id = %job.job, %error, "a report could not be kept, trying again");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_LAST);
    }
}

/// Most findings of one job that wait; the probe drops what does not fit.
const EVENTS: usize = 64;
/// How long a probe may take to end after it was told to.
const OBEDIENCE: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(30);
