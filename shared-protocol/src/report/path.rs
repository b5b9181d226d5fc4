//! What the findings of `traceroute`, `mtr` and `pmtu` have in common: an answer on the way, what it quotes and what it says of itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fault::ErrorCode;

/// Why a path is followed no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathEnd {
    /// The target answered.
    Reached,
    /// A hop said that it does not forward the packets.
    Unreachable,
    /// As many hops in a row as `gap_limit` says are silent.
    GapLimit,
    /// The last hop asked, by `max_ttl`, is not the target.
    MaxTtl,
    /// Packets go round in circles.
    Looped,
    /// It was ended before it knew.
    Stopped,
}

/// An address that answers for a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopAddress {
    /// The address.
    pub address: IpAddr,
    /// Answers from it, late ones and duplicates included.
    pub answers: u32,
    /// Its name, where that was asked for and the agent's resolver knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Numbers of the autonomous systems that announce it, at most 16 in ascending order: more than one where several do, or as a set.
    /// They, their name and the prefix are the word of files that the agent's owner gave; without a file, and for an address that is not
    /// public, all three are absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asn: Vec<u32>,
    /// The name of the autonomous system, where it is one and the file names it; at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_name: Option<String>,
    /// The longest prefix of the file that holds the address, as `192.0.2.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// One answer to a packet on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopReply {
    /// Which packet to the hop it answers, from 0; those from `queries` on were sent again after a pause.
    pub query: u32,
    /// Who answered; absent where the hop is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Round-trip time between the kernel's transmit and receive timestamps, microseconds; absent where the kernel gave none.
    pub rtt_us: Option<u64>,
    /// Round-trip time by the clock of user space, microseconds.
    pub user_rtt_us: Option<u64>,
    /// Time to live, or hop limit, of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_ttl: Option<u8>,
    /// Type and code of the ICMP error that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// What the error means; absent where it says no more than that the time to live ran out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The segment that the target's TCP answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpReply>,
    /// The packet that the error quotes, as it arrived where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<QuotedPacket>,
    /// What the router says of itself and of the packet (RFC 4884).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<IcmpExtensions>,
    /// Came after `wait_ms`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// A further answer to a packet already answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// The target's TCP answer to a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpReply {
    /// SYN/ACK: something listens on the port.
    SynAck,
    /// RST: nothing does.
    Reset,
}

/// A packet as an ICMP error quotes it, compared with the one that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedPacket {
    /// Time to live, or hop limit, with which it arrived; usually 1.
    pub ttl: u8,
    /// Differentiated services code point with which it arrived.
    pub dscp: u8,
    /// Explicit congestion notification with which it arrived (RFC 3168).
    pub ecn: u8,
    /// Its length by its own header, bytes.
    pub bytes: u32,
    /// How much of it is quoted, bytes.
    pub quoted_bytes: u32,
    /// Whether its IPv4 header's checksum fits the header; absent over IPv6, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_ok: Option<bool>,
    /// What arrived otherwise than it was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Rewritten>,
}

/// A part of a packet that somebody on the way has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewritten {
    /// The source address: network address translation.
    Source,
    /// The destination address.
    Destination,
    /// The source port, or the identifier of an echo request.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The differentiated services code point.
    Dscp,
    /// Explicit congestion notification.
    Ecn,
    /// The length.
    Length,
}

/// What an ICMP error carries behind the packet it quotes (RFC 4884).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IcmpExtensions {
    /// The label stack with which the packet came (RFC 4950), outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mpls: Vec<MplsLabel>,
    /// Interfaces of the router (RFC 5837).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<RouterInterface>,
    /// Objects that this version does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<ExtensionObject>,
    /// Whether the rest could not be read: a wrong version, checksum or length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub malformed: bool,
}

/// An entry of a label stack (RFC 3032).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MplsLabel {
    /// The label, 0 to 1,048,575.
    pub label: u32,
    /// Traffic class, 0 to 7 (RFC 5462).
    pub traffic_class: u8,
    /// Whether it is the bottom of the stack.
    pub bottom: bool,
    /// Its time to live.
    pub ttl: u8,
}

/// An interface of a router (RFC 5837).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterInterface {
    /// What it has to do with the packet.
    pub role: InterfaceRole,
    /// Its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its MTU, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// What an interface has to do with a packet (RFC 5837 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceRole {
    /// The packet arrived on it.
    Incoming,
    /// A part of the interface on which it arrived.
    IncomingPart,
    /// It would have left by it.
    Outgoing,
    /// The next hop.
    NextHop,
}

/// An object that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionObject {
    /// Class number.
    pub class: u8,
    /// Type within the class.
    pub kind: u8,
    /// Bytes of its content.
    pub bytes: u16,
}
