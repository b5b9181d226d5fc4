//! ICMP errors: what they quote, what stands behind the quote, and which packet of ours it was. Anyone may have forged them. Pure.

use std::net::IpAddr;

use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::udp::UdpPacket;
use pnet_packet::util;

use crate::net::icmp::Family;

/// An ICMP error as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorMessage<'a> {
    /// Type and code.
    pub kind: (u8, u8),
    /// The next hop's MTU that it claims.
    pub mtu: Option<u32>,
    /// The quoted packet, as much of it as there is, at most 576 bytes.
    pub quoted: &'a [u8],
    /// The extension structure behind the quote, header included.
    pub extensions: &'a [u8],
}

/// The ports of a quoted packet, and by what else it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct QuotedPorts {
    /// Where it was going.
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub mark: QuotedMark,
}

/// By what a quoted packet is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum QuotedMark {
    Udp {
        /// IP identification; IPv6 has none.
        identification: Option<u16>,
        checksum: u16,
    },
    Tcp {
        sequence: u32,
    },
}

/// Reads an error from its ICMP header on; `None` for every other type and for what is too short.
pub(crate) fn parse_error(family: Family, bytes: &[u8]) -> Option<ErrorMessage<'_>> {
    let kind = (*bytes.first()?, *bytes.get(1)?);
    if !family.error_types().contains(&kind.0) {
        return None;
    }
    let body = bytes.get(HEADER_BYTES..)?;
    let (quoted, extensions) = split(family, kind.0, bytes, body);
    Some(ErrorMessage {
        kind,
        mtu: claimed_mtu(family, kind, bytes),
        quoted: quoted.get(..QUOTED_BYTES).unwrap_or(quoted),
        extensions: extensions.get(..QUOTED_BYTES).unwrap_or(extensions),
    })
}

impl ErrorMessage<'_> {
    /// The ports that it quotes, where the quoted packet is UDP or TCP and its first eight bytes are there.
    pub(in crate::net) fn ports(&self, family: Family) -> Option<QuotedPorts> {
        let inner = inner(family, self.quoted)?;
        // Both protocols begin with their ports.
        let header = UdpPacket::new(inner.transport)?;
        let mark = match inner.protocol {
            IpNextHeaderProtocols::Udp => QuotedMark::Udp {
                identification: inner.identification,
                checksum: header.get_checksum(),
            },
            IpNextHeaderProtocols::Tcp => QuotedMark::Tcp {
                sequence: u32::from_be_bytes(inner.transport.get(4..8)?.try_into().ok()?),
            },
            _ => return None,
        };
        Some(QuotedPorts {
            destination: inner.destination,
            source_port: header.get_source(),
            destination_port: header.get_destination(),
            mark,
        })
    }
}

struct Inner<'a> {
    destination: IpAddr,
    protocol: IpNextHeaderProtocol,
    identification: Option<u16>,
    transport: &'a [u8],
}

fn inner(family: Family, quoted: &[u8]) -> Option<Inner<'_>> {
    match family {
        Family::V4 => {
            let header = Ipv4Packet::new(quoted)?;
            let start = usize::from(header.get_header_length()) * 4;
            let is_first = header.get_version() == 4 && start >= Ipv4Packet::minimum_packet_size() && header.get_fragment_offset() == 0;
            is_first.then_some(Inner {
                destination: IpAddr::V4(header.get_destination()),
                protocol: header.get_next_level_protocol(),
                identification: Some(header.get_identification()),
                transport: quoted.get(start..)?,
            })
        }
        Family::V6 => {
            // Our packets leave without extension headers, so none are looked for.
            let header = Ipv6Packet::new(quoted)?;
            (header.get_version() == 6).then_some(Inner {
                destination: IpAddr::V6(header.get_destination()),
                protocol: header.get_next_header(),
                identification: None,
                transport: quoted.get(Ipv6Packet::minimum_packet_size()..)?,
            })
        }
    }
}

