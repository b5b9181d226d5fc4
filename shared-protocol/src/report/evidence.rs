//! What the agent's own host has to say about a probe, beside what the probe found: what names the cause where the network is not it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What was seen on the agent's host while a probe ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Version of this shape; 1.
    pub version: u16,
    /// What it comes to, where it comes to something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// How long the agent waited for a processor meanwhile; absent where the kernel does not count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<ProcessorWait>,
    /// What the kernel saw of the probe's own connections and packets; absent where nobody looks into it, or may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelFacts>,
}

/// What evidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The agent had no processor for a good part of the time that the probe took.
    Starved,
    /// A rule of this host's own firewall dropped what was sent, or what came back.
    FirewallDropped,
    /// A rule of this host's own firewall answered with a reset in the target's place.
    LocalReset,
}

impl Cause {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starved => "starved",
            Self::FirewallDropped => "firewall_dropped",
            Self::LocalReset => "local_reset",
        }
    }
}

/// How long the agent's threads were ready to run and had no processor, of all that it did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorWait {
    /// All threads together, microseconds.
    pub waited_us: u64,
    /// The thread that waited longest, microseconds: what one probe may have lost at most lies between the two.
    pub longest_us: u64,
    /// How long they ran, microseconds.
    pub ran_us: u64,
}

/// What the kernel saw of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Each connection of `tcp` and `http`, each exchange of `dns`, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowFacts>,
    /// What is not in them, and why; nothing where everything is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What the kernel saw of one connection or exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowFacts {
    /// Its protocol.
    pub transport: Transport,
    /// The port at this host's end.
    pub local_port: u16,
    /// The other end.
    pub remote: SocketAddr,
    /// What became of the connection; of TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<ConnectionFacts>,
    /// Packets of it that this host's kernel dropped, most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<FlowDrops>,
}

/// Somebody who is spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// By what.
    pub transport: Transport,
    /// Address and port.
    pub remote: SocketAddr,
}

/// The protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What the kernel knows of a connection that it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFacts {
    /// From the first segment to the end of waiting for its answer, however that ended (SYN-SENT of RFC 9293), microseconds.
    pub syn_sent_us: u64,
    /// Whether the answer came.
    pub established: bool,
    /// The smoothed round-trip time (RFC 6298) as it was last, microseconds; absent before the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtt_us: Option<u64>,
    /// Segments sent again.
    pub retransmits: u32,
    /// When a reset came, since the first segment, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_received_us: Option<u64>,
    /// When this host sent one, since the first segment, microseconds. Probes end connections that they do not need in this way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_sent_us: Option<u64>,
}

/// Packets that the kernel dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowDrops {
    /// The kernel's name for the reason; `not_specified` on kernels that have none.
    pub reason: String,
    /// Whose they were.
    pub direction: Direction,
    /// How many.
    pub packets: u64,
    /// When the last was dropped, since the connection's first segment, microseconds; of TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_us: Option<u64>,
}

/// Where a packet was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From this host.
    Sent,
    /// To this host.
    Received,
}

/// Most flows of a probe that are looked at: more than any probe has in its ordinary use.
pub const FLOWS_MAX: usize = 32;
