//! One of the sockets for echo requests: which packets it sends, and whose they were.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use shared_protocol::report::PingSocket;
use tokio::io::unix::AsyncFd;

use super::option::Fragmentation;
use super::packet::Family;
use super::registry::FlowId;
use super::socket::{HeaderFields, IcmpSocket};
use crate::clock::Moment;
use crate::net::batch::SendBatch;
use crate::net::stamped::{ErrorQueue, Stamped};

/// A socket, watched by the runtime, and its book of departures.
pub(in crate::net) struct Channel {
    stamped: Stamped<IcmpSocket, (FlowId, u32)>,
    fragmentation: Fragmentation,
}

/// Requests of one length, for as many targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests<'a> {
    pub data: &'a [u8],
    /// Bytes of each.
    pub bytes: usize,
    pub targets: &'a [IpAddr],
    pub fields: HeaderFields,
}

impl Channel {
    pub(super) fn new(socket: IcmpSocket, fragmentation: Fragmentation) -> io::Result<Self> {
        let timestamps = socket.timestamps;
        let queue = match socket.kind {
            PingSocket::Raw => ErrorQueue::StampsOnly,
            PingSocket::Datagram => ErrorQueue::ErrorsToo,
        };
        Ok(Self {
            stamped: Stamped::new(socket, timestamps, queue)?,
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

    /// Sends requests of one length in one call and books those that the kernel took; how many, and the clocks just before it got them.
    pub(super) fn send_many(&self, flow: FlowId, indexes: &[u32], batch: &mut SendBatch, requests: Requests<'_>) -> (usize, Moment) {
        let owners = indexes.iter().map(|index| (flow, *index));
        let send = |socket: &IcmpSocket| batch.send(socket, requests.data, requests.bytes, requests.targets, requests.fields.unusual());
        self.stamped.send_many(owners, send, indexes.len())
    }

    /// Stamps that were read while sending.
    pub(super) fn take_ready(&self) -> Vec<((FlowId, u32), i64)> {
        self.stamped.take_ready()
    }

    /// Finds the request that the kernel has stamped. `None` when it is not in the book, or the stamp cannot be its own.
    pub(super) fn transmitted(&self, number: u32, at_ns: i64) -> Option<(FlowId, u32)> {
        self.stamped.transmitted(number, at_ns)
    }
}
