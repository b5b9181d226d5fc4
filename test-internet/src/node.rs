//! A node as it works: its addresses by family, the links to it and back, and what it still may say.

use std::net::IpAddr;
use std::time::Duration;

use pnet_packet::ip::IpNextHeaderProtocols;

use crate::description::{InvalidWorld, Link, Node, Protocol, Rule};
use crate::extension;
use crate::header::Header;
use crate::link::Lane;

/// A node, and the link that leads to it from the hop before.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) node: Node,
    pub(crate) there: Lane,
    pub(crate) back: Lane,
    /// The structure behind what its errors quote.
    pub(crate) extension: Vec<u8>,
    pub(crate) answers: u64,
    bucket: Option<Bucket>,
}

impl Station {
    pub(crate) fn new(node: Node) -> Result<Self, InvalidWorld> {
        let mut there = node.link.clone();
        let back = there.back.take().map_or_else(|| Link { mtu: None, ..there.clone() }, |back| *back);
        let bucket = node.errors_per_second.map(|rate| Bucket::new(rate, node.errors_burst)).transpose()?;
        Ok(Self {
            there: Lane::new(there)?,
            back: Lane::new(back)?,
            extension: extension::of(&node),
            answers: 0,
            bucket,
            node,
        })
    }

    /// The address its errors come from.
    pub(crate) fn speaks_from(&self, is_v4: bool) -> Option<IpAddr> {
        let own = self.node.addresses.iter().map(ipnet::IpNet::addr);
        self.node.answers_from.iter().copied().chain(own).find(|address| address.is_ipv4() == is_v4)
    }

    /// Whether packets have to come to it in the order of time.
    pub(crate) fn keeps_order(&self) -> bool {
        self.bucket.is_some()
    }

    /// Whether it may send one more error at this nanosecond.
    pub(crate) fn may_complain(&mut self, at: u64) -> bool {
        self.bucket.as_mut().is_none_or(|bucket| bucket.take(at))
    }

    /// The first rule that does not let a packet through.
    pub(crate) fn forbids(&self, header: &Header, packet: &[u8]) -> Option<&Rule> {
        self.node.firewall.iter().find(|rule| matches(rule, header, packet))
    }
}

fn matches(rule: &Rule, header: &Header, packet: &[u8]) -> bool {
    let protocol = match header.protocol {
        IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => Some(Protocol::Icmp),
        IpNextHeaderProtocols::Udp => Some(Protocol::Udp),
        IpNextHeaderProtocols::Tcp => Some(Protocol::Tcp),
        _ => None,
    };
    let port = header.ports(packet).map(|[_, _, high, low]| u16::from_be_bytes([high, low]));
    rule.protocol.is_none_or(|wanted| protocol == Some(wanted))
        && rule.port.is_none_or(|wanted| port == Some(wanted) && protocol != Some(Protocol::Icmp))
        && rule.to.is_none_or(|wanted| wanted.contains(&header.destination))
}

/// Tokens that come at a rate, up to a number.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    most: f64,
    tokens: f64,
    at: u64,
}

impl Bucket {
    fn new(per_second: f64, burst: u32) -> Result<Self, InvalidWorld> {
        if !(0.0..=1e9).contains(&per_second) {
            return Err(InvalidWorld::Range("errors_per_second"));
        }
        let most = f64::from(burst);
        Ok(Self {
            per_second,
            most,
            tokens: most,
            at: 0,
        })
    }

    fn take(&mut self, at: u64) -> bool {
        let passed = Duration::from_nanos(at.saturating_sub(self.at)).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.most);
        self.at = self.at.max(at);
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}
