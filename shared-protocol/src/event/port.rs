//! Partial findings of `port`.

use serde::{Deserialize, Serialize};

use crate::report::PortResult;

/// What a scan of ports tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PortEvent {
    /// The address that is asked is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// The state of one port is known.
    Port(Box<PortResult>),
}
