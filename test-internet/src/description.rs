//! A world as it is written down: the tables of its TOML file.

mod path;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

pub(crate) use path::{By, Either, Path, Stage};

/// Why a text describes no world.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWorld {
    /// It is not TOML, or has tables that a world does not have.
    #[error("not a world: {0}")]
    Text(#[from] toml::de::Error),
    /// A path names a node that is not described.
    #[error("no node is called `{0}`")]
    UnknownNode(String),
    /// Two nodes have one name.
    #[error("two nodes are called `{0}`")]
    Twice(String),
    /// A path leads nowhere.
    #[error("a path has no hop")]
    NoHop,
    /// A node with a count needs addresses that can be counted on from.
    #[error("the addresses of `{0}` cannot be counted on so far")]
    Addresses(String),
    /// A number is out of its range.
    #[error("`{0}` is out of range")]
    Range(&'static str),
}

/// The whole file. `run` and `expect` belong to whoever tests with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    #[serde(default)]
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) observer: Observer,
    #[serde(default, rename = "node")]
    pub(crate) nodes: Vec<Node>,
    #[serde(default, rename = "path")]
    pub(crate) paths: Vec<Path>,
    #[serde(default, rename = "title")]
    _title: Option<IgnoredAny>,
    #[serde(default, rename = "run")]
    _run: Option<IgnoredAny>,
    #[serde(default, rename = "expect")]
    _expect: Option<IgnoredAny>,
}

/// Whose packets come in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Observer {
    pub(crate) addresses: Vec<IpAddr>,
}

/// A router or a host: where a path goes on it is the one, where a path ends the other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Makes so many of them, named with a number, each with addresses one higher.
    #[serde(default)]
    pub(crate) count: Option<u32>,
    /// What it answers for; it answers itself from the first of each family.
    #[serde(default, deserialize_with = "networks")]
    pub(crate) addresses: Vec<IpNet>,
    /// The link that leads to it from the hop before.
    #[serde(default)]
    pub(crate) link: Link,
    /// Sends no ICMP errors at all.
    #[serde(default)]
    pub(crate) silent: bool,
    /// Sends at most so many ICMP errors a second, after a burst.
    #[serde(default)]
    pub(crate) errors_per_second: Option<f64>,
    #[serde(default = "one")]
    pub(crate) errors_burst: u32,
    /// Sends errors from this address instead of its own.
    #[serde(default)]
    pub(crate) answers_from: Vec<IpAddr>,
    /// Bytes that errors quote after the IP header; as many as fit if absent.
    #[serde(default)]
    pub(crate) quotes: Option<usize>,
    /// What it gets wrong about the packet that it quotes.
    #[serde(default)]
    pub(crate) quoted: Quoted,
    /// Time to live that its answers begin with.
    #[serde(default = "sixty_four")]
    pub(crate) initial_ttl: u8,
    /// Hops that its answers take back; those of the way there if absent.
    #[serde(default)]
    pub(crate) return_hops: Option<u8>,
    /// What it rewrites in every packet that it forwards.
    #[serde(default)]
    pub(crate) marks: Marks,
    /// Label stack that its errors carry (RFC 4950).
    #[serde(default)]
    pub(crate) mpls: Vec<MplsLabel>,
    /// Interface that its errors name (RFC 5837).
    #[serde(default)]
    pub(crate) interface: Option<Interface>,
    /// Other objects of its errors (RFC 4884).
    #[serde(default)]
    pub(crate) objects: Vec<Object>,
    /// Says nothing when a packet is too big for the link behind it.
    #[serde(default)]
    pub(crate) hides_mtu: bool,
    /// Claims this MTU instead of the true one.
    #[serde(default)]
    pub(crate) claims_mtu: Option<u16>,
    #[serde(default)]
    pub(crate) firewall: Vec<Rule>,
    #[serde(default)]
    pub(crate) nat: Option<Nat>,
    /// Whether it answers echo requests where a path ends.
    #[serde(default = "yes")]
    pub(crate) echo: bool,
    #[serde(default)]
    pub(crate) tcp: Ports,
    #[serde(default)]
    pub(crate) udp: Ports,
    /// Time it takes before it answers.
    #[serde(default)]
    pub(crate) takes_us: u64,
    /// What is wrong with its answers.
    #[serde(default)]
    pub(crate) mangles: Option<Mangle>,
    /// So many copies of each answer.
    #[serde(default = "one")]
    pub(crate) copies: u32,
}

