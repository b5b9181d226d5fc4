//! Packet sockets that hear what their filter lets through while somebody listens, and cost the host nothing otherwise.

use std::io;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::icmp::widen;
use super::ring::{NOTHING, bind};
use super::stamped::watch;
use super::stamps;

/// A packet socket that hears nothing yet.
#[derive(Debug)]
pub(crate) struct PacketSocket(Socket);

/// A packet socket, watched by the runtime.
pub(crate) struct PacketListener {
    watched: AsyncFd<Socket>,
    /// What it hears while somebody listens, as a number of Ethernet's.
    protocol: i32,
    /// How many flows listen.
    users: Mutex<usize>,
}

impl PacketSocket {
    /// Opens it; needs the right to raw sockets. Bound to no protocol, it costs the host nothing.
    pub(crate) fn open(filter: &[SockFilter]) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(filter)?;
        widen(&socket)?;
        stamps::ask_for(&socket).map_err(io::Error::from)?;
        Ok(Self(socket))
    }
}

impl PacketListener {
    pub(crate) fn new(PacketSocket(socket): PacketSocket, protocol: i32) -> io::Result<Self> {
        Ok(Self {
            watched: watch(socket)?,
            protocol,
            users: Mutex::new(0),
        })
    }

    /// Begins to hear, if nobody does yet; needs no right any more.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if *users == 0 {
            bind(self.watched.get_ref(), self.protocol)?;
        }
        *users += 1;
        Ok(())
    }

    /// Ends it when nobody is left.
    pub(crate) fn leave(&self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        *users = users.saturating_sub(1);
        if *users == 0
            && let Err(error) = bind(self.watched.get_ref(), NOTHING)
        {
            tracing::debug!(%error, "the packet socket goes on listening");
        }
    }

    pub(crate) const fn watched(&self) -> &AsyncFd<Socket> {
        &self.watched
    }
}
