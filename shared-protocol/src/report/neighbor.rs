//! Findings of `neighbor`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AddressRun, DeniedRun, RoundTripStatistics};
use crate::fault::ErrorCode;
use crate::mac_address::MacAddress;

/// Everything that asking a link found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighborFindings {
    /// The interface whose link was asked.
    pub interface: String,
    /// Its address in whose name was asked.
    pub address: IpAddr,
    /// Its address on the link.
    pub mac: MacAddress,
    /// Every address of which something is known, in order.
    pub neighbors: Vec<NeighborResult>,
    /// Addresses for which nobody answered, however often they were asked for; neighbours taken together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<AddressRun>,
    /// Addresses that the owner's policy forbids; no packet left for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<DeniedRun>,
    /// The numbers over all addresses.
    pub statistics: NeighborStatistics,
    /// Messages that were lost on the agent's own host before they were read: never the link's silence.
    pub agent_drops: u32,
}

/// One address and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborResult {
    /// The address.
    pub address: IpAddr,
    /// What is known.
    pub state: NeighborState,
    /// Who has it: the first that said so, or our own interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Who else says to have it, in the order of their answers; at most eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<MacAddress>,
    /// To whom the registry has given the block that `mac` is from, by files that the agent's owner gave; at most 128 characters. Absent
    /// without a file, and where the address is one that a host has made up itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The same of `others`, in their order; absent where nothing is known of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_vendors: Vec<Option<String>>,
    /// How often it was asked for.
    pub tries: u32,
    /// Time from the last question before it to the first answer by the kernel's clock, microseconds; absent where the kernel cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The same by the clock of user space, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt_us: Option<u64>,
    /// Whether it says that it is a router; only IPv6 has that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub router: bool,
    /// What kept it from being asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighborState {
    /// One interface says that it has the address.
    Present,
    /// Several say so.
    Conflict,
    /// It is the agent's own host that has it, and nobody else says so.
    Own,
    /// Not known: no question left this host, or the wait for answers was ended early.
    Unknown,
}

/// The numbers over all addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighborStatistics {
    /// Addresses that were to be asked for; those that the owner forbids are not among them.
    pub addresses: u32,
    /// Addresses that one interface has.
    pub present: u32,
    /// Addresses that several say to have.
    pub conflicts: u32,
    /// Addresses for which nobody answered.
    pub silent: u32,
    /// Addresses of the agent's own host.
    pub own: u32,
    /// Addresses of which nothing is known.
    pub unknown: u32,
    /// Questions that left.
    pub sent: u32,
    /// Over `rtt_us` of the addresses that somebody has; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us` of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}
