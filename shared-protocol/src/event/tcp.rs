//! Partial findings of `tcp`.

use serde::{Deserialize, Serialize};

use crate::report::TcpTry;

/// What a TCP probe tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TcpEvent {
    /// The address that is tried is known.
    Resolved {
        /// The address.
        address: std::net::IpAddr,
    },
    /// One try has its outcome.
    Try(Box<TcpTry>),
}
