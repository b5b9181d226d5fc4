//! Whole packets, IP header included, as bytes. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpCode, IcmpType};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{Ipv4Flags, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags, TcpOption};
use pnet_packet::udp::MutableUdpPacket;
use pnet_packet::util;

use super::{Content, PathProbe, PathProtocol};
use crate::net::icmp::Fragmentation;

/// Where a packet comes from and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    V4 { source: Ipv4Addr, target: Ipv4Addr },
    V6 { source: Ipv6Addr, target: Ipv6Addr },
}

/// How a packet says which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Icmp {
        identifier: u16,
        sequence: u16,
        /// The checksum to come out at.
        checksum: Option<u16>,
    },
    Udp {
        source_port: u16,
        /// The IP identification and the checksum to come out at.
        token: u16,
    },
    Tcp {
        source_port: u16,
        sequence: u32,
    },
}

impl Ends {
    /// Both ends, where they are of one family.
    pub(super) const fn new(source: IpAddr, target: IpAddr) -> Option<Self> {
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => Some(Self::V4 { source, target }),
            (IpAddr::V6(source), IpAddr::V6(target)) => Some(Self::V6 { source, target }),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    const fn header_bytes(self) -> usize {
        match self {
            Self::V4 { .. } => 20,
            Self::V6 { .. } => 40,
        }
    }

    const fn echo_request(self) -> (u8, IpNextHeaderProtocol) {
        match self {
            Self::V4 { .. } => (8, IpNextHeaderProtocols::Icmp),
            Self::V6 { .. } => (128, IpNextHeaderProtocols::Icmpv6),
        }
    }

    /// The checksum of a transport header and its payload, the word at `skip` taken for 0.
    fn checksum(self, segment: &[u8], skip: usize, protocol: IpNextHeaderProtocol) -> u16 {
        match self {
            // ICMP alone has no pseudo-header.
            Self::V4 { .. } if protocol == IpNextHeaderProtocols::Icmp => util::checksum(segment, skip),
            Self::V4 { source, target } => util::ipv4_checksum(segment, skip, &[], &source, &target, protocol),
            Self::V6 { source, target } => util::ipv6_checksum(segment, skip, &[], &source, &target, protocol),
        }
    }
}

/// The packet; `None` where it is too short to say which one it is, or longer than a packet can be.
pub(super) fn build(ends: Ends, mark: Mark, cookie: [u8; COOKIE_BYTES], probe: &PathProbe) -> Option<Vec<u8>> {
    let (segment, protocol, identification) = match mark {
        Mark::Icmp {
            identifier,
            sequence,
            checksum,
        } => {
            let segment = echo(ends, (identifier, sequence), checksum, cookie, probe)?;
            (segment, ends.echo_request().1, sequence.max(1))
        }
        Mark::Udp { source_port, token } => (datagram(ends, source_port, token, cookie, probe)?, IpNextHeaderProtocols::Udp, token),
        Mark::Tcp { source_port, sequence } => {
            let segment = syn(ends, source_port, sequence, probe.destination_port)?;
            let identification = u16::try_from(sequence & 0xffff).unwrap_or_default().max(1);
            (segment, IpNextHeaderProtocols::Tcp, identification)
        }
    };
    let mut packet = header(ends, probe, protocol, identification, segment.len())?;
    packet.extend(segment);
    Some(packet)
}

fn header(ends: Ends, probe: &PathProbe, protocol: IpNextHeaderProtocol, identification: u16, payload_bytes: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; ends.header_bytes()];
    match ends {
        Ends::V4 { source, target } => {
            let mut header = MutableIpv4Packet::new(&mut bytes)?;
            header.set_version(4);
            header.set_header_length(5);
            header.set_dscp(probe.dscp);
            header.set_total_length(u16::try_from(payload_bytes + ends.header_bytes()).ok()?);
            header.set_identification(identification);
            if probe.fragmentation == Fragmentation::Forbidden {
                header.set_flags(Ipv4Flags::DontFragment);
            }
            header.set_ttl(probe.ttl);
            header.set_next_level_protocol(protocol);
            header.set_source(source);
            header.set_destination(target);
        }
        Ends::V6 { source, target } => {
            let mut header = MutableIpv6Packet::new(&mut bytes)?;
            header.set_version(6);
            // The code point is the upper six bits; the lower two are ECN's (RFC 3168). The flow label stays 0.
            header.set_traffic_class(probe.dscp << 2);
            header.set_payload_length(u16::try_from(payload_bytes).ok()?);
            header.set_next_header(protocol);
            header.set_hop_limit(probe.ttl);
            header.set_source(source);
            header.set_destination(target);
        }
    }
    Some(bytes)
}

