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
    /// How far a sweep is.
    Sweep(SweepProgress),
}

/// How far a ping of many targets is; the last one told counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepProgress {
    /// Targets that are asked.
    pub targets: u32,
    /// Targets that have answered.
    pub answered: u32,
    /// Requests that are to leave in all.
    pub planned: u32,
    /// Requests that have left.
    pub sent: u32,
    /// Requests that were answered.
    pub received: u32,
}
