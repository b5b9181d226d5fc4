//! The packet that an ICMP error quotes, compared with the one that was sent. Anybody may have written these bytes.

use std::net::IpAddr;

use pnet_packet::icmp::echo_request::EchoRequestPacket;
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, Ipv4Packet};
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::udp::UdpPacket;
use shared_protocol::report::{QuotedPacket, Rewritten};

use crate::book::Ports;

/// A packet as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(crate) source: Option<IpAddr>,
    pub(crate) target: IpAddr,
    pub(crate) ports: Ports,
    pub(crate) dscp: u8,
    pub(crate) bytes: u32,
}

/// Reads a quoted packet; `None` for what is no packet of the target's family.
pub(crate) fn read(quoted: &[u8], original: &Original) -> Option<QuotedPacket> {
    let header = match original.target {
        IpAddr::V4(_) => Header::v4(quoted)?,
        IpAddr::V6(_) => Header::v6(quoted)?,
    };
    let ports = header.ports(quoted);
    let differs = |sent: Option<u16>, arrived: Option<u16>| sent.zip(arrived).is_some_and(|(sent, arrived)| sent != arrived);
    let changes = [
        (Rewritten::Source, original.source.is_some_and(|source| source != header.source)),
        (Rewritten::Destination, original.target != header.destination),
        (Rewritten::SourcePort, differs(original.ports.source, ports.source)),
        (Rewritten::DestinationPort, differs(original.ports.destination, ports.destination)),
        (Rewritten::Dscp, original.dscp != header.dscp),
        // Packets leave without it (RFC 3168).
        (Rewritten::Ecn, header.ecn != 0),
        (Rewritten::Length, original.bytes != header.bytes),
    ];
    Some(QuotedPacket {
        ttl: header.ttl,
        dscp: header.dscp,
        ecn: header.ecn,
        bytes: header.bytes,
        quoted_bytes: u32::try_from(quoted.len()).unwrap_or(u32::MAX),
        checksum_ok: header.checksum_ok,
        rewritten: changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect(),
    })
}

/// What both headers say.
struct Header {
    source: IpAddr,
    destination: IpAddr,
    protocol: IpNextHeaderProtocol,
    ttl: u8,
    dscp: u8,
    ecn: u8,
    bytes: u32,
    checksum_ok: Option<bool>,
    /// Where the header ends.
    end: usize,
}

impl Header {
    fn v4(quoted: &[u8]) -> Option<Self> {
        let header = Ipv4Packet::new(quoted)?;
        let end = usize::from(header.get_header_length()) * 4;
        if header.get_version() != 4 || end < Ipv4Packet::minimum_packet_size() || end > quoted.len() {
            return None;
        }
        Some(Self {
            source: header.get_source().into(),
            destination: header.get_destination().into(),
            protocol: header.get_next_level_protocol(),
            ttl: header.get_ttl(),
            dscp: header.get_dscp(),
            ecn: header.get_ecn(),
            bytes: header.get_total_length().into(),
            checksum_ok: Some(ipv4::checksum(&header) == header.get_checksum()),
            end,
        })
    }

    fn v6(quoted: &[u8]) -> Option<Self> {
        let header = Ipv6Packet::new(quoted)?;
        if header.get_version() != 6 {
            return None;
        }
        let end = Ipv6Packet::minimum_packet_size();
        Some(Self {
            source: header.get_source().into(),
            destination: header.get_destination().into(),
            protocol: header.get_next_header(),
            ttl: header.get_hop_limit(),
            dscp: header.get_traffic_class() >> 2,
            ecn: header.get_traffic_class() & 0b11,
            bytes: u32::from(header.get_payload_length()).saturating_add(u32::try_from(end).ok()?),
            checksum_ok: None,
            end,
        })
    }

    /// The ports, as far as they are quoted.
    fn ports(&self, quoted: &[u8]) -> Ports {
        let transport = quoted.get(self.end..).unwrap_or_default();
        match self.protocol {
            // Both begin with their ports.
            IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::Tcp => UdpPacket::new(transport).map_or_else(Ports::default, |header| Ports {
                source: Some(header.get_source()),
                destination: Some(header.get_destination()),
            }),
            IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => EchoRequestPacket::new(transport).map_or_else(Ports::default, |header| Ports {
                source: Some(header.get_identifier()),
                destination: None,
            }),
            _ => Ports::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_fuzz::{Reading, Target};

    use super::*;

    fn original() -> Original {
        Original {
            source: Some("10.0.0.2".parse().unwrap()),
            target: "10.9.0.1".parse().unwrap(),
            ports: Ports {
                source: Some(40_000),
                destination: Some(33_434),
            },
            dscp: 0,
            bytes: 60,
        }
    }

    fn packet(source: [u8; 4], destination: [u8; 4], tos: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, tos, 0, 60, 0, 7, 0, 0, 1, 17, 0, 0];
        bytes.extend(source);
        bytes.extend(destination);
        let sum = ipv4::checksum(&Ipv4Packet::new(&bytes).unwrap());
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend([0x9c, 0x40, 0x82, 0x9a, 0, 40, 0, 0]);
        bytes
    }

    #[test]
    fn a_packet_that_arrived_as_it_was_sent_has_no_changes() {
        let quoted = read(&packet([10, 0, 0, 2], [10, 9, 0, 1], 0), &original()).unwrap();
        assert_eq!((quoted.ttl, quoted.bytes, quoted.quoted_bytes, quoted.checksum_ok), (1, 60, 28, Some(true)));
        assert_eq!(quoted.rewritten, []);
    }

    #[test]
    fn what_somebody_on_the_way_has_changed_is_named() {
        let mut bytes = packet([192, 0, 2, 1], [10, 9, 0, 1], 0b1011_1010);
        bytes[20] = 0;
        bytes[10] ^= 1;
        let quoted = read(&bytes, &original()).unwrap();
        assert_eq!((quoted.dscp, quoted.ecn, quoted.checksum_ok), (46, 2, Some(false)));
        assert_eq!(quoted.rewritten, [Rewritten::Source, Rewritten::SourcePort, Rewritten::Dscp, Rewritten::Ecn]);
    }

    #[test]
    fn job_20_a_quote_that_ends_behind_its_header_is_compared_as_far_as_it_goes() {
        let bytes = packet([10, 0, 0, 2], [10, 9, 0, 1], 0);
        assert_eq!(read(&bytes[..20], &original()).unwrap().rewritten, []);
        assert_eq!(read(&bytes[..19], &original()), None);
        assert_eq!(read(&[], &original()), None);
    }

    proptest! {
        #[test]
        fn job_19_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), version in prop::sample::select(vec![0x45_u8, 0x4f, 0x60, 0x41])) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            for target in ["10.9.0.1", "fd00::1"] {
                let _ = read(&bytes, &Original { target: target.parse().unwrap(), ..original() });
            }
        }
    }

    #[test]
    fn job_19_fuzz_quoted_packet() {
        let target = Target::new("quoted_packet", include_str!("../corpus/quoted.txt"));
        let four = original();
        let six = Original {
            target: "2001:db8:1::2".parse().unwrap(),
            ..four
        };
        target.survives(|quoted| {
            let found = [four, six].map(|original| read(quoted, &original));
            for found in found.iter().flatten() {
                assert!(usize::try_from(found.quoted_bytes).unwrap() == quoted.len() && found.rewritten.len() <= 7);
            }
            Reading::of(found.iter().any(Option::is_some))
        });
    }
}
