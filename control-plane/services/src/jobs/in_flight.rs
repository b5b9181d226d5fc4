//! Which jobs are with their agents, and which measurement each belongs to: what a session needs to know of what its agent says.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared_protocol::id::{AgentId, JobId, MeasurementId};

/// Jobs handed to agents and without an end; kept by the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    jobs: Mutex<HashMap<JobId, (AgentId, MeasurementId)>>,
}

impl InFlight {
    pub(crate) fn insert(&self, job: JobId, agent: AgentId, measurement: MeasurementId) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job, (agent, measurement));
    }

    pub(crate) fn remove(&self, job: JobId) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// The measurement of a job, if it is this agent's: what an agent says of another's job leads nowhere.
    pub(crate) fn measurement(&self, agent: AgentId, job: JobId) -> Option<MeasurementId> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.get(&job).filter(|(owner, _)| *owner == agent).map(|(_, measurement)| *measurement)
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
        in_flight.remove(job);
        assert_eq!(in_flight.measurement(own, job), None);
    }
}
