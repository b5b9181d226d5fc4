//! One of the sockets for echo requests: which packets it sends, and whose they were.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::option::Fragmentation;
use super::packet::Family;
use super::registry::FlowId;
use super::socket::{HeaderFields, IcmpSocket};
use crate::clock::Moment;
use crate::net::batch::{ReceiveBatch, SendBatch};
use crate::net::stamped::{ErrorQueue, Stamped};

/// A socket, watched by the runtime, and its book of departures.
pub(in crate::net) struct Channel {
    stamped: Stamped<IcmpSocket, (FlowId, u32)>,
    purpose: Purpose,
    /// Room for stamps; who holds it has delivered them when he lets go.
    pub(super) stamps: Mutex<ReceiveBatch>,
    /// Says that something was sent.
    pub(super) sent: Notify,
}

/// What a socket is for. A raw socket that sends is not the one that receives, so that no stamp wakes anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Sends(Fragmentation),
    Receives,
    /// The answers to a datagram socket come to itself.
    Both(Fragmentation),
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
    pub(super) fn new(socket: IcmpSocket, purpose: Purpose) -> io::Result<Self> {
        let timestamps = socket.timestamps;
        let stamped = match purpose {
            Purpose::Sends(_) => Stamped::quiet(socket, timestamps),
            Purpose::Receives => Stamped::new(socket, timestamps, ErrorQueue::StampsOnly)?,
            Purpose::Both(_) => Stamped::new(socket, timestamps, ErrorQueue::ErrorsToo)?,
        };
        Ok(Self {
            stamped,
            purpose,
            stamps: Mutex::new(ReceiveBatch::new(STAMPS, QUOTED_BYTES)),
            sent: Notify::new(),
        })
    }

    /// Whether requests of this kind leave by it.
    pub(super) fn serves(&self, family: Family, wanted: Fragmentation) -> bool {
        let serves = match self.purpose {
            Purpose::Sends(fragmentation) | Purpose::Both(fragmentation) => fragmentation == wanted,
            Purpose::Receives => false,
        };
        serves && self.socket().family == family
    }

    /// Whether it receives for every flow of a family.
    pub(super) fn receives(&self, family: Family) -> bool {
        self.purpose == Purpose::Receives && self.socket().family == family
    }

    /// Whether the kernel has still to tell when packets left.
    pub(super) fn awaits_stamps(&self) -> bool {
        self.stamped.awaits()
    }

    pub(in crate::net) fn socket(&self) -> &IcmpSocket {
        self.stamped.socket()
    }

    pub(super) const fn watched(&self) -> Option<&AsyncFd<IcmpSocket>> {
        self.stamped.watched()
    }

    /// Sends a request and books it. Returns the clocks just before the kernel got it.
    pub(in crate::net) fn send(&self, flow: FlowId, index: u32, message: &[u8], target: IpAddr, fields: HeaderFields) -> Result<Moment, Errno> {
        let left = self.stamped.send((flow, index), |socket| socket.send(message, target, fields));
        self.sent.notify_one();
        left
    }

    /// Sends requests of one length in one call and books those that the kernel took; how many, and the clocks just before it got them.
    pub(super) fn send_many(&self, flow: FlowId, indexes: &[u32], batch: &mut SendBatch, requests: Requests<'_>) -> (usize, Moment) {
        let owners = indexes.iter().map(|index| (flow, *index));
        let send = |socket: &IcmpSocket| batch.send(socket, requests.data, requests.bytes, requests.targets, requests.fields.unusual());
        let left = self.stamped.send_many(owners, send, indexes.len());
        self.sent.notify_one();
        left
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

/// Stamps read in one call.
const STAMPS: usize = 64;
/// A stamp comes alone, an error of a datagram socket with the request that it is about.
const QUOTED_BYTES: usize = 2_048;
