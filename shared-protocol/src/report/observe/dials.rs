//! Tries to connect, one by one.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Who dialled whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialsSeen {
    /// Numbers over all tries, also those that are not told.
    pub totals: DialTotals,
    /// Those that began or ended last, the last first.
    pub dials: Vec<Dial>,
}

/// Numbers over all tries to connect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialTotals {
    /// All of them.
    pub dials: u64,
    /// Those that came to a connection.
    pub established: u64,
    /// Those to which the other side said no.
    pub refused: u64,
    /// Those to which nobody said anything until the kernel gave up.
    pub timed_out: u64,
    /// Those of which somebody on the way said that they do not get there.
    pub unreachable: u64,
    /// Those that whoever dialled gave up first.
    pub given_up: u64,
    /// Those that came to nothing in another way.
    pub failed: u64,
    /// Those that have come to nothing yet.
    pub under_way: u64,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// The process.
    pub pid: u32,
    /// The number of the user whose process it is.
    pub user: u32,
    /// The name of the thread that dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its own end; it has none before the kernel has chosen a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// Whom it dialled.
    pub remote: SocketAddr,
    /// What came of it.
    pub outcome: DialOutcome,
    /// The kernel's error number, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// How long that took, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

/// What comes of a try to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialOutcome {
    /// A connection.
    Established,
    /// The other side said no (`ECONNREFUSED`).
    Refused,
    /// Nobody said anything until the kernel gave up (`ETIMEDOUT`).
    TimedOut,
    /// Somebody on the way, or this host, said that it does not get there.
    Unreachable,
    /// Whoever dialled closed the socket before anybody said anything.
    GivenUp,
    /// Something else, which `errno` names where the kernel does.
    Failed,
    /// Nothing yet.
    UnderWay,
}
