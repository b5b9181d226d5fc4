//! The certificate of an agent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::CertificateDer;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;

use super::{AuthorityError, RequestedKey, template};
use crate::identity::sha256;

/// A certificate that was signed for an agent, as it is sent and as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct IssuedLeaf {
    /// The leaf, DER.
    pub(crate) der: CertificateDer<'static>,
    /// Its serial number, big-endian.
    pub(crate) serial: Vec<u8>,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`).
    pub(crate) spki_sha256: [u8; 32],
    /// When it begins to work.
    pub(crate) not_before: UnixMicros,
    /// When it stops working.
    pub(crate) not_after: UnixMicros,
}

/// The one spelling of an agent's identity.
pub(crate) fn identity_uri(trust_domain: &str, tenant: TenantId, agent: AgentId) -> String {
    format!("spiffe://{trust_domain}/tenant/{tenant}/agent/{agent}")
}

/// A certificate in PEM (RFC 7468).
pub(super) fn to_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// SHA-256 of a certificate's public key.
pub(crate) fn spki_sha256(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(sha256(parsed.public_key().raw))
}

pub(super) fn sign(
    issuer: &Issuer<'_, KeyPair>,
    trust_domain: &str,
    tenant: TenantId,
    agent: AgentId,
    key: &RequestedKey,
    now: UnixMicros,
) -> Result<IssuedLeaf, AuthorityError> {
    let mut params = template::dated(now, LEAF_LIFE)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(identity_uri(trust_domain, tenant, agent).try_into()?)];
    let serial = params.serial_number.as_ref().map(rcgen::SerialNumber::to_bytes).unwrap_or_default();
    let seconds = |at: i64| UnixMicros::from_micros(at.saturating_mul(1_000_000));
    let (not_before, not_after) = (seconds(params.not_before.unix_timestamp()), seconds(params.not_after.unix_timestamp()));
    let signed = params.signed_by(key.public_key(), issuer)?;
    Ok(IssuedLeaf {
        der: signed.der().clone(),
        serial,
        spki_sha256: key.spki_sha256(),
        not_before,
        not_after,
    })
}

/// Life of an agent's certificate. The state is checked at each connection, so it need not be short.
const LEAF_LIFE: Duration = Duration::from_hours(7 * 24);
