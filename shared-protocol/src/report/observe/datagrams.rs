//! Datagrams of UDP as the kernel saw them at the interfaces.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The datagrams that this host sent and received, in all network namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramsSeen {
    /// Numbers over all flows, also those that are not told.
    pub totals: DatagramTotals,
    /// By flow, those that moved most bytes first.
    pub flows: Vec<UdpFlow>,
    /// Sockets that had no room for a datagram that had come, those that refused most first.
    pub full: Vec<FullSocket>,
}

/// Numbers over all datagrams seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramTotals {
    /// Flows: pairs of a local and a remote end.
    pub flows: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// What they carried, bytes.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// What they carried, bytes.
    pub received_bytes: u64,
    /// Datagrams for which a socket had no room.
    pub refused: u64,
}

/// The datagrams between two ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpFlow {
    /// This host's end. Of datagrams that are passed on, whom they are for.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The number of the network namespace, as `lsns -t net` has it.
    pub namespace: u32,
    /// Datagrams sent.
    pub sent: u64,
    /// What they carried, bytes.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// What they carried, bytes.
    pub received_bytes: u64,
    /// The process that sent the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// That process's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A socket that had no room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullSocket {
    /// Where it listens.
    pub local: SocketAddr,
    /// The number of its network namespace.
    pub namespace: u32,
    /// Datagrams that it did not take.
    pub datagrams: u64,
}
