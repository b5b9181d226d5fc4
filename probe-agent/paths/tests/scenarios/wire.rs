//! Packets as bytes, on the observer's side of a world: an implementation of its own, apart from that of the agent.

use std::net::IpAddr;

use agent_paths::{Answer, Arrival, Departing, IcmpError, Moment, Ports};
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{self, IcmpPacket, IcmpType};
use pnet_packet::icmpv6::{self, Icmpv6Packet};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{self, MutableTcpPacket, TcpFlags, TcpPacket};
use pnet_packet::udp::{self, MutableUdpPacket, UdpPacket};
use shared_protocol::spec::{PathFlow, PathProtocol, ProbeSpec};

/// What packets of a run look like.
pub(crate) struct Wire {
    source: IpAddr,
    target: IpAddr,
    protocol: PathProtocol,
    flow: PathFlow,
    port: u16,
    dscp: u8,
    df: bool,
    sent: u32,
}

impl Wire {
    pub(crate) fn new(source: IpAddr, target: IpAddr, spec: &ProbeSpec) -> Self {
        let (protocol, flow, port, dscp, df) = match spec {
            ProbeSpec::Traceroute(spec) => (spec.path.protocol, spec.path.flow, spec.path.port, spec.path.dscp, spec.path.df),
            ProbeSpec::Mtr(spec) => (spec.path.protocol, spec.path.flow, spec.path.port, spec.path.dscp, spec.path.df),
            ProbeSpec::Pmtu(spec) => (spec.protocol, PathFlow::Paris, spec.port, spec.dscp, true),
            ProbeSpec::Ping(_)
            | ProbeSpec::Tcp(_)
            | ProbeSpec::Http(_)
            | ProbeSpec::Dns(_)
            | ProbeSpec::Udp(_)
            | ProbeSpec::Port(_)
            | ProbeSpec::Neighbor(_)
            | ProbeSpec::Observe(_) => {
                panic!("not along a path")
            }
        };
        Self {
            source,
            target,
            protocol,
            flow,
            port: port.unwrap_or_default(),
            dscp: u8::try_from(dscp).unwrap(),
            df,
            sent: 0,
        }
    }

    pub(crate) fn ports(&self, number: u32) -> Ports {
        Ports {
            source: Some(SOURCE_PORT),
            destination: match self.protocol {
                PathProtocol::Icmp => None,
                PathProtocol::Udp => Some(self.destination_port(number)),
                PathProtocol::Tcp => Some(self.port),
            },
        }
    }

    /// The packet that a machine asks for; its number stands in the sequence of an echo, in the identification and length of a datagram,
    /// in the sequence number of a segment.
    pub(crate) fn build(&mut self, departing: &Departing) -> Vec<u8> {
        self.sent = self.sent.max(departing.number + 1);
        let header = if self.target.is_ipv4() { 20 } else { 40 };
        let mut transport = vec![0; usize::try_from(departing.bytes).unwrap() - header];
        let number = u16::try_from(departing.number).unwrap();
        match self.protocol {
            PathProtocol::Icmp => self.echo(&mut transport, number),
            PathProtocol::Udp => self.datagram(&mut transport, departing.number),
            PathProtocol::Tcp => self.segment(&mut transport, departing.number),
        }
        let protocol = match (self.protocol, self.target) {
            (PathProtocol::Icmp, IpAddr::V4(_)) => IpNextHeaderProtocols::Icmp,
            (PathProtocol::Icmp, IpAddr::V6(_)) => IpNextHeaderProtocols::Icmpv6,
            (PathProtocol::Udp, _) => IpNextHeaderProtocols::Udp,
            (PathProtocol::Tcp, _) => IpNextHeaderProtocols::Tcp,
        };
        self.wrap(transport, protocol, departing.ttl, number)
    }

    fn echo(&self, bytes: &mut [u8], number: u16) {
        let mut echo = MutableEchoRequestPacket::new(bytes).unwrap();
        echo.set_icmp_type(IcmpType(if self.target.is_ipv4() { 8 } else { 128 }));
        echo.set_identifier(SOURCE_PORT);
        echo.set_sequence_number(number);
        if self.flow == PathFlow::Paris {
            // What the sequence adds to the checksum, the data takes off.
            bytes[8..10].copy_from_slice(&(!number).to_be_bytes());
        }
        let sum = match (self.source, self.target) {
            (IpAddr::V6(source), IpAddr::V6(target)) => icmpv6::checksum(&Icmpv6Packet::new(bytes).unwrap(), &source, &target),
            _ => icmp::checksum(&IcmpPacket::new(bytes).unwrap()),
        };
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }

