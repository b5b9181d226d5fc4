use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::authority::{AGENT, Authority, TENANT, server_config};
use super::peer::{Peer, Received, http};
use crate::link::bundle::{JoinBundle, example_token};
use crate::link::dial::DialError;
use crate::link::enrolment::{EnrolmentError, enrol};
use crate::link::identity::{self, IDENTITY_FILE, Identity, KEY_FILE};
use crate::state_dir::StateDir;

struct Bench {
    _root: tempfile::TempDir,
    state: StateDir,
    authority: Authority,
    peer: Peer,
    bundle: JoinBundle,
}

impl Bench {
    async fn new() -> Self {
        let authority = Authority::new("ours");
        let peer = Peer::new(authority.server_tls(&["localhost"])).await;
        Self::with(authority, peer)
    }

    fn with(authority: Authority, peer: Peer) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            state: StateDir::create(&root.path().join("state")).unwrap(),
            _root: root,
            bundle: authority.bundle(peer.port()).parse().unwrap(),
            authority,
            peer,
        }
    }

    async fn enrol(&self) -> Result<Identity, EnrolmentError> {
        enrol(&self.state, &self.bundle, "host.test").await
    }

    /// What a control plane answers to a request of this key.
    fn granted(&self, csr: &[u8], roots: &str) -> String {
        let body = json!({
            "agent": AGENT, "tenant": TENANT, "name": "host", "certificate": self.authority.sign_agent(csr), "ca_bundle": roots,
            "trust_domain": "probeops.test", "a_later_version": "may say more",
        });
        http("200 OK", "application/json", &body.to_string())
    }
}

fn csr(received: &Received) -> Vec<u8> {
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    STANDARD.decode(body["csr"].as_str().unwrap()).unwrap()
}

/// Reads the request first: the answer depends on its key.
async fn serve(bench: &Bench, roots: &str) -> Received {
    use tokio::io::AsyncWriteExt;
    let mut stream = bench.peer.accept().await.unwrap();
    let received = super::peer::read_request(&mut stream).await;
    let answer = bench.granted(&csr(&received), roots);
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
    received
}

#[tokio::test]
async fn an_enrolment_sends_token_and_request_once_and_stores_a_usable_identity() {
    let bench = Bench::new().await;
    let roots = bench.authority.root_pem();
    let (enrolled, received) = tokio::join!(bench.enrol(), serve(&bench, &roots));
    let enrolled = enrolled.unwrap();
    assert!(received.head.starts_with("POST /agent/v1/enrol HTTP/1.1\r\n"), "{}", received.head);
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["token", "csr", "hostname", "version", "instance"]
    );
    assert_eq!(body["token"], example_token());
    let (stored, key) = identity::load(&bench.state).unwrap();
    assert_eq!(stored, enrolled);
    assert_eq!(stored.agent.to_string(), AGENT);
    stored.tls(&key).unwrap();
    for name in [IDENTITY_FILE, KEY_FILE] {
        let text = bench.state.read_private(name).unwrap().unwrap();
        assert!(!text.contains("pojt_"), "{name} does not hold the token");
    }
    assert!(matches!(bench.enrol().await, Err(EnrolmentError::AlreadyEnrolled { .. })));
}

#[tokio::test]
async fn enr_14_with_a_wrong_pin_nothing_is_sent_and_no_second_attempt_is_made() {
    let other = Authority::new("other");
    let peer = Peer::new(other.server_tls(&["localhost"])).await;
    let bench = Bench::with(Authority::new("ours"), peer);
    let (enrolled, accepted) = tokio::join!(bench.enrol(), bench.peer.accept());
    let error = enrolled.unwrap_err();
    assert!(
        matches!(&error, EnrolmentError::Dial(DialError::Untrusted { why, .. }) if why.contains("other servers")),
        "{error}"
    );
    assert!(!error.is_retryable());
    // The handshake ended with the client's alert: there is no key with which a byte of the application could have come.
    assert!(accepted.unwrap_err().to_string().contains("alert"));
    assert!(bench.peer.listener.accept().now_or_never().is_none(), "there was one connection");
    assert!(Identity::load(&bench.state).unwrap().is_none());
}

