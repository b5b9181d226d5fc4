//! What becomes of a job that was handed out and comes back without an answer: handed out again, or its end.
//!
//! A lease has no timer of its own: the agent's `hello` says which jobs it still has, running or with their report on the way. A probe that says
//! "timeout" has answered; it is not tried again here.

use std::str::FromStr;
use std::time::Duration;

use shared_protocol::end::RefuseReason;
use shared_protocol::id::Attempt;

/// What the tenant wants done about a job that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RetryPolicy {
    /// The failure is the answer; only a job that never began is handed out again.
    #[default]
    None,
    /// Handed out again where the way to the agent or the agent itself was lost.
    Transport,
    /// Handed out again after every failure, so many times more, with growing pauses.
    Always(Retries),
}

/// How many times more a job is handed out: 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retries(u32);

/// Whether a measurement's job may go to another agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The tenant named the agent: the job waits for it.
    Named,
    /// The agent was one of several that matched.
    Matched,
}

/// Why a job came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The agent came back without it and had never said that it took it.
    NeverAccepted,
    /// The agent came back without it and had begun it.
    AgentLost,
    /// The agent would not take it.
    Refused(RefuseReason),
    /// Its report could not be understood.
    BadReport,
}

/// What is done with a job that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// It is queued again, at once or after a pause.
    Queue {
        /// The pause.
        after: Duration,
    },
    /// It gets its end.
    End,
}

/// What is done with a job whose agent has had no session for [`AGENT_GONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It stays where it is, until the agent comes back or the deadline passes.
    Wait,
    /// Another agent may do it.
    Elsewhere,
    /// It was handed out as often as it may be, and its agent is taken to have lost it.
    End,
}

/// Decides about a job that came back in its `attempt`th handing-out, `left` before its deadline. `jitter` is drawn evenly from all values.
pub fn returned(policy: RetryPolicy, attempt: Attempt, loss: Loss, left: Duration, jitter: u32) -> Return {
    if attempt.0 >= policy.attempts_max() || !policy.covers(loss) {
        return Return::End;
    }
    let after = match policy {
        RetryPolicy::None | RetryPolicy::Transport => Duration::ZERO,
        RetryPolicy::Always(_) => pause(attempt, jitter),
    };
    // The deadline wins: what could not start before it has failed already.
    if after >= left { Return::End } else { Return::Queue { after } }
}

/// Decides about a job whose agent is gone: one that was `handed_out`, or one that waits for it.
pub fn absent(policy: RetryPolicy, choice: Choice, attempt: Attempt, handed_out: HandedOut) -> Absence {
    let again = attempt.0 < policy.attempts_max();
    match (policy, choice, handed_out) {
        (RetryPolicy::None, ..) => Absence::Wait,
        (_, _, HandedOut::Yes) if !again => Absence::End,
        (_, Choice::Named, _) => Absence::Wait,
        (_, Choice::Matched, _) => Absence::Elsewhere,
    }
}

/// Whether a job without an end was handed to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOut {
    /// It waits in the queue.
    No,
    /// It was leased.
    Yes,
}

impl RetryPolicy {
    /// How often a job is handed out at most.
    pub const fn attempts_max(self) -> u32 {
        match self {
            Self::None | Self::Transport => 3,
            Self::Always(retries) => 1 + retries.0,
        }
    }

    const fn covers(self, loss: Loss) -> bool {
        match (self, loss) {
            (_, Loss::NeverAccepted) | (Self::Transport | Self::Always(_), Loss::AgentLost) | (Self::Always(_), Loss::BadReport) => true,
            (Self::None, Loss::AgentLost) | (Self::None | Self::Transport, Loss::BadReport) => false,
            (policy, Loss::Refused(reason)) => policy.covers_refusal(reason),
        }
    }

