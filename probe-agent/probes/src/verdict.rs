//! What a probe's findings say about target, path and agent: status, fault and error of its report.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::ReportError;

use crate::net::gate::Denial;

/// Status, fault and error of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub status: Status,
    pub fault: Fault,
    pub error: Option<ReportError>,
}

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

impl Verdict {
    /// Everything asked was answered.
    pub(crate) const fn ok() -> Self {
        Self {
            status: Status::Ok,
            fault: Fault::None,
            error: None,
        }
    }

    pub(crate) fn failed(fault: Fault, code: ErrorCode, message: impl Into<String>) -> Self {
        Self::of(Status::Failed, fault, error(code, message))
    }

    pub(crate) const fn of(status: Status, fault: Fault, error: ReportError) -> Self {
        Self {
            status,
            fault,
            error: Some(error),
        }
    }
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

/// An error that the kernel gave no number for.
pub(crate) fn error(code: ErrorCode, message: impl Into<String>) -> ReportError {
    ReportError {
        code,
        message: message.into(),
        errno: None,
    }
}
