//! Requests to block devices, as the kernel saw them.

use serde::{Deserialize, Serialize};

use super::Latencies;

/// How long block devices took for what they were asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSeen {
    /// Requests that they were done with, over all devices, also those that are not told.
    pub requests: u64,
    /// What these moved; nothing for those that move nothing.
    pub bytes: u64,
    /// How long they took, over all devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
    /// By device and kind of request, those with most first.
    pub devices: Vec<BlockRequests>,
}

/// Requests of one kind to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRequests {
    /// The kernel's name for the device.
    pub device: String,
    /// The kernel's name for what was asked, as `read`, `write` or `flush`; its number where it has no name.
    pub kind: String,
    /// Requests that the device was done with.
    pub requests: u64,
    /// What they moved.
    pub bytes: u64,
    /// How long each took, from when the device had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
}
