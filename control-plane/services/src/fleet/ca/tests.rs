//! The authority against real handshakes, in memory: a client of the TLS library on one side, the agent port's configuration on the other.

use std::io::{Read as _, Write as _};

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use shared_protocol::id::AgentId;

use super::request::RequestRefused;
use super::*;
use crate::fleet::principal::Leaf;

const DOMAIN: &str = "probeops.test";

struct Bench {
    authority: Authority,
    directory: tempfile::TempDir,
}

fn names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]
}

fn now() -> UnixMicros {
    crate::clock::now()
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(directory.path(), &names(), DOMAIN, now()).unwrap();
    Bench { authority, directory }
}

fn tenant() -> TenantId {
    TenantId::new(now(), [1; 10])
}

fn agent(seed: u8) -> AgentId {
    AgentId::new(now(), [seed; 10])
}

fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(key).unwrap().der().to_vec()
}

/// What an agent presents.
type Presented = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

fn enrolled(authority: &Authority, agent: AgentId) -> (Presented, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let requested = RequestedKey::from_request(&request(&key, |_| {})).unwrap();
    let issued = authority.sign_agent(tenant(), agent, &requested, now()).unwrap();
    ((vec![issued.der, authority.agents.der.clone()], private(&key)), key)
}

/// A leaf signed by the agents' authority, with something wrong in it.
fn odd_leaf(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> (Presented, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = template::dated(now(), std::time::Duration::from_hours(1)).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(leaf::identity_uri(DOMAIN, tenant(), agent(1)).try_into().unwrap())];
    change(&mut params);
    let signed = params.signed_by(&key, &authority.agents_issuer).unwrap();
    ((vec![signed.der().clone(), authority.agents.der.clone()], private(&key)), key)
}

fn client(authority: &Authority, presented: Option<Presented>) -> ClientConfig {
    client_of(authority, presented, &[&rustls::version::TLS13])
}

fn client_of(authority: &Authority, presented: Option<Presented>, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root().der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match presented {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Shakes hands in memory; answers with both ends, or the error of the end that gave up first.
fn shake(authority: &Authority, config: &Arc<ClientConfig>, name: &str) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(authority.tls()).unwrap();
    loop {
        let mut moved = false;
        while client.wants_write() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            moved = true;
        }
        while server.wants_write() {
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
            moved = true;
        }
        if !moved {
            return Ok((client, server));
        }
    }
}

fn refused(authority: &Authority, presented: Presented) -> rustls::Error {
    shake(authority, &Arc::new(client(authority, Some(presented))), "localhost").expect_err("the handshake must fail")
}

fn leaf_of(server: &ServerConnection) -> CertificateDer<'static> {
    server.peer_certificates().unwrap().first().unwrap().clone().into_owned()
}

#[test]
fn an_enrolled_agent_shakes_hands_and_its_leaf_says_who_it_is() {
    let Bench { authority, .. } = bench();
    let (presented, _) = enrolled(&authority, agent(1));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let config = Arc::new(client(&authority, Some((presented.0.clone(), presented.1.clone_key()))));
        let (client, server) = shake(&authority, &config, name).unwrap();
        let leaf = Leaf::from_der(&leaf_of(&server), DOMAIN).unwrap();
        assert_eq!((leaf.agent, leaf.tenant), (agent_of(&presented), tenant_of(&presented)));
        assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let chain = client.peer_certificates().unwrap();
        let pins: Vec<_> = chain.iter().filter_map(spki_sha256).map(|hash| format!("sha256:{}", hex(&hash))).collect();
        assert!(pins.contains(&authority.ca_pin()), "the chain holds the pinned root");
    }
}

fn agent_of(presented: &Presented) -> AgentId {
    Leaf::from_der(&presented.0[0], DOMAIN).unwrap().agent
}

fn tenant_of(presented: &Presented) -> TenantId {
    Leaf::from_der(&presented.0[0], DOMAIN).unwrap().tenant
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn tls_01_a_client_of_tls_1_2_only_gets_no_connection() {
    let Bench { authority, .. } = bench();
    let config = client_of(&authority, None, &[&rustls::version::TLS12]);
    let error = shake(&authority, &Arc::new(config), "localhost").unwrap_err();
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error:?}");
}

#[test]
fn tls_02_without_a_certificate_there_is_a_connection_and_nobody_known() {
    let Bench { authority, .. } = bench();
    let (_, server) = shake(&authority, &Arc::new(client(&authority, None)), "localhost").unwrap();
    assert!(server.peer_certificates().is_none());
}

