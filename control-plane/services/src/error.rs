//! What can go wrong in a service, each with the stable code that the API shows.

use control_api::timestamp::Timestamp;
use control_core::authorize::Denied;
use control_store::StoreError;
use shared_protocol::fault::ProblemCode;
use shared_protocol::spec::InvalidField;

/// Why a request was not carried out. Its text is what the caller may read; causes stay in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// No usable key came with the request.
    #[error("no valid API key came with the request; send one as `Authorization: Bearer po_…`")]
    Unauthenticated,
    /// The principal may not do this.
    #[error("{0}")]
    Denied(Denied),
    /// No such thing for this tenant.
    #[error("no such thing; it may have been removed, or belong to another tenant")]
    NotFound,
    /// A field is not acceptable.
    #[error("{0}")]
    Invalid(InvalidField),
    /// The tenant's tier does not include this.
    #[error("{0}")]
    TierLimit(InvalidField),
    /// The request contradicts what already stands.
    #[error("{0}")]
    Conflict(&'static str),
    /// Another version stands than the one meant.
    #[error("another version stands than the one that `If-Match` names; read it again")]
    PreconditionFailed,
    /// The idempotency key was used before with another body.
    #[error("this idempotency key was used within the last 24 hours with another body; use a new key")]
    IdempotencyMismatch,
    /// The key of a certificate request belongs to another agent.
    #[error("this key already belongs to an agent; make a new one")]
    KeyReuse,
    /// Too many requests.
    #[error("too many requests; try again in {retry_after_s} s")]
    RateLimited {
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// The tenant has used up the measurements of a span.
    #[error("your tenant has used up the measurements that its tier includes for this {span}; the next begins in {retry_after_s} s")]
    QuotaUsedUp {
        /// `hour`, `day` or `month`.
        span: &'static str,
        /// When the next one begins, seconds.
        retry_after_s: u32,
    },
    /// The tenant has as many open jobs as its tier allows.
    #[error("your tenant has as many open jobs as its tier allows; wait for some to end, or cancel them")]
    TooManyOpenJobs {
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// The work could not start before its deadline.
    #[error("the agents are busy until {estimated_start}, which is after the deadline; ask for a later deadline or other agents")]
    CannotStartInTime {
        /// When it could start.
        estimated_start: Timestamp,
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// The target is sent as much as the operator allows.
    #[error(
        "{target} would be sent more packets a second than the operator allows all agents together, or half of that for one tenant; ask fewer agents, or try again in {retry_after_s} s"
    )]
    TargetBusy {
        /// Which of them.
        target: String,
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// No agent of the tenant matches the selection.
    #[error("no agent matches the selection; name agents, or check their labels and whether they are online")]
    NoAgentMatches,
    /// Nothing can be stored at the moment.
    #[error("the control plane cannot store anything at the moment; nothing was accepted; try again in {retry_after_s} s")]
    Unavailable {
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// The control plane broke.
    #[error("the control plane failed at this; the request id finds the cause in its log")]
    Internal,
}

impl ServiceError {
    /// The stable code.
    pub const fn code(&self) -> ProblemCode {
        match self {
            Self::Unauthenticated | Self::Denied(Denied::Unauthenticated) => ProblemCode::Unauthenticated,
            Self::Denied(Denied::MissingScope(_) | Denied::OperatorOnly) => ProblemCode::Forbidden,
            Self::Denied(Denied::ForeignTenant) | Self::NotFound => ProblemCode::NotFound,
            Self::Invalid(_) => ProblemCode::InvalidField,
            Self::TierLimit(_) => ProblemCode::TierLimit,
            Self::Conflict(_) => ProblemCode::Conflict,
            Self::PreconditionFailed => ProblemCode::PreconditionFailed,
            Self::IdempotencyMismatch => ProblemCode::IdempotencyMismatch,
            Self::KeyReuse => ProblemCode::KeyReuse,
            Self::RateLimited { .. } | Self::QuotaUsedUp { .. } => ProblemCode::RateLimited,
            Self::TooManyOpenJobs { .. } => ProblemCode::TooManyOpenJobs,
            Self::CannotStartInTime { .. } => ProblemCode::CannotStartInTime,
            Self::TargetBusy { .. } => ProblemCode::TargetBusy,
            Self::NoAgentMatches => ProblemCode::NoAgentMatches,
            Self::Unavailable { .. } => ProblemCode::Unavailable,
            Self::Internal => ProblemCode::Internal,
        }
    }

    /// The field it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid(invalid) | Self::TierLimit(invalid) => Some(&invalid.field),
            Self::Unauthenticated
            | Self::Denied(_)
            | Self::NotFound
            | Self::Conflict(_)
            | Self::PreconditionFailed
            | Self::IdempotencyMismatch
            | Self::KeyReuse
            | Self::RateLimited { .. }
            | Self::QuotaUsedUp { .. }
            | Self::TooManyOpenJobs { .. }
            | Self::CannotStartInTime { .. }
            | Self::TargetBusy { .. }
            | Self::NoAgentMatches
            | Self::Unavailable { .. }
            | Self::Internal => None,
        }
    }

    /// When to try again, seconds.
    pub const fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_s }
            | Self::QuotaUsedUp { retry_after_s, .. }
            | Self::TooManyOpenJobs { retry_after_s }
            | Self::CannotStartInTime { retry_after_s, .. }
            | Self::TargetBusy { retry_after_s, .. }
            | Self::Unavailable { retry_after_s } => Some(*retry_after_s),
            Self::Unauthenticated
            | Self::Denied(_)
            | Self::NotFound
            | Self::Invalid(_)
            | Self::TierLimit(_)
            | Self::Conflict(_)
            | Self::PreconditionFailed
            | Self::IdempotencyMismatch
            | Self::KeyReuse
            | Self::NoAgentMatches
            | Self::Internal => None,
        }
    }

    /// When the work could start, where it could not before its deadline.
    pub const fn estimated_start(&self) -> Option<Timestamp> {
        if let Self::CannotStartInTime { estimated_start, .. } = self {
            Some(*estimated_start)
        } else {
            None
        }
    }

    /// A field of the request that is not acceptable.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(InvalidField::new(field, message))
    }
}

impl From<Denied> for ServiceError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        if error.is_retryable() {
            tracing::warn!(%error, "the store is not available");
            Self::Unavailable {
                retry_after_s: UNAVAILABLE_RETRY_S,
            }
        } else {
            tracing::error!(%error, "the store failed");
            Self::Internal
        }
    }
}

/// Why the services could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory could not be made or is not private.
    #[error("prepare the data directory {path}: {source}")]
    DataDirectory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store could not be opened.
    #[error("open the store: {0}")]
    Store(#[from] StoreError),
    /// The certificate authority could not be made or read.
    #[error("certificate authority: {0}")]
    Authority(#[from] crate::fleet::AuthorityError),
    /// The secret behind the API keys could not be made or read.
    #[error("pepper: {0}")]
    Pepper(std::io::Error),
}

impl StartError {
    /// Whether the same start can succeed later without anybody changing anything: a database server that cannot be reached yet.
    pub const fn is_worth_waiting(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::DataDirectory { .. } | Self::Authority(_) | Self::Pepper(_) => false,
        }
    }
}

/// How long a caller waits before it tries an unavailable store again, seconds.
const UNAVAILABLE_RETRY_S: u32 = 2;
