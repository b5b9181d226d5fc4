//! Connecting as the kernel saw it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

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
    /// How long those took that came to a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<ConnectLatencies>,
}

/// From the first segment to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectLatencies {
    /// On average, microseconds.
    pub avg_us: u64,
    /// At most, microseconds.
    pub max_us: u64,
    /// How many took from two to the power of the place to twice that, microseconds; the first has those below one as well.
    pub slots: Vec<u32>,
}
