//! Findings of `pmtu`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::spec::PathProtocol;

/// Everything a search for the path MTU found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PmtuFindings {
    /// The address to which packets were sent.
    pub address: IpAddr,
    /// What was sent.
    pub protocol: PathProtocol,
    /// Destination port, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Longest packet, with its IP header, that the target answered; absent where it answered none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmtu: Option<u32>,
    /// What keeps longer packets away.
    pub bound: PmtuBound,
    /// Every length tried, ascending.
    pub lengths: Vec<PmtuLength>,
    /// What routers said about packets that were too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub too_big: Vec<TooBig>,
    /// Where longer packets vanish without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub black_hole: Option<BlackHole>,
    /// Largest TCP segment that fits, without options, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss_hint: Option<u32>,
    /// Replies lost on the agent's own host while it ran.
    pub agent_drops: u32,
}

/// What keeps longer packets away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PmtuBound {
    /// A router says that they are too big.
    Router,
    /// They vanish without a word.
    BlackHole,
    /// The interface of the agent's host takes none.
    Interface,
    /// Nothing: the longest that was to be tried passes.
    Asked,
    /// Unknown: the target did not answer, or the search was ended before it knew.
    Unknown,
}

/// A length and what became of its packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PmtuLength {
    /// Length with the IP header, bytes.
    pub bytes: u32,
    /// Packets that left.
    pub sent: u32,
    /// Packets that the target answered.
    pub answered: u32,
    /// Packets that a router called too big.
    pub too_big: u32,
    /// Whether packets of this length pass.
    pub passes: bool,
    /// Least round-trip time, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The kernel's error number where the host would not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// What a router said about packets that were too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooBig {
    /// Who said so.
    pub from: IpAddr,
    /// Which hop that is, by the time to live of the packet it quotes: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<u8>,
    /// Longest packet that it claims to forward; absent where it names none (before RFC 1191).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<u32>,
    /// Length of the packet it was said of.
    pub bytes: u32,
    /// Answers of this kind.
    pub count: u32,
    /// Whether what was measured bears the claim out.
    pub claim: Claim,
}

/// Whether a router's claim is borne out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Packets as long as claimed pass; of longer ones none was answered.
    Holds,
    /// Longer packets than claimed pass, or packets as long as claimed do not.
    Wrong,
    /// No claim that could be true: none at all, or one that is not below the packet's own length or below what every link must carry.
    Implausible,
    /// It lies outside of what was tried.
    Untried,
}

/// Where longer packets vanish without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackHole {
    /// The last hop that answered a packet of the length that vanishes; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ttl: Option<u8>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<IpAddr>,
    /// The first hop behind it that answers short packets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_ttl: Option<u8>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<IpAddr>,
    /// Length of the packets that vanish.
    pub bytes: u32,
}
