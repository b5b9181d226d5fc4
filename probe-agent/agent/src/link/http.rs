//! The little HTTP that the agent speaks: one request on one connection, its answer bounded, and what an answer may be believed about.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use shared_protocol::close::Disposition;
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::{READ_BUFFER_BYTES, SERVER_FRAME_BYTES, SERVER_MESSAGE_BYTES, SESSION_PATH, SUBPROTOCOL, WRITE_BUFFER_BYTES};
use shared_protocol::time::UnixMicros;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::endpoint::Endpoint;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The control plane's own words.
    Problem {
        /// The stable code.
        code: ProblemCode,
        /// The sentence beside it, fit to be shown.
        detail: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Somebody between: a captive portal, a proxy, a load balancer. Nothing it says about the agent is believed.
    Intermediary {
        /// The HTTP status.
        status: u16,
        /// When to come back.
        retry_after: Option<Duration>,
    },
}

/// What a request came to.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection broke, or what came is not HTTP.
    #[error("the HTTP exchange with the control plane broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The request could not be written down.
    #[error("cannot make the HTTP request: {0}")]
    Request(#[from] http::Error),
    /// The answer is longer than any of the control plane's.
    #[error("the answer is longer than it may be, or broke off")]
    Body,
    /// The server switched protocols, but not to a session.
    #[error("the server switched protocols without a valid WebSocket answer")]
    NotWebSocket,
    /// A refusal, by the control plane or by somebody between.
    #[error("{}", refusal_text(.0))]
    Refused(Refusal),
}

/// The clock of an answer: the `Date` of the server, where it sent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerDate(pub Option<UnixMicros>);

/// Sends a JSON body and returns the body of the 200 answer.
///
/// # Errors
/// [`HttpError`].
pub async fn post_json<S>(stream: S, endpoint: &Endpoint, path: &str, body: String, now: UnixMicros) -> Result<Bytes, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    post_json_within(stream, endpoint, path, body, (now, ANSWER_BYTES)).await
}

/// The same for an answer of at most so many bytes.
///
/// # Errors
/// [`HttpError`].
pub async fn post_json_within<S>(stream: S, endpoint: &Endpoint, path: &str, body: String, (now, most): (UnixMicros, usize)) -> Result<Bytes, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(Method::POST, endpoint, path)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let read = async |response: Response<Incoming>| {
        if response.status() == StatusCode::OK && !is_html(response.headers()) {
            read_body(response, most).await
        } else {
            Err(HttpError::Refused(read_refusal(response, now).await))
        }
    };
    Box::pin(exchange(stream, request, read)).await
}

/// Upgrades the connection to a WebSocket session, with the bounds of the wire.
///
/// # Errors
/// [`HttpError`].
pub async fn upgrade<S>(stream: S, endpoint: &Endpoint, now: UnixMicros) -> Result<(WebSocketStream<S>, ServerDate), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let key = generate_key();
    let request = request(Method::GET, endpoint, SESSION_PATH)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .header(SEC_WEBSOCKET_KEY, &key)
        .body(Full::new(Bytes::new()))?;
    let read = async |response: Response<Incoming>| {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HttpError::Refused(read_refusal(response, now).await));
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let accepted = header(SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str());
        if !accepted || header(SEC_WEBSOCKET_PROTOCOL) != Some(SUBPROTOCOL) {
            return Err(HttpError::NotWebSocket);
        }
        let date = ServerDate(header(http::header::DATE).and_then(http_date));
        let upgraded = hyper::upgrade::on(response).await?;
        let parts = upgraded.downcast::<TokioIo<S>>().map_err(|_| HttpError::NotWebSocket)?;
        Ok((parts, date))
    };
    let (parts, date) = Box::pin(exchange(stream, request, read)).await?;
    let socket = WebSocketStream::from_partially_read(parts.io.into_inner(), parts.read_buf.to_vec(), Role::Client, Some(websocket_config())).await;
    Ok((socket, date))
}

/// What follows an answer that only asks for patience.
pub fn come_back(retry_after: Option<Duration>) -> Disposition {
    retry_after.map_or(Disposition::Backoff, |earliest| Disposition::After {
        earliest,
        latest: earliest + earliest / 4,
    })
}

/// The bounds of the wire as the WebSocket library takes them; its own defaults are far wider.
pub fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(SERVER_MESSAGE_BYTES))
        .max_frame_size(Some(SERVER_FRAME_BYTES))
}

