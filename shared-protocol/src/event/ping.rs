//! Partial findings of `ping`.

use serde::{Deserialize, Serialize};

use crate::report::PingPacket;

/// What a ping tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PingEvent {
    /// The address that is pinged is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// One request has its answer, or its wait is over; also sent for each duplicate and late reply.
    Packet(PingPacket),
}