#[test]
fn tls_03_a_self_signed_certificate_is_refused() {
    let Bench { authority, .. } = bench();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(leaf::identity_uri(DOMAIN, tenant(), agent(1)).try_into().unwrap())];
    let own = params.self_signed(&key).unwrap();
    let error = refused(&authority, (vec![own.der().clone()], private(&key)));
    assert_eq!(error, rustls::CertificateError::UnknownIssuer.into());
}

#[test]
fn tls_04_a_certificate_of_the_servers_authority_is_refused_also_when_it_says_it_is_a_client() {
    let Bench { authority, directory } = bench();
    let servers = KeyAndCertificate::load_or_create(directory.path(), Role::Servers, |_| unreachable!()).unwrap();
    let issuer = servers.issuer(directory.path(), Role::Servers).unwrap();
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let key = KeyPair::generate().unwrap();
        let mut params = template::dated(now(), std::time::Duration::from_hours(1)).unwrap();
        params.extended_key_usages = vec![usage];
        params.subject_alt_names = vec![SanType::URI(leaf::identity_uri(DOMAIN, tenant(), agent(1)).try_into().unwrap())];
        let signed = params.signed_by(&key, &issuer).unwrap();
        let error = refused(&authority, (vec![signed.der().clone(), servers.certificate.der.clone()], private(&key)));
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
    }
}

#[test]
fn tls_04_a_certificate_of_the_agents_authority_is_no_server() {
    let Bench { authority, .. } = bench();
    let ((chain, key), _) = odd_leaf(&authority, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    });
    let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(client(&authority, None));
    let mut client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    server.read_tls(&mut bytes.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    client.read_tls(&mut bytes.as_slice()).unwrap();
    assert!(matches!(client.process_new_packets(), Err(rustls::Error::InvalidCertificate(_))));
}

#[test]
fn tls_06_a_foreign_leaf_before_a_genuine_chain_is_refused() {
    let Bench { authority, .. } = bench();
    let ((genuine, _), _) = enrolled(&authority, agent(1));
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::default().self_signed(&key).unwrap();
    let mut chain = vec![own.der().clone()];
    chain.extend(genuine);
    assert!(matches!(refused(&authority, (chain, private(&key))), rustls::Error::InvalidCertificate(_)));
}

#[test]
fn tls_07_a_victims_leaf_behind_the_attackers_own_changes_nothing() {
    let Bench { authority, .. } = bench();
    let ((victim, _), _) = enrolled(&authority, agent(1));
    let ((mut chain, key), _) = enrolled(&authority, agent(2));
    chain.insert(1, victim[0].clone());
    let attacker = chain[0].clone();
    let config = Arc::new(client(&authority, Some((chain, key))));
    match shake(&authority, &config, "localhost") {
        Ok((_, server)) => {
            let leaf = Leaf::from_der(&leaf_of(&server), DOMAIN).unwrap();
            assert_eq!(leaf, Leaf::from_der(&attacker, DOMAIN).unwrap());
        }
        Err(error) => assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}"),
    }
}

#[test]
fn tls_12_an_agents_leaf_signs_nobody() {
    let Bench { authority, .. } = bench();
    let ((chain, _), key) = enrolled(&authority, agent(1));
    let issuer = Issuer::from_ca_cert_der(&chain[0], key).unwrap();
    let forged_key = KeyPair::generate().unwrap();
    let mut params = template::dated(now(), std::time::Duration::from_hours(1)).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(leaf::identity_uri(DOMAIN, tenant(), agent(2)).try_into().unwrap())];
    let forged = params.signed_by(&forged_key, &issuer).unwrap();
    let mut presented = vec![forged.der().clone()];
    presented.extend(chain);
    assert!(matches!(
        refused(&authority, (presented, private(&forged_key))),
        rustls::Error::InvalidCertificate(_)
    ));
}

#[test]
fn tls_13_and_14_a_certificate_works_in_its_time_only() {
    let Bench { authority, .. } = bench();
    let at = |params: &mut CertificateParams, from_s: i64, to_s: i64| {
        let seconds = now().micros() / 1_000_000;
        let instant = |offset: i64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(u64::try_from(seconds + offset).unwrap());
        params.not_before = instant(from_s);
        params.not_after = instant(to_s);
    };
    let (expired, _) = odd_leaf(&authority, |params| at(params, -3_600, -2));
    assert!(matches!(refused(&authority, expired), rustls::Error::InvalidCertificate(_)));
    let (future, _) = odd_leaf(&authority, |params| at(params, 360, 3_600));
    assert!(matches!(refused(&authority, future), rustls::Error::InvalidCertificate(_)));
}

