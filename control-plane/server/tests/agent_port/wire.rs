//! Bytes on the wire, written and read by hand, so that every rule can be broken.

use shared_protocol::codec;
use shared_protocol::frame::{AgentFrame, Hello, HostFacts, OutboxState, ServerFrame};
use shared_protocol::id::{IncarnationId, Sequence};
use shared_protocol::time::UnixMicros;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stand::{Agent, Stand, instance};

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends bytes and reads the answer until the connection ends.
pub(crate) async fn exchange(mut stream: TlsStream<TcpStream>, request: &[u8]) -> Answer {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    read_answer(stream).await
}

pub(crate) async fn read_answer(mut stream: TlsStream<TcpStream>) -> Answer {
    let mut bytes = Vec::new();
    // A server that closes before it has read everything may reset the connection behind its answer.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /agent/v1/enrol HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) const UPGRADE: &str = "GET /agent/v1/session HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: probeops.v1\r\n\r\n";

/// A WebSocket whose frames are made by hand.
pub(crate) struct RawSocket {
    stream: TlsStream<TcpStream>,
}

/// How a frame goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    /// As a client must.
    Masked,
    /// As a client must not.
    Bare,
}

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const PING: u8 = 0x9;
pub(crate) const FINAL: u8 = 0x80;

impl RawSocket {
    pub(crate) async fn open(stand: &Stand, agent: &Agent) -> Self {
        let mut stream = stand.connect(Some(agent)).await;
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(
            head.contains("sec-websocket-protocol: probeops.v1") && !head.contains("sec-websocket-extensions"),
            "{head}"
        );
        Self { stream }
    }

    /// A session that was welcomed.
    pub(crate) async fn welcomed(stand: &Stand, agent: &Agent) -> Self {
        let mut socket = Self::open(stand, agent).await;
        socket.send(FINAL | TEXT, hello().as_bytes(), Mask::Masked).await;
        let text = socket.text().await;
        let Ok(codec::Decoded::Frame(ServerFrame::Welcome(_))) = codec::decode_server(&text) else {
            panic!("not a welcome: {text}");
        };
        socket
    }

    /// Sends one frame; errors are the server's answer to what came before.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8], mask: Mask) {
        let mut frame = head(first, payload.len(), mask);
        if mask == Mask::Masked {
            frame.extend([0; 4]);
        }
        frame.extend(payload);
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    /// Sends a frame of the protocol.
    pub(crate) async fn say(&mut self, frame: &AgentFrame) {
        self.send(FINAL | TEXT, codec::encode_agent(frame).as_bytes(), Mask::Masked).await;
    }

    /// The next frame that is no keepalive.
    pub(crate) async fn hear(&mut self) -> ServerFrame {
        loop {
            match codec::decode_server(&self.text().await).unwrap() {
                codec::Decoded::Frame(ServerFrame::Keepalive(_)) => {}
                codec::Decoded::Frame(frame) => return frame,
                codec::Decoded::Ignored => panic!("a frame that nobody knows"),
            }
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Sends the head of a frame and nothing of it.
    pub(crate) async fn send_head(&mut self, first: u8, length: usize) {
        let mut frame = head(first, length, Mask::Masked);
        frame.extend([0; 4]);
        self.stream.write_all(&frame).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => usize::from(self.stream.read_u16().await.ok()?),
            127 => usize::try_from(self.stream.read_u64().await.ok()?).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((first & 0x0f, payload))
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.frame().await {
                Some((TEXT, payload)) => return String::from_utf8(payload).unwrap(),
                Some((8, payload)) => panic!("closed: {payload:?}"),
                Some(_) => {}
                None => panic!("the connection ended"),
            }
        }
    }

    /// The code and text with which the server closes.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some((8, payload)) => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
                }
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// A ping and its answer, and nothing said before it.
    pub(crate) async fn assert_silent(&mut self) {
        self.send(FINAL | PING, b"anything to say", Mask::Masked).await;
        loop {
            match self.frame().await {
                Some((0xa, _)) => return,
                Some((_, payload)) => {
                    let text = String::from_utf8_lossy(&payload);
                    assert!(text.contains(r#""t":"keepalive""#), "said: {text}");
                }
                None => panic!("the connection ended"),
            }
        }
    }

    /// A ping and its answer: the session lives.
    pub(crate) async fn assert_alive(&mut self) {
        self.send(FINAL | PING, b"are you there", Mask::Masked).await;
        loop {
            match self.frame().await {
                Some((0xa, payload)) => {
                    assert_eq!(payload, b"are you there");
                    return;
                }
                Some((8, payload)) => panic!("closed: {payload:?}"),
                Some(_) => {}
                None => panic!("the connection ended"),
            }
        }
    }
}

fn head(first: u8, length: usize, mask: Mask) -> Vec<u8> {
    let bit = if mask == Mask::Masked { 0x80 } else { 0 };
    let mut head = vec![first];
    match length {
        0..126 => head.push(bit | u8::try_from(length).unwrap()),
        126..65_536 => {
            head.push(bit | 0x7e);
            head.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            head.push(bit | 0x7f);
            head.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    head
}

pub(crate) fn hello() -> String {
    codec::encode_agent(&AgentFrame::Hello(Box::new(Hello {
        versions: vec![1],
        agent_version: "0.1.0".to_owned(),
        instance: instance(1),
        capabilities: Vec::new(),
        host: HostFacts::default(),
        outbox: OutboxState {
            incarnation: IncarnationId::new(UnixMicros::from_micros(1_700_000_000_000_000), [3; 10]),
            first_seq: Sequence::new(1).unwrap(),
            next_seq: Sequence::new(1).unwrap(),
            set_aside: 0,
        },
        in_hand: Vec::new(),
        standing: None,
    })))
}
