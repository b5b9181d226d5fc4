//! Jobs in hand: what may begin, how many run at once, how long they may take, and that each of them ends in a report on disk.
//!
//! A [`Runner`] outlives connections. Each job is one task of its own; findings come back by one bounded channel (a finding for which
//! there is no room is dropped, the report holds it again), the report goes to the outbox before the job counts as finished.

pub(crate) mod admission;
mod engine;
pub(crate) mod job;
#[cfg(test)]
pub(crate) mod stub;
mod verdict;

pub use admission::Admission;
pub use engine::{AgentClock, LocalProbes, ProbeEngine};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::{Capability, Refuse, Run};
use shared_protocol::id::{JobId, JobRef};
use shared_protocol::limits::COST_MAX;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::outbox::Outbox;
use crate::policy::{LocalAddresses, Policy};
use job::Job;

/// The jobs in hand.
#[derive(Debug)]
pub struct Runner {
    engine: Arc<dyn ProbeEngine>,
    policy: Arc<Policy>,
    outbox: Outbox,
    slots: Arc<Semaphore>,
    tasks: JoinSet<JobRef>,
    held: BTreeMap<JobRef, CancellationToken>,
    findings: mpsc::Sender<(JobRef, ProbeEvent)>,
    received: mpsc::Receiver<(JobRef, ProbeEvent)>,
    admission: Admission,
}

/// What a job in hand has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A partial finding.
    Finding(JobRef, ProbeEvent),
    /// Its report is on disk; it is no longer in hand.
    Finished(JobRef),
}

impl Runner {
    /// A runner without jobs.
    pub fn new(engine: Arc<dyn ProbeEngine>, policy: Arc<Policy>, outbox: Outbox) -> Self {
        let slots = usize::try_from(policy.rules().max_concurrency).unwrap_or(1);
        let (findings, received) = mpsc::channel(FINDINGS);
        Self {
            engine,
            policy,
            outbox,
            slots: Arc::new(Semaphore::new(slots)),
            tasks: JoinSet::new(),
            held: BTreeMap::new(),
            findings,
            received,
            admission: Admission::Open,
        }
    }

    /// Work taken at once, agent-seconds: jobs mostly take two, and one of the highest cost must always fit.
    pub fn capacity(&self) -> u32 {
        self.policy.rules().max_concurrency.saturating_mul(2).max(COST_MAX)
    }

    /// What this agent can do.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.engine.capabilities()
    }

    /// Takes a job, or says why not. One that is in hand already is taken again without a second run.
    ///
    /// # Errors
    /// [`Refuse`], to be sent as it is.
    pub fn start(&mut self, run: Run) -> Result<JobRef, Refuse> {
        let job = JobRef {
            job: run.job,
            attempt: run.attempt,
        };
        if self.held.contains_key(&job) {
            return Ok(job);
        }
        self.policy.set_local(LocalAddresses::read());
        let surroundings = admission::Surroundings {
            admission: self.admission,
            room: self.outbox.room(clock::wall()),
            held: self.held.len(),
            capabilities: &self.engine.capabilities(),
        };
        let remaining = Duration::from_millis(run.remaining_ms);
        let spec = admission::admit(&self.policy, &surroundings, run).map_err(|refused| refused.for_job(job))?;
        let cancel = CancellationToken::new();
        let task = Job {
            id: job,
            spec,
            deadline: clock::monotonic().plus(remaining),
            cancel: cancel.clone(),
            slots: Arc::clone(&self.slots),
            engine: Arc::clone(&self.engine),
            findings: self.findings.clone(),
        };
        tracing::info!(job_id = %job.job, attempt = job.attempt.0, "job taken");
        self.tasks.spawn(task.run_to_disk(self.outbox.clone()));
        self.held.insert(job, cancel);
        Ok(job)
    }

    /// Takes jobs back: each that is in hand ends at once, with a report that says so. Others are ignored.
    pub fn cancel(&self, jobs: &[JobId]) {
        for (job, cancel) in &self.held {
            if jobs.contains(&job.job) {
                tracing::info!(job_id = %job.job, "job cancelled");
                cancel.cancel();
            }
        }
    }

    /// The next thing a job has to say; waits for ever while there is none. Nothing is lost when the wait is given up.
    pub async fn progress(&mut self) -> Progress {
        loop {
            tokio::select! {
                // What a job found stands before its end.
                biased;
                Some((job, finding)) = self.received.recv() => return Progress::Finding(job, finding),
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(job) = ended {
                        self.held.remove(&job);
                        return Progress::Finished(job);
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Forgets jobs that finished while nobody listened; their reports are in the outbox.
    pub fn settle(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Ok(job) = ended {
                self.held.remove(&job);
            }
        }
    }

    /// Jobs accepted and not yet in the outbox.
    pub fn in_hand(&self) -> Vec<JobRef> {
        self.held.keys().copied().collect()
    }

    /// How many jobs are in hand.
    pub fn running(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    /// Takes no further job.
    pub const fn stop_taking(&mut self) {
        self.admission = Admission::Stopping;
    }
}

/// Most findings that wait for the session; one more is dropped.
const FINDINGS: usize = 1_024;

#[cfg(test)]
mod tests;
