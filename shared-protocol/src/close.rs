//! Why a session ends: WebSocket close codes with a typed reason, each fatal or retryable by one exhaustive match.

use std::time::Duration;

use crate::limits::SUPPORTED_VERSIONS;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The session did what it was for.
    Done,
    /// The peer goes away.
    GoingAway,
    /// The control plane restarts; come back after the time given, if any.
    Restart {
        /// When to come back, milliseconds.
        retry_after_ms: Option<u32>,
    },
    /// The control plane has no room at the moment.
    Busy {
        /// When to come back, milliseconds.
        retry_after_ms: Option<u32>,
    },
    /// A binary frame came; the wire is text (RFC 6455 code 1003).
    UnsupportedData,
    /// A message longer than the limit came (RFC 6455 code 1009).
    TooBig,
    /// What came is not a frame of this protocol.
    BadEnvelope,
    /// The agent is not known, or its certificate is not the one on record.
    Unknown,
    /// The agent's identity was revoked: the only reason that stops it.
    Revoked,
    /// No protocol version in common.
    NoCommonVersion,
    /// Nothing was heard for too long.
    Silent,
    /// A frame came when it must not.
    ProtocolOrder,
    /// A newer session of the same instance took over.
    Replaced,
    /// Another instance with the same identity is alive.
    IdentityConflict,
    /// The agent is suspended or waits for approval.
    Suspended,
    /// Too many messages in too short a time.
    TooFast,
}

/// What an agent does after a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Stop: no further attempt can succeed.
    Fatal,
    /// Dial again by the usual backoff.
    Backoff,
    /// Dial again at a random moment between the two.
    After {
        /// Not before this.
        earliest: Duration,
        /// Not after this.
        latest: Duration,
    },
}

impl CloseReason {
    /// The WebSocket close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::GoingAway => 1001,
            Self::UnsupportedData => 1003,
            Self::TooBig => 1009,
            Self::Restart { .. } => 1012,
            Self::Busy { .. } => 1013,
            Self::BadEnvelope => 4400,
            Self::Unknown => 4401,
            Self::Revoked => 4403,
            Self::NoCommonVersion => 4406,
            Self::Silent => 4408,
            Self::ProtocolOrder => 4409,
            Self::Replaced => 4410,
            Self::IdentityConflict => 4411,
            Self::Suspended => 4423,
            Self::TooFast => 4429,
        }
    }

    /// The text of the close frame: the reason's name, and what the peer can act on: `retry_after_ms=N`, `supported=<versions>`.
    pub fn text(self) -> String {
        let name = self.name();
        match self {
            Self::Restart { retry_after_ms: Some(after) } | Self::Busy { retry_after_ms: Some(after) } => format!("{name} retry_after_ms={after}"),
            Self::NoCommonVersion => format!("{name} supported={}", SUPPORTED_VERSIONS.map(|version| version.to_string()).join(",")),
            Self::Done
            | Self::GoingAway
            | Self::Restart { retry_after_ms: None }
            | Self::Busy { retry_after_ms: None }
            | Self::UnsupportedData
            | Self::TooBig
            | Self::BadEnvelope
            | Self::Unknown
            | Self::Revoked
            | Self::Silent
            | Self::ProtocolOrder
            | Self::Replaced
            | Self::IdentityConflict
            | Self::Suspended
            | Self::TooFast => name.to_owned(),
        }
    }

    /// The reason's name, as logs and metrics use it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::GoingAway => "going_away",
            Self::UnsupportedData => "unsupported_data",
            Self::TooBig => "too_big",
            Self::Restart { .. } => "restart",
            Self::Busy { .. } => "busy",
            Self::BadEnvelope => "bad_envelope",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::NoCommonVersion => "no_common_version",
            Self::Silent => "silent",
            Self::ProtocolOrder => "protocol_order",
            Self::Replaced => "replaced",
            Self::IdentityConflict => "identity_conflict",
            Self::Suspended => "suspended",
            Self::TooFast => "too_fast",
        }
    }

    /// Reads a close frame; a code that is not of this protocol is a peer that went away.
    pub fn from_close_frame(code: u16, text: &str) -> Self {
        let retry_after_ms = text.split_once("retry_after_ms=").and_then(|(_, number)| number.parse().ok());
        match code {
            1000 => Self::Done,
            1003 => Self::UnsupportedData,
            1009 => Self::TooBig,
            1012 => Self::Restart { retry_after_ms },
            1013 => Self::Busy { retry_after_ms },
            4400 => Self::BadEnvelope,
            4401 => Self::Unknown,
            4403 => Self::Revoked,
            4406 => Self::NoCommonVersion,
            4408 => Self::Silent,
            4409 => Self::ProtocolOrder,
            4410 => Self::Replaced,
            4411 => Self::IdentityConflict,
            4423 => Self::Suspended,
            4429 => Self::TooFast,
            _ => Self::GoingAway,
        }
    }

    /// What the agent does next.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::Revoked => Disposition::Fatal,
            Self::Unknown | Self::Suspended | Self::IdentityConflict => Disposition::After {
                earliest: Duration::from_mins(5),
                latest: Duration::from_mins(15),
            },
            Self::Restart { retry_after_ms: Some(after) } | Self::Busy { retry_after_ms: Some(after) } => {
                let after = Duration::from_millis(u64::from(after)).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
                Disposition::After {
                    earliest: after,
                    latest: after + after / 4,
                }
            }
            Self::Done
            | Self::GoingAway
            | Self::Restart { retry_after_ms: None }
            | Self::Busy { retry_after_ms: None }
            | Self::UnsupportedData
            | Self::TooBig
            | Self::BadEnvelope
            | Self::NoCommonVersion
            | Self::Silent
            | Self::ProtocolOrder
            | Self::Replaced
            | Self::TooFast => Disposition::Backoff,
        }
    }
}

