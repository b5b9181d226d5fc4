//! Waiting for a CPU, as the kernel saw it.

use serde::{Deserialize, Serialize};

use super::Latencies;

/// How long tasks that could run waited until they did, over all tasks of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsSeen {
    /// Waits that ended.
    pub waits: u64,
    /// How long they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
}