#[tokio::test]
async fn enr_15_the_pinned_root_shown_beside_an_attackers_certificate_is_not_enough() {
    let ours = Authority::new("ours");
    let (mut chain, key) = Authority::new("attacker").server_chain(&["localhost"]);
    chain.push(ours.root_der());
    let peer = Peer::new(server_config(chain, key)).await;
    let bench = Bench::with(ours, peer);
    let (enrolled, accepted) = tokio::join!(bench.enrol(), bench.peer.accept());
    assert!(matches!(enrolled, Err(EnrolmentError::Dial(DialError::Untrusted { .. }))));
    accepted.unwrap_err();
}

#[tokio::test]
async fn enr_15_the_right_authority_with_another_name_is_not_enough() {
    let ours = Authority::new("ours");
    let peer = Peer::new(ours.server_tls(&["elsewhere.test"])).await;
    let bench = Bench::with(ours, peer);
    let (enrolled, accepted) = tokio::join!(bench.enrol(), bench.peer.accept());
    let error = enrolled.unwrap_err().to_string();
    assert!(
        error.contains("localhost") && error.contains("elsewhere.test"),
        "names expected and seen: {error}"
    );
    accepted.unwrap_err();
}

#[tokio::test]
async fn enr_17_a_lost_answer_is_fetched_again_with_the_same_key() {
    let bench = Bench::new().await;
    let roots = bench.authority.root_pem();
    let server = async {
        let mut stream = bench.peer.accept().await.unwrap();
        let first = super::peer::read_request(&mut stream).await;
        drop(stream);
        (first, serve(&bench, &roots).await)
    };
    let (enrolled, (first, second)) = tokio::join!(bench.enrol(), server);
    enrolled.unwrap();
    let key = |received: &Received| rcgen::CertificateSigningRequestParams::from_der(&csr(received).into()).unwrap().public_key;
    assert_eq!(key(&first), key(&second));
}

#[tokio::test]
async fn enr_18_a_directory_that_cannot_be_written_fails_before_the_token_is_sent() {
    let bench = Bench::new().await;
    // Where the identity would be written first, something stands that cannot be removed as a file.
    std::fs::create_dir(bench.state.file(&format!("{IDENTITY_FILE}.new"))).unwrap();
    let error = bench.enrol().await.unwrap_err();
    assert!(matches!(error, EnrolmentError::State(_)));
    assert!(error.to_string().contains("the token was not used"));
    assert!(bench.peer.listener.accept().now_or_never().is_none(), "nobody was dialled");
}

#[tokio::test]
async fn a_token_that_the_control_plane_does_not_take_is_told_and_not_tried_again() {
    let bench = Bench::new().await;
    let problem = r#"{"type":"/docs","title":"Unauthenticated","status":401,"code":"unauthenticated","detail":"the join token is not valid"}"#;
    let refusal = http("401 Unauthorized", "application/problem+json", problem);
    let (enrolled, _) = tokio::join!(bench.enrol(), bench.peer.answer(&refusal));
    let error = enrolled.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("the join token is not valid"));
    assert!(!format!("{error:?}").contains("SSSS"));
    assert!(bench.peer.listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn an_answer_whose_roots_do_not_hold_the_pinned_one_is_not_stored() {
    let bench = Bench::new().await;
    let foreign = Authority::new("foreign").root_pem();
    let (enrolled, _) = tokio::join!(bench.enrol(), serve(&bench, &foreign));
    assert!(matches!(enrolled, Err(EnrolmentError::ForeignBundle)));
    assert!(Identity::load(&bench.state).unwrap().is_none());
}
