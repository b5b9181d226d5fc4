//! What a probe sent and what came back, kept so that its findings can be derived again.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The packets of a run, in the order in which they left and came.
///
/// Instants are microseconds since the run began, by the agent's monotonic clock; timestamps of the kernel are nanoseconds since the same
/// moment by its wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireLog {
    /// Version of this shape; 1.
    pub version: u16,
    /// The address packets left from, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Replies lost on the agent's own host meanwhile.
    #[serde(default)]
    pub agent_drops: u32,
    /// What happened.
    pub records: Vec<WireRecord>,
    /// Whether the probe ended before its plan: taken back, denied, out of time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Whether records were left out because together they are longer than 64 KiB: the findings cannot be derived again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WireRecord {
    /// It left.
    Sent(WireSent),
    /// It did not leave.
    Unsent(WireUnsent),
    /// It came.
    Came(WireCame),
}

/// A packet that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireSent {
    /// Number of the packet, from 0.
    pub packet: u32,
    /// When it was handed to the kernel.
    pub at_us: u64,
    /// When the kernel says it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ns: Option<i64>,
    /// How much the wall clock was moved since the run began, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stepped_ns: i64,
    /// Its time to live.
    pub ttl: u8,
    /// Which packet to the hop, or which round, it is, from 0.
    pub round: u32,
    /// Its length with the IP header.
    pub bytes: u32,
    /// Its source port, or the identifier of its echo request, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Its destination port, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
}

/// A packet that did not leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireUnsent {
    /// Number of the packet, from 0.
    pub packet: u32,
    /// When that was known.
    pub at_us: u64,
    /// Its time to live.
    pub ttl: u8,
    /// Which packet to the hop, or which round, it is, from 0.
    pub round: u32,
    /// Its length with the IP header.
    pub bytes: u32,
    /// The kernel's error number; absent where the owner's rates left no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireCame {
    /// Number of the packet that it answers.
    pub packet: u32,
    /// When it was read.
    pub at_us: u64,
    /// When the kernel says it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ns: Option<i64>,
    /// How much the wall clock was moved since the run began, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stepped_ns: i64,
    /// Its time to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Who sent it.
    pub from: IpAddr,
    /// What it is.
    pub answer: WireAnswer,
}

/// What a packet that came is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireAnswer {
    /// The reply to an echo request.
    EchoReply,
    /// A UDP datagram.
    Datagram,
    /// TCP: something listens.
    SynAck,
    /// TCP: nothing does.
    Reset,
    /// An ICMP error.
    IcmpError {
        /// Type and code.
        error: (u8, u8),
        /// MTU of the next hop, where the error has a place for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtu: Option<u32>,
        /// The packet that it quotes, base64.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        quoted: String,
        /// What follows the quoted packet (RFC 4884), base64.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        extensions: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Longest log, bytes of JSON.
pub const WIRE_LOG_BYTES: usize = 64 * 1024;
