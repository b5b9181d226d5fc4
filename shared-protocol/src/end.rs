//! How a job finishes: exactly one end, for ever, and why.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a job finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A report says what was found, good or bad.
    Completed,
    /// There is no report to be had.
    Failed,
    /// The deadline passed first.
    Expired,
    /// Somebody took it back.
    Cancelled,
    /// The agent would not run it: its owner's policy, a capability, its capacity.
    Refused,
}

impl End {
    /// All ends.
    pub const ALL: [Self; 5] = [Self::Completed, Self::Failed, Self::Expired, Self::Cancelled, Self::Refused];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

impl FromStr for End {
    type Err = UnknownEnd;

    fn from_str(text: &str) -> Result<Self, UnknownEnd> {
        Self::ALL.into_iter().find(|end| end.as_str() == text).ok_or(UnknownEnd)
    }
}

/// The text names no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of completed, failed, expired, cancelled, refused")]
pub struct UnknownEnd;

/// Why an agent would not run a job; stands as the end's reason of a refused job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefuseReason {
    /// The host's owner does not allow this target or option.
    PolicyDenied,
    /// The host's owner does not allow this probe.
    KindDisabled,
    /// The spec is beyond one of the owner's caps, or beyond what the tenant's tier allows.
    CapExceeded,
    /// The job came without credit.
    NoCredit,
    /// The agent does as much as it can.
    AgentBusy,
    /// No more reports can be kept.
    OutboxFull,
    /// The time left is shorter than the probe needs.
    Expired,
    /// The agent does not know this probe, or its host cannot run it.
    Unsupported,
    /// The spec is not within the bounds both sides know.
    InvalidSpec,
    /// The agent is stopping.
    Stopping,
}

impl RefuseReason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::PolicyDenied,
        Self::KindDisabled,
        Self::CapExceeded,
        Self::NoCredit,
        Self::AgentBusy,
        Self::OutboxFull,
        Self::Expired,
        Self::Unsupported,
        Self::InvalidSpec,
        Self::Stopping,
    ];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyDenied => "policy_denied",
            Self::KindDisabled => "kind_disabled",
            Self::CapExceeded => "cap_exceeded",
            Self::NoCredit => "no_credit",
            Self::AgentBusy => "agent_busy",
            Self::OutboxFull => "outbox_full",
            Self::Expired => "expired",
            Self::Unsupported => "unsupported",
            Self::InvalidSpec => "invalid_spec",
            Self::Stopping => "stopping",
        }
    }

    /// Who can do what about it, as one clause.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::PolicyDenied => {
                "the policy of the agent's owner does not allow this target, option or observation ([policy] and [observe] in its agent.toml)"
            }
            Self::KindDisabled => "the agent's owner has to add this probe to `allow_probes` in its agent.toml",
            Self::CapExceeded => "ask for less: it is beyond what the agent's owner or your tier allows",
            Self::NoCredit | Self::AgentBusy => "the agent does as much as it can: ask again, or ask another",
            Self::OutboxFull => "the agent's disk or outbox is full: its owner has to make room",
            Self::Expired => "the time left was shorter than the probe needs: ask with a longer deadline",
            Self::Unsupported => "this agent cannot do it: its capabilities say what is missing, a newer version may know it",
            Self::InvalidSpec => "the agent reads the request otherwise than the control plane: bring both to one version",
            Self::Stopping => "the agent was stopping: ask again",
        }
    }
}

impl FromStr for RefuseReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// The text names no reason to refuse a job that this build knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such reason")]
pub struct UnknownReason;
