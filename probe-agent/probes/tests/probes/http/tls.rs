//! TLS of targets: told as data, and never silently trusted.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HttpPhase, Report, TlsFacts, TlsFailure};
use tokio::io::AsyncReadExt;
use tokio_rustls::rustls::ServerConfig;

use super::authority::{Authority, config};
use super::server::{Server, Then, text};
use super::{fetch_with, last, trusting};
use crate::setting::AllowAllBut;

async fn fetch_from(authority: &Authority, config: ServerConfig, options: &str) -> Report {
    let server = Server::securely(config, |asked| text(200, &format!("{:?}", asked.version()))).await;
    let context = trusting(&[authority.root()], AllowAllBut::default());
    fetch_with(&context, &format!("https://{}/", server.address), options).await.0
}

fn tls(report: &Report) -> &TlsFacts {
    last(report).tls.as_ref().unwrap()
}

#[tokio::test]
async fn a_good_server_is_told_with_version_cipher_group_and_chain() {
    let authority = Authority::new();
    let report = fetch_from(&authority, authority.server(), "").await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let facts = tls(&report);
    assert_eq!(
        (facts.version.as_deref(), facts.alpn.as_deref(), facts.sni.as_deref()),
        (Some("1.3"), Some("h2"), None)
    );
    assert!(facts.cipher.as_ref().unwrap().starts_with("TLS_AES_"), "{facts:?}");
    assert_eq!(facts.group.as_deref(), Some("X25519MLKEM768"));
    assert!(facts.verification.as_ref().unwrap().ok);
    let leaf = &facts.chain[0];
    assert_eq!(
        (leaf.names.as_slice(), leaf.not_after_s, leaf.sha256.len()),
        (&["127.0.0.1".to_owned(), "localhost".to_owned()][..], 4_070_908_800, 64)
    );
    assert!(leaf.days_left > 20_000 && !leaf.is_ca);
    assert_eq!(last(&report).response.as_ref().unwrap().version, "2");
    assert!(last(&report).phases.tls_us.is_some());

    let report = fetch_from(&authority, authority.server(), r#","version":"1.1""#).await;
    assert_eq!(
        (tls(&report).alpn.as_deref(), last(&report).response.as_ref().unwrap().version.as_str()),
        (Some("http/1.1"), "1.1")
    );
}

#[tokio::test]
async fn job_17_what_is_wrong_with_a_certificate_is_told_and_nothing_is_asked() {
    let authority = Authority::new();
    let stranger = Authority::named("a stranger");
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    let here = ["127.0.0.1"];
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2021, 1, 1);
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(2098, 1, 1);
    for (config, failure, code) in [
        (authority.server_with(&here, expired), TlsFailure::Expired, ErrorCode::TlsExpired),
        (authority.server_with(&here, future), TlsFailure::NotYetValid, ErrorCode::TlsNotYetValid),
        (
            authority.server_with(&["other.test"], |_| {}),
            TlsFailure::NameMismatch,
            ErrorCode::TlsNameMismatch,
        ),
        (stranger.server(), TlsFailure::UnknownCa, ErrorCode::TlsUnknownCa),
        (config(vec![own.der().clone()], &own_key), TlsFailure::UnknownCa, ErrorCode::TlsUnknownCa),
    ] {
        for options in ["", r#","verify":false"#] {
            let report = fetch_from(&authority, config.clone(), options).await;
            let facts = tls(&report);
            let verification = facts.verification.as_ref().unwrap();
            assert_eq!((verification.ok, verification.failure), (false, Some(failure)), "{report:?}");
            assert_eq!(facts.chain.len(), 1, "the certificate itself is told");
            if options.is_empty() {
                assert_eq!(
                    (report.status, report.fault, report.error.as_ref().unwrap().code),
                    (Status::Failed, Fault::Target, code)
                );
                assert_eq!((last(&report).failed_in, &last(&report).response), (Some(HttpPhase::Tls), &None));
            } else {
                assert_eq!((report.status, last(&report).response.as_ref().unwrap().status), (Status::Ok, 200));
            }
        }
    }
}

#[tokio::test]
async fn job_17_a_chain_of_a_hundred_certificates_is_told_in_part() {
    let authority = Authority::new();
    let (mut chain, key) = authority.leaf(&["127.0.0.1"], |_| {});
    chain.extend(std::iter::repeat_n(authority.root(), 99));
    let report = fetch_from(&authority, config(chain, &key), r#","verify":false"#).await;
    let facts = tls(&report);
    assert_eq!((facts.chain.len(), facts.chain_length), (10, 100), "{report:?}");
}

#[tokio::test]
async fn job_17_what_is_no_tls_is_an_error_of_the_target_with_its_phase() {
    // Plain text, nothing, an alert (handshake_failure), a record that lies about its length, a ServerHello of TLS 1.0.
    let hello_1_0 = [&[0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    for (bytes, code) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ErrorCode::ProtoError),
        (Vec::new(), ErrorCode::ProtoError),
        (vec![0x15, 3, 3, 0, 2, 2, 40], ErrorCode::TlsAlert),
        (vec![0x16, 3, 3, 0xff, 0xff, 0], ErrorCode::ProtoError),
        (hello_1_0, ErrorCode::ProtoError),
    ] {
        let server = Server::accepting(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                let mut hello = [0; 4_096];
                let _read = stream.read(&mut hello).await;
                let _sent = tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await;
                let _shut = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
                while stream.read(&mut hello).await.is_ok_and(|read| read > 0) {}
            }
        })
        .await;
        let context = trusting(&[], AllowAllBut::default());
        let (report, _) = fetch_with(&context, &format!("https://{}/", server.address), "").await;
        assert_eq!(
            (report.status, report.fault, report.error.as_ref().unwrap().code),
            (Status::Failed, Fault::Target, code),
            "{report:?}"
        );
        assert_eq!(last(&report).failed_in, Some(HttpPhase::Tls));
    }
    let silent = Server::sending("", Then::Wait).await;
    let (report, _) = fetch_with(
        &trusting(&[], AllowAllBut::default()),
        &format!("https://{}/", silent.address),
        r#","timeout_ms":500"#,
    )
    .await;
    assert_eq!((report.status, last(&report).failed_in), (Status::Timeout, Some(HttpPhase::Tls)));
}

#[tokio::test]
async fn an_address_and_a_name_may_be_given_instead_of_those_of_the_url() {
    let authority = Authority::new();
    let server = Server::securely(authority.server_with(&["far.test"], |_| {}), |asked| text(200, &asked.uri().to_string())).await;
    let context = trusting(&[authority.root()], AllowAllBut::default());
    let port = server.address.port();
    let (report, _) = fetch_with(&context, &format!("https://far.test:{port}/x"), r#","connect_to":"127.0.0.1""#).await;
    assert_eq!((report.status, tls(&report).sni.as_deref()), (Status::Ok, Some("far.test")), "{report:?}");
    assert_eq!(
        last(&report).response.as_ref().unwrap().body.as_ref().unwrap().sample.pieces.concat(),
        format!("https://far.test:{port}/x")
    );
    let (report, _) = fetch_with(&context, &format!("https://127.0.0.1:{port}/"), r#","sni":"far.test""#).await;
    assert_eq!((report.status, tls(&report).sni.as_deref()), (Status::Ok, Some("far.test")), "{report:?}");
    let denied = trusting(&[authority.root()], AllowAllBut(vec!["127.0.0.1".parse().unwrap()]));
    let (report, _) = fetch_with(&denied, &format!("https://far.test:{port}/"), r#","connect_to":"127.0.0.1""#).await;
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::PolicyDenied);
}