/// Quote and extensions (RFC 4884): by the length that the message states, else where senders older than that document put them.
fn split<'a>(family: Family, kind: u8, bytes: &[u8], body: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let (at, unit, extensible) = match family {
        Family::V4 => (5, 4, true),
        Family::V6 => (4, 8, matches!(kind, 1 | 3)),
    };
    if !extensible {
        return (body, &[]);
    }
    match usize::from(bytes.get(at).copied().unwrap_or_default()) * unit {
        0 => match body.split_at_checked(OLD_QUOTE_BYTES) {
            Some((quoted, rest)) if is_extension(rest) => (quoted, rest),
            Some(_) | None => (body, &[]),
        },
        stated => body.split_at_checked(stated).unwrap_or((body, &[])),
    }
}

/// Whether a structure is there that says of itself that it is one (RFC 4884 section 5.5): its version, and a checksum that holds.
fn is_extension(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes.first().is_some_and(|first| first >> 4 == 2) && util::checksum(bytes, usize::MAX) == 0
}

fn claimed_mtu(family: Family, kind: (u8, u8), bytes: &[u8]) -> Option<u32> {
    match (family, kind) {
        // RFC 1191 section 4.
        (Family::V4, (3, 4)) => Some(u32::from(u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?))),
        // RFC 4443 section 3.2.
        (Family::V6, (2, _)) => Some(u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?)),
        (Family::V4 | Family::V6, _) => None,
    }
}

