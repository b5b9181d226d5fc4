//! Reports that the runner writes itself, where the probe could not.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{ClockQuality, PolicyVerdict, Report, ReportError, Verdict};
use shared_protocol::time::UnixMicros;

/// A report without findings.
pub(super) fn without_findings(status: Status, code: ErrorCode, message: &str, at: UnixMicros) -> Report {
    Report {
        schema_version: 1,
        status,
        fault: Fault::Agent,
        error: Some(error(code, message)),
        started_at_us: at,
        duration_us: 0,
        clock: ClockQuality::default(),
        resolved: Vec::new(),
        policy: PolicyVerdict {
            verdict: Verdict::Allowed,
            rule: "spec".to_owned(),
        },
        findings: None,
        truncated: false,
        raw: None,
        evidence: None,
        standing: None,
    }
}

/// Says that a probe was stopped because its time was over, not because somebody took it back.
pub(super) fn out_of_time(mut report: Report) -> Report {
    if report.error.as_ref().is_some_and(|error| error.code == ErrorCode::Cancelled) {
        report.status = Status::Timeout;
        report.error = Some(error(ErrorCode::Timeout, "the job's time ran out before the probe was done"));
    }
    report
}

/// Leaves the findings out of a report that no frame could carry.
pub(super) fn shortened(mut report: Report) -> Report {
    report.findings = None;
    report.resolved.clear();
    report.truncated = true;
    report
}

fn error(code: ErrorCode, message: &str) -> ReportError {
    ReportError {
        code,
        message: message.to_owned(),
        errno: None,
    }
}
