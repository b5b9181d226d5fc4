//! Who on a link has an address: ARP for IPv4 (RFC 826), neighbour discovery for IPv6 (RFC 4861).
//!
//! Questions leave by a packet socket that never hears, so that the two that do, one a family, see them at the interface, with the kernel's
//! time, as they see the answers. These hear while somebody asks, and on the interface that is asked nothing but what is about its questions.

mod arp;
mod flow;
mod link;
mod ndp;
mod sockets;

use std::net::IpAddr;

pub(crate) use flow::NeighborFlow;
pub(crate) use link::Link;
use shared_protocol::mac_address::MacAddress;
pub(in crate::net) use sockets::{NeighborParts, NeighborSockets, read_neighbors};

use crate::clock::Moment;

/// Something that was seen at the interface about an address that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NeighborArrival {
    pub address: IpAddr,
    pub what: Heard,
    /// By the kernel's timestamp: wall clock, nanoseconds.
    pub at_ns: Option<i64>,
    /// By the clocks of user space.
    pub moment: Moment,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A question leaves.
    Question,
    /// Somebody says to have the address.
    Answer {
        owner: MacAddress,
        /// To whom it is said.
        to: IpAddr,
        /// Whether it says that it is a router.
        router: bool,
    },
}

/// In whose name is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The interface's, at the address that it has on the link.
    Interface,
    /// Nobody's, so that no table changes: whether another has an address of ours.
    Nobody,
}

/// A message of a link, of either family.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// Who has this address?
    Question { target: IpAddr },
    /// Somebody has it.
    Answer {
        address: IpAddr,
        /// Who has it; where it does not say, it is who sent the frame.
        owner: Option<MacAddress>,
        /// To whom it is said, by both addresses where it names both.
        to: (Option<MacAddress>, IpAddr),
        router: bool,
    },
}
