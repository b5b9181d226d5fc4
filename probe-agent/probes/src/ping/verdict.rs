//! What the packets of a ping say about target, path and agent. Pure.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{PingFindings, PingPacket, ReportError};

use super::exchange::SendFailure;
use crate::net::errno;
use crate::net::icmp::{Family, meaning};
use crate::verdict::{Verdict, error};

/// Judges a ping that has run to its end.
pub(super) fn judge(findings: &PingFindings, unsent: &[SendFailure], wanted: u32) -> Verdict {
    let statistics = &findings.statistics;
    if statistics.received == wanted {
        return judge_complete(findings);
    }
    let worst = unsent.first().map(|failure| judge_unsent(*failure));
    let refused = findings
        .packets
        .iter()
        .find_map(|packet| Some((packet.icmp_error?, packet)))
        .map(|(kind, packet)| judge_icmp_error(findings.address, kind, packet));
    if statistics.received == 0 {
        return worst.or(refused).map_or_else(
            || Verdict::of(Status::Timeout, Fault::Path, error(ErrorCode::Timeout, "nothing came back in time")),
            |(fault, error)| Verdict::of(Status::Failed, fault, error),
        );
    }
    let (fault, error) = worst.or(refused).unwrap_or_else(|| {
        let lost = statistics.sent.saturating_sub(statistics.received);
        let message = format!("{lost} of {} requests were not answered in time", statistics.sent);
        let fault = if findings.agent_drops > 0 { Fault::Agent } else { Fault::Path };
        (fault, error(ErrorCode::Timeout, message))
    });
    Verdict::of(Status::Degraded, fault, error)
}

fn judge_complete(findings: &PingFindings) -> Verdict {
    let untimed = findings
        .packets
        .iter()
        .filter(|packet| packet.rtt_us.is_none() && !packet.duplicate && !packet.late)
        .count();
    if untimed == 0 {
        return Verdict::ok();
    }
    let message = format!("{untimed} packets have no time by the kernel's clock: it gave no timestamp, or its clock was set meanwhile");
    Verdict::of(Status::Degraded, Fault::Agent, error(ErrorCode::Resource, message))
}

fn judge_unsent(failure: SendFailure) -> (Fault, ReportError) {
    match failure {
        SendFailure::Kernel(errno) => {
            let (fault, code) = errno::judge(errno);
            let message = format!("the kernel would not send: {}", std::io::Error::from_raw_os_error(errno));
            let error = ReportError {
                code,
                message,
                errno: Some(errno),
            };
            (fault, error)
        }
        SendFailure::NoRoom => (
            Fault::Agent,
            error(ErrorCode::Resource, "the agent's packet rates left no room before the deadline"),
        ),
        SendFailure::NoSocket => (
            Fault::Agent,
            error(ErrorCode::PermissionMissing, "the agent has no ICMP socket for this address family"),
        ),
    }
}

fn judge_icmp_error(target: IpAddr, (kind, code): (u8, u8), packet: &PingPacket) -> (Fault, ReportError) {
    let what = meaning::code_of(Family::of(target), (kind, code));
    let fault = if packet.from.is_none() { Fault::Target } else { Fault::Path };
    let message = format!("an ICMP error of type {kind}, code {code} answered");
    (fault, error(what, message))
}
