//! Why a handshake failed, in the words of a report.

use std::io;

use rustls::CertificateError;
use shared_protocol::fault::ErrorCode;
use shared_protocol::report::{TlsFacts, TlsFailure};

use crate::text::shown;

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The server's certificate does not prove its name.
    #[error("the server's certificate does not prove its name: {message}")]
    Unproven {
        /// What is wrong with it.
        failure: TlsFailure,
        /// The same for people.
        message: String,
    },
    /// The server ended the handshake with an alert (RFC 8446 section 6).
    #[error("the server ended the handshake with alert {number} ({name})")]
    Alert {
        /// The alert's number.
        number: u8,
        /// Its name.
        name: String,
    },
    /// What the server sent is no handshake that this program could end: another protocol, another version, or broken.
    #[error("the handshake cannot be understood: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("the connection broke in the handshake: {0}")]
    Broken(io::Error),
    /// The handshake could not begin.
    #[error("the handshake could not begin: {0}")]
    Setup(rustls::Error),
}

/// Reads an error of the handshake. What the certificate was worth, where one came, decides before what came of it.
pub(super) fn read(error: io::Error, facts: &TlsFacts) -> TlsError {
    let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return TlsError::Broken(error);
    };
    let message = shown(&reason.to_string(), MESSAGE_CHARACTERS);
    if let rustls::Error::AlertReceived(alert) = reason {
        return TlsError::Alert {
            number: u8::from(*alert),
            name: format!("{alert:?}"),
        };
    }
    if let rustls::Error::InvalidCertificate(_) = reason {
        let failure = facts.verification.as_ref().and_then(|verification| verification.failure);
        return TlsError::Unproven {
            failure: failure.unwrap_or_else(|| of_certificate(reason)),
            message,
        };
    }
    TlsError::Protocol(message)
}

/// What is wrong with a certificate.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's errors, marked as growing; what is not known is something else"
)]
pub(super) fn of_certificate(error: &rustls::Error) -> TlsFailure {
    let rustls::Error::InvalidCertificate(error) = error else {
        return TlsFailure::Other;
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFailure::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFailure::NameMismatch,
        CertificateError::UnknownIssuer => TlsFailure::UnknownCa,
        CertificateError::Revoked => TlsFailure::Revoked,
        CertificateError::BadEncoding => TlsFailure::Malformed,
        // webpki says so of a root that stands in for the server itself: self-signed, and nothing else vouches for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => TlsFailure::UnknownCa,
        _ => TlsFailure::Other,
    }
}

/// The stable code of what is wrong with a certificate.
pub(crate) const fn error_code(failure: TlsFailure) -> ErrorCode {
    match failure {
        TlsFailure::Expired => ErrorCode::TlsExpired,
        TlsFailure::NotYetValid => ErrorCode::TlsNotYetValid,
        TlsFailure::NameMismatch => ErrorCode::TlsNameMismatch,
        TlsFailure::UnknownCa => ErrorCode::TlsUnknownCa,
        TlsFailure::Revoked | TlsFailure::Malformed | TlsFailure::Other => ErrorCode::TlsVerify,
    }
}

const MESSAGE_CHARACTERS: usize = 300;
