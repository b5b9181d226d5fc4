//! One ICMP socket: opened with what the host allows, sends with per-packet options, receives with kernel timestamps.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};
use shared_protocol::report::PingSocket;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::channel::Purpose;
use super::option::{Fragmentation, set_filter, set_fragmentation};
use super::packet::Family;
use crate::net::stamped::Timestamps;
use crate::net::stamps;

/// Header fields of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderFields {
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Differentiated services code point.
    pub dscp: u8,
}

impl HeaderFields {
    /// Time to live and traffic class, where they are not those that the socket gives of itself.
    pub(super) const fn unusual(self) -> Option<(u8, u8)> {
        // The code point is the upper six bits; the lower two are ECN's (RFC 3168).
        let class = self.dscp << 2;
        if self.ttl == USUAL_TTL && class == 0 { None } else { Some((self.ttl, class)) }
    }
}

/// An open ICMP socket.
#[derive(Debug)]
pub(in crate::net) struct IcmpSocket {
    socket: Socket,
    pub family: Family,
    pub kind: PingSocket,
    /// The identifier the kernel writes into requests; a raw socket leaves the choice to us.
    pub identifier: Option<u16>,
    /// Whether the kernel stamps what this socket sends.
    pub timestamps: Timestamps,
}

/// Types of messages that a socket is handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    ErrorsOnly,
    RepliesToo,
}

impl IcmpSocket {
    /// Opens a raw socket. Of those of a family only one receives: each would be handed every reply.
    pub(super) fn open_raw(family: Family, purpose: Purpose) -> io::Result<Self> {
        let socket = open(family, Type::RAW)?;
        let fragmentation = match purpose {
            Purpose::Sends(fragmentation) | Purpose::Both(fragmentation) => fragmentation,
            Purpose::Receives => Fragmentation::Allowed,
        };
        match purpose {
            Purpose::Sends(_) => set_filter(&socket, family, std::iter::empty())?,
            Purpose::Receives | Purpose::Both(_) => set_filter(&socket, family, family.wanted_types())?,
        }
        Self::prepare(socket, family, PingSocket::Raw, None, fragmentation)
    }

    /// Opens a datagram socket, for which the group must be within `net.ipv4.ping_group_range`.
    pub(super) fn open_datagram(family: Family, fragmentation: Fragmentation) -> io::Result<Self> {
        let socket = open(family, Type::DGRAM)?;
        let any = match family {
            Family::V4 => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            Family::V6 => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        // Binding is what makes the kernel choose the identifier; it shows as the port.
        socket.bind(&any.into())?;
        let identifier = socket.local_addr()?.as_socket().map(|address| address.port());
        match family {
            Family::V4 => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            Family::V6 => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        Self::prepare(socket, family, PingSocket::Datagram, identifier, fragmentation)
    }

    fn prepare(socket: Socket, family: Family, kind: PingSocket, identifier: Option<u16>, fragmentation: Fragmentation) -> io::Result<Self> {
        set_fragmentation(&socket, family, fragmentation)?;
        match family {
            Family::V4 => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                socket.set_ttl_v4(USUAL_TTL.into())?;
            }
            Family::V6 => {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                socket.set_unicast_hops_v6(USUAL_TTL.into())?;
            }
        }
        widen(&socket)?;
        let timestamps = match stamps::ask_for(&socket) {
            Ok(()) => Timestamps::Kernel,
            Err(_) => Timestamps::Missing,
        };
        Ok(Self {
            socket,
            family,
            kind,
            identifier,
            timestamps,
        })
    }

    /// Which types a raw socket receives.
    pub(super) fn want(&self, wanted: Wanted) -> io::Result<()> {
        match wanted {
            Wanted::RepliesToo => set_filter(&self.socket, self.family, self.family.wanted_types()),
            Wanted::ErrorsOnly => set_filter(&self.socket, self.family, self.family.error_types().iter().copied()),
        }
    }

    /// Hears only what a filter lets through, or everything.
    pub(super) fn filter(&self, filter: Option<&[SockFilter]>) -> io::Result<()> {
        match filter {
            Some(filter) => self.socket.attach_filter(filter),
            None => self.socket.detach_filter(),
        }
    }

    /// Sends one message; never waits.
    pub(super) fn send(&self, message: &[u8], target: IpAddr, fields: HeaderFields) -> Result<(), Errno> {
        let ttl = i32::from(fields.ttl);
        // The code point is the upper six bits; the lower two are ECN's (RFC 3168).
        let traffic_class = fields.dscp << 2;
        let wide = i32::from(traffic_class);
        let options = match self.family {
            Family::V4 => [ControlMessage::Ipv4Ttl(&ttl), ControlMessage::Ipv4Tos(&traffic_class)],
            Family::V6 => [ControlMessage::Ipv6HopLimit(&ttl), ControlMessage::Ipv6TClass(&wide)],
        };
        let address = SockaddrStorage::from(SocketAddr::new(target, 0));
        let slices = [IoSlice::new(message)];
        sendmsg(self.socket.as_raw_fd(), &slices, &options, MsgFlags::MSG_DONTWAIT, Some(&address)).map(drop)
    }
}

impl AsRawFd for IcmpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Gives a socket a long queue, and lets it say what did not fit.
pub(in crate::net) fn widen(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, sockopt::RxqOvfl, &1)?;
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        // Without CAP_NET_ADMIN the kernel gives up to net.core.rmem_max.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    }
    Ok(())
}

fn open(family: Family, kind: Type) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Longest message that is read: the longest packet that a probe sends, the longest options of IPv4 beside (RFC 791), and room to see that more came.
pub(super) const MESSAGE_BYTES: usize = 9_216 + 40 + 1;
/// What leaves without a word about its time to live has this one.
const USUAL_TTL: u8 = 64;
/// What keeps the replies of a burst to thousands of targets while the reader is not scheduled.
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024 * 1024;
