//! What the HTTP port answers while the database cannot be reached yet: the process lives, and is not ready.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared_protocol::fault::ProblemCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::probes;
use super::problem::Refused;

/// Answers until it is dropped; whoever is connected then is cut.
pub(crate) async fn serve(listener: &TcpListener) -> Infallible {
    let app = Router::new().route("/livez", get(probes::alive)).fallback(not_yet);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, app.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn not_yet() -> Response {
    Refused::new(ProblemCode::Unavailable, "the control plane is starting: its database cannot be reached yet")
        .retry_after(RETRY_S)
        .render(&uuid::Uuid::new_v4().simple().to_string())
}

async fn connection(stream: TcpStream, app: Router) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Most connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 256;
/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// When to ask again, seconds.
const RETRY_S: u32 = 2;
