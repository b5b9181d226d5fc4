//! The paths of a world, as they are written down.

use ipnet::IpNet;
use serde::Deserialize;

/// Where packets to some addresses go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    /// The addresses; those of the last hop if absent.
    #[serde(default, deserialize_with = "super::networks")]
    pub(crate) to: Vec<IpNet>,
    pub(crate) hops: Vec<Stage>,
}

/// One stage of a path.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stage {
    /// A node, or `first..last` of nodes with numbers.
    Name(String),
    /// One of several ways.
    Either(Either),
    /// Round and round: nothing comes out at the other end.
    Loop(Loop),
}

/// One of several ways.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Either {
    #[serde(rename = "either")]
    pub(crate) ways: Vec<Vec<String>>,
    #[serde(default)]
    pub(crate) by: By,
    /// How long each way lasts when it goes by time.
    #[serde(default = "a_second")]
    pub(crate) every_us: u64,
}

/// How one of several ways is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// Addresses, protocol and the first four bytes of the transport header, flow label.
    #[default]
    Flow,
    /// Each packet goes the next way.
    Packet,
    /// The destination alone.
    Destination,
    /// One way for a while, then the next: a route that changes.
    Time,
}

/// Nodes that send packets round.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loop {
    pub(crate) r#loop: Vec<String>,
}

const fn a_second() -> u64 {
    1_000_000
}
