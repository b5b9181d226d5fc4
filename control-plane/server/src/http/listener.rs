//! The HTTP port: accepts connections, bounds what each may cost, and lets the open ones finish at the end.
//!
//! HTTP/1.1 only: the port speaks plain text to a proxy or to this machine, and what is not spoken cannot be flooded.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use control_api::problem::PROBLEM_CONTENT_TYPE;
use control_services::Services;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared_protocol::fault::ProblemCode;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::Refused;
use super::router::router;
use super::state::AppState;

/// Serves until `stopping`; then takes no more connections and returns once the open requests are answered.
pub async fn serve(listener: TcpListener, services: Services, stopping: CancellationToken) {
    let state = AppState::new(services, stopping.clone());
    let streams = state.tasks.clone();
    let app = router(state);
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // A full house waits here: the kernel's backlog holds who knocks meanwhile.
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                prepare(&stream);
                let (app, stopping) = (app.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(stream, app, stopping).await;
                    drop(place);
                });
            }
            (Err(_), _) => break,
            (_, Err(error)) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    streams.close();
    connections.close();
    connections.wait().await;
    streams.wait().await;
}

fn prepare(stream: &TcpStream) {
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_user_timeout(Some(PEER_TIMEOUT)));
    if let Err(error) = prepared {
        tracing::debug!(%error, "could not set options of a connection");
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: Router, stopping: CancellationToken) {
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(2 * HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades();
    let mut leaving = false;
    let result = loop {
        tokio::select! {
            result = Pin::new(&mut connection) => break result,
            () = stopping.cancelled(), if !leaving => {
                leaving = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let Err(error) = result else { return };
    tracing::debug!(%error, "a connection ended early");
    let Some(parts) = connection.into_parts() else { return };
    // An idle connection is closed without a word; one that began a request and did not finish its head is told.
    if error.is_timeout() && !parts.read_buf.is_empty() {
        say_too_late(parts.io.into_inner()).await;
    }
}

/// Answers a head that did not arrive in time, which the HTTP library itself leaves unanswered.
async fn say_too_late<S: AsyncWrite + Unpin>(mut stream: S) {
    let refused = Refused::new(ProblemCode::RequestTimeout, "the head of the request did not arrive within 10 seconds");
    let request_id = uuid::Uuid::new_v4().simple().to_string();
    let response = refused.render(&request_id);
    let Ok(body) = response.into_body().collect().await else { return };
    let body = body.to_bytes();
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: {PROBLEM_CONTENT_TYPE}\r\ncontent-length: {}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let answer = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(ANSWER_TIMEOUT, answer).await, Ok(Ok(()))) {
        tracing::debug!("a connection was gone before it could be told");
    }
}

/// Most connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 16_384;
/// How long the head of a request may take to arrive, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Longest head of a request, bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a peer may leave what was sent to it unacknowledged.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last words to a slow sender may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failed accept: descriptors may have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    async fn answer_to(sent: &str) -> String {
        let (mut client, server): (DuplexStream, DuplexStream) = duplex(64 * 1024);
        let app = Router::new().route("/", get(async || "here"));
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let ((), read) = tokio::join!(connection(server, app, CancellationToken::new()), client.read_to_string(&mut answer));
        read.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn api_11_a_head_that_does_not_arrive_is_answered_408() {
        let answer = answer_to("GET / HTTP/1.1\r\nhost: a\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn api_11_an_idle_connection_is_closed_without_a_word() {
        assert_eq!(answer_to("").await, "");
        let answer = answer_to("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nhere"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_beyond_its_bounds_is_refused() {
        let many = "h: x\r\n".repeat(100);
        let long = format!("h: {}\r\n", "x".repeat(HEAD_BYTES));
        for headers in [many, long] {
            let answer = answer_to(&format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }
}
