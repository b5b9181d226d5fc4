//! One of the sockets for echo requests: which packets it sends, and whose they were.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;

use super::option::Fragmentation;
use super::packet::Family;
use super::registry::FlowId;
use super::socket::{HeaderFields, IcmpSocket};
use crate::clock::Moment;
use crate::net::stamped::Stamped;

/// A socket, watched by the runtime, and its book of departures.
pub(in crate::net) struct Channel {
    stamped: Stamped<IcmpSocket, (FlowId, u32)>,
    fragmentation: Fragmentation,
}

impl Channel {
    pub(super) fn new(socket: IcmpSocket, fragmentation: Fragmentation) -> io::Result<Self> {
        let timestamps = socket.timestamps;
        Ok(Self {
            stamped: Stamped::new(socket, timestamps)?,
            fragmentation,
        })
    }

    pub(super) fn serves(&self, family: Family, fragmentation: Fragmentation) -> bool {
        self.socket().family == family && self.fragmentation == fragmentation
    }

    pub(in crate::net) fn socket(&self) -> &IcmpSocket {
        self.stamped.socket()
    }

    pub(super) fn watched(&self) -> &AsyncFd<IcmpSocket> {
        self.stamped.watched()
    }

    /// Sends a request and books it. Returns the clocks just before the kernel got it.
    pub(in crate::net) fn send(&self, flow: FlowId, index: u32, message: &[u8], target: IpAddr, fields: HeaderFields) -> Result<Moment, Errno> {
        self.stamped.send((flow, index), |socket| socket.send(message, target, fields))
    }

    /// Finds the request that the kernel has stamped. `None` when it is not in the book, or the stamp cannot be its own.
    pub(super) fn transmitted(&self, number: u32, at_ns: i64) -> Option<(FlowId, u32)> {
        self.stamped.transmitted(number, at_ns)
    }
}
