//! Faults and codes: whose fault a finding is, what went wrong in a probe, and the stable codes of the HTTP API's problems.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose fault it is that a probe did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nobody's: it succeeded.
    None,
    /// The target answered, wrongly.
    Target,
    /// Something between agent and target.
    Path,
    /// The name could not be resolved.
    Resolver,
    /// The agent or its host.
    Agent,
    /// The owner's policy.
    Policy,
    /// The control plane.
    Control,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [Self::None, Self::Target, Self::Path, Self::Resolver, Self::Agent, Self::Policy, Self::Control];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Target => "target",
            Self::Path => "path",
            Self::Resolver => "resolver",
            Self::Agent => "agent",
            Self::Policy => "policy",
            Self::Control => "control",
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == text).ok_or(UnknownName)
    }
}

/// The probe's own verdict; how the job ended is something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything asked was answered.
    Ok,
    /// Some of it was, or the agent measured with less than it should have.
    Degraded,
    /// The target, or the way to it, did not do what was asked.
    Failed,
    /// Nothing came back in time.
    Timeout,
}

impl Status {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Degraded, Self::Failed, Self::Timeout];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownName)
    }
}

/// The text names nothing that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name that this version knows")]
pub struct UnknownName;

/// What went wrong in a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The name does not exist.
    DnsNxdomain,
    /// The resolver failed.
    DnsServfail,
    /// The server will not answer.
    DnsRefused,
    /// The resolver did not answer.
    DnsTimeout,
    /// The name has no address of the wanted family.
    DnsNoAddress,
    /// The target refused.
    Refused,
    /// The connection was reset while it was in use.
    Reset,
    /// No route to the network.
    UnreachableNet,
    /// No route to the host.
    UnreachableHost,
    /// The host does not speak the protocol.
    UnreachableProto,
    /// Nothing listens on the port.
    UnreachablePort,
    /// An administrator forbids it on the way.
    UnreachableAdmin,
    /// The hop limit ran out on the way.
    TtlExceeded,
    /// A packet was too big for the path and must not be fragmented.
    FragNeeded,
    /// The target lies on no link of the agent's host that can be asked.
    NotOnLink,
    /// The interface that leads to the target is down.
    LinkDown,
    /// Several interfaces of a link say to have the same address.
    AddressConflict,
    /// Nothing came back in time.
    Timeout,
    /// The answer is not what the protocol allows.
    ProtoError,
    /// The server ended the TLS handshake with an alert.
    TlsAlert,
    /// The server's certificate does not prove its name, for a reason without a code of its own.
    TlsVerify,
    /// The server's certificate is no longer valid.
    TlsExpired,
    /// The server's certificate is not valid yet.
    TlsNotYetValid,
    /// The server's certificate is for other names.
    TlsNameMismatch,
    /// The server's certificate leads to no root that is trusted.
    TlsUnknownCa,
    /// The server answered with a status of 400 or more.
    HttpStatus,
    /// The answer points to where it must not be followed.
    RedirectRefused,
    /// The host does not let the agent open what it needs.
    PermissionMissing,
    /// The host has run out of something: buffers, ports, descriptors.
    Resource,
    /// The owner's policy denied an address.
    PolicyDenied,
    /// The job was taken back while it ran.
    Cancelled,
    /// The process that looks into the kernel ended before the observation did.
    ObserverLost,
    /// The package of an observation is not acceptable, to the owner of the host or to its kernel.
    PackageRefused,
    /// The agent has no package of that name, and cannot get it.
    PackageMissing,
    /// The agent broke; its log says how.
    Internal,
}

/// The stable code of an HTTP problem (RFC 9457): what a program may rely on. The sentence beside it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request is not readable: not JSON, nested too deep, a member named twice.
    MalformedRequest,
    /// A field is unknown, missing, of the wrong type or out of bounds; `field` names it.
    InvalidField,
    /// No usable API key came with the request.
    Unauthenticated,
    /// The key's scopes do not allow this.
    Forbidden,
    /// No such thing for this tenant.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request contradicts what already stands.
    Conflict,
    /// Another version stands than the one that `If-Match` names.
    PreconditionFailed,
    /// The idempotency key was used before with another body.
    IdempotencyMismatch,
    /// The key of the certificate request belongs to another agent.
    KeyReuse,
    /// The body is longer than allowed.
    BodyTooLarge,
    /// The body is not JSON by its content type.
    UnsupportedMediaType,
    /// The request took too long to arrive.
    RequestTimeout,
    /// Too many requests, or more than the tier allows; try again after `Retry-After`.
    RateLimited,
    /// The tenant's tier does not include this.
    TierLimit,
    /// The tenant has as many open jobs as its tier allows.
    TooManyOpenJobs,
    /// The work could not start before its deadline.
    CannotStartInTime,
    /// The platform sends its target as much as it may already.
    TargetBusy,
    /// No agent of the tenant matches the selection.
    NoAgentMatches,
    /// The control plane cannot store anything at the moment; try again after `Retry-After`.
    Unavailable,
    /// The control plane broke; the request id finds it in the log.
    Internal,
}

impl ProblemCode {
    /// The HTTP status that goes with the code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::MalformedRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict | Self::IdempotencyMismatch | Self::KeyReuse => 409,
            Self::PreconditionFailed => 412,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidField | Self::TierLimit | Self::NoAgentMatches => 422,
            Self::RateLimited | Self::TooManyOpenJobs | Self::CannotStartInTime | Self::TargetBusy => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.as_str());
            assert_eq!(fault.as_str().parse(), Ok(fault));
        }
        assert_eq!("OK".parse::<Status>(), Err(UnknownName));
    }
}
