//! Findings of `traceroute`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{HopAddress, HopReply, PathEnd, RoundTripStatistics};
use crate::spec::{PathFlow, PathProtocol};

/// Everything a traceroute found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracerouteFindings {
    /// The address to which the path was followed.
    pub address: IpAddr,
    /// What was sent.
    pub protocol: PathProtocol,
    /// Destination port, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether all packets looked like one flow.
    pub flow: PathFlow,
    /// The hops in their order, up to the one where the path ends.
    pub hops: Vec<TracerouteHop>,
    /// Why it was followed no further.
    pub end: PathEnd,
    /// Whether the target answered.
    pub reached: bool,
    /// A number for the addresses in their order: it changes when the path does.
    pub path_hash: String,
    /// The autonomous systems that the hops are in, in order and each once until another follows: of each hop those of the address that
    /// answered most. Hops of which nothing is known are passed over, so two that stand side by side need not be neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_path: Vec<Vec<u32>>,
    /// The circle in which packets go, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circle: Option<PathCircle>,
    /// The packets that reached the target, or should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<EndToEnd>,
    /// Replies lost on the agent's own host while it ran: never the path's loss.
    pub agent_drops: u32,
}

/// A hop and what came from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracerouteHop {
    /// Time to live of the packets that it answers.
    pub ttl: u8,
    /// How it answers.
    pub state: HopState,
    /// Packets that left for it.
    pub sent: u32,
    /// Packets answered in time.
    pub received: u32,
    /// Who answered; several where routers share load. The one with most answers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<HopAddress>,
    /// Every answer, by the packets they belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<HopReply>,
}

/// How a hop answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopState {
    /// Every packet was answered in time.
    Answered,
    /// Some were, and one sent after a pause was not: something is lost on the way there or back.
    Lossy,
    /// Some were, and one sent after a pause as well: it answers so many in a time and no more.
    RateLimited,
    /// None was, though hops behind it or the target answered, or nothing did.
    Silent,
    /// No packet left for it.
    Unsent,
}

/// A circle in which packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathCircle {
    /// Time to live of its first hop.
    pub first_ttl: u8,
    /// Hops in it.
    pub hops: u8,
}

/// The packets that reached the target, or should have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndToEnd {
    /// Packets with a time to live that suffices.
    pub sent: u32,
    /// Packets answered in time by the target.
    pub received: u32,
    /// Share of them that was not, 0 to 1.
    pub loss: f64,
    /// Over their round-trip times by the kernel's clock; absent where it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
}
