//! What is to be done along a path, once the target's address is known.

use std::net::IpAddr;

use shared_protocol::spec::{PathFlow, PathOptions, PathProtocol};

/// What traceroute and mtr have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPlan {
    /// Where packets go.
    pub target: IpAddr,
    /// What they are.
    pub protocol: PathProtocol,
    /// Their destination port, where they have one.
    pub port: Option<u16>,
    /// Whether they look like one flow.
    pub flow: PathFlow,
    /// Time to live of the first hop asked.
    pub first_ttl: u8,
    /// Time to live of the last hop asked.
    pub max_ttl: u8,
    /// Packets that are waited for at the same time.
    pub inflight: usize,
    /// How long an answer is waited for at most.
    pub wait_us: u64,
    /// Silent hops in a row after which the rest is given up.
    pub gap_limit: u8,
    /// Length of each packet with its IP header.
    pub bytes: u32,
    /// Differentiated services code point.
    pub dscp: u8,
    /// Hops whose addresses are not shown.
    pub mask_first_hops: u8,
}

/// A packet that is to leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departing {
    /// Its number.
    pub number: u32,
    /// Its time to live.
    pub ttl: u8,
    /// Its length with the IP header.
    pub bytes: u32,
}

impl PathPlan {
    /// The plan of these options to an address.
    pub fn new(target: IpAddr, options: &PathOptions) -> Self {
        let narrow = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        Self {
            target,
            protocol: options.protocol,
            port: options.port,
            flow: options.flow,
            first_ttl: narrow(options.first_ttl),
            max_ttl: narrow(options.max_ttl),
            inflight: usize::try_from(options.inflight).unwrap_or(1),
            wait_us: u64::from(options.wait_ms) * 1_000,
            gap_limit: narrow(options.gap_limit),
            bytes: match (options.protocol, target) {
                (PathProtocol::Icmp | PathProtocol::Udp, _) => options.size_bytes,
                (PathProtocol::Tcp, IpAddr::V4(_)) => IPV4_HEADER_BYTES + SYN_BYTES,
                (PathProtocol::Tcp, IpAddr::V6(_)) => IPV6_HEADER_BYTES + SYN_BYTES,
            },
            dscp: narrow(options.dscp),
            mask_first_hops: narrow(options.mask_first_hops),
        }
    }
}

const IPV4_HEADER_BYTES: u32 = 20;
const IPV6_HEADER_BYTES: u32 = 40;
/// A TCP header with the options that an ordinary host offers.
const SYN_BYTES: u32 = 40;