/// Header, cookie, two bytes that bring the checksum to where it is wanted, a pattern.
fn echo(ends: Ends, (identifier, sequence): (u16, u16), wanted: Option<u16>, cookie: [u8; COOKIE_BYTES], probe: &PathProbe) -> Option<Vec<u8>> {
    let mut bytes = vec![0; ECHO_HEADER_BYTES];
    let payload_bytes = payload_bytes(ends, probe, ECHO_HEADER_BYTES)?.checked_sub(COOKIE_BYTES + BALANCE_BYTES)?;
    bytes.extend(cookie);
    bytes.extend([0; BALANCE_BYTES]);
    bytes.extend((0..=u8::MAX).cycle().take(payload_bytes));
    let (kind, protocol) = ends.echo_request();
    let mut header = MutableEchoRequestPacket::new(&mut bytes)?;
    header.set_icmp_type(IcmpType(kind));
    header.set_icmp_code(IcmpCode(0));
    header.set_identifier(identifier);
    header.set_sequence_number(sequence);
    let unbalanced = ends.checksum(&bytes, 1, protocol);
    if let Some(wanted) = wanted {
        put(&mut bytes, ECHO_HEADER_BYTES + COOKIE_BYTES, balance(unbalanced, wanted))?;
    }
    put(&mut bytes, 2, wanted.unwrap_or(unbalanced))?;
    Some(bytes)
}

/// Two bytes that bring the checksum to the token, the cookie, a pattern; or the payload as it is.
fn datagram(ends: Ends, source_port: u16, token: u16, cookie: [u8; COOKIE_BYTES], probe: &PathProbe) -> Option<Vec<u8>> {
    let mut bytes = vec![0; UDP_HEADER_BYTES];
    match &probe.content {
        Content::Sized(_) => {
            let payload_bytes = payload_bytes(ends, probe, UDP_HEADER_BYTES)?.checked_sub(BALANCE_BYTES)?;
            bytes.extend([0; BALANCE_BYTES]);
            bytes.extend(cookie.into_iter().chain((0..=u8::MAX).cycle()).take(payload_bytes));
        }
        Content::Payload(payload) => bytes.extend(payload),
    }
    let length = u16::try_from(bytes.len()).ok()?;
    let mut header = MutableUdpPacket::new(&mut bytes)?;
    header.set_source(source_port);
    header.set_destination(probe.destination_port);
    header.set_length(length);
    let plain = ends.checksum(&bytes, 3, IpNextHeaderProtocols::Udp);
    let checksum = match &probe.content {
        Content::Sized(_) => {
            put(&mut bytes, UDP_HEADER_BYTES, balance(plain, token))?;
            token
        }
        // 0 would say that there is no checksum (RFC 768).
        Content::Payload(_) if plain == 0 => u16::MAX,
        Content::Payload(_) => plain,
    };
    put(&mut bytes, 6, checksum)?;
    Some(bytes)
}

