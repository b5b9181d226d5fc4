//! How the API documents the options of probes along a path.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AddressFamilySchema;

/// Options of a traceroute: packets whose time to live runs out hop after hop. All of them together, `inflight` at a time, must not be waited for longer than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TracerouteOptions)]
#[expect(clippy::struct_excessive_bools, reason = "these are options of which each is asked for by itself")]
pub struct TracerouteOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// Packets to each hop.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10, default = 3)]
    pub queries: u32,
    /// What the packets are.
    #[serde(default)]
    #[schema(default = "icmp")]
    pub protocol: PathProtocolSchema,
    /// Destination port of UDP (33434 without it) and TCP (443 without it); to be left out for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_535, nullable = false)]
    pub port: Option<u32>,
    /// Whether all packets look like one flow to routers that share load.
    #[serde(default)]
    #[schema(default = "paris")]
    pub flow: PathFlowSchema,
    /// Time to live, or hop limit, of the first hop asked; not more than `max_ttl`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 1)]
    pub first_ttl: u32,
    /// Time to live of the last hop asked.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 30)]
    pub max_ttl: u32,
    /// Packets that are waited for at the same time.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 32)]
    pub inflight: u32,
    /// How long an answer is waited for at most, milliseconds; less where hops behind have answered already.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Silent hops in a row after which the rest of the path is given up.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 5)]
    pub gap_limit: u32,
    /// Length of each packet with its IP header, bytes; a TCP segment is as long as its headers.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 9_000, default = 60)]
    pub size_bytes: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// Forbids fragmentation on the way.
    #[serde(default)]
    #[schema(default = false)]
    pub df: bool,
    /// Whether the agent asks its resolver for the names of the hops.
    #[serde(default)]
    #[schema(default = false)]
    pub ptr: bool,
    /// Whether the report says which autonomous systems the hops are in, where the agent's owner has given it a file that does.
    #[serde(default)]
    #[schema(default = true)]
    pub asn: bool,
    /// Hops whose addresses the report does not show, counted from the agent; not together with `raw`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 64, default = 0)]
    pub mask_first_hops: u32,
    /// Whether the report keeps what was sent and what came back, at most 64 KiB, so that it can be derived again (`probectl explain`).
    #[serde(default)]
    #[schema(default = false)]
    pub raw: bool,
}

/// Options of an mtr: the hops of a path, asked again in each round. `rounds` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = MtrOptions)]
#[expect(clippy::struct_excessive_bools, reason = "these are options of which each is asked for by itself")]
pub struct MtrOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// Rounds, in each of which every hop is asked once.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100, default = 10)]
    pub rounds: u32,
    /// Time between two rounds, milliseconds; a tier may ask for more.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 60_000, default = 1_000)]
    pub interval_ms: u32,
    /// What the packets are.
    #[serde(default)]
    #[schema(default = "icmp")]
    pub protocol: PathProtocolSchema,
    /// Destination port of UDP (33434 without it) and TCP (443 without it); to be left out for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_535, nullable = false)]
    pub port: Option<u32>,
    /// Whether all packets look like one flow to routers that share load.
    #[serde(default)]
    #[schema(default = "paris")]
    pub flow: PathFlowSchema,
    /// Time to live, or hop limit, of the first hop asked; not more than `max_ttl`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 1)]
    pub first_ttl: u32,
    /// Time to live of the last hop asked.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 30)]
    pub max_ttl: u32,
    /// Packets that are waited for at the same time.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 32)]
    pub inflight: u32,
    /// How long an answer is waited for at most, milliseconds; less where hops behind have answered already.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Silent hops in a row after which the rest of the path is given up.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64, default = 5)]
    pub gap_limit: u32,
    /// Length of each packet with its IP header, bytes; a TCP segment is as long as its headers.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 9_000, default = 60)]
    pub size_bytes: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// Forbids fragmentation on the way.
    #[serde(default)]
    #[schema(default = false)]
    pub df: bool,
    /// Whether the agent asks its resolver for the names of the hops.
    #[serde(default)]
    #[schema(default = false)]
    pub ptr: bool,
    /// Whether the report says which autonomous systems the hops are in, where the agent's owner has given it a file that does.
    #[serde(default)]
    #[schema(default = true)]
    pub asn: bool,
    /// Hops whose addresses the report does not show, counted from the agent; not together with `raw`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 64, default = 0)]
    pub mask_first_hops: u32,
    /// Whether the report keeps what was sent and what came back, at most 64 KiB, so that it can be derived again (`probectl explain`).
    #[serde(default)]
    #[schema(default = false)]
    pub raw: bool,
}

/// Options of a search for the path MTU: the longest packet that reaches a target in one piece (RFC 8899).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PmtuOptions)]
pub struct PmtuOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// What the packets are.
    #[serde(default)]
    #[schema(default = "icmp")]
    pub protocol: PmtuProtocolSchema,
    /// Destination port of UDP (33434 without it); to be left out for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_535, nullable = false)]
    pub port: Option<u32>,
    /// Shortest packet that the search considers, with its IP header, bytes; over IPv6 at least 1280. What is shorter is tried only where this does not pass.
    #[serde(default)]
    #[schema(minimum = 576, maximum = 9_216, default = 576)]
    pub min_bytes: u32,
    /// Longest packet that the search considers, bytes; what the agent's interface does not take is never sent.
    #[serde(default)]
    #[schema(minimum = 576, maximum = 9_216, default = 9_216)]
    pub max_bytes: u32,
    /// Packets of one length that stay unanswered before it counts as too long.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10, default = 3)]
    pub probes: u32,
    /// How long an answer is waited for at most, milliseconds; less once the target has answered.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// Whether the report keeps what was sent and what came back, at most 64 KiB, so that it can be derived again (`probectl explain`).
    #[serde(default)]
    #[schema(default = false)]
    pub raw: bool,
}

/// What the packets of a path probe are.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PathProtocol)]
pub enum PathProtocolSchema {
    /// ICMP echo requests.
    #[default]
    Icmp,
    /// UDP datagrams to a port on which nobody is expected to listen.
    Udp,
    /// TCP segments that ask for a connection (SYN).
    Tcp,
}

/// What the packets of a search for the path MTU are.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PmtuProtocol)]
pub enum PmtuProtocolSchema {
    /// ICMP echo requests.
    #[default]
    Icmp,
    /// UDP datagrams to a port on which nobody is expected to listen.
    Udp,
}

/// Whether all packets look like one flow.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PathFlow)]
pub enum PathFlowSchema {
    /// Ports, flow label and the checksum of ICMP stay the same, so that routers that share load send all packets one way.
    #[default]
    Paris,
    /// UDP ports, or the checksum of ICMP, differ from packet to packet; TCP keeps its ports.
    Classic,
}
