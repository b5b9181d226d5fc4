//! What the tries of a TCP probe say about target, path and agent. Pure.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{ReportError, TcpFindings, TcpOutcome};

use crate::verdict::{Verdict, error};

/// Judges a TCP probe that has run to its end. A closed port has answered, and yet is not what was asked for.
pub(super) fn judge(findings: &TcpFindings, first_error: Option<&(Fault, ReportError)>, wanted: u32) -> Verdict {
    let numbers = &findings.statistics;
    if numbers.open == wanted {
        return Verdict::ok();
    }
    let (fault, mut error) = first_error
        .cloned()
        .unwrap_or_else(|| (Fault::Path, error(ErrorCode::Timeout, "nothing came back in time")));
    if numbers.open > 0 {
        let others = wanted.saturating_sub(numbers.open);
        error.message = format!("{others} of {wanted} tries gave no connection, the first: {}", error.message);
        return Verdict::of(Status::Degraded, fault, error);
    }
    let silent = findings.tries.iter().all(|tried| tried.outcome == TcpOutcome::Filtered);
    let status = if silent { Status::Timeout } else { Status::Failed };
    Verdict::of(status, fault, error)
}