/// One link, in the direction there; `back` if it behaves otherwise on the way back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Link {
    pub(crate) delay_us: u64,
    /// Up to so much more, drawn for each packet; order is kept.
    pub(crate) jitter_us: u64,
    /// Share of packets lost.
    pub(crate) loss: f64,
    /// Mean length of a burst of losses; 0 or 1 loses packets independently.
    pub(crate) burst: f64,
    /// Share of packets that come later than the others by `reorder_us`.
    pub(crate) reorder: f64,
    pub(crate) reorder_us: u64,
    /// Share of packets that come twice.
    pub(crate) duplicate: f64,
    /// Bits a second; 0 is no limit.
    pub(crate) rate_bps: u64,
    /// Packets that wait for a link with a rate.
    pub(crate) queue: Option<u32>,
    /// Longest packet.
    pub(crate) mtu: Option<u16>,
    /// The way back, if it is another.
    pub(crate) back: Option<Box<Link>>,
}

/// A packet is quoted with these in place of what it had.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Quoted {
    pub(crate) ttl: Option<u8>,
    pub(crate) dscp: Option<u8>,
    pub(crate) ecn: Option<u8>,
    /// The transport checksum.
    pub(crate) checksum: Option<u16>,
    /// The checksum of the IPv4 header.
    pub(crate) header_checksum: Option<u16>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: Option<IpAddr>,
}

/// What a router rewrites on the way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Marks {
    pub(crate) dscp: Option<u8>,
    pub(crate) ecn: Option<u8>,
}

/// One entry of an MPLS label stack (RFC 3032).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MplsLabel {
    pub(crate) label: u32,
    #[serde(default)]
    pub(crate) traffic_class: u8,
    #[serde(default = "one_hop")]
    pub(crate) ttl: u8,
}

/// An interface as RFC 5837 tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interface {
    #[serde(default)]
    pub(crate) role: Role,
    #[serde(default)]
    pub(crate) index: Option<u32>,
    #[serde(default)]
    pub(crate) address: Option<IpAddr>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) mtu: Option<u32>,
}

/// RFC 5837 section 4.1.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    #[default]
    Incoming,
    SubIp,
    Outgoing,
    NextHop,
}

/// Any object of RFC 4884.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Object {
    pub(crate) class: u8,
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    #[serde(default)]
    pub(crate) data: Vec<u8>,
    /// The length that is written in place of the true one.
    #[serde(default)]
    pub(crate) claims_length: Option<u16>,
}

/// What is not let through; every condition that is given has to hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    pub(crate) protocol: Option<Protocol>,
    /// Of the destination.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default, deserialize_with = "network")]
    pub(crate) to: Option<IpNet>,
    /// Type and code of the ICMP error that tells; none is told if absent.
    #[serde(default)]
    pub(crate) says: Option<(u8, u8)>,
}

/// Protocols that rules know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    Icmp,
    Udp,
    Tcp,
}

/// Rewrites addresses of the packets that pass, and back those of their answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nat {
    #[serde(default)]
    pub(crate) source: Option<IpAddr>,
    #[serde(default)]
    pub(crate) source_port: Option<u16>,
    #[serde(default)]
    pub(crate) destination: Option<IpAddr>,
    /// What it puts back in the packets that errors quote.
    #[serde(default)]
    pub(crate) restores: Restores,
}

/// How carefully a NAT treats quoted packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Restores {
    /// Nobody could tell.
    #[default]
    Everything,
    /// Addresses and ports, but the transport checksum is that of the packet as it was beyond.
    Addresses,
    /// The quoted packet is as it was beyond.
    Nothing,
}

/// What a host does at its ports.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ports {
    pub(crate) open: Vec<u16>,
    pub(crate) closed: Vec<u16>,
    pub(crate) filtered: Vec<u16>,
    /// All the others.
    pub(crate) others: Port,
    /// What an open UDP port answers; what it was sent if absent.
    pub(crate) answer: Option<Vec<u8>>,
    /// Options of a SYN-ACK.
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) selective_acknowledgement: bool,
    pub(crate) timestamps: bool,
}

/// State of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Port {
    Open,
    #[default]
    Closed,
    Filtered,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mangle {
    /// Only the first half of its bytes.
    Truncated,
    /// Its ICMP or transport checksum.
    Checksum,
    /// An identifier, or a port, that is not the observer's.
    Identifier,
    /// An address that was never asked.
    Source,
    /// What it quotes, or its data, is noise.
    Garbage,
    /// A sequence number, or a destination port, one too high: it answers what has not been sent yet.
    Early,
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| parse(text)).collect()
}

fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
    parse(&String::deserialize(deserializer)?).map(Some)
}

/// An address or a network.
fn parse<E: Error>(text: &str) -> Result<IpNet, E> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| E::custom(format!("`{text}` is neither an address nor a network")))
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

const fn one_hop() -> u8 {
    1
}

const fn sixty_four() -> u8 {
    64
}
