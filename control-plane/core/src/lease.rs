//! What becomes of an agent's jobs when it comes back: a lease has no timer of its own, `hello` says which jobs the agent still has.

use std::collections::BTreeMap;

use shared_protocol::id::{Attempt, JobId, JobRef, Sequence};

/// A job that the store has as leased to, or running on, the agent that says `hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasedJob {
    /// The job.
    pub job: JobId,
    /// Which handing-out of it the store knows.
    pub attempt: Attempt,
    /// Whether it may be handed out again.
    pub retry: RetryPolicy,
    /// Whether somebody has taken it back.
    pub cancel: CancelState,
}

/// Whether a job that its agent lost is handed out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// No: the failure is the answer.
    None,
    /// Where the agent never accepted it or is gone, up to [`TRANSPORT_ATTEMPTS`] times in all.
    Transport,
}

/// Whether a job has been taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelState {
    /// It is wanted.
    Wanted,
    /// Somebody has asked for its end.
    Requested,
}

/// Reports that the agent holds and the control plane has not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingReports {
    /// None: a job without a report has none.
    None,
    /// Those before this number: one of them may answer a job that is not in hand any more.
    Before(Sequence),
}

/// What is to be done with the agent's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readoption {
    /// Still the agent's: their lease passes to the new session.
    pub keep: Vec<JobRef>,
    /// In the agent's hand and wanted by nobody: ended, cancelled, handed out again since, or never this agent's.
    pub drop: Vec<JobId>,
    /// To be ended as cancelled.
    pub cancelled: Vec<JobRef>,
    /// Lost by the agent, and to be queued again.
    pub requeue: Vec<JobRef>,
    /// Lost by the agent, and to be ended as `failed(agent_lost)`.
    pub lost: Vec<JobRef>,
    /// Not in hand, but perhaps answered by a report that is still to come: asked again, by [`after_reports`], once that is stored.
    pub awaiting: Vec<JobRef>,
}

/// Compares what the store has with what the agent says it has in hand.
pub fn at_hello(leased: &[LeasedJob], in_hand: &[JobRef], pending: PendingReports) -> Readoption {
    let known: BTreeMap<JobId, &LeasedJob> = leased.iter().map(|job| (job.job, job)).collect();
    let held: BTreeMap<JobId, Attempt> = in_hand.iter().map(|held| (held.job, held.attempt)).collect();
    let mut readoption = Readoption::default();
    for (job, attempt) in &held {
        match known.get(job) {
            Some(leased) if leased.attempt == *attempt && leased.cancel == CancelState::Wanted => readoption.keep.push(leased.reference()),
            Some(_) | None => readoption.drop.push(*job),
        }
    }
    for leased in known.values() {
        let in_hand = held.get(&leased.job) == Some(&leased.attempt);
        match (in_hand, leased.cancel, pending) {
            (true, CancelState::Wanted, _) => {}
            (true, CancelState::Requested, _) => readoption.cancelled.push(leased.reference()),
            (false, _, PendingReports::Before(_)) => readoption.awaiting.push(leased.reference()),
            (false, _, PendingReports::None) => readoption.give_up(leased),
        }
    }
    readoption
}

/// Decides the jobs of [`Readoption::awaiting`] that still have no end when every report the agent held at `hello` is stored.
pub fn after_reports(still_open: &[LeasedJob]) -> Readoption {
    let mut readoption = Readoption::default();
    for leased in still_open {
        readoption.give_up(leased);
    }
    readoption
}

/// Most times that a job with [`RetryPolicy::Transport`] is handed out: the first and two more.
pub const TRANSPORT_ATTEMPTS: u32 = 3;

impl LeasedJob {
    const fn reference(&self) -> JobRef {
        JobRef {
            job: self.job,
            attempt: self.attempt,
        }
    }
}

