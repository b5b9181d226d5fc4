//! What stands in each certificate of the authority.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls_pki_types::CertificateDer;
use shared_protocol::time::UnixMicros;
use x509_parser::extensions::GeneralName;

use super::AuthorityError;
use crate::identity::random_bytes;

/// The root: it signs the two issuing authorities and nothing else.
pub(super) fn root(key: &KeyPair, now: UnixMicros) -> Result<Certificate, AuthorityError> {
    let params = authority("ProbeOps root", BasicConstraints::Constrained(1), None, now, ROOT_LIFE)?;
    Ok(params.self_signed(key)?)
}

/// The authority that signs agents: clients only.
pub(super) fn issuing_agents(key: &KeyPair, root: &Issuer<'_, KeyPair>, now: UnixMicros) -> Result<Certificate, AuthorityError> {
    let usage = Some(ExtendedKeyUsagePurpose::ClientAuth);
    let params = authority("ProbeOps issuing agents", BasicConstraints::Constrained(0), usage, now, ISSUING_LIFE)?;
    Ok(params.signed_by(key, root)?)
}

/// The authority that signs the agent port: servers only.
pub(super) fn issuing_servers(key: &KeyPair, root: &Issuer<'_, KeyPair>, now: UnixMicros) -> Result<Certificate, AuthorityError> {
    let usage = Some(ExtendedKeyUsagePurpose::ServerAuth);
    let params = authority("ProbeOps issuing servers", BasicConstraints::Constrained(0), usage, now, ISSUING_LIFE)?;
    Ok(params.signed_by(key, root)?)
}

/// The agent port's own certificate.
pub(super) fn server(key: &KeyPair, issuer: &Issuer<'_, KeyPair>, names: &[String], now: UnixMicros) -> Result<Certificate, AuthorityError> {
    let mut params = dated(now, SERVER_LIFE)?;
    params.distinguished_name.push(DnType::CommonName, "ProbeOps agent port");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = names.iter().map(|name| subject_name(name)).collect::<Result<_, _>>()?;
    Ok(params.signed_by(key, issuer)?)
}

/// Whether a server's certificate has at least a third of its life left, carries exactly these names and is the present authority's.
pub(super) fn server_is_usable(certificate: &CertificateDer<'_>, names: &[String], issuer: &CertificateDer<'_>, now: UnixMicros) -> bool {
    let (Ok((_, parsed)), Ok((_, issuer))) = (x509_parser::parse_x509_certificate(certificate), x509_parser::parse_x509_certificate(issuer)) else {
        return false;
    };
    let left = parsed.validity().not_after.timestamp().saturating_sub(now.micros() / 1_000_000);
    let third = i64::try_from(SERVER_LIFE.as_secs() / 3).unwrap_or(i64::MAX);
    let Ok(Some(present)) = parsed.subject_alternative_name() else { return false };
    let present: Vec<String> = present.value.general_names.iter().filter_map(name_text).collect();
    let same_names = present.len() == names.len() && names.iter().all(|name| present.contains(name));
    left >= third && same_names && parsed.verify_signature(Some(issuer.public_key())).is_ok()
}

/// A template with nothing in it but a random serial number of 128 bits and its time, backdated so that a clock a little behind agrees.
pub(super) fn dated(now: UnixMicros, life: Duration) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let since_epoch = Duration::from_secs(now.unix_millis() / 1_000);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch.saturating_sub(BACKDATED);
    params.not_after = epoch + since_epoch.saturating_add(life);
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority(
    name: &str,
    constraints: BasicConstraints,
    usage: Option<ExtendedKeyUsagePurpose>,
    now: UnixMicros,
    life: Duration,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = dated(now, life)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = usage.into_iter().collect();
    Ok(params)
}

/// 128 random bits; the first bit clear, the second set: always positive and always sixteen bytes (RFC 5280 section 4.1.2.2).
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes: [u8; 16] = random_bytes()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn subject_name(name: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let invalid = || AuthorityError::Name(name.to_owned());
    rustls_pki_types::DnsName::try_from(name).map_err(|_| invalid())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| invalid())?))
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

/// How far a certificate is dated back.
const BACKDATED: Duration = Duration::from_mins(5);
const ROOT_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
const ISSUING_LIFE: Duration = Duration::from_hours(2 * 365 * 24);
const SERVER_LIFE: Duration = Duration::from_hours(90 * 24);
