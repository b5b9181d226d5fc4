//! A TLS server that speaks as little HTTP as a test needs.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(super) struct Peer {
    pub(super) listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// A request as it came.
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Peer {
    pub(super) async fn new(tls: Arc<ServerConfig>) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(tls),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Takes one connection; what the handshake came to.
    pub(super) async fn accept(&self) -> io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await
    }

    /// Takes one connection, reads one request and answers it with these bytes.
    pub(super) async fn answer(&self, bytes: &str) -> Received {
        let mut stream = self.accept().await.unwrap();
        let received = read_request(&mut stream).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        // The client may be gone already.
        let _ = stream.shutdown().await;
        received
    }
}

pub(super) async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Received {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")
            .map(|text| text.parse::<usize>().unwrap())
    });
    let mut body = bytes[end..].to_vec();
    while body.len() < length.unwrap_or(0) {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the body broke off");
    }
    Received { head, body }
}

pub(super) fn http(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