impl Readoption {
    /// The agent neither has the job nor a report of it.
    fn give_up(&mut self, leased: &LeasedJob) {
        let list = match (leased.cancel, leased.retry) {
            (CancelState::Requested, _) => &mut self.cancelled,
            (CancelState::Wanted, RetryPolicy::Transport) if leased.attempt.0 < TRANSPORT_ATTEMPTS => &mut self.requeue,
            (CancelState::Wanted, RetryPolicy::Transport | RetryPolicy::None) => &mut self.lost,
        };
        list.push(leased.reference());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    fn reference(seed: u8, attempt: u32) -> JobRef {
        JobRef {
            job: JobId::new(UnixMicros::from_micros(1_000_000), [seed; 10]),
            attempt: Attempt(attempt),
        }
    }

    fn leased(seed: u8, attempt: u32) -> LeasedJob {
        LeasedJob {
            job: reference(seed, attempt).job,
            attempt: Attempt(attempt),
            retry: RetryPolicy::None,
            cancel: CancelState::Wanted,
        }
    }

    #[test]
    fn jobs_in_hand_stay_with_the_agent() {
        let readoption = at_hello(&[leased(1, 1), leased(2, 2)], &[reference(2, 2), reference(1, 1)], PendingReports::None);
        assert_eq!(
            readoption,
            Readoption {
                keep: vec![reference(1, 1), reference(2, 2)],
                ..Readoption::default()
            }
        );
    }

    #[test]
    fn jobs_ended_meanwhile_or_never_this_agents_are_dropped() {
        let readoption = at_hello(&[], &[reference(1, 1)], PendingReports::None);
        assert_eq!(readoption.drop, [reference(1, 1).job]);
        assert!(readoption.keep.is_empty());
    }

    #[test]
    fn a_fenced_attempt_is_dropped_and_the_later_one_is_lost() {
        let readoption = at_hello(&[leased(1, 2)], &[reference(1, 1)], PendingReports::None);
        assert_eq!(readoption.drop, [reference(1, 1).job]);
        assert_eq!(readoption.lost, [reference(1, 2)]);
    }

    #[test]
    fn kil_01_a_job_that_is_not_in_hand_is_lost_or_queued_again_by_its_retry_policy() {
        let transport = |attempt| LeasedJob {
            retry: RetryPolicy::Transport,
            ..leased(2, attempt)
        };
        assert_eq!(at_hello(&[leased(1, 1)], &[], PendingReports::None).lost, [reference(1, 1)]);
        assert_eq!(at_hello(&[transport(2)], &[], PendingReports::None).requeue, [reference(2, 2)]);
        assert_eq!(at_hello(&[transport(3)], &[], PendingReports::None).lost, [reference(2, 3)]);
    }

    #[test]
    fn a_job_whose_report_may_still_come_is_not_lost_before_the_reports_are_stored() {
        let pending = PendingReports::Before(Sequence::new(9).unwrap());
        let readoption = at_hello(&[leased(1, 1)], &[], pending);
        assert_eq!(
            readoption,
            Readoption {
                awaiting: vec![reference(1, 1)],
                ..Readoption::default()
            }
        );
        assert_eq!(after_reports(&[leased(1, 1)]).lost, [reference(1, 1)]);
    }

    #[test]
    fn job_22_a_cancelled_job_ends_cancelled_whether_in_hand_or_not() {
        let cancelled = LeasedJob {
            cancel: CancelState::Requested,
            retry: RetryPolicy::Transport,
            ..leased(1, 1)
        };
        let in_hand = at_hello(&[cancelled], &[reference(1, 1)], PendingReports::None);
        assert_eq!((in_hand.drop, in_hand.cancelled), (vec![reference(1, 1).job], vec![reference(1, 1)]));
        let gone = at_hello(&[cancelled], &[], PendingReports::None);
        assert_eq!((gone.drop, gone.cancelled), (vec![], vec![reference(1, 1)]));
    }

    #[test]
    fn every_job_gets_exactly_one_verdict() {
        let all = [leased(1, 1), leased(2, 1), leased(3, 3), leased(4, 1)];
        let in_hand = [reference(1, 1), reference(3, 2), reference(9, 1), reference(1, 1)];
        for pending in [PendingReports::None, PendingReports::Before(Sequence::ZERO.next())] {
            let verdicts = at_hello(&all, &in_hand, pending);
            let mut decided: Vec<JobRef> = [verdicts.keep, verdicts.cancelled, verdicts.requeue, verdicts.lost, verdicts.awaiting].concat();
            decided.sort_unstable();
            assert_eq!(decided, all.map(|job| reference_of(&job)));
        }
    }

    fn reference_of(job: &LeasedJob) -> JobRef {
        job.reference()
    }
}
