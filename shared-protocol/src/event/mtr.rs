//! Partial findings of `mtr`.

use serde::{Deserialize, Serialize};

/// What an mtr tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MtrEvent {
    /// The address to which the path is followed is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// How the hops stand: while the first round is answered, and at the end of each.
    Round {
        /// Rounds that are over.
        rounds: u32,
        /// Every hop so far, in the order of the path.
        hops: Vec<MtrRow>,
    },
}

/// How a hop stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MtrRow {
    /// Time to live of the packets that it answers.
    pub ttl: u8,
    /// The address that answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// Numbers of the autonomous systems that announce it, as in the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asn: Vec<u32>,
    /// Packets whose answer is not waited for any more.
    pub sent: u32,
    /// Packets answered in time.
    pub received: u32,
    /// Last round-trip time, microseconds; absent without an answer, as are the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_us: Option<u64>,
    /// Least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_us: Option<u64>,
    /// Mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_us: Option<u64>,
    /// Greatest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
    /// Population standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stddev_us: Option<u64>,
}