    fn datagram(&self, bytes: &mut [u8], number: u32) {
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[8..12].copy_from_slice(&number.to_be_bytes());
        let mut datagram = MutableUdpPacket::new(bytes).unwrap();
        datagram.set_source(SOURCE_PORT);
        datagram.set_destination(self.destination_port(number));
        datagram.set_length(length);
        let sum = match (self.source, self.target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => udp::ipv4_checksum(&datagram.to_immutable(), &source, &target),
            (IpAddr::V6(source), IpAddr::V6(target)) => udp::ipv6_checksum(&datagram.to_immutable(), &source, &target),
            _ => panic!("two families"),
        };
        datagram.set_checksum(sum);
    }

    fn segment(&self, bytes: &mut [u8], number: u32) {
        let mut segment = MutableTcpPacket::new(bytes).unwrap();
        segment.set_source(SOURCE_PORT);
        segment.set_destination(self.port);
        segment.set_sequence(SEQUENCE + number);
        segment.set_data_offset(10);
        segment.set_flags(TcpFlags::SYN);
        let sum = match (self.source, self.target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => tcp::ipv4_checksum(&segment.to_immutable(), &source, &target),
            (IpAddr::V6(source), IpAddr::V6(target)) => tcp::ipv6_checksum(&segment.to_immutable(), &source, &target),
            _ => panic!("two families"),
        };
        segment.set_checksum(sum);
    }

