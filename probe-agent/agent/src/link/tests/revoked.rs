use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::close::CloseReason;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::authority::{AGENT, Authority, TENANT};
use super::peer::{Peer, read_request};
use crate::agent::{Agent, AgentError};
use crate::config::Config;
use crate::exit::Failure;
use crate::link::identity::{AgentKey, IDENTITY_FILE, Identity};
use crate::state_dir::StateDir;

/// Takes a session and ends it with this reason at once.
async fn close_with(peer: &Peer, reason: CloseReason) {
    let mut stream = peer.accept().await.unwrap();
    let request = read_request(&mut stream).await;
    let key = request.head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: probeops.v1\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    let text = reason.text();
    let length = u8::try_from(text.len() + 2).unwrap();
    let frame = [&[0x88, length], &reason.code().to_be_bytes()[..], text.as_bytes()].concat();
    stream.write_all(&[answer.as_bytes(), &frame].concat()).await.unwrap();
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_running_agent_dials_again_after_a_restart_and_ends_with_78_when_it_is_revoked() {
    let authority = Authority::new("ours");
    let peer = Peer::new(authority.server_tls(&["localhost"])).await;
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::create(&root.path().join("state")).unwrap();
    let key = AgentKey::load_or_create(&state).unwrap();
    let identity = Identity {
        agent: AGENT.parse().unwrap(),
        tenant: TENANT.parse().unwrap(),
        name: "host".to_owned(),
        trust_domain: "probeops.test".to_owned(),
        endpoint: format!("localhost:{}", peer.port()).parse().unwrap(),
        certificate: authority.sign_agent(&key.signing_request().unwrap()),
        ca_bundle: authority.root_pem(),
    };
    state.write_private(IDENTITY_FILE, &identity.to_text()).unwrap();
    let mut config = Config::default();
    config.link.backoff_base_ms = 1;
    config.link.backoff_cap_ms = 1;

    let agent = Agent::open(&state, config, IcmpSockets::open(), CancellationToken::new()).await.unwrap();
    let server = async {
        close_with(&peer, CloseReason::GoingAway).await;
        close_with(&peer, CloseReason::Revoked).await;
    };
    let (ended, ()) = tokio::join!(agent.run(), server);
    let error = ended.unwrap_err();
    assert!(matches!(error, AgentError::Revoked));
    assert_eq!(error.failure(), Failure::Misconfigured);
}
