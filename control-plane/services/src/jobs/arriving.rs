//! Jobs on their way to the disk, together with the dispatcher: what an agent would get at once is leased in the step that stores it.

use std::collections::{BTreeMap, HashMap};

use control_core::board::AcceptedJob;
use control_store::jobs::{Enqueue, LeasedJob};
use serde_json::Value;
use shared_protocol::id::{Attempt, Epoch, JobId, JobRef};

use super::dispatch::{ArrivedJob, Came, Dispatch};

/// Jobs that the dispatcher knows before they are on disk, and those it is yet to hear of.
pub(super) struct Arriving {
    jobs: Vec<AcceptedJob>,
    leases: BTreeMap<JobId, Epoch>,
    /// What to do; nothing where no job is to be leased.
    spec: Value,
}

impl Arriving {
    /// Asks the dispatcher, and notes in what is to be stored which jobs are to be leased with it.
    pub(super) async fn announce(dispatch: &Dispatch, jobs: Vec<AcceptedJob>, enqueue: &mut Enqueue) -> Self {
        let leases = dispatch.arriving(jobs.clone()).await;
        for job in &mut enqueue.jobs {
            job.lease = leases.get(&job.id).copied();
        }
        let spec = if leases.is_empty() { Value::Null } else { enqueue.measurement.spec.clone() };
        Self { jobs, leases, spec }
    }

    pub(super) const fn len(&self) -> usize {
        self.jobs.len()
    }

    /// They are on disk, and these of them leased.
    pub(super) async fn stored(&self, dispatch: &Dispatch, leased: &[JobRef]) {
        let (arriving, others): (Vec<AcceptedJob>, _) = self.jobs.iter().partition(|job| self.leases.contains_key(&job.queued.job));
        let attempts: HashMap<JobId, Attempt> = leased.iter().map(|leased| (leased.job, leased.attempt)).collect();
        let came = |job: &AcceptedJob| {
            let attempt = attempts.get(&job.queued.job);
            attempt.map_or(Came::Queued, |attempt| Came::Leased(self.leased(job, *attempt)))
        };
        dispatch.arrived(self.arrived(&arriving, came)).await;
        if !others.is_empty() {
            dispatch.accepted(others).await;
        }
    }

    /// They were not stored.
    pub(super) async fn refused(&self, dispatch: &Dispatch) {
        dispatch.arrived(self.arrived(&self.jobs, |_| Came::Refused)).await;
    }

    fn arrived(&self, jobs: &[AcceptedJob], came: impl Fn(&AcceptedJob) -> Came) -> Vec<ArrivedJob> {
        let arrived = |job: &AcceptedJob| {
            Some(ArrivedJob {
                job: job.queued.job,
                agent: job.queued.agent,
                epoch: *self.leases.get(&job.queued.job)?,
                came: came(job),
            })
        };
        jobs.iter().filter_map(arrived).collect()
    }

    fn leased(&self, job: &AcceptedJob, attempt: Attempt) -> LeasedJob {
        LeasedJob {
            job: job.queued.job,
            attempt,
            spec: self.spec.clone(),
            tier: job.queued.tier,
            cost: job.queued.cost,
            deadline_at: job.queued.deadline,
        }
    }
}