    fn wrap(&self, transport: Vec<u8>, protocol: IpNextHeaderProtocol, ttl: u8, identification: u16) -> Vec<u8> {
        match (self.source, self.target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let mut bytes = vec![0; 20];
                bytes.extend(transport);
                let length = u16::try_from(bytes.len()).unwrap();
                let mut header = MutableIpv4Packet::new(&mut bytes).unwrap();
                header.set_version(4);
                header.set_header_length(5);
                header.set_dscp(self.dscp);
                header.set_total_length(length);
                header.set_identification(identification);
                header.set_flags(if self.df { 0b010 } else { 0 });
                header.set_ttl(ttl);
                header.set_next_level_protocol(protocol);
                header.set_source(source);
                header.set_destination(target);
                let sum = ipv4::checksum(&header.to_immutable());
                header.set_checksum(sum);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let mut bytes = vec![0; 40];
                bytes.extend(&transport);
                let mut header = MutableIpv6Packet::new(&mut bytes).unwrap();
                header.set_version(6);
                header.set_traffic_class(self.dscp << 2);
                header.set_payload_length(u16::try_from(transport.len()).unwrap());
                header.set_next_header(protocol);
                header.set_hop_limit(ttl);
                header.set_source(source);
                header.set_destination(target);
                bytes
            }
            _ => panic!("two families"),
        }
    }

    fn destination_port(&self, number: u32) -> u16 {
        match self.flow {
            PathFlow::Paris => self.port,
            PathFlow::Classic => self.port + u16::try_from(number).unwrap(),
        }
    }

    /// What came, and for which packet; `None` for what is not ours, or malformed.
    pub(crate) fn parse(&self, packet: &[u8], moment: Moment) -> Option<(Option<u32>, Arrival)> {
        let header = Header::read(packet)?;
        let transport = packet.get(header.end..)?;
        let (number, answer) = match header.protocol {
            IpNextHeaderProtocols::Icmp if icmp::checksum(&IcmpPacket::new(transport)?) == IcmpPacket::new(transport)?.get_checksum() => {
                self.message(transport, header.source)?
            }
            IpNextHeaderProtocols::Icmpv6 => {
                let (IpAddr::V6(source), IpAddr::V6(own)) = (header.source, self.source) else {
                    return None;
                };
                let message = Icmpv6Packet::new(transport)?;
                if icmpv6::checksum(&message, &source, &own) != message.get_checksum() {
                    return None;
                }
                self.message(transport, header.source)?
            }
            IpNextHeaderProtocols::Tcp => {
                let segment = TcpPacket::new(transport)?;
                let number = segment.get_acknowledgement().checked_sub(SEQUENCE + 1)?;
                let is_ours = header.source == self.target && segment.get_destination() == SOURCE_PORT;
                let answer = if segment.get_flags() & TcpFlags::RST != 0 {
                    Answer::Reset
                } else {
                    Answer::SynAck
                };
                (is_ours.then_some(number).filter(|number| *number < self.sent).map(Some)?, answer)
            }
            IpNextHeaderProtocols::Udp => {
                let datagram = UdpPacket::new(transport)?;
                (header.source == self.target && datagram.get_destination() == SOURCE_PORT).then_some((None, Answer::Datagram))?
            }
            _ => return None,
        };
        let arrival = Arrival {
            from: header.source,
            ttl: Some(header.ttl),
            kernel_ns: Some(crate::run::nanos(crate::run::since_epoch(moment.monotonic))),
            moment,
            answer,
        };
        Some((number, arrival))
    }

    /// A message of ICMP: the reply, or an error about a packet of ours.
    fn message(&self, bytes: &[u8], source: IpAddr) -> Option<(Option<u32>, Answer)> {
        let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let v4 = self.target.is_ipv4();
        if kind == (if v4 { 0 } else { 129 }) {
            let number = u32::from(word(6)?);
            let is_ours = word(4)? == SOURCE_PORT && number < self.sent && source == self.target;
            return is_ours.then_some((Some(number), Answer::EchoReply));
        }
        let is_error = if v4 { matches!(kind, 3 | 11 | 12) } else { matches!(kind, 1..=4) };
        if !is_error {
            return None;
        }
        let mtu = match (v4, kind, code) {
            (true, 3, 4) => Some(u32::from(word(6)?)),
            (false, 2, _) => Some(u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?)),
            _ => None,
        };
        let stated = if v4 { usize::from(bytes[5]) * 4 } else { usize::from(bytes[4]) * 8 };
        let body = bytes.get(8..)?;
        let extensible = v4 && mtu.is_none() || !v4 && matches!(kind, 1 | 3);
        let (quoted, extensions) = if extensible && stated > 0 {
            body.split_at_checked(stated)?
        } else {
            (body, &[][..])
        };
        let number = self.quoted_number(quoted)?;
        let error = IcmpError {
            kind: (kind, code),
            mtu,
            quoted: quoted.to_vec(),
            extensions: extensions.to_vec(),
        };
        (number < self.sent).then_some((Some(number), Answer::Error(error)))
    }

    /// Which packet a router quotes.
    fn quoted_number(&self, quoted: &[u8]) -> Option<u32> {
        let header = Header::read(quoted)?;
        let transport = quoted.get(header.end..)?;
        let word = |at: usize| Some(u16::from_be_bytes([*transport.get(at)?, *transport.get(at + 1)?]));
        match header.protocol {
            IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 if self.protocol == PathProtocol::Icmp => word(6).map(u32::from),
            IpNextHeaderProtocols::Udp if self.protocol == PathProtocol::Udp => match header.identification {
                Some(identification) => Some(identification.into()),
                None => Some(u32::from_be_bytes(transport.get(8..12)?.try_into().ok()?)),
            },
            IpNextHeaderProtocols::Tcp if self.protocol == PathProtocol::Tcp => u32::from_be_bytes(transport.get(4..8)?.try_into().ok()?).checked_sub(SEQUENCE),
            _ => None,
        }
    }
}

struct Header {
    source: IpAddr,
    protocol: IpNextHeaderProtocol,
    ttl: u8,
    identification: Option<u16>,
    end: usize,
}

impl Header {
    fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let header = Ipv4Packet::new(packet)?;
                Some(Self {
                    source: header.get_source().into(),
                    protocol: header.get_next_level_protocol(),
                    ttl: header.get_ttl(),
                    identification: Some(header.get_identification()),
                    end: usize::from(header.get_header_length()) * 4,
                })
            }
            6 => {
                let header = Ipv6Packet::new(packet)?;
                Some(Self {
                    source: header.get_source().into(),
                    protocol: header.get_next_header(),
                    ttl: header.get_hop_limit(),
                    identification: None,
                    end: 40,
                })
            }
            _ => None,
        }
    }
}

/// Also the identifier of echo requests.
const SOURCE_PORT: u16 = 40_000;
const SEQUENCE: u32 = 0x1000_0000;
