//! TCP connections as the kernel knows them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The connections that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsSeen {
    /// Numbers over all of them, also those that are not told.
    pub totals: FlowTotals,
    /// Those that moved most bytes while they were observed, most first.
    pub flows: Vec<TcpFlow>,
}

/// Numbers over all connections seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTotals {
    /// Connections that did something while they were observed.
    pub flows: u64,
    /// Those that came to be meanwhile.
    pub opened: u64,
    /// Those that ended meanwhile.
    pub closed: u64,
    /// Tries to connect that came to nothing.
    pub failed: u64,
    /// Bytes sent meanwhile, as far as the kernel was looked at: what a connection that was open before had sent by then does not count.
    pub sent_bytes: u64,
    /// Bytes received meanwhile, in the same way.
    pub received_bytes: u64,
    /// Segments sent again meanwhile, in the same way.
    pub retransmits: u64,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpFlow {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// The process whose connection it is, where the kernel let that be seen: who opened it, or who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// That process's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Bytes of data sent since it was opened, each counted once.
    pub sent_bytes: u64,
    /// Bytes of data received in order since it was opened.
    pub received_bytes: u64,
    /// Smoothed round-trip time (RFC 6298), microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtt_us: Option<u64>,
    /// Shortest round-trip time of late, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rtt_us: Option<u64>,
    /// Congestion window, segments.
    pub congestion_window: u32,
    /// Segments sent again since it was opened.
    pub retransmits: u32,
    /// From its first segment to its being established, microseconds, where this host opened it and was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// How long it has been, or was, established, microseconds, where its beginning was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub established_us: Option<u64>,
    /// The kernel's error number with which it ended, where it ended with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// The state of a connection (RFC 9293, section 3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    /// Data flows.
    Established,
    /// The first segment was sent.
    SynSent,
    /// The first segment was answered.
    SynReceived,
    /// This end has closed.
    FinWait1,
    /// That was acknowledged.
    FinWait2,
    /// Both ends have closed, and this one waits for late segments.
    TimeWait,
    /// It is over.
    Closed,
    /// The other end has closed.
    CloseWait,
    /// Both have closed, this one last.
    LastAck,
    /// Both have closed at the same time.
    Closing,
}