/// A first segment with the options that an ordinary host offers, so that the answer shows which of them the target has.
fn syn(ends: Ends, source_port: u16, sequence: u32, destination_port: u16) -> Option<Vec<u8>> {
    let segment_bytes = match ends {
        Ends::V4 { .. } => 1_460,
        Ends::V6 { .. } => 1_440,
    };
    let mut bytes = vec![0; SYN_BYTES];
    let mut header = MutableTcpPacket::new(&mut bytes)?;
    header.set_source(source_port);
    header.set_destination(destination_port);
    header.set_sequence(sequence);
    header.set_data_offset(u8::try_from(SYN_BYTES / 4).ok()?);
    header.set_flags(TcpFlags::SYN);
    header.set_window(64_240);
    header.set_options(&[
        TcpOption::mss(segment_bytes),
        TcpOption::sack_perm(),
        TcpOption::timestamp(sequence, 0),
        TcpOption::nop(),
        TcpOption::wscale(7),
    ]);
    let sum = ends.checksum(&bytes, 8, IpNextHeaderProtocols::Tcp);
    put(&mut bytes, 16, sum)?;
    Some(bytes)
}

fn payload_bytes(ends: Ends, probe: &PathProbe, header_bytes: usize) -> Option<usize> {
    match &probe.content {
        Content::Sized(whole) if *whole > PACKET_BYTES => None,
        Content::Sized(whole) => whole.checked_sub(ends.header_bytes() + header_bytes),
        Content::Payload(payload) => Some(payload.len()),
    }
}

/// What has to stand in a word that was 0, for a checksum to become another.
const fn balance(unbalanced: u16, wanted: u16) -> u16 {
    let (sum, carried) = (!wanted).overflowing_add(unbalanced);
    if carried { sum + 1 } else { sum }
}

fn put(bytes: &mut [u8], at: usize, word: u16) -> Option<()> {
    bytes.get_mut(at..at + 2)?.copy_from_slice(&word.to_be_bytes());
    Some(())
}

/// The shortest transport part that says which packet it is.
pub(super) const fn least_transport_bytes(protocol: PathProtocol) -> usize {
    match protocol {
        PathProtocol::Icmp => ECHO_HEADER_BYTES + COOKIE_BYTES + BALANCE_BYTES,
        PathProtocol::Udp => UDP_HEADER_BYTES + BALANCE_BYTES,
        PathProtocol::Tcp => SYN_BYTES,
    }
}

