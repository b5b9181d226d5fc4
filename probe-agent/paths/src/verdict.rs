//! Status, fault and error of a report.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::ReportError;

/// Status, fault and error of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The probe's verdict.
    pub status: Status,
    /// Whose fault it is that it is not `ok`.
    pub fault: Fault,
    /// What went wrong, where something did.
    pub error: Option<ReportError>,
}

impl Verdict {
    /// Everything asked was answered.
    pub const fn ok() -> Self {
        Self {
            status: Status::Ok,
            fault: Fault::None,
            error: None,
        }
    }

    /// It failed, for a reason that the kernel gave no number for.
    pub fn failed(fault: Fault, code: ErrorCode, message: impl Into<String>) -> Self {
        Self::of(Status::Failed, fault, error(code, message))
    }

    /// These together.
    pub const fn of(status: Status, fault: Fault, error: ReportError) -> Self {
        Self {
            status,
            fault,
            error: Some(error),
        }
    }
}

/// An error that the kernel gave no number for.
pub fn error(code: ErrorCode, message: impl Into<String>) -> ReportError {
    ReportError {
        code,
        message: message.into(),
        errno: None,
    }
}
