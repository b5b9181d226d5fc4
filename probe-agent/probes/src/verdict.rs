//! What a probe's findings say about target, path and agent: status, fault and error of its report.

pub(crate) use agent_paths::verdict::{Verdict, error};
use shared_protocol::fault::{ErrorCode, Fault};

use crate::net::gate::Denial;

/// Why a probe ended before its plan.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody took the job back.
    Cancelled,
    /// The owner's policy said no.
    Denied(Denial),
    /// It could not go on.
    Failed(Verdict),
}

impl Stop {
    pub(crate) fn failed(fault: Fault, code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed(Verdict::failed(fault, code, message))
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        match self {
            Self::Cancelled => Verdict::failed(Fault::Control, ErrorCode::Cancelled, "the job was taken back while it ran"),
            Self::Denied(denial) => Verdict::failed(Fault::Policy, ErrorCode::PolicyDenied, denial.message),
            Self::Failed(verdict) => verdict,
        }
    }
}
