//! Partial findings of `pmtu`.

use serde::{Deserialize, Serialize};

use crate::report::PmtuLength;

/// What a search for the path MTU tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PmtuEvent {
    /// The address to which packets are sent is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// Whether packets of a length pass is known.
    Length(PmtuLength),
}