#[test]
fn tls_15_a_client_that_wants_to_resume_shakes_hands_in_full_and_shows_its_certificate_again() {
    let Bench { authority, .. } = bench();
    let (presented, _) = enrolled(&authority, agent(1));
    let mut config = client(&authority, Some(presented));
    config.resumption = Resumption::in_memory_sessions(16);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for round in 0..3 {
        let (mut client, mut server) = shake(&authority, &config, "localhost").unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full), "round {round}");
        assert!(server.peer_certificates().is_some(), "round {round}: the verifier saw a certificate");
        assert!(client.early_data().is_none(), "tls_16: nothing can be sent before the handshake");
        // Lets a ticket arrive, were there one.
        server.writer().write_all(b"hello").unwrap();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
        let mut read = [0; 5];
        client.reader().read_exact(&mut read).unwrap();
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn tls_22_keys_of_other_kinds_cannot_be_asked_for() {
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    assert_eq!(RequestedKey::from_request(&request(&rsa, |_| {})).unwrap_err(), RequestRefused::KeyType);
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    assert_eq!(RequestedKey::from_request(&request(&p521, |_| {})).unwrap_err(), RequestRefused::KeyType);
}

#[test]
fn tls_30_another_protocol_or_an_unknown_name_gets_no_connection() {
    let Bench { authority, .. } = bench();
    let mut config = client(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = shake(&authority, &Arc::new(config), "localhost").unwrap_err();
    assert_eq!(error, rustls::Error::NoApplicationProtocol);
    assert!(shake(&authority, &Arc::new(client(&authority, None)), "elsewhere.example").is_err());
}

#[test]
fn enr_09_a_request_that_asks_for_anything_is_refused_and_what_is_signed_is_the_template() {
    let Bench { authority, .. } = bench();
    let key = KeyPair::generate().unwrap();
    let victim = leaf::identity_uri(DOMAIN, tenant(), agent(9));
    let asks: [&dyn Fn(&mut CertificateParams); 5] = [
        &|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        &|params| params.subject_alt_names = vec![SanType::URI(victim.clone().try_into().unwrap())],
        &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
        &|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign],
        &|params| params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0])],
    ];
    for ask in asks {
        assert_eq!(RequestedKey::from_request(&request(&key, ask)).unwrap_err(), RequestRefused::Asks);
    }
    // A subject and a life of ten years cannot be refused as extensions; neither comes to stand in what is signed.
    let der = request(&key, |params| {
        params.distinguished_name.push(DnType::CommonName, victim.clone());
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    });
    let requested = RequestedKey::from_request(&der).unwrap();
    let issued = authority.sign_agent(tenant(), agent(1), &requested, now()).unwrap();
    let (rest, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    assert!(rest.is_empty() && !parsed.is_ca() && parsed.subject().iter().count() == 0);
    assert_eq!(parsed.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
    assert_eq!(parsed.key_usage().unwrap().unwrap().value.flags, 1, "digital signature and nothing else");
    let life = parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp();
    assert_eq!(life, 7 * 24 * 3_600 + 300);
    let text = format!("{:?}", parsed.subject_alternative_name().unwrap().unwrap().value.general_names);
    assert!(text.contains(&leaf::identity_uri(DOMAIN, tenant_in(&issued), agent_in(&issued))) && !text.contains(&victim));
    assert_eq!((issued.serial.len(), parsed.raw_serial()), (16, issued.serial.as_slice()));
    let extensions: Vec<_> = parsed.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    assert!(
        extensions.contains(&"2.5.29.14".to_owned()) && extensions.contains(&"2.5.29.35".to_owned()),
        "both key identifiers"
    );
}

fn tenant_in(issued: &IssuedLeaf) -> TenantId {
    Leaf::from_der(&issued.der, DOMAIN).unwrap().tenant
}

fn agent_in(issued: &IssuedLeaf) -> AgentId {
    Leaf::from_der(&issued.der, DOMAIN).unwrap().agent
}

#[test]
fn enr_10_requests_that_are_not_exactly_one_are_refused() {
    let key = KeyPair::generate().unwrap();
    let good = request(&key, |_| {});
    let own = RequestedKey::from_request(&good).unwrap().spki_sha256();
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(RequestedKey::from_request(&trailing).unwrap_err(), RequestRefused::Malformed);
    assert_eq!(RequestedKey::from_request(&vec![0x30; 65_536]).unwrap_err(), RequestRefused::TooLong);
    let mut unproven = good.clone();
    let last = unproven.len() - 1;
    unproven[last] ^= 1;
    assert_eq!(RequestedKey::from_request(&unproven).unwrap_err(), RequestRefused::Signature);
    for cut in 0..good.len() {
        assert!(RequestedKey::from_request(&good[..cut]).is_err(), "cut at {cut}");
    }
    for flipped in 0..good.len() {
        let mut other = good.clone();
        other[flipped] ^= 0x40;
        // What encloses the signed part is not signed; a slip there must at least not name another key.
        if let Ok(read) = RequestedKey::from_request(&other) {
            assert_eq!(read.spki_sha256(), own, "flipped at {flipped}");
        }
    }
    let pem = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".repeat(2);
    assert_eq!(RequestedKey::from_request(&pem).unwrap_err(), RequestRefused::Malformed);
}

#[test]
fn every_accepted_kind_of_key_gets_a_certificate_for_exactly_that_key() {
    let Bench { authority, .. } = bench();
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(kind).unwrap();
        let requested = RequestedKey::from_request(&request(&key, |_| {})).unwrap();
        let issued = authority.sign_agent(tenant(), agent(1), &requested, now()).unwrap();
        assert_eq!(spki_sha256(&issued.der), Some(requested.spki_sha256()));
        let presented = (vec![issued.der, authority.agents.der.clone()], private(&key));
        shake(&authority, &Arc::new(client(&authority, Some(presented))), "localhost").unwrap();
    }
}

