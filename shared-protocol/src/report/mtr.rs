//! Findings of `mtr`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{HopAddress, MplsLabel, PathEnd, RoundTripStatistics};
use crate::spec::{PathFlow, PathProtocol};

/// Everything an mtr found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MtrFindings {
    /// The address to which the path was followed.
    pub address: IpAddr,
    /// What was sent.
    pub protocol: PathProtocol,
    /// Destination port, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether all packets looked like one flow.
    pub flow: PathFlow,
    /// Rounds in which packets were sent.
    pub rounds: u32,
    /// The hops in their order, up to the one where the path ends.
    pub hops: Vec<MtrHop>,
    /// Why the path was followed no further.
    pub end: PathEnd,
    /// Whether the target answered.
    pub reached: bool,
    /// A number for the addresses in their order: it changes when the path does.
    pub path_hash: String,
    /// The autonomous systems that the hops are in, in order and each once until another follows: of each hop those of the address that
    /// answered most. Hops of which nothing is known are passed over, so two that stand side by side need not be neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_path: Vec<Vec<u32>>,
    /// When a hop answered from another address than the round before; at most 100 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<HopChange>,
    /// Replies lost on the agent's own host while it ran: never the path's loss.
    pub agent_drops: u32,
}

/// A hop over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MtrHop {
    /// Time to live of the packets that it answers.
    pub ttl: u8,
    /// Who answered; the one with most answers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<HopAddress>,
    /// Packets that left for it.
    pub sent: u32,
    /// Packets answered in time.
    pub received: u32,
    /// Share of the packets sent that was not answered in time, 0 to 1.
    pub loss: f64,
    /// The part of it that packets to hops behind suffer as well: lost on the way there. A hint, not a measurement.
    pub forward_loss: f64,
    /// The rest: answers lost on their way back, or not given. A hint, not a measurement.
    pub return_loss: f64,
    /// Answers that came after `wait_ms`.
    pub late: u32,
    /// Further answers to packets already answered.
    pub duplicates: u32,
    /// Changes of address from one round to the next.
    pub changes: u32,
    /// Round-trip time of the last answer, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_us: Option<u64>,
    /// Over the round-trip times by the kernel's clock, or where it gave none, by that of user space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Hops of the way back, by the usual starting values of a time to live: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_hops: Option<u8>,
    /// Whether packets arrive with another address or port than they were sent with: network address translation before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nat: bool,
    /// Differentiated services code point with which packets arrive, where it is another than was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
    /// The last label stack with which packets came (RFC 4950).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mpls: Vec<MplsLabel>,
}

/// A hop that answers from another address than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopChange {
    /// The round of the new address, from 0.
    pub round: u32,
    /// The hop.
    pub ttl: u8,
    /// Who answered before; absent where the hop is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Who answers; absent where the hop is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<IpAddr>,
}
