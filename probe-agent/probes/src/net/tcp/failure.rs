//! Why there is no connection, and whose fault that is. Pure.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::ReportError;

use crate::net::errno;
use crate::net::gate::Denial;
use crate::net::icmp::{Family, meaning};
use crate::verdict::error;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// The owner's policy says no.
    #[error("the policy denies the address: {0}")]
    Denied(Denial),
    /// The owner's rates let nothing leave in time.
    #[error("the agent's packet rates left no room before the deadline")]
    NoRoom,
    /// Nothing came back in time.
    #[error("nothing came back in time")]
    TimedOut,
    /// The kernel, or what it heard from the network, ended it.
    #[error("no connection: {0}")]
    Failed(Failure),
}

/// How the kernel ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", std::io::Error::from_raw_os_error(*errno))]
pub(crate) struct Failure {
    /// The kernel's error number.
    pub errno: i32,
    /// Where it happened.
    pub place: Place,
    /// The ICMP error behind it: type and code, and who sent it.
    pub icmp: Option<((u8, u8), Option<IpAddr>)>,
    /// Time since the attempt began.
    pub taken: Duration,
}

/// Where an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this host: no segment left.
    Host,
    /// The host had no address or port left for this target.
    Ports,
    /// The target, or something on the way, answered.
    Network,
}

impl DialError {
    /// Whose fault it is, with the error for the report.
    pub(crate) fn blame(&self, target: IpAddr) -> (Fault, ReportError) {
        match self {
            Self::Denied(denial) => (Fault::Policy, error(ErrorCode::PolicyDenied, denial.message.clone())),
            Self::NoRoom => (Fault::Agent, error(ErrorCode::Resource, self.to_string())),
            Self::TimedOut => (Fault::Path, error(ErrorCode::Timeout, self.to_string())),
            Self::Failed(failure) => failure.blame(target),
        }
    }
}

impl Failure {
    /// Whether the target itself answered that nothing listens.
    pub(crate) const fn is_reset(&self) -> bool {
        matches!((self.place, self.errno, self.icmp), (Place::Network, libc::ECONNREFUSED, None))
    }

    fn blame(&self, target: IpAddr) -> (Fault, ReportError) {
        let (fault, code, message) = match (self.place, self.icmp) {
            (Place::Network, Some(((kind, code), from))) => {
                let fault = if from == Some(target) { Fault::Target } else { Fault::Path };
                let who = from.map(|from| format!(" from {from}")).unwrap_or_default();
                let message = format!("an ICMP error of type {kind}, code {code}{who} answered");
                (fault, meaning::code_of(Family::of(target), (kind, code)), message)
            }
            (Place::Network, None) if self.errno == libc::ECONNREFUSED => (Fault::Target, ErrorCode::Refused, "the target refused the connection".to_owned()),
            (Place::Ports, _) => (
                Fault::Agent,
                ErrorCode::Resource,
                "the host has no free port for a connection to this target".to_owned(),
            ),
            (Place::Network | Place::Host, _) => {
                let (fault, code) = match self.errno {
                    libc::ETIMEDOUT => (Fault::Path, ErrorCode::Timeout),
                    libc::ECONNRESET => (Fault::Target, ErrorCode::Reset),
                    other => errno::judge(other),
                };
                (fault, code, format!("the kernel could not connect: {self}"))
            }
        };
        let error = ReportError {
            code,
            message,
            errno: Some(self.errno),
        };
        (fault, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame(errno: i32, place: Place, icmp: Option<((u8, u8), Option<IpAddr>)>) -> (Fault, ErrorCode) {
        let failure = Failure {
            errno,
            place,
            icmp,
            taken: Duration::ZERO,
        };
        let (fault, error) = DialError::Failed(failure).blame("192.0.2.1".parse().unwrap());
        assert_eq!(error.errno, Some(errno));
        (fault, error.code)
    }

    #[test]
    fn res_05_what_the_host_has_run_out_of_is_the_agents_fault() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN] {
            assert_eq!(blame(errno, Place::Host, None), (Fault::Agent, ErrorCode::Resource), "{errno}");
        }
        assert_eq!(blame(libc::EADDRNOTAVAIL, Place::Ports, None), (Fault::Agent, ErrorCode::Resource));
        assert_eq!(blame(libc::EADDRNOTAVAIL, Place::Host, None), (Fault::Agent, ErrorCode::UnreachableNet));
    }

    #[test]
    fn res_06_a_local_firewall_is_no_loss_on_the_path() {
        assert_eq!(blame(libc::EPERM, Place::Host, None), (Fault::Agent, ErrorCode::PermissionMissing));
    }

    #[test]
    fn who_sent_an_icmp_error_decides_whose_fault_it_is() {
        let router = Some("198.51.100.1".parse().unwrap());
        let target = Some("192.0.2.1".parse().unwrap());
        for (errno, kind, from, expected) in [
            (libc::EHOSTUNREACH, (3, 1), router, (Fault::Path, ErrorCode::UnreachableHost)),
            (libc::EHOSTUNREACH, (3, 13), router, (Fault::Path, ErrorCode::UnreachableAdmin)),
            (libc::ECONNREFUSED, (3, 3), target, (Fault::Target, ErrorCode::UnreachablePort)),
            (libc::EHOSTUNREACH, (11, 0), router, (Fault::Path, ErrorCode::TtlExceeded)),
        ] {
            assert_eq!(blame(errno, Place::Network, Some((kind, from))), expected, "{kind:?}");
        }
        assert_eq!(blame(libc::ECONNREFUSED, Place::Network, None), (Fault::Target, ErrorCode::Refused));
        assert_eq!(blame(libc::ECONNRESET, Place::Network, None), (Fault::Target, ErrorCode::Reset));
    }
}
