//! What the hops say about target, path and agent.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HopReply, PathEnd, TracerouteFindings, TracerouteHop};

use crate::book::Book;
use crate::shape::unsent;
use crate::verdict::{Verdict, error};

/// Judges a traceroute that has run to its end.
pub(super) fn judge(findings: &TracerouteFindings, book: &Book) -> Verdict {
    let refused = unsent(book);
    let hops = &findings.hops;
    if hops.iter().all(|hop| hop.sent == 0)
        && let Some((fault, error)) = refused
    {
        return Verdict::of(Status::Failed, fault, error);
    }
    match findings.end {
        PathEnd::Reached => judge_reached(findings, refused.is_some()),
        PathEnd::Unreachable => {
            let (hop, reply) = hops.iter().find_map(|hop| Some((hop, refusal(hop)?))).unzip();
            let code = reply.and_then(|reply| reply.code).unwrap_or(ErrorCode::UnreachableNet);
            Verdict::failed(Fault::Path, code, format!("{} does not forward packets to the target", who(hop)))
        }
        PathEnd::Looped => Verdict::failed(Fault::Path, ErrorCode::TtlExceeded, "packets go in circles"),
        PathEnd::MaxTtl => {
            let most = hops.last().map_or(0, |hop| hop.ttl);
            Verdict::failed(Fault::Path, ErrorCode::TtlExceeded, format!("the target was not reached within {most} hops"))
        }
        PathEnd::GapLimit | PathEnd::Stopped => {
            let last = hops.iter().rfind(|hop| hop.received > 0);
            let message = last.map_or_else(
                || "no hop answered in time".to_owned(),
                |hop| format!("nothing answers behind {}", who(Some(hop))),
            );
            Verdict::of(Status::Timeout, Fault::Path, error(ErrorCode::Timeout, message))
        }
    }
}

fn judge_reached(findings: &TracerouteFindings, some_unsent: bool) -> Verdict {
    let Some(end) = &findings.end_to_end else { return Verdict::ok() };
    if some_unsent {
        return Verdict::of(
            Status::Degraded,
            Fault::Agent,
            error(ErrorCode::Resource, "some packets did not leave this host"),
        );
    }
    if end.received < end.sent {
        let fault = if findings.agent_drops > 0 { Fault::Agent } else { Fault::Path };
        let message = format!("{} of {} packets to the target were not answered in time", end.sent - end.received, end.sent);
        return Verdict::of(Status::Degraded, fault, error(ErrorCode::Timeout, message));
    }
    if end.rtt.is_none() {
        let message = "no answer of the target has a time by the kernel's clock: it gave no timestamp, or its clock was set meanwhile";
        return Verdict::of(Status::Degraded, Fault::Agent, error(ErrorCode::Resource, message));
    }
    Verdict::ok()
}

/// The answer by which a hop refused to forward.
fn refusal(hop: &TracerouteHop) -> Option<&HopReply> {
    hop.replies.iter().find(|reply| reply.code.is_some())
}

fn who(hop: Option<&TracerouteHop>) -> String {
    match hop {
        Some(hop) => {
            let address = hop.addresses.first().map(|found| format!(" ({})", found.address)).unwrap_or_default();
            format!("hop {}{address}", hop.ttl)
        }
        None => "a hop".to_owned(),
    }
}
