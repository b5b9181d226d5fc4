//! The WebSocket side of the HTTP port: who may open one, and text in and out within bounds. A reader that does not read is dropped.

use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use shared_protocol::fault::ProblemCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::problem::Refused;
use crate::handshake;

/// An upgrade that was promised.
pub(crate) struct Promised(OnUpgrade);

/// An open WebSocket.
pub(crate) struct Socket<S = TokioIo<Upgraded>>(WebSocketStream<S>);

/// What came.
pub(crate) enum Heard {
    /// A whole text.
    Text(Utf8Bytes),
    /// A sign of life.
    Alive,
    /// It is over.
    Gone,
    /// Something that this stream does not take; the reason.
    Wrong(&'static str),
}

/// The peer takes nothing, or is gone.
pub(crate) struct NotTaken;

/// Answers a request for a WebSocket; the socket is there once the answer has left.
pub(crate) fn accept(mut request: Request) -> Result<(Response, Promised), Refused> {
    same_origin(request.headers())?;
    let key = handshake::key(request.headers()).map_err(|lacks| Refused::new(ProblemCode::MalformedRequest, lacks))?;
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if handshake::names(request.headers(), SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok((response, Promised(hyper::upgrade::on(&mut request))))
}

/// As many streams are open as can be served.
pub(crate) fn full() -> Refused {
    Refused::new(ProblemCode::Unavailable, "as many live streams are open as can be served; try again").retry_after(5)
}

/// A page of another site must not open a stream in the name of whoever looks at it. What is no browser sends no origin.
fn same_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")));
    if origins.next().is_none() && authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(Refused::new(ProblemCode::Forbidden, "a page of another site may not open a stream here"))
}

impl Promised {
    /// Waits for HTTP to let go of the connection.
    pub(crate) async fn opened(self) -> Option<Socket> {
        let upgraded = tokio::time::timeout(UPGRADE_TIMEOUT, self.0).await.ok()?.ok()?;
        Some(Socket::over(TokioIo::new(upgraded)).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    async fn over(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(PENDING_BYTES)
            .max_frame_size(Some(MESSAGE_BYTES))
            .max_message_size(Some(MESSAGE_BYTES));
        Self(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
    }

    /// Waits for what comes next.
    pub(crate) async fn hear(&mut self) -> Heard {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Alive,
            Some(Ok(Message::Binary(_))) => Heard::Wrong("this stream takes text only"),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Gone,
        }
    }

    /// Sends a text; while the peer takes nothing, the one that is told waits, and then gives up.
    pub(crate) async fn say(&mut self, text: String) -> Result<(), NotTaken> {
        self.send(Message::text(text)).await
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), NotTaken> {
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), NotTaken> {
        match tokio::time::timeout(STALL_TIMEOUT, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotTaken),
        }
    }

    /// Says why it ends, and closes.
    pub(crate) async fn close(mut self, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::Policy,
            reason: Utf8Bytes::from_static(reason),
        };
        // Whoever does not take it is cut without it.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.0.close(Some(frame))).await;
    }
}

/// The name of what is spoken, for clients that name it.
pub(crate) const SUBPROTOCOL: &str = "probeops.stream.v1";
/// Longest message taken, bytes.
const MESSAGE_BYTES: usize = 4 * 1024;
/// Most bytes that wait to leave; a reader that leaves more is dropped.
const PENDING_BYTES: usize = 1024 * 1024;
/// How long a reader may take nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        same_origin(&map).is_ok()
    }

    #[test]
    fn aut_11_a_page_of_another_site_opens_no_stream() {
        assert!(allowed(&[("host", "plane.example")]), "a program sends no origin");
        assert!(allowed(&[("host", "plane.example"), ("origin", "https://plane.example")]));
        assert!(allowed(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]));
        for origin in [
            "null",
            "https://evil.example",
            "https://plane.example.evil",
            "https://plane.example:81",
            "plane.example",
            "",
        ] {
            assert!(!allowed(&[("host", "plane.example"), ("origin", origin)]), "{origin}");
        }
        assert!(!allowed(&[("origin", "https://plane.example")]));
        assert!(!allowed(&[
            ("host", "plane.example"),
            ("origin", "https://plane.example"),
            ("origin", "https://evil.example")
        ]));
    }

    #[tokio::test(start_paused = true)]
    async fn api_14_a_reader_that_does_not_read_is_dropped() {
        let (server, client) = tokio::io::duplex(64 * 1024);
        let mut socket = Socket::over(server).await;
        let mut said = 0;
        while socket.say("x".repeat(32 * 1024)).await.is_ok() {
            said += 32 * 1024;
            assert!(said <= PENDING_BYTES, "nothing is kept for it beyond the bound");
        }
        drop(client);
    }

    #[tokio::test]
    async fn a_message_beyond_the_bound_ends_the_stream() {
        let (server, client) = tokio::io::duplex(64 * 1024);
        let mut socket = Socket::over(server).await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        client.send(Message::text("x".repeat(100))).await.unwrap();
        assert!(matches!(socket.hear().await, Heard::Text(text) if text.len() == 100));
        client.send(Message::Binary(Bytes::from_static(b"x"))).await.unwrap();
        assert!(matches!(socket.hear().await, Heard::Wrong(_)));
        client.send(Message::text("x".repeat(MESSAGE_BYTES + 1))).await.unwrap();
        assert!(matches!(socket.hear().await, Heard::Gone));
    }
}
