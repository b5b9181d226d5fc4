//! The one HTTP exchange of a connection: an enrolment, or the upgrade to a session. HTTP/1.1 only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::{ENROL_PATH, PACKAGE_PATH, PACKAGE_TOLD_PATH, SESSION_PATH};

use super::connection::Stream;
use super::problem::Refused;
use super::upgrade::{self, Promised, Upgraded};
use super::{Edge, enrol, package};

/// Where the handler leaves an upgrade it promised, for when the connection has been let go of by HTTP.
type Slot = Arc<Mutex<Option<Promised>>>;

/// Serves one connection's HTTP; returns its session if it became one.
pub(super) async fn serve(edge: Arc<Edge>, stream: Stream, peer: SocketAddr) -> Option<Upgraded> {
    let leaf = stream
        .get_ref()
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|leaf| leaf.clone().into_owned());
    let slot = Slot::default();
    let handler = service_fn(|request: Request<Incoming>| {
        let (edge, slot, leaf) = (Arc::clone(&edge), Arc::clone(&slot), leaf.clone());
        async move {
            let answer = match (request.uri().path(), request.method()) {
                (SESSION_PATH, &Method::GET) => upgrade::accept(&edge.fleet, leaf.as_deref(), request, peer).map(|(promised, response)| {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(promised);
                    response
                }),
                (SESSION_PATH, _) => Err(Refused::method("GET")),
                (ENROL_PATH, &Method::POST) => enrol::answer(&edge.fleet, request, peer).await,
                (PACKAGE_PATH, &Method::POST) => package::give(&edge.fleet, &edge.packages, leaf.as_deref(), request).await,
                (PACKAGE_TOLD_PATH, &Method::POST) => package::hear(&edge.fleet, &edge.packages, leaf.as_deref(), request).await,
                (ENROL_PATH | PACKAGE_PATH | PACKAGE_TOLD_PATH, _) => Err(Refused::method("POST")),
                _ => Err(Refused::new(
                    ProblemCode::NotFound,
                    "the agent port knows enrolments, sessions and packages only",
                )),
            };
            Ok::<Response<Full<Bytes>>, Infallible>(answer.unwrap_or_else(Refused::into_response))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "HTTP of the agent port ended early");
    }
    let promised = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    promised?.keep().await
}

/// Longest time for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const HEADERS: usize = 64;
/// Longest head of a request; the library's least.
const HEADER_BYTES: usize = 8 * 1024;
