use control_core::authorize::Action;

use crate::stand::Stand;
use crate::wire::{BINARY, FINAL, Mask, PING, RawSocket, TEXT, UPGRADE, exchange, hello};

#[tokio::test]
async fn tls_02_a_session_without_a_certificate_is_refused_before_the_upgrade() {
    let stand = Stand::start().await;
    let answer = exchange(stand.connect(None).await, UPGRADE.as_bytes()).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("unauthenticated")));
    stand.stop().await;
}

#[tokio::test]
async fn frm_18_a_handshake_that_is_none_is_refused() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let many = (0..1_000).fold(String::new(), |headers, n| format!("{headers}x-{n}: y\r\n"));
    for bad in [
        UPGRADE.replace("version: 13", "version: 8"),
        UPGRADE.replace("sec-websocket-version: 13\r\n", ""),
        UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        UPGRADE.replace("probeops.v1", "probeops.v9"),
        UPGRADE.replace("upgrade: websocket", "upgrade: h2c"),
        UPGRADE.replace("host: localhost", &format!("host: localhost\r\nx-long: {}", "y".repeat(9_000))),
        UPGRADE.replace("\r\n\r\n", &format!("\r\n{many}\r\n")),
    ] {
        let answer = exchange(stand.connect(Some(&agent)).await, bad.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{} for {bad:.200}", answer.status);
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_welcomed_agent_is_online_and_offline_again() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let mut socket = RawSocket::welcomed(&stand, &agent).await;
    socket.assert_alive().await;
    let shown = stand
        .services
        .fleet
        .agent(&stand.grant(Action::AgentRead), &agent.enrolled.agent)
        .await
        .unwrap();
    assert_eq!((shown.presence.as_str(), shown.version.as_deref()), ("online", Some("0.1.0")));
    stand.stop().await;
}

/// What one agent does wrong, and the code with which its session ends.
async fn ends_with(code: u16, wrong: impl AsyncFnOnce(&mut RawSocket)) {
    let stand = Stand::start().await;
    let (good, bad) = (stand.agent().await, stand.agent().await);
    let mut neighbour = RawSocket::welcomed(&stand, &good).await;
    let mut socket = RawSocket::welcomed(&stand, &bad).await;
    wrong(&mut socket).await;
    let (closed, text) = socket.closed().await;
    assert_eq!(closed, code, "{text}");
    neighbour.assert_alive().await;
    let mut again = RawSocket::welcomed(&stand, &bad).await;
    again.assert_alive().await;
    stand.stop().await;
}

#[tokio::test]
async fn frm_01_a_frame_beyond_256_kib_ends_the_session_at_its_head() {
    ends_with(1009, async |socket| socket.send_head(FINAL | TEXT, 256 * 1024 + 1).await).await;
}

#[tokio::test]
async fn frm_01_a_message_beyond_1_mib_ends_the_session() {
    ends_with(1009, async |socket| {
        let piece = vec![b'a'; 200 * 1024];
        socket.send(TEXT, &piece, Mask::Masked).await;
        for _ in 0..5 {
            socket.send(0, &piece, Mask::Masked).await;
        }
    })
    .await;
}

#[tokio::test]
async fn frm_03_a_frame_without_a_mask_ends_the_session() {
    ends_with(1002, async |socket| socket.send(FINAL | TEXT, b"{}", Mask::Bare).await).await;
}

#[tokio::test]
async fn frm_04_reserved_bits_and_codes_and_broken_control_frames_end_the_session() {
    for first in [FINAL | 0x40 | TEXT, FINAL | 0x3, FINAL | 0xb, PING] {
        ends_with(1002, async |socket| socket.send(first, b"a", Mask::Masked).await).await;
    }
    ends_with(1002, async |socket| socket.send(FINAL | PING, &[0; 126], Mask::Masked).await).await;
}

#[tokio::test]
async fn frm_05_text_that_is_not_utf_8_ends_the_session_also_when_split() {
    ends_with(1007, async |socket| {
        socket.send(TEXT, b"\xe2\x82", Mask::Masked).await;
        socket.send(FINAL, b"\x28", Mask::Masked).await;
    })
    .await;
}

#[tokio::test]
async fn frm_06_a_flood_of_pings_ends_the_session() {
    ends_with(4429, async |socket| {
        for _ in 0..100 {
            socket.send(FINAL | PING, b"", Mask::Masked).await;
        }
    })
    .await;
}

#[tokio::test]
async fn frm_02_a_flood_of_empty_frames_ends_the_session() {
    ends_with(1008, async |socket| {
        socket.send(TEXT, b"", Mask::Masked).await;
        // Six bytes each: well beyond what any message takes.
        let flood = [0, 0x80, 0, 0, 0, 0].repeat(450_000);
        socket.send_bytes(&flood).await;
    })
    .await;
}

#[tokio::test]
async fn frm_20_a_binary_frame_ends_the_session() {
    ends_with(1003, async |socket| socket.send(FINAL | BINARY, b"{}", Mask::Masked).await).await;
}

#[tokio::test]
async fn frm_08_and_11_garbage_and_a_second_hello_end_the_session_by_the_protocol() {
    ends_with(4400, async |socket| socket.send(FINAL | TEXT, b"not json", Mask::Masked).await).await;
    ends_with(4409, async |socket| socket.send(FINAL | TEXT, hello().as_bytes(), Mask::Masked).await).await;
}

#[tokio::test]
async fn revoking_an_agent_cuts_its_session_and_it_does_not_come_back() {
    let stand = Stand::start().await;
    let (agent, other) = (stand.agent().await, stand.agent().await);
    let mut neighbour = RawSocket::welcomed(&stand, &other).await;
    let socket = RawSocket::welcomed(&stand, &agent).await;
    stand
        .services
        .fleet
        .revoke_agent(&stand.grant(Action::AgentRevoke), &agent.enrolled.agent)
        .await
        .unwrap();
    assert_eq!(socket.closed().await.0, 4403);
    let again = RawSocket::open(&stand, &agent).await;
    assert_eq!(again.closed().await.0, 4403, "tls_15: at once, before any frame");
    neighbour.assert_alive().await;
    stand.stop().await;
}

#[tokio::test]
async fn a_leaf_of_another_control_plane_is_nobody() {
    let (stand, elsewhere) = (Stand::start().await, Stand::start().await);
    let foreign = elsewhere.agent().await;
    let mut stream = stand.connect(Some(&foreign)).await;
    let refused = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream.write_all(UPGRADE.as_bytes()).await?;
        stream.read_u8().await
    };
    assert!(refused.await.is_err(), "the handshake fails at the server");
    elsewhere.stop().await;
    stand.stop().await;
}

#[tokio::test]
async fn a_restart_says_when_to_come_back() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let socket = RawSocket::welcomed(&stand, &agent).await;
    stand.leaving.cancel();
    let (code, text) = socket.closed().await;
    assert_eq!(code, 1012);
    assert!(text.contains("retry_after_ms=1"), "{text}");
    stand.stop().await;
}
