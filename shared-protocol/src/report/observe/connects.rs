//! Connecting as the kernel saw it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Latencies;

/// Who connected where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectsSeen {
    /// Numbers over all tries that ended, also those that are not told.
    pub totals: ConnectTotals,
    /// By command and remote end, those with most tries first.
    pub connects: Vec<Connects>,
}

/// Numbers over all tries to connect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectTotals {
    /// Tries that came to a connection.
    pub established: u64,
    /// Tries that came to nothing.
    pub failed: u64,
}

/// One command's tries to connect to one remote end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connects {
    /// The remote end.
    pub remote: SocketAddr,
    /// The command's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The process that tried last.
    pub pid: u32,
    /// Tries that came to a connection.
    pub established: u64,
    /// Tries that came to nothing.
    pub failed: u64,
    /// The kernel's error number of the last that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// How long those took that came to a connection, from the first segment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
}