    /// A refusal by the owner, or because of the spec, is the answer; one that passes by itself is not.
    const fn covers_refusal(self, reason: RefuseReason) -> bool {
        match reason {
            RefuseReason::NoCredit | RefuseReason::Stopping => true,
            RefuseReason::AgentBusy | RefuseReason::OutboxFull => matches!(self, Self::Always(_)),
            RefuseReason::PolicyDenied
            | RefuseReason::KindDisabled
            | RefuseReason::CapExceeded
            | RefuseReason::Expired
            | RefuseReason::Unsupported
            | RefuseReason::InvalidSpec => false,
        }
    }
}

impl std::fmt::Display for RetryPolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Transport => formatter.write_str("transport"),
            Self::Always(Retries(retries)) => write!(formatter, "always:{retries}"),
        }
    }
}

impl FromStr for RetryPolicy {
    type Err = UnknownRetryPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownRetryPolicy> {
        match text {
            "none" => Ok(Self::None),
            "transport" => Ok(Self::Transport),
            _ => {
                let digits = text.strip_prefix("always:").ok_or(UnknownRetryPolicy)?;
                let retries = (1..=RETRIES_MAX).find(|retries| digits == retries.to_string());
                retries.map(|retries| Self::Always(Retries(retries))).ok_or(UnknownRetryPolicy)
            }
        }
    }
}

/// The text names no retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be none, transport, or always:1 to always:5")]
pub struct UnknownRetryPolicy;

impl Choice {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Matched => "matched",
        }
    }
}

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        [Self::Named, Self::Matched]
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or(UnknownChoice)
    }
}

/// The text names no way in which an agent was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be named or matched")]
pub struct UnknownChoice;

/// Full jitter: anywhere from nothing to a bound that doubles with each attempt.
fn pause(attempt: Attempt, jitter: u32) -> Duration {
    let bound = PAUSE_BASE.saturating_mul(1 << attempt.0.saturating_sub(1).min(PAUSE_DOUBLINGS)).min(PAUSE_MAX);
    bound.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
}

