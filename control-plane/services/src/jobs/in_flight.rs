//! Which jobs are with their agents, and which measurement each belongs to: what a session needs to know of what its agent says.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared_protocol::id::{AgentId, Attempt, JobId, JobRef, MeasurementId};

/// Jobs handed to agents and without an end; kept by the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    jobs: Mutex<HashMap<JobId, Flight>>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    agent: AgentId,
    measurement: MeasurementId,
    /// The attempt that the agent said it accepted.
    accepted: Option<Attempt>,
}

impl InFlight {
    pub(crate) fn insert(&self, job: JobId, agent: AgentId, measurement: MeasurementId) {
        let flight = Flight {
            agent,
            measurement,
            accepted: None,
        };
        self.lock().insert(job, flight);
    }

    pub(crate) fn remove(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// The measurement of a job, if it is this agent's: what an agent says of another's job leads nowhere.
    pub(crate) fn measurement(&self, agent: AgentId, job: JobId) -> Option<MeasurementId> {
        self.lock().get(&job).filter(|flight| flight.agent == agent).map(|flight| flight.measurement)
    }

    /// Takes note that the agent runs its job; the job's measurement, if it is this agent's.
    pub(crate) fn accept(&self, agent: AgentId, job: JobRef) -> Option<MeasurementId> {
        let mut jobs = self.lock();
        let flight = jobs.get_mut(&job.job).filter(|flight| flight.agent == agent)?;
        flight.accepted = Some(job.attempt);
        Some(flight.measurement)
    }

    /// Whether the job's agent said that it runs it, in this attempt.
    pub(crate) fn is_running(&self, job: JobRef) -> bool {
        self.lock().get(&job.job).is_some_and(|flight| flight.accepted == Some(job.attempt))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Flight>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    #[test]
    fn frm_13_a_job_of_another_agent_leads_nowhere() {
        let at = UnixMicros::from_micros(1_000_000);
        let (own, other) = (AgentId::new(at, [1; 10]), AgentId::new(at, [2; 10]));
        let (job, measurement) = (JobId::new(at, [3; 10]), MeasurementId::new(at, [4; 10]));
        let in_flight = InFlight::default();
        in_flight.insert(job, own, measurement);
        assert_eq!(in_flight.measurement(own, job), Some(measurement));
        assert_eq!(in_flight.measurement(other, job), None);
        let attempt = |attempt| JobRef {
            job,
            attempt: Attempt(attempt),
        };
        assert_eq!(in_flight.accept(other, attempt(1)), None);
        assert!(!in_flight.is_running(attempt(1)));
        assert_eq!(in_flight.accept(own, attempt(1)), Some(measurement));
        assert!(in_flight.is_running(attempt(1)) && !in_flight.is_running(attempt(2)));
        in_flight.remove(job);
        assert_eq!(in_flight.measurement(own, job), None);
    }
}