const HEADER_BYTES: usize = 8;
/// The most that is kept of a quote: what RFC 1812 section 4.3.2.3 lets a router send.
const QUOTED_BYTES: usize = 576;
/// How much senders that state no length quote before their extensions (RFC 4884 section 5.5).
const OLD_QUOTE_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_fuzz::{Reading, Target};

    use super::*;

    fn udp_v4() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 60, 0x12, 0x34, 0, 0, 1, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 9];
        packet.extend([0x9c, 0x40, 0x82, 0x9a, 0, 40, 0x56, 0x78]);
        packet.extend([0xaa; 32]);
        packet
    }

    fn error(header: [u8; 8], body: &[&[u8]]) -> Vec<u8> {
        [&header[..], &body.concat()].concat()
    }

    #[test]
    fn job_20_a_quote_of_eight_bytes_is_enough_for_ports_and_marks() {
        let message = error([11, 0, 0, 0, 0, 0, 0, 0], &[&udp_v4()[..28]]);
        let parsed = parse_error(Family::V4, &message).unwrap();
        assert_eq!((parsed.kind, parsed.mtu, parsed.quoted.len(), parsed.extensions.len()), ((11, 0), None, 28, 0));
        let ports = parsed.ports(Family::V4).unwrap();
        assert_eq!(
            (ports.source_port, ports.destination_port, ports.destination),
            (40_000, 33_434, "127.0.0.9".parse().unwrap())
        );
        assert_eq!(
            ports.mark,
            QuotedMark::Udp {
                identification: Some(0x1234),
                checksum: 0x5678
            }
        );
        for cut in 0..28 {
            let short = error([11, 0, 0, 0, 0, 0, 0, 0], &[&udp_v4()[..cut]]);
            assert_eq!(parse_error(Family::V4, &short).unwrap().ports(Family::V4), None, "{cut}");
        }
    }

    #[test]
    fn extensions_are_found_by_the_stated_length_and_where_old_senders_put_them() {
        let mut quote = udp_v4();
        quote.resize(128, 0);
        let extension = [0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0x01, 0x01, 0x01];
        let stated = error([11, 0, 0, 0, 0, 32, 0, 0], &[&quote, &extension]);
        let parsed = parse_error(Family::V4, &stated).unwrap();
        assert_eq!((parsed.quoted, parsed.extensions), (&quote[..], &extension[..]));
        let mut summed = extension;
        summed[2..4].copy_from_slice(&util::checksum(&extension, 1).to_be_bytes());
        let old = error([11, 0, 0, 0, 0, 0, 0, 0], &[&quote, &summed]);
        assert_eq!(parse_error(Family::V4, &old).unwrap().extensions, &summed[..]);
        let no_structure = error([11, 0, 0, 0, 0, 0, 0, 0], &[&quote, &[0x20, 0, 0, 1]]);
        assert_eq!(parse_error(Family::V4, &no_structure).unwrap().quoted.len(), 132);
        let lying = error([11, 0, 0, 0, 0, 255, 0, 0], &[&quote, &extension]);
        assert!(parse_error(Family::V4, &lying).unwrap().extensions.is_empty());
        let v6 = error([3, 0, 0, 0, 16, 0, 0, 0], &[&quote, &extension]);
        assert_eq!(parse_error(Family::V6, &v6).unwrap().extensions, &extension[..]);
    }

    #[test]
    fn job_21_the_mtu_that_an_error_claims_is_told_as_it_is() {
        for (claimed, header) in [
            (0, [3, 4, 0, 0, 0, 0, 0, 0]),
            (1, [3, 4, 0, 0, 0, 0, 0, 1]),
            (65_535, [3, 4, 0, 0, 0, 0, 255, 255]),
        ] {
            assert_eq!(parse_error(Family::V4, &error(header, &[&udp_v4()])).unwrap().mtu, Some(claimed));
        }
        assert_eq!(parse_error(Family::V6, &[2, 0, 0, 0, 0, 0, 5, 0]).unwrap().mtu, Some(1_280));
        assert_eq!(parse_error(Family::V4, &error([3, 3, 0, 0, 0, 0, 5, 0], &[&udp_v4()])).unwrap().mtu, None);
    }

    #[test]
    fn job_19_what_is_no_error_is_nothing() {
        for bytes in [&[][..], &[11], &[11, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(parse_error(Family::V4, bytes), None, "{bytes:?}");
        }
        let mut fragment = udp_v4();
        fragment[7] = 1;
        let message = error([11, 0, 0, 0, 0, 0, 0, 0], &[&fragment]);
        assert_eq!(parse_error(Family::V4, &message).unwrap().ports(Family::V4), None, "not the first fragment");
        let mut lying = udp_v4();
        lying[0] = 0x41;
        let message = error([11, 0, 0, 0, 0, 0, 0, 0], &[&lying]);
        assert_eq!(
            parse_error(Family::V4, &message).unwrap().ports(Family::V4),
            None,
            "a header shorter than a header"
        );
    }

    proptest! {
        #[test]
        fn job_19_no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in prop::sample::select(vec![1_u8, 2, 3, 4, 11, 12])) {
            let mut message = bytes;
            if let Some(first) = message.first_mut() {
                *first = kind;
            }
            for family in [Family::V4, Family::V6] {
                if let Some(parsed) = parse_error(family, &message) {
                    prop_assert!(parsed.quoted.len() + parsed.extensions.len() + HEADER_BYTES <= message.len());
                    let _ = parsed.ports(family);
                }
            }
        }
    }

    #[test]
    fn job_19_fuzz_icmp_error() {
        let target = Target::new("icmp_error", include_str!("../../../corpus/packets.txt"));
        target.survives(|packet| {
            let (family, header) = if packet.first().is_some_and(|first| first >> 4 == 4) {
                (Family::V4, Ipv4Packet::minimum_packet_size())
            } else {
                (Family::V6, Ipv6Packet::minimum_packet_size())
            };
            let message = packet.get(header..).unwrap_or_default();
            let Some(found) = parse_error(family, message) else { return Reading::Refused };
            assert!(found.quoted.len() <= QUOTED_BYTES && found.extensions.len() <= QUOTED_BYTES);
            assert!(HEADER_BYTES + found.quoted.len() + found.extensions.len() <= message.len());
            Reading::of(found.ports(family).is_some())
        });
    }
}
