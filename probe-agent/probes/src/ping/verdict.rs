//! What the packets of a ping say about target, path and agent. Pure.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{PingFindings, PingPacket, ReportError};

use super::exchange::SendFailure;
use crate::net::icmp::Family;

/// Status, fault and error of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub status: Status,
    pub fault: Fault,
    pub error: Option<ReportError>,
}

impl Verdict {
    pub(super) fn failed(fault: Fault, code: ErrorCode, message: impl Into<String>) -> Self {
        Self::of(Status::Failed, fault, error(code, message))
    }

    fn of(status: Status, fault: Fault, error: ReportError) -> Self {
        Self {
            status,
            fault,
            error: Some(error),
        }
    }
}

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
        return Verdict {
            status: Status::Ok,
            fault: Fault::None,
            error: None,
        };
    }
    let message = format!("{untimed} packets have no time by the kernel's clock: it gave no timestamp, or its clock was set meanwhile");
    Verdict::of(Status::Degraded, Fault::Agent, error(ErrorCode::Resource, message))
}

fn judge_unsent(failure: SendFailure) -> (Fault, ReportError) {
    match failure {
        SendFailure::Kernel(errno) => {
            let (fault, code) = judge_errno(errno);
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

/// Whose fault it is that the kernel did not send.
fn judge_errno(errno: i32) -> (Fault, ErrorCode) {
    match errno {
        libc::EPERM | libc::EACCES => (Fault::Agent, ErrorCode::PermissionMissing),
        libc::ENETUNREACH => (Fault::Path, ErrorCode::UnreachableNet),
        libc::EHOSTUNREACH => (Fault::Path, ErrorCode::UnreachableHost),
        libc::EMSGSIZE => (Fault::Path, ErrorCode::FragNeeded),
        libc::ENETDOWN | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => (Fault::Agent, ErrorCode::UnreachableNet),
        libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE => (Fault::Agent, ErrorCode::Resource),
        _ => (Fault::Agent, ErrorCode::Internal),
    }
}

fn judge_icmp_error(target: IpAddr, (kind, code): (u8, u8), packet: &PingPacket) -> (Fault, ReportError) {
    let what = match Family::of(target) {
        Family::V4 => code_of_v4(kind, code),
        Family::V6 => code_of_v6(kind, code),
    };
    let fault = if packet.from.is_none() { Fault::Target } else { Fault::Path };
    let message = format!("an ICMP error of type {kind}, code {code} answered");
    (fault, error(what, message))
}

/// RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
const fn code_of_v4(kind: u8, code: u8) -> ErrorCode {
    match (kind, code) {
        (11, _) => ErrorCode::TtlExceeded,
        (3, 2) | (12, _) => ErrorCode::UnreachableProto,
        (3, 3) => ErrorCode::UnreachablePort,
        (3, 4) => ErrorCode::FragNeeded,
        (3, 9 | 10 | 13 | 14 | 15) => ErrorCode::UnreachableAdmin,
        (3, 1 | 7 | 8 | 12) => ErrorCode::UnreachableHost,
        _ => ErrorCode::UnreachableNet,
    }
}

/// RFC 4443 section 3.
const fn code_of_v6(kind: u8, code: u8) -> ErrorCode {
    match (kind, code) {
        (2, _) => ErrorCode::FragNeeded,
        (3, _) => ErrorCode::TtlExceeded,
        (4, _) => ErrorCode::UnreachableProto,
        (1, 1 | 5 | 6) => ErrorCode::UnreachableAdmin,
        (1, 3) => ErrorCode::UnreachableHost,
        (1, 4) => ErrorCode::UnreachablePort,
        _ => ErrorCode::UnreachableNet,
    }
}

fn error(code: ErrorCode, message: impl Into<String>) -> ReportError {
    ReportError {
        code,
        message: message.into(),
        errno: None,
    }
}
