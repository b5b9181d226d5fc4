//! What the packets of a spec look like to the engine.

use std::net::IpAddr;

use agent_paths::{Departing, Ports};
use shared_protocol::spec::{PathFlow, PathProtocol, ProbeSpec};

use crate::net::icmp::Fragmentation;
use crate::net::path::{Content, PathPlan, PathProbe, PathProtocol as EngineProtocol, PathShape};

/// What all packets of a run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packets {
    protocol: PathProtocol,
    flow: PathFlow,
    port: u16,
    dscp: u8,
    fragmentation: Fragmentation,
}

impl Packets {
    pub(super) fn of(spec: &ProbeSpec) -> Self {
        let (protocol, flow, port, dscp, df) = match spec {
            ProbeSpec::Traceroute(own) => (own.path.protocol, own.path.flow, own.path.port, own.path.dscp, own.path.df),
            ProbeSpec::Mtr(own) => (own.path.protocol, own.path.flow, own.path.port, own.path.dscp, own.path.df),
            ProbeSpec::Pmtu(own) => (own.protocol, PathFlow::Paris, own.port, own.dscp, true),
            ProbeSpec::Ping(_)
            | ProbeSpec::Tcp(_)
            | ProbeSpec::Http(_)
            | ProbeSpec::Dns(_)
            | ProbeSpec::Udp(_)
            | ProbeSpec::Port(_)
            | ProbeSpec::Neighbor(_)
            | ProbeSpec::Observe(_) => (PathProtocol::Icmp, PathFlow::Paris, None, 0, false),
        };
        Self {
            protocol,
            flow,
            port: port.unwrap_or_default(),
            dscp: u8::try_from(dscp).unwrap_or_default(),
            fragmentation: if df { Fragmentation::Forbidden } else { Fragmentation::Allowed },
        }
    }

    pub(super) const fn plan(self, target: IpAddr, protocol: PathProtocol) -> PathPlan {
        PathPlan {
            target,
            protocol: match protocol {
                PathProtocol::Icmp => EngineProtocol::Icmp,
                PathProtocol::Udp => EngineProtocol::Udp,
                PathProtocol::Tcp => EngineProtocol::Tcp,
            },
            source_port: None,
            shape: match self.flow {
                PathFlow::Paris => PathShape::Constant,
                PathFlow::Classic => PathShape::Varying,
            },
        }
    }

    pub(super) fn probe(self, departing: &Departing) -> PathProbe {
        PathProbe {
            ttl: departing.ttl,
            dscp: self.dscp,
            fragmentation: self.fragmentation,
            destination_port: self.destination_port(departing.number),
            content: Content::Sized(usize::try_from(departing.bytes).unwrap_or(usize::MAX)),
        }
    }

    /// The ports of a packet; `source` is 0 where ICMP has none.
    pub(super) fn ports(self, number: u32, source: Option<u16>) -> Ports {
        Ports {
            source: source.filter(|port| *port > 0),
            destination: match self.protocol {
                PathProtocol::Icmp => None,
                PathProtocol::Udp | PathProtocol::Tcp => Some(self.destination_port(number)),
            },
        }
    }

    /// Where flows need not stay together, each datagram goes to the next port, as those of traceroute always have.
    fn destination_port(self, number: u32) -> u16 {
        match (self.protocol, self.flow) {
            (PathProtocol::Udp, PathFlow::Classic) => {
                let room = u32::from(u16::MAX - self.port) + 1;
                self.port.saturating_add(u16::try_from(number % room).unwrap_or_default())
            }
            (PathProtocol::Icmp | PathProtocol::Udp | PathProtocol::Tcp, _) => self.port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(options: &str) -> Packets {
        let text = format!(r#"{{"probe":"traceroute","target":"127.0.0.1",{options}}}"#);
        Packets::of(&ProbeSpec::parse(&text).unwrap())
    }

    #[test]
    fn ports_stay_the_same_but_for_datagrams_that_need_not_stay_together() {
        let ports = |packets: Packets| [0, 1, 99].map(|number| packets.ports(number, Some(40_000)).destination);
        assert_eq!(ports(packets(r#""protocol":"icmp""#)), [None; 3]);
        assert_eq!(ports(packets(r#""protocol":"tcp","flow":"classic""#)), [Some(443); 3]);
        assert_eq!(ports(packets(r#""protocol":"udp""#)), [Some(33_434); 3]);
        assert_eq!(
            ports(packets(r#""protocol":"udp","flow":"classic""#)),
            [Some(33_434), Some(33_435), Some(33_533)]
        );
        assert_eq!(ports(packets(r#""protocol":"udp","flow":"classic","port":65535"#)), [Some(65_535); 3]);
    }
}
