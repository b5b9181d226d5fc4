//! Findings of `udp`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::RoundTripStatistics;
use crate::fault::ErrorCode;

/// Everything a UDP probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UdpFindings {
    /// The address that was tried.
    pub address: IpAddr,
    /// The port that was tried.
    pub port: u16,
    /// One entry a try, in order of `seq`.
    pub tries: Vec<UdpTry>,
    /// The numbers over all tries.
    pub statistics: UdpStatistics,
}

/// One datagram and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpTry {
    /// Number of the try, from 0.
    pub seq: u32,
    /// What came of it.
    pub outcome: UdpOutcome,
    /// Time between the kernel's transmit and receive timestamps, microseconds; absent without an answer, or where the kernel gave no timestamp.
    pub rtt_us: Option<u64>,
    /// The same by the clock of user space, microseconds.
    pub user_rtt_us: Option<u64>,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// The answer's beginning, at most 256 bytes, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// What went wrong, where no wanted answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number where the datagram could not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

/// What came of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UdpOutcome {
    /// The wanted answer came.
    Answered,
    /// An answer came that does not begin as wanted.
    Unexpected,
    /// The target said that nothing listens (port unreachable).
    Closed,
    /// Nothing came back in time: something listens and keeps silent, or the way is blocked. UDP does not tell which.
    Silent,
    /// Another ICMP error answered.
    Unreachable,
    /// The datagram did not leave this host.
    Unsent,
}

/// The numbers over all tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UdpStatistics {
    /// Datagrams that left.
    pub sent: u32,
    /// Datagrams that the target answered in time, be it by saying that nothing listens.
    pub received: u32,
    /// Share of the datagrams sent that the target did not answer in time, 0 to 1.
    pub loss: f64,
    /// Wanted answers.
    pub answered: u32,
    /// Datagrams to which the target said that nothing listens.
    pub closed: u32,
    /// Over `rtt_us` of what the target answered; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us` of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}
