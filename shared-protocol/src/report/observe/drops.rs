//! Packets that the kernel dropped.

use serde::{Deserialize, Serialize};

/// The packets that were dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropsSeen {
    /// All of them, also those whose reason is not told.
    pub packets: u64,
    /// By reason, most first.
    pub reasons: Vec<DroppedPackets>,
}

/// Packets dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedPackets {
    /// The kernel's name for its reason, as `netfilter_drop` or `no_socket`; its number where it has no name.
    pub reason: String,
    /// How many.
    pub packets: u64,
}
