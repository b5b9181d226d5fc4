//! A measurement on its way to the disk: as the store takes it, as the dispatcher hears of it, and as whoever asked is answered.

use control_api::job::Job;
use control_api::measurement::Measurement;
use control_core::board::AcceptedJob;
use control_core::queue::QueuedJob;
use control_core::retry::Choice;
use control_store::jobs::{Enqueue, NewJob, NewMeasurement};
use shared_protocol::end::End;
use shared_protocol::id::{JobId, MeasurementId};
use shared_protocol::time::UnixMicros;

use super::decide::{Chosen, Decided, start_of};
use crate::clock;
use crate::error::ServiceError;

/// What is written, and what is said once it is.
pub(super) struct Draft {
    pub(super) enqueue: Enqueue,
    /// The jobs that are to run.
    pub(super) accepted: Vec<AcceptedJob>,
    /// Jobs that an earlier report answers.
    pub(super) answered: usize,
    /// As it stands the moment it is on disk.
    pub(super) measurement: Measurement,
}

impl Draft {
    pub(super) fn new(decided: Decided, now: UnixMicros) -> Result<Self, ServiceError> {
        let id = MeasurementId::new(now, clock::random_id_bytes());
        let deadline_at = now.plus(decided.deadline);
        let selection = &decided.selection;
        let is_named = !selection.agents.is_empty() || selection.same_as.is_some();
        let choice = if is_named { Choice::Named } else { Choice::Matched };
        let starts = decided.chosen.iter().filter(|chosen| chosen.cached.is_none());
        let estimated_start = starts.map(|chosen| start_of(chosen.candidate)).min();
        let spec = serde_json::to_value(&decided.spec).map_err(|_| ServiceError::Internal)?;

        let (mut jobs, mut answers, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
        for chosen in &decided.chosen {
            let job = new_job(chosen, decided.admitted.cost, now);
            answers.push(answer(&job, chosen, id, now, deadline_at));
            if job.cached_from.is_none() {
                accepted.push(AcceptedJob {
                    queued: queued(&job, &decided, deadline_at),
                    measurement: id,
                    retry: decided.retry,
                    choice,
                });
            }
            jobs.push(job);
        }
        // As the store lists them.
        answers.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let measurement = Measurement {
            id: id.to_string(),
            spec: spec.clone(),
            created_at: now.into(),
            deadline_at: deadline_at.into(),
            retry: decided.retry.to_string(),
            estimated_start: estimated_start.map(|start| now.plus(start).into()),
            state: if accepted.is_empty() { "ended" } else { "open" }.to_owned(),
            jobs: answers,
        };
        let enqueue = Enqueue {
            scope: decided.scope,
            measurement: NewMeasurement {
                id,
                spec,
                spec_sha256: decided.spec_sha256,
                selection: serde_json::to_value(selection).map_err(|_| ServiceError::Internal)?,
                tier: decided.tier,
                caps: decided.caps,
                created_at: now,
                deadline_at,
                retry: decided.retry,
                choice,
            },
            jobs: Vec::new(),
            idempotency: decided.idempotency,
        };
        Ok(Self {
            answered: jobs.len() - accepted.len(),
            enqueue: Enqueue { jobs, ..enqueue },
            accepted,
            measurement,
        })
    }
}

fn new_job(chosen: &Chosen, cost: u32, now: UnixMicros) -> NewJob {
    NewJob {
        id: JobId::new(now, clock::random_id_bytes()),
        agent: chosen.candidate.agent,
        cost: if chosen.cached.is_some() { 0 } else { cost },
        not_before: None,
        cached_from: chosen.cached,
        lease: None,
    }
}

fn queued(job: &NewJob, decided: &Decided, deadline: UnixMicros) -> QueuedJob {
    QueuedJob {
        job: job.id,
        agent: job.agent,
        tenant: decided.scope.tenant(),
        tier: decided.tier,
        cost: job.cost,
        deadline,
        not_before: None,
    }
}

fn answer(job: &NewJob, chosen: &Chosen, measurement: MeasurementId, now: UnixMicros, deadline_at: UnixMicros) -> Job {
    let state = if job.cached_from.is_some() { End::Completed.as_str() } else { "queued" };
    Job {
        id: job.id.to_string(),
        measurement: measurement.to_string(),
        agent: job.agent.to_string(),
        agent_name: chosen.name.clone(),
        state: state.to_owned(),
        reason: None,
        attempt: 0,
        created_at: now.into(),
        deadline_at: deadline_at.into(),
        cancel_requested_at: None,
        ended_at: job.cached_from.map(|_| now.into()),
        cached: job.cached_from.is_some(),
    }
}
