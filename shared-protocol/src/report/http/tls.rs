//! What a TLS handshake showed.

use serde::{Deserialize, Serialize};

/// A TLS connection to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// `1.2` or `1.3`; absent where the handshake did not come so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The cipher suite, by its name in the registry of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The group of the key exchange, by its name in that registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The protocol that was agreed upon (RFC 7301).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The name that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Whether the certificate proves the name; absent where none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<TlsVerification>,
    /// The certificates that the server showed, its own first; at most 10.
    pub chain: Vec<PeerCertificate>,
    /// How many certificates there were.
    pub chain_length: u32,
}

/// Whether a certificate proves the server's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsVerification {
    /// Whether it does.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<TlsFailure>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a certificate does not prove a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsFailure {
    /// It is no longer valid.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for other names.
    NameMismatch,
    /// It leads to no root that is trusted.
    UnknownCa,
    /// It was taken back.
    Revoked,
    /// It cannot be read.
    Malformed,
    /// Something else is wrong with it.
    Other,
}

/// A certificate of the server's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCertificate {
    /// Whom it is for.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Names and addresses it is for; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// From when it is valid, seconds since 1970.
    pub not_before_s: i64,
    /// Until when it is valid, seconds since 1970.
    pub not_after_s: i64,
    /// Whole days until then, by the agent's wall clock; less than 0 where it has expired.
    pub days_left: i64,
    /// SHA-256 of its encoding, hexadecimal.
    pub sha256: String,
    /// Whether it is a certification authority's.
    pub is_ca: bool,
}