#[test]
fn the_authority_is_the_same_after_a_restart_and_its_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let Bench { authority, directory } = bench();
    let again = Authority::load_or_create(directory.path(), &names(), DOMAIN, now()).unwrap();
    assert_eq!(again.ca_pin(), authority.ca_pin());
    let (presented, _) = enrolled(&authority, agent(1));
    shake(&again, &Arc::new(client(&authority, Some(presented))), "localhost").unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 8);
    for file in files {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn the_ports_certificate_is_renewed_in_its_last_third_and_for_other_names_and_the_root_key_can_be_elsewhere() {
    let Bench { authority, directory } = bench();
    std::fs::remove_file(directory.path().join("root.key")).unwrap();
    let server = |directory: &Path| std::fs::read(directory.join("server.crt")).unwrap();
    let first = server(directory.path());
    let later = |days: u64| now().plus(std::time::Duration::from_hours(24 * days));
    Authority::load_or_create(directory.path(), &names(), DOMAIN, later(59)).unwrap();
    assert_eq!(server(directory.path()), first);
    let renewed = Authority::load_or_create(directory.path(), &names(), DOMAIN, later(61)).unwrap();
    assert_ne!(server(directory.path()), first);
    assert_eq!(renewed.ca_pin(), authority.ca_pin());
    let second = server(directory.path());
    Authority::load_or_create(directory.path(), &["cp.example".to_owned()], DOMAIN, later(61)).unwrap();
    assert_ne!(server(directory.path()), second);
}

#[test]
fn a_crash_between_key_and_certificate_is_mended_and_damage_is_named() {
    let Bench { authority, directory } = bench();
    std::fs::remove_file(directory.path().join("server.crt")).unwrap();
    assert_eq!(
        Authority::load_or_create(directory.path(), &names(), DOMAIN, now()).unwrap().ca_pin(),
        authority.ca_pin()
    );
    private_file::create(&directory.path().join("root.crt"), b"garbage").unwrap();
    let damaged = Authority::load_or_create(directory.path(), &names(), DOMAIN, now());
    assert!(matches!(damaged, Err(AuthorityError::Damaged { what: "certificate", .. })));
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(matches!(
        Authority::load_or_create(elsewhere.path(), &["not a name".to_owned()], DOMAIN, now()),
        Err(AuthorityError::Name(_))
    ));
    for domain in ["", "UPPER", "a/b", "a:1"] {
        assert!(matches!(
            Authority::load_or_create(elsewhere.path(), &names(), domain, now()),
            Err(AuthorityError::TrustDomain)
        ));
    }
}
