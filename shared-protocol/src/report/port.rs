//! Findings of `port`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::RoundTripStatistics;
use crate::fault::ErrorCode;

/// Everything a scan of ports found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortFindings {
    /// The address that was asked.
    pub address: IpAddr,
    /// One entry a port, from the lowest.
    pub ports: Vec<PortResult>,
    /// The numbers over all ports.
    pub statistics: PortStatistics,
}

/// One port and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortResult {
    /// The port.
    pub port: u16,
    /// What state it is in.
    pub state: PortState,
    /// What that rests on.
    pub reason: PortReason,
    /// How often it was asked.
    pub tries: u32,
    /// Time from the first segment to the answer by the kernel's clock, microseconds; absent without an answer, or where the kernel cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The same by the clock of user space, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt_us: Option<u64>,
    /// Time to live, or hop limit, of the answer, where it was seen as a packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What went wrong, where the target did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// What state a port is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Something listens.
    Open,
    /// The target answers that nothing does.
    Closed,
    /// Something keeps the question or its answer away, or says that it does.
    Filtered,
    /// Not known: no question left this host.
    Unasked,
}

/// What a state rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortReason {
    /// A connection stood.
    Connected,
    /// The target's first segment.
    SynAck,
    /// The target's reset.
    Reset,
    /// An ICMP error; `icmp_error` and `from` say which and whose.
    IcmpError,
    /// Nothing came back, however often it was asked.
    Silence,
    /// The host's kernel found no way to the target.
    Unreachable,
    /// The question did not leave.
    Unsent,
}

/// The numbers over all ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortStatistics {
    /// Ports that were to be asked.
    pub ports: u32,
    /// Ports that are open.
    pub open: u32,
    /// Ports that are closed.
    pub closed: u32,
    /// Ports that are filtered.
    pub filtered: u32,
    /// Ports that no question left for.
    pub unasked: u32,
    /// Questions that left.
    pub sent: u32,
    /// Over `rtt_us` of the ports that answered; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us` of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}
