//! The agent port: TLS, enrolment, and the WebSocket edge of a session. Everything before authentication has its own small bounds.
//!
//! May name no table and no tenant: who a peer is, and what its frames mean, `control-services` says.

mod connection;
mod enrol;
mod http;
mod metered;
mod package;
mod problem;
mod session;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use control_services::fleet::Fleet;
use control_services::packages::Packages;
use shared_protocol::limits::UNSENT_BYTES;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all connections of the port share.
pub(crate) struct Edge {
    fleet: Fleet,
    packages: Packages,
    acceptor: TlsAcceptor,
    leaving: CancellationToken,
    /// Handshakes take turns, first come, first served.
    turns: Semaphore,
    sessions: AtomicUsize,
}

/// Serves agents until told to leave; then closes every session as a restart and waits for them.
pub async fn serve(listener: TcpListener, (fleet, packages): (Fleet, Packages), leaving: CancellationToken) {
    let edge = Arc::new(Edge {
        acceptor: TlsAcceptor::from(fleet.tls()),
        fleet,
        packages,
        leaving,
        turns: Semaphore::new(TURNS),
        sessions: AtomicUsize::new(0),
    });
    let room = Arc::new(Semaphore::new(UNAUTHENTICATED));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = edge.leaving.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // No room: closed before TLS, which costs next to nothing; the agent comes back by its backoff.
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                tune(&stream);
                tasks.spawn(connection::run(Arc::clone(&edge), stream, peer, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

impl Edge {
    /// When an agent should come back after a restart, milliseconds: the more sessions, the wider they are spread.
    fn retry_after_ms(&self) -> u32 {
        let sessions = u32::try_from(self.sessions.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let spread = sessions.saturating_mul(SPREAD_PER_SESSION_MS).min(SPREAD_MAX_MS);
        RETRY_AFTER_MIN_MS + rand::random_range(0..=spread)
    }
}

/// None of these is worth refusing a connection for.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(USER_TIMEOUT)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

/// Most connections that have not yet proved who they are; more are closed at once. Each waits at most ten seconds and takes a few KiB, so
/// that thousands of stalled ones leave room for an honest one.
const UNAUTHENTICATED: usize = 8_192;
/// Handshakes whose first answer is being made at once. More would only take processor time from each other until all of them are too late:
/// a fleet that comes back after a crash is let in one after the other instead.
const TURNS: usize = 64;
/// Rest after an accept that failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Unacknowledged data for longer than this: the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_AFTER_MIN_MS: u32 = 1_000;
const SPREAD_PER_SESSION_MS: u32 = 2;
const SPREAD_MAX_MS: u32 = 20_000;
