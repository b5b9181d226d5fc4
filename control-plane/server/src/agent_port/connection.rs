//! One connection from accept to its end: TLS, one HTTP exchange, and the session if that is what was asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::error::Elapsed;
use tokio_rustls::server::TlsStream;

use super::metered::Metered;
use super::session::Driver;
use super::upgrade::Upgraded;
use super::{Edge, http};

/// The transport of a session.
pub(super) type Stream = Metered<TlsStream<TcpStream>>;

/// Boxes every stage but the session's own, so that an idle session keeps no room for what came before it.
pub(super) async fn run(edge: Arc<Edge>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
    if let Some(driver) = Box::pin(enter(edge, stream, peer, permit)).await {
        driver.run().await;
    }
}

/// Everything up to the session; the permit is for connections that nobody has vouched for yet.
async fn enter(edge: Arc<Edge>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) -> Option<Box<Driver>> {
    let upgraded = tokio::select! {
        upgraded = before_session(&edge, stream, peer) => upgraded,
        () = edge.leaving.cancelled() => None,
    };
    drop(permit);
    Driver::begin(edge, upgraded?, peer).await
}

async fn before_session(edge: &Arc<Edge>, stream: TcpStream, peer: SocketAddr) -> Option<Upgraded> {
    let stream = match handshake(edge, stream).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, %peer, "TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake took too long");
            return None;
        }
    };
    tokio::time::timeout(HTTP_TIMEOUT, http::serve(Arc::clone(edge), Metered::new(stream), peer))
        .await
        .ok()
        .flatten()
}

/// Waits for its turn, then makes the handshake. A peer that takes its time has its turn for a moment only, so that it costs the others nothing.
///
/// One whose turn does not come in time is given up before it costs anything: its peer would hardly wait for the rest.
async fn handshake(edge: &Edge, stream: TcpStream) -> Result<io::Result<TlsStream<TcpStream>>, Elapsed> {
    let turn = tokio::time::timeout(TURN_WAIT, edge.turns.acquire()).await?;
    let mut handshake = pin!(edge.acceptor.accept(stream));
    tokio::time::timeout(TLS_TIMEOUT, async {
        let in_its_turn = tokio::time::timeout(TURN, &mut handshake).await;
        drop(turn);
        match in_its_turn {
            Ok(done) => done,
            Err(_goes_on) => handshake.await,
        }
    })
    .await
}

/// Longest wait for a turn: agents give their whole dial fifteen seconds.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// How long a handshake keeps its turn: its first answer takes less than a millisecond of processor time.
const TURN: Duration = Duration::from_millis(20);
/// Longest time from its turn to the end of the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of the HTTP exchange; an enrolment waits for the disk.
const HTTP_TIMEOUT: Duration = Duration::from_secs(15);
