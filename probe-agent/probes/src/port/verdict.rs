//! What a scan says about target, path and agent. Pure.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{PortStatistics, ReportError};

use crate::verdict::{Verdict, error};

/// Judges a scan that has run to its end: it is well where every port has its state and something came back. Which states they are is what
/// was asked for, and no fault of anybody's.
pub(super) fn judge(numbers: &PortStatistics, first_error: Option<&(Fault, ReportError)>) -> Verdict {
    if let Some((fault, told)) = first_error
        && numbers.unasked > 0
    {
        let mut told = told.clone();
        told.message = format!("{} of {} ports were not asked, the first: {}", numbers.unasked, numbers.ports, told.message);
        let status = if numbers.sent > 0 { Status::Degraded } else { Status::Failed };
        return Verdict::of(status, *fault, told);
    }
    if numbers.open + numbers.closed == 0 {
        let told = error(
            ErrorCode::Timeout,
            "nothing answered on any of the ports: the target, or something before it, drops what comes",
        );
        return Verdict::of(Status::Timeout, Fault::Path, told);
    }
    Verdict::ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(open: u32, closed: u32, filtered: u32, unasked: u32) -> PortStatistics {
        PortStatistics {
            ports: open + closed + filtered + unasked,
            open,
            closed,
            filtered,
            open_filtered: 0,
            unasked,
            sent: open + closed + filtered,
            rate_limited_hint: false,
            rtt: None,
            user_rtt: None,
        }
    }

    #[test]
    fn states_are_findings_and_only_what_was_not_asked_or_never_answered_is_trouble() {
        assert_eq!(judge(&numbers(1, 0, 3, 0), None), Verdict::ok());
        assert_eq!(judge(&numbers(0, 1, 3, 0), None), Verdict::ok());
        let silent = judge(&numbers(0, 0, 3, 0), None);
        assert_eq!((silent.status, silent.fault), (Status::Timeout, Fault::Path));
        let cause = (Fault::Agent, error(ErrorCode::Resource, "no room"));
        let some = judge(&numbers(1, 0, 0, 2), Some(&cause));
        assert_eq!((some.status, some.fault), (Status::Degraded, Fault::Agent));
        assert_eq!(some.error.unwrap().message, "2 of 3 ports were not asked, the first: no room");
        assert_eq!(judge(&numbers(0, 0, 0, 2), Some(&cause)).status, Status::Failed);
    }
}
