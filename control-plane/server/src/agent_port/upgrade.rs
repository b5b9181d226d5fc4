//! `GET /agent/v1/session`: who it is, then the WebSocket handshake (RFC 6455 section 4.2), then the bare connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use control_services::fleet::{AgentPrincipal, Fleet, PeerRefused};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use shared_protocol::close::CloseReason;
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::Stream;
use super::problem::Refused;
use crate::handshake;

/// The agent, or the reason with which the session of one that may not stay ends at once.
pub(super) type Admission = Result<AgentPrincipal, CloseReason>;

/// An upgrade that was answered with 101 and has not happened yet.
pub(super) struct Promised {
    upgrade: OnUpgrade,
    admission: Admission,
}

/// A connection that is a WebSocket now.
pub(super) struct Upgraded {
    pub(super) stream: Stream,
    /// Bytes of the session that arrived with the request.
    pub(super) early: Bytes,
    pub(super) admission: Admission,
}

/// Authenticates first, and only then looks at what is asked for.
pub(super) fn accept(
    fleet: &Fleet,
    leaf: Option<&[u8]>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<(Promised, Response<Full<Bytes>>), Refused> {
    let admission = admit(fleet, leaf, peer)?;
    let key = handshake_key(request.headers())?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    Ok((Promised { upgrade, admission }, response))
}

impl Promised {
    /// Waits for HTTP to let go of the connection.
    pub(super) async fn keep(self) -> Option<Upgraded> {
        let upgraded = tokio::time::timeout(UPGRADE_TIMEOUT, self.upgrade).await.ok()?.ok()?;
        let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
        Some(Upgraded {
            stream: parts.io.into_inner(),
            early: parts.read_buf,
            admission: self.admission,
        })
    }
}

fn admit(fleet: &Fleet, leaf: Option<&[u8]>, peer: SocketAddr) -> Result<Admission, Refused> {
    let refused = match leaf.map_or(Err(PeerRefused::NoCertificate), |leaf| fleet.authenticate_peer(leaf)) {
        Ok(principal) => return Ok(Ok(principal)),
        Err(refused) => refused,
    };
    if let Some(reason) = refused.close_reason() {
        return Ok(Err(reason));
    }
    if refused == PeerRefused::Stale {
        return Err(Refused::new(ProblemCode::Unavailable, refused.to_string()).retry_after(STALE_RETRY_S));
    }
    tracing::info!(reason = refused.name(), "a peer was not let in");
    tracing::debug!(%peer, reason = refused.name(), "a peer was not let in");
    // One sentence for all: what exactly did not fit is in the log.
    Err(Refused::new(
        ProblemCode::Unauthenticated,
        "a session needs the client certificate of an enrolled agent",
    ))
}

fn handshake_key(headers: &HeaderMap) -> Result<String, Refused> {
    let key = handshake::key(headers).map_err(|lacks| Refused::malformed(None, lacks))?;
    if !handshake::names(headers, SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(Refused::malformed(None, "a session needs `Sec-WebSocket-Protocol: probeops.v1`"));
    }
    Ok(key)
}

/// Longest time for HTTP to write the 101 and let go.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
const STALE_RETRY_S: u32 = 5;
