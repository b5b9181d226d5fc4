//! When a job that nothing else has ended is given up.

use shared_protocol::limits::DEADLINE_GRACE;
use shared_protocol::time::UnixMicros;

/// When the control plane ends a job as expired that its agent has: [`DEADLINE_GRACE`] after its deadline, so that a report sent in time can
/// still arrive. A queued job ends at its deadline.
pub fn given_up_at(deadline: UnixMicros) -> UnixMicros {
    deadline.plus(DEADLINE_GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_in_hand_has_the_grace_after_its_deadline() {
        let deadline = UnixMicros::from_micros(1_000_000);
        assert_eq!(given_up_at(deadline).since(deadline), DEADLINE_GRACE);
    }
}
