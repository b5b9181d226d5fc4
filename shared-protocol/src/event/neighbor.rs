//! Partial findings of `neighbor`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::mac_address::MacAddress;
use crate::report::NeighborResult;

/// What asking a link tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NeighborEvent {
    /// The link that is asked is known.
    Link {
        /// The interface.
        interface: String,
        /// Its address in whose name is asked.
        address: IpAddr,
        /// Its address on the link.
        mac: MacAddress,
    },
    /// Somebody has an address, or says so beside another; the last one told of an address counts.
    Neighbor(Box<NeighborResult>),
}
