//! The socket that sends packets whose whole header is ours. It receives nothing but the times at which they left.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::clock::Moment;
use crate::net::icmp::{Family, FlowId, Fragmentation, set_fragmentation};
use crate::net::stamped::{ErrorQueue, Stamped, Timestamps};
use crate::net::stamps;

/// An open socket of a family.
#[derive(Debug)]
pub(super) struct HeaderSocket {
    socket: Socket,
    family: Family,
    timestamps: Timestamps,
}

/// A socket, watched by the runtime, and its book of departures.
pub(in crate::net) struct Sender {
    stamped: Stamped<Socket, (FlowId, u32)>,
    family: Family,
}

impl HeaderSocket {
    /// Opens it; needs the right to raw sockets.
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        // Of this protocol the kernel takes headers from us, and hands over no packets.
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
        socket.set_nonblocking(true)?;
        // Neither the path MTU that the kernel remembers nor fragments of its making: a packet leaves as it is, or not at all.
        set_fragmentation(&socket, family, Fragmentation::Forbidden)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &STAMPS_BUFFER_BYTES).is_err() {
            // Without CAP_NET_ADMIN the kernel gives up to net.core.rmem_max.
            socket.set_recv_buffer_size(STAMPS_BUFFER_BYTES)?;
        }
        let timestamps = match stamps::ask_for(&socket) {
            Ok(()) => Timestamps::Kernel,
            Err(_) => Timestamps::Missing,
        };
        Ok(Self { socket, family, timestamps })
    }
}

impl Sender {
    pub(super) fn new(opened: HeaderSocket) -> io::Result<Self> {
        Ok(Self {
            stamped: Stamped::new(opened.socket, opened.timestamps, ErrorQueue::StampsOnly)?,
            family: opened.family,
        })
    }

    pub(super) const fn family(&self) -> Family {
        self.family
    }

    pub(super) fn socket(&self) -> &Socket {
        self.stamped.socket()
    }

    pub(super) const fn watched(&self) -> Option<&AsyncFd<Socket>> {
        self.stamped.watched()
    }

    /// Sends a packet and books it; never waits. Returns the clocks just before the kernel got it.
    pub(super) fn send(&self, flow: FlowId, index: u32, packet: &[u8], target: IpAddr) -> Result<Moment, Errno> {
        let address = SockaddrStorage::from(SocketAddr::new(target, 0));
        self.stamped.send((flow, index), |socket| {
            sendto(socket.as_raw_fd(), packet, &address, MsgFlags::MSG_DONTWAIT).map(drop)
        })
    }

    /// Stamps that were read while sending.
    pub(super) fn take_ready(&self) -> Vec<((FlowId, u32), i64)> {
        self.stamped.take_ready()
    }

    /// Finds the packet that the kernel has stamped.
    pub(super) fn transmitted(&self, number: u32, at_ns: i64) -> Option<(FlowId, u32)> {
        self.stamped.transmitted(number, at_ns)
    }
}

/// What keeps the timestamps of a burst while their reader is not scheduled: hundreds of paths may begin at once.
const STAMPS_BUFFER_BYTES: usize = 8 * 1024 * 1024;
