//! Segments of TCP sent again, as the kernel saw it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::TcpState;

/// What this host sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetransmitsSeen {
    /// Segments over all connections, also those that are not told. Each segment that is sent twice again counts twice.
    pub segments: u64,
    /// Of them, those that open a connection: the first segment, or its answer.
    pub opening: u64,
    /// Connections that sent any again.
    pub connections: u64,
    /// By connection, those with most first.
    pub flows: Vec<Retransmits>,
}

/// What one connection sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retransmits {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Segments.
    pub segments: u64,
    /// Of them, those that open the connection.
    pub opening: u64,
    /// The state in which the last was sent.
    pub state: TcpState,
}
