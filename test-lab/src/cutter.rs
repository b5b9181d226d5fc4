//! A way between agents and the agent port that can be cut at any moment: everything on its way is lost, both ends find out by themselves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A forwarder on loopback.
pub struct Cutter {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Cutter {
    /// Starts to forward connections to an address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        let cuts = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, cuts.clone()));
        Ok(Self { address, cuts, _tasks: tasks })
    }

    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection there is; new ones are forwarded again.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, cuts: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((downstream, _)) = listener.accept().await else { return };
        connections.spawn(forward(downstream, upstream, cuts.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that is cut is reset, not closed in order: what the kernel still held is lost.
async fn forward(mut downstream: TcpStream, upstream: SocketAddr, mut cuts: watch::Receiver<u64>) {
    let Ok(socket) = TcpSocket::new_v4() else { return };
    let Ok(Ok(mut upstream)) = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(upstream)).await else {
        return;
    };
    cuts.mark_unchanged();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream) => {}
        _ = cuts.changed() => {
            // Zero lingering resets; where that cannot be set, the connection is closed instead.
            let _ = downstream.set_zero_linger();
            let _ = upstream.set_zero_linger();
        }
    }
}

/// Longest time a connection to the agent port may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
