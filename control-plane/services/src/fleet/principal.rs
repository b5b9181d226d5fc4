//! Who an agent is, read from the one certificate whose key it proved to hold: the leaf. Names elsewhere in the chain mean nothing.

use shared_protocol::close::CloseReason;
use shared_protocol::id::{AgentId, TenantId};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::identity::sha256;

/// An agent that proved its identity and is, by the identity map, who it says. Made by [`super::Fleet::authenticate_peer`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPrincipal {
    /// The agent.
    pub agent: AgentId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    leaf: Leaf,
}

/// Why a peer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// No certificate came.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// Not a certificate of X.509, or one that breaks its rules.
    #[error("the certificate cannot be read")]
    Malformed,
    /// A certificate that signs others.
    #[error("the certificate is an authority's")]
    Authority,
    /// Something else than a client's certificate.
    #[error("the certificate is not for a client alone")]
    Usage,
    /// Not exactly one name, or not a URI.
    #[error("the certificate does not carry exactly one URI name")]
    SanCount,
    /// The name is not in the one accepted spelling.
    #[error("the certificate's name is not an agent's identity")]
    SanGrammar,
    /// No such agent in that tenant.
    #[error("no such agent")]
    UnknownAgent,
    /// A certificate that is not on record for the agent.
    #[error("the certificate's serial number is not on record for this agent")]
    SerialUnknown,
    /// A serial number on record with another key.
    #[error("the certificate's key is not the one on record")]
    SpkiMismatch,
    /// The agent is suspended or waits for approval.
    #[error("the agent is suspended")]
    Suspended,
    /// The agent was revoked.
    #[error("the agent was revoked")]
    Revoked,
    /// Who the agents are was not read from the store for too long.
    #[error("the control plane cannot tell at the moment who its agents are")]
    Stale,
}

impl PeerRefused {
    /// The reason's name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::Authority => "authority",
            Self::Usage => "usage",
            Self::SanCount => "san_count",
            Self::SanGrammar => "san_grammar",
            Self::UnknownAgent => "unknown_agent",
            Self::SerialUnknown => "serial_unknown",
            Self::SpkiMismatch => "spki_mismatch",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Stale => "stale",
        }
    }

    /// The reason with which the session of a peer ends that is who it says and may not stay: an agent believes these only from an
    /// established session. `None`: it is not let in at all.
    pub const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::Suspended => Some(CloseReason::Suspended),
            Self::Revoked => Some(CloseReason::Revoked),
            Self::NoCertificate
            | Self::Malformed
            | Self::Authority
            | Self::Usage
            | Self::SanCount
            | Self::SanGrammar
            | Self::UnknownAgent
            | Self::SerialUnknown
            | Self::SpkiMismatch
            | Self::Stale => None,
        }
    }
}

/// What a leaf says, before anybody is asked whether it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) agent: AgentId,
    pub(crate) tenant: TenantId,
    pub(crate) serial: Vec<u8>,
    pub(crate) spki_sha256: [u8; 32],
}

impl AgentPrincipal {
    /// The leaf was found to be true.
    pub(super) const fn new(leaf: Leaf) -> Self {
        Self {
            agent: leaf.agent,
            tenant: leaf.tenant,
            leaf,
        }
    }

    pub(super) const fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

impl Leaf {
    /// Reads a leaf that the TLS handshake has verified (chain, time, possession of the key).
    pub(crate) fn from_der(der: &[u8], trust_domain: &str) -> Result<Self, PeerRefused> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| PeerRefused::Malformed)?;
        if !rest.is_empty() {
            return Err(PeerRefused::Malformed);
        }
        check_role(&certificate)?;
        let (tenant, agent) = identity(&certificate, trust_domain)?;
        let spki_sha256 = sha256(certificate.public_key().raw);
        Ok(Self {
            agent,
            tenant,
            serial: serial(&certificate)?,
            spki_sha256,
        })
    }
}

/// An end entity's, for client authentication and nothing else.
fn check_role(certificate: &X509Certificate<'_>) -> Result<(), PeerRefused> {
    let constraints = certificate.basic_constraints().map_err(|_| PeerRefused::Malformed)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(PeerRefused::Authority);
    }
    let usage = certificate
        .extended_key_usage()
        .map_err(|_| PeerRefused::Malformed)?
        .ok_or(PeerRefused::Usage)?
        .value;
    let others = usage.any || usage.server_auth || usage.code_signing || usage.email_protection || usage.time_stamping || usage.ocsp_signing;
    if !usage.client_auth || others || !usage.other.is_empty() {
        return Err(PeerRefused::Usage);
    }
    let key_usage = certificate.key_usage().map_err(|_| PeerRefused::Malformed)?.ok_or(PeerRefused::Usage)?.value;
    if key_usage.key_cert_sign() {
        return Err(PeerRefused::Authority);
    }
    if key_usage.digital_signature() { Ok(()) } else { Err(PeerRefused::Usage) }
}

/// The one URI name, in its one spelling.
fn identity(certificate: &X509Certificate<'_>, trust_domain: &str) -> Result<(TenantId, AgentId), PeerRefused> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| PeerRefused::Malformed)?
        .ok_or(PeerRefused::SanCount)?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(PeerRefused::SanCount);
    };
    parse_identity(uri, trust_domain).ok_or(PeerRefused::SanGrammar)
}

/// `spiffe://<trust domain>/tenant/<uuid>/agent/<uuid>` and not one character else: an exact match after taking it apart leaves no room for
/// encodings, ports, queries or dots.
fn parse_identity(uri: &str, trust_domain: &str) -> Option<(TenantId, AgentId)> {
    let path = uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix("/tenant/")?;
    let (tenant, agent) = path.split_once("/agent/")?;
    Some((tenant.parse().ok()?, agent.parse().ok()?))
}

/// The serial number without its sign byte; a negative one or one beyond 20 bytes is no serial number (RFC 5280 section 4.1.2.2).
fn serial(certificate: &X509Certificate<'_>) -> Result<Vec<u8>, PeerRefused> {
    let raw = certificate.raw_serial();
    let negative = raw.first().is_none_or(|first| first & 0x80 != 0);
    if negative || raw.len() > 20 {
        return Err(PeerRefused::Malformed);
    }
    let significant = raw.iter().position(|byte| *byte != 0).ok_or(PeerRefused::Malformed)?;
    Ok(raw.get(significant..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests;
