//! Options of `neighbor` as the API documents them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Options of asking a link: who has an address (ARP, RFC 826, for IPv4; neighbour discovery, RFC 4861, for IPv6). The addresses must lie in
/// the network of one of the interfaces of the agent's host. All questions together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = NeighborOptions)]
pub struct NeighborOptions {
    /// An IP address, or a block of at most 1,024 addresses as `192.0.2.0/24`, of which the network's own address and the broadcast address
    /// are left out. No name: a link knows none.
    #[schema(min_length = 1, max_length = 49, example = "192.0.2.0/24")]
    pub target: String,
    /// The interface whose link is asked; without it, the one in whose network the addresses lie.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 15, example = "eth0")]
    pub interface: Option<String>,
    /// Questions a second.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500, default = 100)]
    pub rate_pps: u32,
    /// How often an address for which nobody answers is asked for.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3, default = 2)]
    pub tries: u32,
    /// How long answers are waited for after each question, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
}
