//! Findings of `ping`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Everything a ping found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PingFindings {
    /// The address that was pinged.
    pub address: IpAddr,
    /// Which socket carried it: `raw` or `datagram`.
    pub socket: PingSocket,
    /// One entry a request in order of `seq`; duplicates and late replies follow theirs.
    pub packets: Vec<PingPacket>,
    /// The numbers over all packets.
    pub statistics: PingStatistics,
    /// Replies the kernel dropped before the agent could read them (`SO_RXQ_OVFL`): the agent's own loss, never the path's.
    pub agent_drops: u32,
}

/// Which kind of socket carried a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PingSocket {
    /// A raw ICMP socket (needs `CAP_NET_RAW`).
    Raw,
    /// A datagram ICMP socket (needs the group in `net.ipv4.ping_group_range`).
    Datagram,
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingPacket {
    /// Number of the request, from 0.
    pub seq: u32,
    /// Round-trip time between the kernel's transmit and receive timestamps, microseconds; absent without an answer, or where the kernel gave no timestamp.
    pub rtt_us: Option<u64>,
    /// Round-trip time by the clock of user space, microseconds: what an ordinary ping would say.
    pub user_rtt_us: Option<u64>,
    /// Time to live, or hop limit, of the reply.
    pub reply_ttl: Option<u8>,
    /// Bytes of ICMP in the reply, header included.
    pub bytes: Option<u32>,
    /// Who answered, where it was not the target itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// The kernel's error number where the request could not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// A further reply to a request already answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Came after `wait_ms`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// The numbers over all packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PingStatistics {
    /// Requests that left.
    pub sent: u32,
    /// Requests answered in time by the target.
    pub received: u32,
    /// Share of the requests sent that were not answered in time, 0 to 1.
    pub loss: f64,
    /// Further replies to requests already answered.
    pub duplicates: u32,
    /// Replies that came after their wait.
    pub late: u32,
    /// Replies that overtook an earlier one (RFC 4737).
    pub reordered: u32,
    /// ICMP errors that answered.
    pub errors: u32,
    /// Over `rtt_us`; absent without a kernel timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}

/// Distribution of round-trip times, microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTripStatistics {
    /// Least.
    pub min_us: u64,
    /// Mean.
    pub avg_us: u64,
    /// Greatest.
    pub max_us: u64,
    /// Population standard deviation.
    pub stddev_us: u64,
    /// Median, nearest rank.
    pub p50_us: u64,
    /// 95th percentile, nearest rank.
    pub p95_us: u64,
    /// 99th percentile, nearest rank.
    pub p99_us: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter_us: u64,
    /// Mean absolute packet delay variation between neighbours (RFC 3393); absent with fewer than two replies.
    pub delay_variation_us: Option<u64>,
}
