//! Single packets along a path: what traceroute, path MTU and half-open TCP send, and everything that comes back about each.
//!
//! A [`PathFlow`] is one exchange with one address under one protocol. Each of its packets carries its number where routers and hosts
//! give it back: ICMP in the echo's sequence, UDP in IP identification and checksum, TCP in the sequence number. Ports and, where asked,
//! the ICMP checksum stay the same, so that routers that balance by flow send every packet the same way.
//!
//! With raw sockets the whole header is ours, and answers come with the quoted packet and its extensions. Without, ICMP and UDP fall
//! back to datagram sockets, whose error queue tells less; TCP needs raw sockets.

mod arrivals;
mod book;
mod fallback;
mod flow;
mod holding;
mod listener;
mod packet;
mod quoted;
mod segment;
mod sender;
mod shared;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub(crate) use arrivals::PathArrivals;
pub(crate) use flow::PathFlow;
pub(crate) use quoted::{ErrorMessage, parse_error};
pub(crate) use segment::TcpAnswer;
pub(in crate::net) use shared::{PathParts, PathSockets, read_departures, read_segments};

use super::icmp::{Fragmentation, Receipt};

/// What the packets of a flow have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathPlan {
    pub target: IpAddr,
    pub protocol: PathProtocol,
    /// The port that packets leave from; one that is free where none is named. Of no use to ICMP.
    pub source_port: Option<u16>,
    pub shape: PathShape,
}

/// What the packets of a flow are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PathProtocol {
    /// Echo requests.
    Icmp,
    /// Datagrams.
    Udp,
    /// First segments of connections that are never opened.
    Tcp,
}

/// Whether what routers balance by stays the same. UDP and TCP keep their ports either way: who wants to vary one says so with each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathShape {
    /// The ICMP checksum is the same in every packet.
    Constant,
    /// The ICMP checksum differs from packet to packet, as of any other program's pings.
    Varying,
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathProbe {
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Differentiated services code point; the two bits of ECN are 0.
    pub dscp: u8,
    pub fragmentation: Fragmentation,
    /// Where it goes, for UDP and TCP.
    pub destination_port: u16,
    pub content: Content,
}

/// What a packet carries. A TCP packet is a first segment without data, whatever is said here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A pattern, so that the whole packet, IP header included, has this many bytes: at least [`least_bytes`].
    Sized(usize),
    /// This payload, of UDP. Such a packet carries its number in the IP identification alone, which IPv6 does not have: where errors
    /// must be told apart there, each packet takes a flow of its own.
    Payload(Vec<u8>),
}

/// Something that came back for a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathArrival {
    /// Which packet it answers; absent for UDP answers, which do not say, and for errors that quote too little to tell.
    pub index: Option<u32>,
    pub what: PathAnswer,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathAnswer {
    /// The kernel says when the packet left: wall clock, nanoseconds.
    Transmitted { at_ns: i64 },
    /// The target's echo reply.
    Echo(Receipt),
    /// An ICMP error.
    Error(Box<PathError>),
    /// The target's first segment: open, or refused.
    Tcp { answer: TcpAnswer, receipt: Receipt },
    /// A datagram from the target.
    Udp { bytes: Vec<u8>, port: u16, receipt: Receipt },
}

/// An ICMP error about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathError {
    /// Who sent it; absent where the kernel does not tell.
    pub from: Option<IpAddr>,
    /// Type and code.
    pub kind: (u8, u8),
    /// The next hop's MTU that it claims: fragmentation needed, packet too big.
    pub mtu: Option<u32>,
    /// What it quotes: IP header and what follows, at most 576 bytes; empty without raw sockets.
    pub quoted: Vec<u8>,
    /// Extension structure behind the quote (RFC 4884), header included; nothing of it has been looked at.
    pub extensions: Vec<u8>,
    pub receipt: Receipt,
}

/// Why there is no flow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathRefusal {
    /// This host has no socket for it.
    #[error("the agent has no raw socket for this protocol and address family")]
    NoSocket,
    /// The kernel has no way to the target.
    #[error("the host has no way to the target: {0}")]
    NoRoute(#[source] std::io::Error),
    /// The source port cannot be held.
    #[error("the source port cannot be held: {0}")]
    Port(#[source] std::io::Error),
}

/// The shortest packet that has room for everything by which its answers are recognised, bytes with the IP header.
pub(crate) const fn least_bytes(target: IpAddr, protocol: PathProtocol) -> usize {
    let header = match target {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    header + packet::least_transport_bytes(protocol)
}
