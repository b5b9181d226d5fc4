//! Whether an agent takes work, as its tenant wants it: apart from its state, which says whether it may.

use std::str::FromStr;

/// Whether an agent takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Duty {
    /// It takes work.
    #[default]
    Working,
    /// For a while it gets nothing new: it finishes what it has and stays connected; jobs that name it wait, as for one that is offline.
    Draining,
    /// As draining, and meant to last: jobs that name it are refused.
    Stopped,
}

/// What a tenant asks of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DutyAction {
    /// Take work again.
    Start,
    /// Finish what there is and take no more work, until started.
    Stop,
    /// Finish what there is and let the rest wait, until started.
    Drain,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Working, Self::Draining, Self::Stopped];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether jobs that name it are accepted.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Working | Self::Draining)
    }

    /// Whether jobs are handed to it.
    pub const fn is_working(self) -> bool {
        matches!(self, Self::Working)
    }
}

impl DutyAction {
    /// The duty it leads to, whatever the one before: asking twice is the same as once.
    pub const fn duty(self) -> Duty {
        match self {
            Self::Start => Duty::Working,
            Self::Stop => Duty::Stopped,
            Self::Drain => Duty::Draining,
        }
    }

    /// What the audit log calls it.
    pub const fn audited(self) -> &'static str {
        match self {
            Self::Start => "agent.started",
            Self::Stop => "agent.stopped",
            Self::Drain => "agent.drained",
        }
    }
}

/// The text names no duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of working, draining, stopped")]
pub struct UnknownDuty;

impl FromStr for Duty {
    type Err = UnknownDuty;

    fn from_str(text: &str) -> Result<Self, UnknownDuty> {
        Self::ALL.into_iter().find(|duty| duty.as_str() == text).ok_or(UnknownDuty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duty_reads_back_and_every_action_leads_to_one() {
        for duty in Duty::ALL {
            assert_eq!(duty.as_str().parse(), Ok(duty));
        }
        assert_eq!("idle".parse::<Duty>(), Err(UnknownDuty));
        assert!(DutyAction::Start.duty().is_working());
        assert!(!DutyAction::Drain.duty().is_working() && !DutyAction::Stop.duty().is_working());
    }
}
