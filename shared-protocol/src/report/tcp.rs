//! Findings of `tcp`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::RoundTripStatistics;
use crate::fault::ErrorCode;

/// Everything a TCP probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TcpFindings {
    /// The address that was tried.
    pub address: IpAddr,
    /// The port that was tried.
    pub port: u16,
    /// One entry a try, in order of `seq`.
    pub tries: Vec<TcpTry>,
    /// The numbers over all tries.
    pub statistics: TcpStatistics,
}

/// One try and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpTry {
    /// Number of the try, from 0.
    pub seq: u32,
    /// What came of it.
    pub outcome: TcpOutcome,
    /// Time from SYN to SYN/ACK as the kernel measured it, microseconds; absent without a connection, or where the SYN had to be sent again and the kernel
    /// cannot tell which one was answered.
    pub rtt_us: Option<u64>,
    /// Time from the call to its outcome by the clock of user space, microseconds: what an ordinary program would say.
    pub user_rtt_us: Option<u64>,
    /// The host's own end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// What went wrong, where the port is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What the kernel knew about the connection when it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<TcpInfo>,
    /// What the target's answer to a half-open try said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<TcpOffer>,
}

/// What a target's answer to a first segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpOffer {
    /// The flags byte: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the top (RFC 9293 section 3.1).
    pub flags: u8,
    /// The window, unscaled.
    pub window: u16,
    /// Time to live, or hop limit, of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Largest segment that it takes, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
    /// Shift of its windows (RFC 7323).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wscale: Option<u8>,
    /// Selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Timestamps (RFC 7323).
    pub ts: bool,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpOutcome {
    /// A connection stood.
    Open,
    /// The target answered with a reset: nothing listens.
    Closed,
    /// Nothing came back in time.
    Filtered,
    /// An ICMP error answered, or the host has no way to the target.
    Unreachable,
    /// The try did not leave this host.
    Unsent,
}

/// What the kernel knows about a connection (`TCP_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpInfo {
    /// Smoothed round-trip time, microseconds; absent before the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Its variation, microseconds.
    pub rttvar_us: u64,
    /// Least round-trip time seen, microseconds; absent before the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rtt_us: Option<u64>,
    /// Segments sent again, the SYN included.
    pub retransmits: u32,
    /// Largest segment that may be sent, bytes.
    pub snd_mss: u32,
    /// Largest segment that is expected, bytes.
    pub rcv_mss: u32,
    /// Congestion window, segments.
    pub snd_cwnd: u32,
    /// What both ends agreed upon.
    pub options: TcpOptions,
}

/// TCP options that both ends agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpOptions {
    /// Selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Timestamps (RFC 7323).
    pub ts: bool,
    /// Window scaling (RFC 7323): shift of the peer's windows and of ours; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wscale: Option<(u8, u8)>,
    /// Explicit congestion notification (RFC 3168).
    pub ecn: bool,
}

/// The numbers over all tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TcpStatistics {
    /// Tries that left.
    pub sent: u32,
    /// Tries that the target answered in time: open or closed.
    pub received: u32,
    /// Share of the tries sent that the target did not answer in time, 0 to 1.
    pub loss: f64,
    /// Tries with a connection.
    pub open: u32,
    /// Tries answered with a reset.
    pub closed: u32,
    /// Tries answered by an ICMP error, or without a way to the target.
    pub unreachable: u32,
    /// Tries whose SYN had to be sent again before the connection stood.
    pub retransmitted: u32,
    /// Over `rtt_us`; absent without a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us` of the tries that were answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}
