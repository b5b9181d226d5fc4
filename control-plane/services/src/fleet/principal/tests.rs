use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber};
use shared_protocol::time::UnixMicros;

use super::*;

const DOMAIN: &str = "probeops.test";

fn tenant() -> TenantId {
    TenantId::new(UnixMicros::from_micros(1_700_000_000_000_000), [1; 10])
}

fn agent() -> AgentId {
    AgentId::new(UnixMicros::from_micros(1_700_000_000_000_000), [2; 10])
}

fn identity() -> String {
    format!("spiffe://{DOMAIN}/tenant/{}/agent/{}", tenant(), agent())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A leaf as the authority signs it, changed; who signed it is the handshake's matter, not this parser's.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&[0x45; 16]));
    params.subject_alt_names = vec![uri(&identity())];
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn read(der: &[u8]) -> Result<Leaf, PeerRefused> {
    Leaf::from_der(der, DOMAIN)
}

#[test]
fn a_leaf_of_the_template_is_read() {
    let read = read(&leaf(|_| {})).unwrap();
    assert_eq!((read.tenant, read.agent, read.serial), (tenant(), agent(), vec![0x45; 16]));
}

#[test]
fn tls_05_any_usage_but_the_clients_alone_is_refused() {
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    for usages in [
        vec![],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![client.clone(), ExtendedKeyUsagePurpose::ServerAuth],
        vec![client.clone(), ExtendedKeyUsagePurpose::Any],
        vec![client.clone(), ExtendedKeyUsagePurpose::CodeSigning],
        vec![client, ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 1])],
    ] {
        let der = leaf(|params| params.extended_key_usages = usages.clone());
        assert_eq!(read(&der), Err(PeerRefused::Usage), "{usages:?}");
    }
    assert_eq!(read(&leaf(|params| params.key_usages = vec![])), Err(PeerRefused::Usage));
    assert_eq!(
        read(&leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement])),
        Err(PeerRefused::Usage)
    );
}

#[test]
fn tls_08_no_name_two_names_or_another_kind_of_name_is_refused() {
    let other = format!("spiffe://{DOMAIN}/tenant/{}/agent/{}", tenant(), tenant());
    for names in [
        vec![],
        vec![uri(&identity()), uri(&other)],
        vec![uri(&identity()), uri(&identity())],
        vec![uri(&identity()), SanType::DnsName("localhost".try_into().unwrap())],
        vec![SanType::IpAddress([127, 0, 0, 1].into())],
    ] {
        let der = leaf(|params| params.subject_alt_names = names.clone());
        assert_eq!(read(&der), Err(PeerRefused::SanCount), "{names:?}");
    }
}

#[test]
fn tls_09_any_other_spelling_of_the_identity_is_refused() {
    let (tenant, agent) = (tenant().to_string(), agent().to_string());
    let good = identity();
    for bad in [
        good.to_uppercase(),
        good.replace(&agent, &agent.to_uppercase()),
        format!("{good}/"),
        good.replace("/agent/", "/x/../agent/"),
        good.replace("/agent/", "/%61gent/"),
        good.replace('-', "%2d"),
        format!("{good}?a=b"),
        format!("{good}#a"),
        good.replace(DOMAIN, &format!("{DOMAIN}:443")),
        good.replace(DOMAIN, &format!("user@{DOMAIN}")),
        good.replace(DOMAIN, "other.test"),
        good.replace(DOMAIN, &format!("{DOMAIN}.evil")),
        good.replace(DOMAIN, &format!("x{DOMAIN}")),
        good.replace("spiffe://", "https://"),
        good.replace("spiffe://", "SPIFFE://"),
        good.replace("spiffe://", "spiffe:///"),
        format!("{good}\0"),
        format!(" {good}"),
        format!("{good}/agent/{agent}"),
        format!("spiffe://{DOMAIN}/agent/{agent}/tenant/{tenant}"),
        format!("spiffe://{DOMAIN}/tenant/{tenant}/agent/00000000-0000-0000-0000-000000000000"),
        format!("spiffe://{DOMAIN}/tenant/{tenant}/agent/"),
        format!("spiffe://{DOMAIN}/tenant/{tenant}"),
        String::new(),
    ] {
        let der = leaf(|params| params.subject_alt_names = vec![uri(&bad)]);
        assert_eq!(read(&der), Err(PeerRefused::SanGrammar), "{bad:?}");
    }
}

#[test]
fn tls_09_an_identity_beyond_ascii_is_refused() {
    let mut der = leaf(|_| {});
    let at = der.windows(9).position(|window| window == b"spiffe://").unwrap();
    der[at] = 0xff;
    assert!(read(&der).is_err());
}

#[test]
fn tls_10_a_name_elsewhere_means_nothing() {
    let der = leaf(|params| {
        params.subject_alt_names = vec![SanType::DnsName("agent.example".try_into().unwrap())];
        params.distinguished_name.push(DnType::CommonName, identity());
    });
    assert_eq!(read(&der), Err(PeerRefused::SanCount));
    let der = leaf(|params| {
        params.subject_alt_names = vec![];
        params.distinguished_name.push(DnType::CommonName, identity());
    });
    assert_eq!(read(&der), Err(PeerRefused::SanCount));
}

#[test]
fn tls_11_an_authority_is_no_agent() {
    let der = leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(read(&der), Err(PeerRefused::Authority));
    let der = leaf(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]);
    assert_eq!(read(&der), Err(PeerRefused::Authority));
}

#[test]
fn tls_23_a_leaf_cut_at_any_byte_or_with_something_behind_it_is_refused() {
    let der = leaf(|_| {});
    for cut in 0..der.len() {
        assert_eq!(read(&der[..cut]), Err(PeerRefused::Malformed), "cut at {cut}");
    }
    let mut trailing = der;
    trailing.push(0);
    assert_eq!(read(&trailing), Err(PeerRefused::Malformed));
}

#[test]
fn tls_23_a_leaf_with_any_byte_changed_never_panics_and_keeps_its_bounds() {
    let der = leaf(|_| {});
    for at in 0..der.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut other = der.clone();
            other[at] ^= flip;
            if let Ok(read) = read(&other) {
                assert!((1..=20).contains(&read.serial.len()), "byte {at}");
            }
        }
    }
}

#[test]
fn tls_23_odd_serial_numbers_and_an_empty_list_of_usages_are_refused() {
    let der = leaf(|params| params.serial_number = Some(SerialNumber::from_slice(&[0x45; 21])));
    assert_eq!(read(&der), Err(PeerRefused::Malformed), "21 bytes");
    let mut negative = leaf(|_| {});
    let at = negative.windows(18).position(|window| window.starts_with(&[2, 16, 0x45])).unwrap();
    negative[at + 2] = 0x85;
    assert_eq!(read(&negative), Err(PeerRefused::Malformed), "negative");
    let der = leaf(|params| params.extended_key_usages = vec![]);
    assert_eq!(read(&der), Err(PeerRefused::Usage));
    let empty = leaf(|params| {
        params.extended_key_usages = vec![];
        params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0])];
    });
    assert!(read(&empty).is_err(), "an empty sequence");
}
