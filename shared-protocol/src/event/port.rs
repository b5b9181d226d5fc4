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
    /// A port of one of many targets is open; the report has the others.
    Open {
        /// Of which target.
        address: std::net::IpAddr,
        /// The port.
        #[serde(flatten)]
        result: Box<PortResult>,
    },
    /// How far a scan of many targets is.
    Sweep(PortProgress),
}

/// How far a scan of many targets is; the last one told counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortProgress {
    /// Targets that are asked.
    pub targets: u32,
    /// Targets that have been asked for every port.
    pub finished: u32,
    /// Most questions that are to leave in all.
    pub planned: u32,
    /// Questions that had their turn.
    pub asked: u32,
}
