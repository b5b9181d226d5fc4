//! Partial findings of `udp`.

use serde::{Deserialize, Serialize};

use crate::report::UdpTry;

/// What a UDP probe tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UdpEvent {
    /// The address that is tried is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// One try has its outcome.
    Try(Box<UdpTry>),
}
