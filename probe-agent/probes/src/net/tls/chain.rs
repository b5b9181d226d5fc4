//! A server's certificates as a report tells them: bounded, and without what a terminal would obey.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use shared_protocol::report::{PeerCertificate, TlsFacts, TlsVerification};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::failure;
use super::verifier::Seen;
use crate::text::shown;

/// Writes what was seen into the facts.
pub(super) fn describe(seen: &Seen, facts: &mut TlsFacts) {
    let now_s = seen.at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
    facts.chain = seen.chain.iter().map(|certificate| describe_one(certificate, now_s)).collect();
    facts.chain_length = u32::try_from(seen.length).unwrap_or(u32::MAX);
    facts.verification = seen.verified.as_ref().map(|verified| match verified {
        Ok(()) => TlsVerification {
            ok: true,
            failure: None,
            message: None,
        },
        Err(error) => TlsVerification {
            ok: false,
            failure: Some(failure::of_certificate(error)),
            message: Some(shown(&error.to_string(), MESSAGE_CHARACTERS)),
        },
    });
}

fn describe_one(certificate: &CertificateDer<'_>, now_s: i64) -> PeerCertificate {
    let sha256 = hexadecimal(digest::digest(&digest::SHA256, certificate).as_ref());
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return PeerCertificate {
            subject: "(unreadable)".to_owned(),
            issuer: "(unreadable)".to_owned(),
            names: Vec::new(),
            not_before_s: 0,
            not_after_s: 0,
            days_left: 0,
            sha256,
            is_ca: false,
        };
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(name).take(NAMES_KEPT).collect());
    let not_after_s = parsed.validity().not_after.timestamp();
    PeerCertificate {
        subject: shown(&parsed.subject().to_string(), NAME_CHARACTERS),
        issuer: shown(&parsed.issuer().to_string(), NAME_CHARACTERS),
        names: names.unwrap_or_default(),
        not_before_s: parsed.validity().not_before.timestamp(),
        not_after_s,
        days_left: not_after_s.saturating_sub(now_s).div_euclid(DAY_S),
        sha256,
        is_ca: parsed.is_ca(),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(shown(name, NAME_CHARACTERS)),
        GeneralName::IPAddress(bytes) => address(bytes),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
    v4.or_else(|_| v6()).ok()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _cannot_fail = write!(text, "{byte:02x}");
        text
    })
}

const DAY_S: i64 = 24 * 60 * 60;
const NAMES_KEPT: usize = 20;
const NAME_CHARACTERS: usize = 253;
const MESSAGE_CHARACTERS: usize = 300;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    #[test]
    fn job_19_fuzz_certificate() {
        let target = Target::new("certificate", include_str!("../../../corpus/certificate.txt"));
        target.survives(|bytes| {
            let told = describe_one(&CertificateDer::from(bytes), 1_800_000_000);
            assert!(told.names.len() <= NAMES_KEPT);
            for text in told.names.iter().chain([&told.subject, &told.issuer]) {
                assert!(text.chars().count() <= NAME_CHARACTERS + 1 && !text.chars().any(char::is_control), "{text:?}");
            }
            Reading::of(told.subject != "(unreadable)")
        });
    }
}