/// Longest packet there is.
const PACKET_BYTES: usize = 65_535;
/// Bytes of a flow's random cookie.
pub(super) const COOKIE_BYTES: usize = 8;
const BALANCE_BYTES: usize = 2;
const ECHO_HEADER_BYTES: usize = 8;
const UDP_HEADER_BYTES: usize = 8;
/// Header and 20 bytes of options.
const SYN_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use pnet_packet::Packet;
    use pnet_packet::ipv4::Ipv4Packet;
    use pnet_packet::ipv6::Ipv6Packet;
    use pnet_packet::tcp::TcpPacket;
    use pnet_packet::udp::UdpPacket;
    use pnet_packet::{icmp, tcp, udp};
    use proptest::prelude::*;

    use super::*;

    const COOKIE: [u8; COOKIE_BYTES] = *b"01234567";

    fn v4() -> Ends {
        Ends::new("127.0.0.1".parse().unwrap(), "127.0.0.9".parse().unwrap()).unwrap()
    }

    fn v6() -> Ends {
        Ends::new("::1".parse().unwrap(), "fd00::9".parse().unwrap()).unwrap()
    }

    fn probe(content: Content) -> PathProbe {
        PathProbe {
            ttl: 3,
            dscp: 46,
            fragmentation: Fragmentation::Forbidden,
            destination_port: 33_434,
            content,
        }
    }

    proptest! {
        #[test]
        fn every_datagram_comes_out_at_its_token_and_its_checksum_is_right(token in 1_u16..=u16::MAX, size in 30_usize..1_500, port in 1_u16..) {
            let packet = build(v4(), Mark::Udp { source_port: port, token }, COOKIE, &probe(Content::Sized(size))).unwrap();
            prop_assert_eq!(packet.len(), size);
            let header = Ipv4Packet::new(&packet).unwrap();
            prop_assert_eq!((header.get_identification(), header.get_ttl(), header.get_dscp(), header.get_ecn()), (token, 3, 46, 0));
            let datagram = UdpPacket::new(&packet[20..]).unwrap();
            prop_assert_eq!(datagram.get_checksum(), token);
            // The sum over everything, the checksum as it stands included, comes out at one of the two zeros.
            prop_assert!(holds(udp::ipv4_checksum(&datagram, &header.get_source(), &header.get_destination()), token));
            let packet = build(v6(), Mark::Udp { source_port: port, token }, COOKIE, &probe(Content::Sized(size + 20))).unwrap();
            let header = Ipv6Packet::new(&packet).unwrap();
            prop_assert_eq!((header.get_flow_label(), header.get_traffic_class(), header.get_hop_limit()), (0, 46 << 2, 3));
            let datagram = UdpPacket::new(&packet[40..]).unwrap();
            prop_assert!(holds(udp::ipv6_checksum(&datagram, &header.get_source(), &header.get_destination()), datagram.get_checksum()));
        }

        #[test]
        fn the_checksum_of_an_echo_is_the_same_for_every_sequence(sequence: u16, identifier: u16, wanted: u16, size in 38_usize..1_500) {
            let mark = Mark::Icmp { identifier, sequence, checksum: Some(wanted) };
            let packet = build(v4(), mark, COOKIE, &probe(Content::Sized(size))).unwrap();
            prop_assert_eq!(packet.len(), size);
            let message = icmp::IcmpPacket::new(&packet[20..]).unwrap();
            prop_assert_eq!(message.get_checksum(), wanted);
            prop_assert!(holds(icmp::checksum(&message), wanted));
            prop_assert_eq!(&packet[28..36], COOKIE);
        }
    }

    /// Two checksums that mean the same: 0 and its complement are one number.
    fn holds(right: u16, there: u16) -> bool {
        right == there || [right, there].into_iter().all(|sum| matches!(sum, 0 | u16::MAX))
    }

    #[test]
    fn a_first_segment_offers_what_an_ordinary_host_offers() {
        for (ends, offset, least) in [(v4(), 20, 60), (v6(), 40, 80)] {
            let mark = Mark::Tcp {
                source_port: 40_000,
                sequence: 0xabc0_1234,
            };
            let packet = build(ends, mark, COOKIE, &probe(Content::Sized(0))).unwrap();
            assert_eq!(packet.len(), least);
            let segment = TcpPacket::new(&packet[offset..]).unwrap();
            assert_eq!(
                (segment.get_sequence(), segment.get_flags(), segment.get_data_offset()),
                (0xabc0_1234, TcpFlags::SYN, 10)
            );
            assert_eq!((segment.payload().len(), segment.get_options_raw().len()), (0, 20));
            let sum = match ends {
                Ends::V4 { source, target } => tcp::ipv4_checksum(&segment, &source, &target),
                Ends::V6 { source, target } => tcp::ipv6_checksum(&segment, &source, &target),
            };
            assert_eq!(sum, segment.get_checksum());
        }
    }

    #[test]
    fn a_packet_too_short_to_be_recognised_or_too_long_to_exist_is_none() {
        let build = |mark, size| build(v4(), mark, COOKIE, &probe(Content::Sized(size)));
        let echo = Mark::Icmp {
            identifier: 1,
            sequence: 1,
            checksum: None,
        };
        let datagram = Mark::Udp { source_port: 1, token: 1 };
        assert_eq!((build(echo, 37), build(datagram, 29)), (None, None));
        assert_eq!((build(echo, 65_536), build(datagram, usize::MAX)), (None, None));
        let least = |protocol| super::super::least_bytes("127.0.0.1".parse().unwrap(), protocol);
        assert_eq!(build(echo, least(PathProtocol::Icmp)).unwrap().len(), 38);
        assert_eq!(build(datagram, least(PathProtocol::Udp)).unwrap().len(), 30);
    }

    #[test]
    fn a_payload_of_ones_own_leaves_as_it_is() {
        let packet = build(v4(), Mark::Udp { source_port: 7, token: 9 }, COOKIE, &probe(Content::Payload(b"abc".to_vec()))).unwrap();
        assert_eq!((&packet[28..], packet[6]), (&b"abc"[..], 0x40));
    }
}
