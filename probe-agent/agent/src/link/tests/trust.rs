use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use tokio::io::AsyncWriteExt;

use super::authority::Authority;
use super::peer::{Peer, http, read_request};
use crate::link::dial::{DialError, dial_session};
use crate::link::endpoint::Endpoint;
use crate::link::http::{HttpError, Refusal};
use crate::link::identity::AgentKey;
use crate::link::tls;
use crate::state_dir::StateDir;

/// The TLS of an agent that enrolled with this authority.
pub(super) fn agent_tls(authority: &Authority) -> Arc<ClientConfig> {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::create(&root.path().join("state")).unwrap();
    let chain = authority.sign_agent(&AgentKey::load_or_create(&state).unwrap().signing_request().unwrap());
    let key = state.read_private("agent.key").unwrap().unwrap();
    tls::for_session(&authority.root_pem(), &chain, &key).unwrap()
}

fn endpoint(peer: &Peer) -> Endpoint {
    format!("localhost:{}", peer.port()).parse().unwrap()
}

async fn refused_handshake(authority: &Authority, server: Arc<ServerConfig>) -> DialError {
    let peer = Peer::new(server).await;
    let endpoint = endpoint(&peer);
    let (dialled, accepted) = tokio::join!(dial_session(&endpoint, agent_tls(authority), |_| ()), peer.accept());
    accepted.unwrap_err();
    dialled.unwrap_err()
}

/// What the agent makes of an answer to its upgrade.
async fn answered(answer: &str) -> DialError {
    let authority = Authority::new("ours");
    let peer = Peer::new(authority.server_tls(&["localhost"])).await;
    let endpoint = endpoint(&peer);
    let (dialled, received) = tokio::join!(dial_session(&endpoint, agent_tls(&authority), |_| ()), peer.answer(answer));
    assert!(received.head.starts_with("GET /agent/v1/session HTTP/1.1\r\n"));
    dialled.unwrap_err()
}

#[tokio::test]
async fn tls_24_a_server_with_another_name_is_refused_and_both_names_are_told() {
    let authority = Authority::new("ours");
    let error = refused_handshake(&authority, authority.server_tls(&["elsewhere.test"])).await;
    assert!(matches!(error, DialError::Untrusted { .. }));
    let text = error.to_string();
    assert!(text.contains("localhost") && text.contains("elsewhere.test"), "{text}");
}

#[tokio::test]
async fn tls_25_a_server_of_another_authority_is_refused_and_its_issuer_is_told() {
    let interceptor = Authority::new("Corporate inspection");
    let error = refused_handshake(&Authority::new("ours"), interceptor.server_tls(&["localhost"])).await;
    assert!(matches!(error, DialError::Untrusted { .. }));
    assert!(error.to_string().contains("Corporate inspection servers"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_1_2_is_left() {
    let authority = Authority::new("ours");
    let (chain, key) = authority.server_chain(&["localhost"]);
    let builder = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    let old = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    assert!(matches!(refused_handshake(&authority, Arc::new(old)).await, DialError::Handshake { .. }));
}

#[tokio::test]
async fn net_10_a_captive_portal_or_proxy_is_an_intermediary_whatever_it_answers() {
    for (status, body) in [
        ("200 OK", "<html>welcome to the hotel</html>"),
        ("302 Found", ""),
        ("401 Unauthorized", "<html>sign in</html>"),
        ("403 Forbidden", "<html>blocked</html>"),
        ("407 Proxy Authentication Required", ""),
        ("502 Bad Gateway", "<html>bad gateway</html>"),
    ] {
        let error = answered(&http(status, "text/html", body)).await;
        assert!(
            matches!(error, DialError::Http(HttpError::Refused(Refusal::Intermediary { .. }))),
            "{status}: {error}"
        );
    }
}

#[tokio::test]
async fn net_10_what_is_no_http_or_no_websocket_is_left() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: probeops.v1\r\n";
    assert!(matches!(answered("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, DialError::Http(HttpError::Broken(_))));
    let forged = format!("{switch}sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
    assert!(matches!(answered(&forged).await, DialError::Http(HttpError::NotWebSocket)));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert!(matches!(answered(&long).await, DialError::Http(HttpError::Broken(_))));
}

#[tokio::test]
async fn the_control_planes_own_problem_is_told_apart() {
    let problem = r#"{"type":"/docs","title":"Unauthenticated","status":401,"code":"unauthenticated","detail":"no certificate"}"#;
    let error = answered(&http("401 Unauthorized", "application/problem+json", problem)).await;
    assert!(matches!(error, DialError::Http(HttpError::Refused(Refusal::Problem { .. }))), "{error}");
}

#[tokio::test]
async fn an_upgrade_hands_over_what_came_right_behind_it() {
    let before = crate::clock::monotonic();
    let authority = Authority::new("ours");
    let peer = Peer::new(authority.server_tls(&["localhost"])).await;
    let serve = async {
        let mut stream = peer.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let key = request.head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: probeops.v1\r\n\
             sec-websocket-accept: {accept}\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
        // A text frame of two bytes in the same write as the answer.
        stream.write_all(&[answer.as_bytes(), &[0x81, 2, b'h', b'i']].concat()).await.unwrap();
        stream
    };
    let config = agent_tls(&authority);
    let endpoint = endpoint(&peer);
    let addresses = std::sync::Mutex::new(Vec::new());
    let dial = dial_session(&endpoint, config, |resolved| *addresses.lock().unwrap() = resolved.to_vec());
    let (dialled, _stream) = tokio::join!(dial, serve);
    let mut dialled = dialled.unwrap();
    let message = futures_util::StreamExt::next(&mut dialled.socket).await.unwrap().unwrap();
    assert_eq!(message.to_text().unwrap(), "hi");
    assert_eq!(dialled.date.0.unwrap().micros(), 784_111_777_000_000);
    assert!(dialled.heard.at() > before);
    assert!(addresses.lock().unwrap().iter().all(std::net::IpAddr::is_loopback));
}
