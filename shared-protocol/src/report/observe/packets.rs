//! Packets at the interfaces of a host.

use serde::{Deserialize, Serialize};

use crate::report::Direction;

/// What went through the host's interfaces, in all network namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketsSeen {
    /// Packets over all interfaces, each at each interface that it went through: one that is passed on counts twice.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// By interface and direction, those with most packets first.
    pub interfaces: Vec<InterfacePackets>,
}

/// What went one way through one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePackets {
    /// The interface.
    #[serde(flatten)]
    pub interface: NetworkInterface,
    /// Which way.
    pub direction: Direction,
    /// Packets as they are on the wire: segments that the host or its interface puts together or cuts up count one by one.
    pub packets: u64,
    /// Their bytes with the link's header, as the kernel hands them over: segments that are together have one header.
    pub bytes: u64,
    /// What they are.
    pub protocols: ProtocolPackets,
    /// Flags of the segments of TCP among them.
    pub tcp_flags: TcpFlagCounts,
    /// How many have a length from two to the power of the place to twice that, bytes; the last place, the 17th, has all that are longer.
    pub sizes: Vec<u64>,
}

/// An interface of one of the host's network namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its name, as it was when first seen.
    pub name: String,
    /// Its number, which it has alone in its namespace.
    pub index: u32,
    /// The number of its namespace, as `lsns -t net` has it.
    pub namespace: u32,
}

/// Packets by protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolPackets {
    /// TCP.
    pub tcp: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP of IPv4.
    pub icmp: u64,
    /// ICMP of IPv6.
    pub icmpv6: u64,
    /// ARP.
    pub arp: u64,
    /// Other protocols over IP; also those behind an extension header of IPv6.
    pub other_ip: u64,
    /// Everything else.
    pub other: u64,
}

/// Segments of TCP by flag (RFC 9293, section 3.1); one with several counts for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpFlagCounts {
    /// SYN, with ACK and without.
    pub syn: u64,
    /// SYN and ACK together.
    pub syn_ack: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
    /// PSH.
    pub psh: u64,
    /// ACK.
    pub ack: u64,
    /// URG.
    pub urg: u64,
    /// ECE.
    pub ece: u64,
    /// CWR.
    pub cwr: u64,
}
