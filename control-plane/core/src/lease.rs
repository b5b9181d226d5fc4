//! What becomes of a job that was handed out and that its agent does not have, or does not take.
//!
//! A lease has no timer of its own: the agent's `hello` says which jobs it still has, running or with their report on the way.

use shared_protocol::end::RefuseReason;
use shared_protocol::id::Attempt;

/// How far the job had come when it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOut {
    /// The agent never said that it took it.
    Unaccepted,
    /// The agent had begun it.
    Accepted,
}

/// What is done with a job that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// It is queued again.
    Queue,
    /// It gets its end.
    End,
}

/// Decides about a job that the agent does not have any more: one that never began is handed out again, one that began and was lost has failed.
pub const fn lost(handed_out: HandedOut, attempt: Attempt) -> Return {
    match handed_out {
        HandedOut::Unaccepted if attempt.0 < ATTEMPTS_MAX => Return::Queue,
        HandedOut::Unaccepted | HandedOut::Accepted => Return::End,
    }
}

/// Decides about a job that the agent refused: where the reason passes by itself, and lies with neither job nor owner, it is handed out again.
pub const fn refused(reason: RefuseReason, attempt: Attempt) -> Return {
    match reason {
        RefuseReason::NoCredit | RefuseReason::Stopping if attempt.0 < ATTEMPTS_MAX => Return::Queue,
        RefuseReason::NoCredit
        | RefuseReason::Stopping
        | RefuseReason::PolicyDenied
        | RefuseReason::KindDisabled
        | RefuseReason::CapExceeded
        | RefuseReason::AgentBusy
        | RefuseReason::OutboxFull
        | RefuseReason::Expired
        | RefuseReason::Unsupported
        | RefuseReason::InvalidSpec => Return::End,
    }
}

/// How often a job is handed out at most.
pub const ATTEMPTS_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kil_01_only_a_job_that_never_began_is_handed_out_again_and_not_for_ever() {
        assert_eq!(lost(HandedOut::Unaccepted, Attempt(1)), Return::Queue);
        assert_eq!(lost(HandedOut::Unaccepted, Attempt(ATTEMPTS_MAX)), Return::End);
        assert_eq!(lost(HandedOut::Accepted, Attempt(1)), Return::End);
    }

    #[test]
    fn job_11_a_refusal_by_the_owner_is_the_answer() {
        assert_eq!(refused(RefuseReason::KindDisabled, Attempt(1)), Return::End);
        assert_eq!(refused(RefuseReason::PolicyDenied, Attempt(1)), Return::End);
        assert_eq!(refused(RefuseReason::Stopping, Attempt(1)), Return::Queue);
        assert_eq!(refused(RefuseReason::Stopping, Attempt(ATTEMPTS_MAX)), Return::End);
    }
}
