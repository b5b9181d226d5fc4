//! A name server of our own on loopback that does as its script says.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The messages that go back for a question, in order.
pub(super) type Script = fn(question: &[u8]) -> Vec<Vec<u8>>;

/// Serves on one port of both transports until it is dropped.
pub(super) struct Responder {
    pub(super) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Responder {
    /// Answers datagrams and connections by their scripts; what a connection gets is written as it stands, length included.
    pub(super) async fn start(by_datagram: Script, by_stream: Script) -> Self {
        let (socket, listener) = sockets().await;
        let address = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut question = [0; 1_024];
            while let Ok((length, client)) = socket.recv_from(&mut question).await {
                for message in by_datagram(&question[..length]) {
                    let _ = socket.send_to(&message, client).await;
                }
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Ok(length) = stream.read_u16().await else { continue };
                let mut question = vec![0; length.into()];
                if stream.read_exact(&mut question).await.is_ok() {
                    for message in by_stream(&question) {
                        let _ = stream.write_all(&message).await;
                    }
                }
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// A port that is free for both transports.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
    panic!("no port is free for both transports")
}

/// Nothing at all.
pub(super) fn silence(_question: &[u8]) -> Vec<Vec<u8>> {
    Vec::new()
}

/// The good answer: one address.
pub(super) fn address(question: &[u8]) -> Vec<Vec<u8>> {
    vec![reply(question, 0x8180, 1, &RECORD)]
}

/// A reply to a question: its identifier and question, these flags, as many answers as claimed, and records.
pub(super) fn reply(question: &[u8], flags: u16, claimed: u16, records: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut message = question[..2].to_vec();
    message.extend([flags, 1, claimed, 0, 0].map(u16::to_be_bytes).concat());
    message.extend(&question[12..end]);
    message.extend(records);
    message
}

/// A message with its length before it, as a connection carries it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// 127.0.0.9 for the name in the question.
pub(super) const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 9];
