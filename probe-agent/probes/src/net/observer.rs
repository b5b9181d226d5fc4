//! The way to the observer, a Unix socket, and the connection by which it is checked, which leaves this host for nowhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::observe::message::{self, Ask, Inbox, TOLD_BYTES, Told};

/// A conversation with the observer.
#[derive(Debug)]
pub(crate) struct Conversation {
    stream: UnixStream,
    inbox: Inbox,
}

impl Conversation {
    /// Begins one, unless somebody else than root or the agent's own user listens there.
    pub(crate) async fn begin(socket: &Path) -> io::Result<Self> {
        let stream = tokio::time::timeout(CONNECT_TIME, UnixStream::connect(socket))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let peer = stream.peer_cred()?.uid();
        if peer != 0 && peer != geteuid().as_raw() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("user {peer} listens there, who is neither root nor the agent's own"),
            ));
        }
        Ok(Self {
            stream,
            inbox: Inbox::new(TOLD_BYTES),
        })
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> io::Result<()> {
        message::send(&mut self.stream, ask).await
    }

    /// The next thing it tells. Nothing is lost when the wait is given up.
    pub(crate) async fn hear(&mut self) -> io::Result<Told> {
        self.inbox.receive(&mut self.stream).await
    }

    /// What it has told already, or that it is gone; `None` where it is there and silent.
    pub(crate) async fn pending(&mut self) -> Option<io::Result<Told>> {
        tokio::select! {
            biased;
            told = self.hear() => Some(told),
            // What has come is seen by the runtime when it is given a turn.
            () = tokio::task::yield_now() => None,
        }
    }
}

/// A connection of this process to itself: to a loopback port that is its own and on which nothing listens, so that the kernel refuses it.
#[derive(Debug)]
pub(crate) struct OwnConnection {
    /// Keeps the port.
    _held: TcpSocket,
    to: SocketAddr,
}

impl OwnConnection {
    /// Takes a free port.
    pub(crate) fn prepare() -> io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self {
            to: held.local_addr()?,
            _held: held,
        })
    }

    /// The port.
    pub(crate) const fn port(&self) -> u16 {
        self.to.port()
    }

    /// Tries to connect. What comes of it is for the observer to say.
    pub(crate) async fn try_once(&self) {
        let refused = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(self.to)).await;
        tracing::trace!(?refused, "tried the connection that checks the observer");
    }
}

/// Longest wait for something on this host.
const CONNECT_TIME: Duration = Duration::from_secs(1);
