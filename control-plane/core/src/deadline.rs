//! Which jobs end because their deadline has passed.

use shared_protocol::id::JobId;
use shared_protocol::limits::DEADLINE_GRACE;
use shared_protocol::time::UnixMicros;

/// Where a job without an end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenState {
    /// Waits for its agent.
    Queued,
    /// Handed to a session, not yet accepted.
    Leased,
    /// Accepted by the agent.
    Running,
}

/// A job without an end and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub state: OpenState,
    /// From here on nobody wants the answer.
    pub deadline: UnixMicros,
}

impl Deadline {
    /// When the control plane ends the job as `expired` if nothing else has ended it: a queued one at its deadline,
    /// one that an agent has [`DEADLINE_GRACE`] later, so that a report sent in time can still arrive.
    pub fn ends_at(&self) -> UnixMicros {
        match self.state {
            OpenState::Queued => self.deadline,
            OpenState::Leased | OpenState::Running => self.deadline.plus(DEADLINE_GRACE),
        }
    }
}

/// The jobs to end as `expired`, in the order given.
pub fn expired(open: &[Deadline], now: UnixMicros) -> Vec<JobId> {
    open.iter().filter(|job| job.ends_at() <= now).map(|job| job.job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_job_expires_at_its_deadline_and_one_in_hand_after_the_grace() {
        let deadline = UnixMicros::from_micros(1_000_000);
        let open = [OpenState::Queued, OpenState::Leased, OpenState::Running].map(|state| Deadline {
            job: JobId::new(
                deadline,
                [match state {
                    OpenState::Queued => 1,
                    OpenState::Leased => 2,
                    OpenState::Running => 3,
                }; 10],
            ),
            state,
            deadline,
        });
        let last_moment = UnixMicros::from_micros(999_999);
        let grace_ends = deadline.plus(DEADLINE_GRACE);

        assert_eq!(expired(&open, last_moment), []);
        assert_eq!(expired(&open, deadline), [open[0].job]);
        assert_eq!(expired(&open, UnixMicros::from_micros(grace_ends.micros() - 1)), [open[0].job]);
        assert_eq!(expired(&open, grace_ends), open.map(|job| job.job));
    }
}
