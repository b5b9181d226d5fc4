//! What became of a fetch, and whose fault it is. Pure.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HttpPhase, NotFollowed, NotFollowedReason, ReportError};

use crate::net::tcp::DialError;
use crate::net::tls::{TlsError, error_code};
use crate::text::shown;
use crate::verdict::{Stop, Verdict, error};

/// An answer with this status came, whole.
pub(super) fn of_status(status: u16) -> Verdict {
    if status < 400 {
        return Verdict::ok();
    }
    Verdict::failed(Fault::Target, ErrorCode::HttpStatus, format!("the server answered with status {status}"))
}

/// The answer points elsewhere and was not followed.
pub(super) fn not_followed(stay: &NotFollowed) -> Verdict {
    let why = match stay.reason {
        NotFollowedReason::NotAsked => return Verdict::ok(),
        NotFollowedReason::TooMany => "there are more redirects than may be followed",
        NotFollowedReason::Loop => "the redirects lead in a circle",
        NotFollowedReason::Downgrade => "the redirect leads from https to http",
        NotFollowedReason::NotHttp => "the redirect leads to something that is no http or https address",
    };
    Verdict::failed(Fault::Target, ErrorCode::RedirectRefused, why)
}

/// Time ran out in this phase.
pub(super) fn timeout(phase: Option<HttpPhase>) -> Verdict {
    let (fault, code, what) = match phase {
        Some(HttpPhase::Dns) => (Fault::Resolver, ErrorCode::DnsTimeout, "the name was not resolved in time"),
        Some(HttpPhase::Tcp) => (Fault::Path, ErrorCode::Timeout, "no connection came in time"),
        Some(HttpPhase::Tls) => (Fault::Target, ErrorCode::Timeout, "the TLS handshake did not end in time"),
        Some(HttpPhase::Request) => (Fault::Target, ErrorCode::Timeout, "the server did not take the request in time"),
        Some(HttpPhase::FirstByte) => (Fault::Target, ErrorCode::Timeout, "no answer came in time"),
        Some(HttpPhase::Download) => (Fault::Target, ErrorCode::Timeout, "the answer did not end in time"),
        None => (Fault::Agent, ErrorCode::Timeout, "the time was over between two parts"),
    };
    Verdict::of(Status::Timeout, fault, error(code, what))
}

/// There is no connection.
pub(super) fn not_connected(error: DialError, target: IpAddr) -> Stop {
    if let DialError::Denied(denial) = error {
        return Stop::Denied(denial);
    }
    let status = match error {
        DialError::TimedOut => Status::Timeout,
        DialError::Denied(_) | DialError::NoRoom | DialError::Failed(_) => Status::Failed,
    };
    let (fault, error) = error.blame(target);
    Stop::Failed(Verdict::of(status, fault, error))
}

/// There is no TLS connection.
pub(super) fn not_secured(error: &TlsError) -> Stop {
    let (fault, code) = match error {
        TlsError::Unproven { failure, .. } => (Fault::Target, error_code(*failure)),
        TlsError::Alert { .. } => (Fault::Target, ErrorCode::TlsAlert),
        TlsError::Protocol(_) => (Fault::Target, ErrorCode::ProtoError),
        TlsError::Broken(cause) => return Stop::Failed(of_io(cause, error.to_string())),
        TlsError::Setup(_) => (Fault::Agent, ErrorCode::Internal),
    };
    Stop::failed(fault, code, error.to_string())
}

/// The conversation broke.
pub(super) fn broken(error: &hyper::Error) -> Stop {
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    let message = std::iter::once(error.to_string())
        .chain(causes.iter().map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(": ");
    let message = shown(&message, MESSAGE_CHARACTERS);
    let of_kernel = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<io::Error>())
        .filter(|cause| cause.raw_os_error().is_some());
    Stop::Failed(match of_kernel {
        Some(cause) => of_io(cause, message),
        None => Verdict::failed(Fault::Target, ErrorCode::ProtoError, message),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "std's kinds of errors, marked as growing; the kernel's number decides about the others"
)]
fn of_io(cause: &io::Error, message: String) -> Verdict {
    let (fault, code) = match cause.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => (Fault::Target, ErrorCode::Reset),
        io::ErrorKind::TimedOut => (Fault::Path, ErrorCode::Timeout),
        // The server closed where it had more to say.
        io::ErrorKind::UnexpectedEof => (Fault::Target, ErrorCode::ProtoError),
        _ => cause.raw_os_error().map_or((Fault::Target, ErrorCode::ProtoError), crate::net::errno::judge),
    };
    let error = ReportError {
        code,
        message,
        errno: cause.raw_os_error(),
    };
    Verdict::of(Status::Failed, fault, error)
}

const MESSAGE_CHARACTERS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_400_and_more_is_the_targets_failure() {
        for (status, expected) in [
            (200, Status::Ok),
            (304, Status::Ok),
            (399, Status::Ok),
            (404, Status::Failed),
            (503, Status::Failed),
        ] {
            let verdict = of_status(status);
            assert_eq!(verdict.status, expected, "{status}");
            assert_eq!(
                verdict.error.map(|error| error.code),
                (expected == Status::Failed).then_some(ErrorCode::HttpStatus)
            );
        }
    }

    #[test]
    fn whose_fault_a_timeout_is_follows_from_the_phase() {
        for (phase, fault, code) in [
            (HttpPhase::Dns, Fault::Resolver, ErrorCode::DnsTimeout),
            (HttpPhase::Tcp, Fault::Path, ErrorCode::Timeout),
            (HttpPhase::FirstByte, Fault::Target, ErrorCode::Timeout),
        ] {
            let verdict = timeout(Some(phase));
            assert_eq!(
                (verdict.status, verdict.fault, verdict.error.map(|error| error.code)),
                (Status::Timeout, fault, Some(code))
            );
        }
    }
}