/// Time without a session after which an agent is taken to be gone.
pub const AGENT_GONE: Duration = Duration::from_secs(90);
/// Most times that a job is handed out again.
const RETRIES_MAX: u32 = 5;
/// Longest pause before the first retry.
const PAUSE_BASE: Duration = Duration::from_secs(1);
/// Longest pause before any.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Doublings after which the bound is above the longest pause in any case.
const PAUSE_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);
    const REASONS: [RefuseReason; 10] = [
        RefuseReason::PolicyDenied,
        RefuseReason::KindDisabled,
        RefuseReason::CapExceeded,
        RefuseReason::NoCredit,
        RefuseReason::AgentBusy,
        RefuseReason::OutboxFull,
        RefuseReason::Expired,
        RefuseReason::Unsupported,
        RefuseReason::InvalidSpec,
        RefuseReason::Stopping,
    ];

    fn policies() -> Vec<RetryPolicy> {
        let always = (1..=RETRIES_MAX).map(|retries| RetryPolicy::Always(Retries(retries)));
        [RetryPolicy::None, RetryPolicy::Transport].into_iter().chain(always).collect()
    }

    fn losses() -> Vec<Loss> {
        let refusals = REASONS.into_iter().map(Loss::Refused);
        [Loss::NeverAccepted, Loss::AgentLost, Loss::BadReport].into_iter().chain(refusals).collect()
    }

    #[test]
    fn each_policy_covers_its_losses_and_no_others() {
        let covered = |policy| {
            let queued = |loss: &Loss| returned(policy, Attempt(1), *loss, LONG, 0) != Return::End;
            losses().into_iter().filter(queued).collect::<Vec<_>>()
        };
        let passing = [Loss::Refused(RefuseReason::NoCredit), Loss::Refused(RefuseReason::Stopping)];
        assert_eq!(covered(RetryPolicy::None), [&[Loss::NeverAccepted][..], &passing].concat());
        assert_eq!(
            covered(RetryPolicy::Transport),
            [&[Loss::NeverAccepted, Loss::AgentLost][..], &passing].concat()
        );
        let all = [
            Loss::NeverAccepted,
            Loss::AgentLost,
            Loss::BadReport,
            Loss::Refused(RefuseReason::NoCredit),
            Loss::Refused(RefuseReason::AgentBusy),
            Loss::Refused(RefuseReason::OutboxFull),
            Loss::Refused(RefuseReason::Stopping),
        ];
        assert_eq!(covered(RetryPolicy::Always(Retries(1))), all);
    }

    #[test]
    fn kil_01_g3_no_policy_hands_a_job_out_more_often_than_it_may() {
        for policy in policies() {
            for loss in losses() {
                let mut handed_out = 1;
                while returned(policy, Attempt(handed_out), loss, LONG, u32::MAX) != Return::End {
                    handed_out += 1;
                    assert!(handed_out <= policy.attempts_max(), "{policy} {loss:?}");
                }
            }
        }
        assert_eq!(RetryPolicy::Always(Retries(5)).attempts_max(), 6);
    }

    #[test]
    fn the_deadline_wins_over_every_policy() {
        for policy in policies() {
            for loss in losses() {
                assert_eq!(returned(policy, Attempt(1), loss, Duration::ZERO, 7), Return::End, "{policy} {loss:?}");
            }
        }
        let always = RetryPolicy::Always(Retries(5));
        let left = Duration::from_millis(900);
        assert_eq!(returned(always, Attempt(1), Loss::BadReport, left, u32::MAX), Return::End);
        assert!(matches!(returned(always, Attempt(1), Loss::BadReport, left, 0), Return::Queue { .. }));
    }

    #[test]
    fn pauses_have_full_jitter_and_double_up_to_a_minute() {
        let longest: Vec<u64> = (1..=9).map(|attempt| pause(Attempt(attempt), u32::MAX).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(Attempt(9), 0), Duration::ZERO);
        let half = pause(Attempt(3), u32::MAX / 2);
        assert!(half > Duration::from_millis(1_999) && half < Duration::from_millis(2_001));
    }

    #[test]
    fn job_11_a_refusal_by_the_owner_is_the_answer_under_every_policy() {
        for policy in policies() {
            for reason in [RefuseReason::KindDisabled, RefuseReason::PolicyDenied, RefuseReason::CapExceeded] {
                assert_eq!(returned(policy, Attempt(1), Loss::Refused(reason), LONG, 0), Return::End);
            }
        }
    }

    #[test]
    fn only_a_job_that_named_no_agent_leaves_one_that_is_gone() {
        for (policy, choice, attempt, handed_out, expected) in [
            (RetryPolicy::None, Choice::Matched, 1, HandedOut::Yes, Absence::Wait),
            (RetryPolicy::None, Choice::Matched, 3, HandedOut::Yes, Absence::Wait),
            (RetryPolicy::Transport, Choice::Named, 1, HandedOut::Yes, Absence::Wait),
            (RetryPolicy::Transport, Choice::Named, 3, HandedOut::Yes, Absence::End),
            (RetryPolicy::Transport, Choice::Matched, 1, HandedOut::Yes, Absence::Elsewhere),
            (RetryPolicy::Transport, Choice::Matched, 0, HandedOut::No, Absence::Elsewhere),
            (RetryPolicy::Transport, Choice::Matched, 3, HandedOut::Yes, Absence::End),
            (RetryPolicy::Always(Retries(1)), Choice::Matched, 2, HandedOut::Yes, Absence::End),
            (RetryPolicy::Always(Retries(1)), Choice::Named, 1, HandedOut::No, Absence::Wait),
        ] {
            assert_eq!(
                absent(policy, choice, Attempt(attempt), handed_out),
                expected,
                "{policy} {choice:?} {attempt} {handed_out:?}"
            );
        }
    }

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for policy in policies() {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for bad in [
            "",
            "None",
            "always",
            "always:",
            "always:0",
            "always:6",
            "always:+1",
            "always:01",
            "transport ",
            "always:5x",
        ] {
            assert_eq!(bad.parse::<RetryPolicy>(), Err(UnknownRetryPolicy), "{bad:?}");
        }
        for choice in [Choice::Named, Choice::Matched] {
            assert_eq!(choice.as_str().parse(), Ok(choice));
        }
    }
}