async fn exchange<S, T>(stream: S, request: Request<Full<Bytes>>, read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, HttpError>) -> Result<T, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = connection.with_upgrades();
    let exchange = async {
        let response = sender.send_request(request).await?;
        read(response).await
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The connection has nothing more to do; what it read is still to be looked at.
        _ = &mut connection => exchange.await,
    }
}

fn request(method: Method, endpoint: &Endpoint, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, endpoint.to_string())
        .header(USER_AGENT, concat!("probe-agent/", env!("CARGO_PKG_VERSION")))
}

async fn read_body(response: Response<Incoming>, most: usize) -> Result<Bytes, HttpError> {
    let collected = Limited::new(response.into_body(), most).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|_| HttpError::Body)
}

async fn read_refusal(response: Response<Incoming>, now: UnixMicros) -> Refusal {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let is_problem = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/problem+json"));
    let retry_after = header(RETRY_AFTER).and_then(|text| retry_after(text, now));
    let body = if is_problem { read_body(response, ANSWER_BYTES).await.ok() } else { None };
    classify(status, body.as_deref(), retry_after)
}

/// Tells the control plane's own problem, whose code goes with its status, from everything else.
fn classify(status: StatusCode, body: Option<&[u8]>, retry_after: Option<Duration>) -> Refusal {
    #[derive(Deserialize)]
    struct Problem {
        status: u16,
        code: ProblemCode,
        detail: String,
    }
    let problem = body.and_then(|body| serde_json::from_slice::<Problem>(body).ok());
    match problem.filter(|problem| problem.status == status.as_u16() && problem.code.http_status() == status.as_u16()) {
        Some(problem) => Refusal::Problem {
            code: problem.code,
            detail: problem
                .detail
                .chars()
                .filter(|character| !character.is_control())
                .take(DETAIL_CHARACTERS)
                .collect(),
            retry_after,
        },
        None => Refusal::Intermediary {
            status: status.as_u16(),
            retry_after,
        },
    }
}

/// Reads `Retry-After`: seconds or a date, clamped to 1 s … 15 min; what is neither is ignored.
fn retry_after(text: &str, now: UnixMicros) -> Option<Duration> {
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        http_date(text)?.since(now)
    };
    Some(asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<UnixMicros> {
    let timestamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UnixMicros::from_micros(timestamp.as_microsecond()))
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"))
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Problem { detail, .. } => format!("the control plane refused: {detail}"),
        Refusal::Intermediary { status, .. } => {
            format!("something between this host and the control plane answered with HTTP {status}; a captive portal or a proxy?")
        }
    }
}

/// Longest answer read, bytes.
const ANSWER_BYTES: usize = 64 * 1024;
/// Most header bytes of an answer; the least that the HTTP library takes.
const HEADER_BYTES: usize = 8 * 1024;
/// Most headers of an answer.
const HEADERS: usize = 64;
/// Longest sentence of the control plane that is shown.
const DETAIL_CHARACTERS: usize = 300;
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn net_10_only_our_own_problem_with_its_own_status_is_believed() {
        let ours = br#"{"type":"/docs#unauthenticated","title":"Unauthenticated","status":401,"code":"unauthenticated","detail":"no"}"#;
        assert!(matches!(
            classify(status(401), Some(ours), None),
            Refusal::Problem {
                code: ProblemCode::Unauthenticated,
                ..
            }
        ));
        for (code, body) in [
            (401, &b"<html>sign in</html>"[..]),
            (403, br#"{"status":403,"code":"revoked","detail":"x"}"#),
            (403, ours),
            (401, br#"{"status":401,"code":"forbidden","detail":"x"}"#),
            (401, br#"{"error":"unauthorized"}"#),
            (502, b"<html>bad gateway</html>"),
            (200, b"<html>welcome to the hotel</html>"),
            (302, b""),
            (407, b""),
        ] {
            assert!(matches!(classify(status(code), Some(body), None), Refusal::Intermediary { status, .. } if status == code));
        }
    }

    #[test]
    fn net_13_retry_after_is_clamped_or_ignored() {
        let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let seconds = |text: &str| retry_after(text, now).map(|after| after.as_secs());
        assert_eq!(seconds("0"), Some(1));
        assert_eq!(seconds("17"), Some(17));
        assert_eq!(seconds("1000000000"), Some(900));
        assert_eq!(seconds("99999999999999999999999999"), Some(900));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(1));
        assert_eq!(seconds("Sat, 06 Nov 2094 08:00:00 GMT"), Some(900));
        for garbage in ["", "-1", "1e9", "soon", "1.5", "١"] {
            assert_eq!(seconds(garbage), None, "{garbage}");
        }
    }
}