/// Shortest time a peer can ask to be left alone.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// Longest time a peer can ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [CloseReason; 16] = [
        CloseReason::Done,
        CloseReason::GoingAway,
        CloseReason::Restart { retry_after_ms: Some(1_500) },
        CloseReason::Busy { retry_after_ms: None },
        CloseReason::UnsupportedData,
        CloseReason::TooBig,
        CloseReason::BadEnvelope,
        CloseReason::Unknown,
        CloseReason::Revoked,
        CloseReason::NoCommonVersion,
        CloseReason::Silent,
        CloseReason::ProtocolOrder,
        CloseReason::Replaced,
        CloseReason::IdentityConflict,
        CloseReason::Suspended,
        CloseReason::TooFast,
    ];

    #[test]
    fn a_reason_survives_the_close_frame() {
        for reason in EVERY {
            assert_eq!(CloseReason::from_close_frame(reason.code(), &reason.text()), reason);
            assert!(reason.text().len() <= 123, "a close frame holds 123 bytes of text");
        }
    }

    #[test]
    fn only_a_revoked_agent_stops() {
        for reason in EVERY {
            assert_eq!(reason.disposition() == Disposition::Fatal, reason == CloseReason::Revoked);
        }
    }

    #[test]
    fn net_13_retry_after_is_clamped() {
        let after = |text: &str| CloseReason::from_close_frame(1012, text).disposition();
        assert_eq!(
            after("restart retry_after_ms=0"),
            Disposition::After {
                earliest: Duration::from_secs(1),
                latest: Duration::from_millis(1_250)
            }
        );
        assert!(matches!(after("restart retry_after_ms=4294967295"), Disposition::After { earliest, .. } if earliest == Duration::from_mins(15)));
        for garbage in ["restart retry_after_ms=-1", "restart retry_after_ms=1e9", "retry_after_ms=", "restart"] {
            assert_eq!(after(garbage), Disposition::Backoff, "{garbage}");
        }
    }
}
