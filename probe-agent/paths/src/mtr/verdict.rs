//! What the hops say about target, path and agent.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{MtrFindings, PathEnd};

use crate::book::Book;
use crate::meaning;
use crate::shape::unsent;
use crate::verdict::{Verdict, error};

/// Judges an mtr that has run to its end.
pub(super) fn judge(findings: &MtrFindings, book: &Book) -> Verdict {
    let refused = unsent(book);
    if findings.hops.iter().all(|hop| hop.sent == 0)
        && let Some((fault, error)) = refused
    {
        return Verdict::of(Status::Failed, fault, error);
    }
    match findings.end {
        PathEnd::Reached => judge_reached(findings, refused.is_some()),
        PathEnd::Unreachable => Verdict::failed(Fault::Path, refusal(findings, book), "a hop does not forward packets to the target"),
        PathEnd::Looped => Verdict::failed(Fault::Path, ErrorCode::TtlExceeded, "packets go in circles"),
        PathEnd::MaxTtl => Verdict::failed(Fault::Path, ErrorCode::TtlExceeded, "the target was not reached within as many hops"),
        PathEnd::GapLimit | PathEnd::Stopped => {
            let last = findings.hops.iter().rfind(|hop| hop.received > 0);
            let message = last.map_or_else(|| "no hop answered in time".to_owned(), |hop| format!("nothing answers behind hop {}", hop.ttl));
            Verdict::of(Status::Timeout, Fault::Path, error(ErrorCode::Timeout, message))
        }
    }
}

fn judge_reached(findings: &MtrFindings, some_unsent: bool) -> Verdict {
    if some_unsent {
        let error = error(ErrorCode::Resource, "some packets did not leave this host");
        return Verdict::of(Status::Degraded, Fault::Agent, error);
    }
    match findings.hops.last() {
        Some(target) if target.received < target.sent => {
            let fault = if findings.agent_drops > 0 { Fault::Agent } else { Fault::Path };
            let message = format!(
                "{} of {} packets to the target were not answered in time",
                target.sent - target.received,
                target.sent
            );
            Verdict::of(Status::Degraded, fault, error(ErrorCode::Timeout, message))
        }
        Some(_) | None => Verdict::ok(),
    }
}

/// What the hop that does not forward says.
fn refusal(findings: &MtrFindings, book: &Book) -> ErrorCode {
    let errors = book.packets.iter().flat_map(|packet| packet.answers.iter().filter_map(|came| came.error()));
    let refusal = errors.into_iter().find(|error| !meaning::is_time_exceeded(findings.address, error.kind));
    refusal.map_or(ErrorCode::UnreachableNet, |error| meaning::code_of(findings.address, error.kind))
}
