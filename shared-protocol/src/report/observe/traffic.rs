//! Traffic at the interfaces of a host.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::NetworkInterface;

/// What went through the host's interfaces, in all network namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSeen {
    /// Over all interfaces: what is passed on counts at each.
    pub total: Traffic,
    /// By interface, those that moved most bytes first.
    pub interfaces: Vec<InterfaceTraffic>,
    /// The others at the far ends, those with most bytes first.
    pub talkers: Vec<Talker>,
}

/// What went through one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceTraffic {
    /// The interface.
    #[serde(flatten)]
    pub interface: NetworkInterface,
    /// How much.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Whom an interface spoke with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    /// The address that packets came from, and went to.
    pub address: IpAddr,
    /// Where.
    #[serde(flatten)]
    pub interface: NetworkInterface,
    /// How much.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Packets and bytes both ways; counted as in [`super::InterfacePackets`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets received.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}
