//! Partial findings of `traceroute`.

use serde::{Deserialize, Serialize};

use crate::report::TracerouteHop;

/// What a traceroute tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TracerouteEvent {
    /// The address to which the path is followed is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// A hop is not waited for any more; in the order of the path. What answers it later stands in the report.
    Hop(Box<TracerouteHop>),
}
