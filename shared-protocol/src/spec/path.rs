//! Options that `traceroute` and `mtr` share: what is sent to the hops of a path, and how long each is waited for.

use std::time::Duration;

use serde::Serialize;

use super::fields::{Fields, InvalidField};
use super::rounds::RESOLVE_TIME;

/// What a path probe sends, and how it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are options of which each is asked for by itself")]
pub struct PathOptions {
    /// What the packets are.
    pub protocol: PathProtocol,
    /// Destination port of UDP and TCP; absent for ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether all packets look like one flow to routers that share load.
    pub flow: PathFlow,
    /// Time to live, or hop limit, of the first hop asked, 1 to 64.
    pub first_ttl: u32,
    /// Time to live of the last hop asked, 1 to 64.
    pub max_ttl: u32,
    /// Packets that are waited for at the same time, 1 to 64.
    pub inflight: u32,
    /// How long an answer is waited for at most, 10 to 10,000 milliseconds; less where hops behind have answered already.
    pub wait_ms: u32,
    /// Silent hops in a row after which the rest of the path is given up, 1 to 64.
    pub gap_limit: u32,
    /// Length of each packet with its IP header, 60 to 9,000 bytes; a TCP segment is as long as its headers.
    pub size_bytes: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// Forbids fragmentation on the way (IPv4 don't-fragment; always so on IPv6 routers).
    pub df: bool,
    /// Whether the agent asks its resolver for the names of the hops.
    pub ptr: bool,
    /// Whether the report says which autonomous systems the hops are in, where the agent's owner has given it a file that does. On the wire
    /// only where it is not: agents that do not know it refuse it.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub asn: bool,
    /// Hops whose addresses the report does not show, counted from the agent, 0 to 64.
    pub mask_first_hops: u32,
    /// Whether the report keeps what was sent and what came back, so that it can be derived again.
    pub raw: bool,
}

/// What the packets of a path probe are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathProtocol {
    /// ICMP echo requests.
    #[default]
    Icmp,
    /// UDP datagrams to a port on which nobody is expected to listen.
    Udp,
    /// TCP segments that ask for a connection (SYN).
    Tcp,
}

/// Whether all packets look like one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathFlow {
    /// Ports, flow label and the checksum of ICMP stay the same, so that routers that share load send all packets one way.
    #[default]
    Paris,
    /// Ports or checksum differ from packet to packet.
    Classic,
}

impl PathProtocol {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// Reads the protocol among those that a probe has, the first of them being the default.
    pub(super) fn read(fields: &mut Fields, choices: &[Self]) -> Result<Self, InvalidField> {
        let names: Vec<&str> = choices.iter().map(|choice| choice.as_str()).collect();
        let name = fields.choice("protocol", &names, names.first().copied())?;
        choices
            .iter()
            .copied()
            .find(|choice| choice.as_str() == name)
            .ok_or_else(|| InvalidField::new("protocol", "is not known"))
    }

    /// Reads the port, which a protocol without ports must not have.
    pub(super) fn read_port(self, fields: &mut Fields) -> Result<Option<u16>, InvalidField> {
        match self {
            Self::Icmp => match fields.take("port") {
                None => Ok(None),
                Some(_) => Err(InvalidField::new("port", "must be left out: ICMP has no ports")),
            },
            Self::Udp => fields.port("port", Some(UDP_PORT)).map(Some),
            Self::Tcp => fields.port("port", Some(TCP_PORT)).map(Some),
        }
    }
}

impl PathFlow {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paris => "paris",
            Self::Classic => "classic",
        }
    }
}

impl PathOptions {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let protocol = PathProtocol::read(fields, &[PathProtocol::Icmp, PathProtocol::Udp, PathProtocol::Tcp])?;
        let options = Self {
            protocol,
            port: protocol.read_port(fields)?,
            flow: match fields.choice("flow", &["paris", "classic"], Some("paris"))?.as_str() {
                "classic" => PathFlow::Classic,
                _ => PathFlow::Paris,
            },
            first_ttl: fields.integer("first_ttl", 1..=HOPS_MAX, Some(1))?,
            max_ttl: fields.integer("max_ttl", 1..=HOPS_MAX, Some(30))?,
            inflight: fields.integer("inflight", 1..=64, Some(32))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
            gap_limit: fields.integer("gap_limit", 1..=HOPS_MAX, Some(5))?,
            size_bytes: fields.integer("size_bytes", 60..=9_000, Some(60))?,
            dscp: fields.integer("dscp", 0..=63, Some(0))?,
            df: fields.boolean("df", false)?,
            ptr: fields.boolean("ptr", false)?,
            asn: fields.boolean("asn", true)?,
            mask_first_hops: fields.integer("mask_first_hops", 0..=HOPS_MAX, Some(0))?,
            raw: fields.boolean("raw", false)?,
        };
        if options.first_ttl > options.max_ttl {
            return Err(InvalidField::new("first_ttl", "must not be more than max_ttl"));
        }
        if options.raw && options.mask_first_hops > 0 {
            return Err(InvalidField::new("raw", "must be false where hops are masked: what came back names them"));
        }
        Ok(options)
    }

    /// Hops that may be asked.
    pub const fn hops(&self) -> u32 {
        self.max_ttl.saturating_sub(self.first_ttl) + 1
    }

    /// How long the names of the hops are waited for.
    pub(super) const fn naming(&self) -> Duration {
        if self.ptr { RESOLVE_TIME } else { Duration::ZERO }
    }

    /// Most packets of so many that go towards the target within a second: those beyond it arrive there too.
    pub(super) fn per_second(packets: u32) -> u32 {
        packets.min(PER_SECOND)
    }

    /// How long it takes at most to send `packets` and to wait for each.
    pub(super) fn waves(&self, packets: u32) -> Duration {
        let waits = u64::from(packets.div_ceil(self.inflight.max(1))) * u64::from(self.wait_ms);
        Duration::from_millis(waits) + SPACING * packets + RETRY_PAUSE
    }
}

/// Most hops of a path.
pub const HOPS_MAX: u32 = 64;
/// Destination port of UDP where none is named: the first of those that traceroute has always used.
const UDP_PORT: u16 = 33_434;
/// Destination port of TCP where none is named.
const TCP_PORT: u16 = 443;
/// Time between two packets to one target at the rate that an agent's owner allows unless told otherwise.
const SPACING: Duration = Duration::from_millis(10);
/// As many packets a second.
const PER_SECOND: u32 = 100;
/// Pause before a hop that answered some packets only is asked once more.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
