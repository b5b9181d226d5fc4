//! TCP segments that answer a first segment, as bytes that anyone may have forged. Pure.

use std::net::IpAddr;

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::{TcpFlags, TcpPacket};

use crate::net::icmp::Family;

/// What a target says to a first segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpAnswer {
    /// The flags byte: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the top.
    pub flags: u8,
    pub window: u16,
    /// Largest segment it takes, bytes.
    pub mss: Option<u16>,
    /// Shift of its windows.
    pub wscale: Option<u8>,
    /// Whether it takes selective acknowledgements.
    pub sack: bool,
    /// Its timestamp, and the one it echoes.
    pub timestamps: Option<(u32, u32)>,
}

impl TcpAnswer {
    /// Whether something listens.
    pub(crate) const fn is_open(&self) -> bool {
        self.flags & (TcpFlags::SYN | TcpFlags::RST) == TcpFlags::SYN
    }
}

/// A segment with the addresses and ports by which it finds its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Segment {
    pub source: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    /// The number that it expects next: ours, plus one.
    pub acknowledged: u32,
    pub ttl: u8,
    /// Bytes of the packet as its header states them.
    pub bytes: u32,
    pub answer: TcpAnswer,
}

/// Reads a packet from its IP header on; `None` for what is no answer to a first segment.
pub(in crate::net) fn parse(family: Family, packet: &[u8]) -> Option<Segment> {
    let (source, ttl, bytes, segment) = match family {
        Family::V4 => {
            let header = Ipv4Packet::new(packet)?;
            let start = usize::from(header.get_header_length()) * 4;
            let is_first = header.get_version() == 4 && start >= Ipv4Packet::minimum_packet_size() && header.get_fragment_offset() == 0;
            if !is_first || header.get_next_level_protocol() != IpNextHeaderProtocols::Tcp {
                return None;
            }
            let bytes = u32::from(header.get_total_length());
            (IpAddr::V4(header.get_source()), header.get_ttl(), bytes, packet.get(start..)?)
        }
        Family::V6 => {
            let header = Ipv6Packet::new(packet)?;
            if header.get_version() != 6 || header.get_next_header() != IpNextHeaderProtocols::Tcp {
                return None;
            }
            let start = Ipv6Packet::minimum_packet_size();
            let bytes = u32::from(header.get_payload_length()).saturating_add(u32::try_from(start).ok()?);
            (IpAddr::V6(header.get_source()), header.get_hop_limit(), bytes, packet.get(start..)?)
        }
    };
    let header = TcpPacket::new(segment)?;
    let flags = header.get_flags();
    if flags & TcpFlags::ACK == 0 || flags & (TcpFlags::SYN | TcpFlags::RST) == 0 {
        return None;
    }
    let options = segment.get(HEADER_BYTES..usize::from(header.get_data_offset()) * 4)?;
    let mut answer = TcpAnswer {
        flags,
        window: header.get_window(),
        mss: None,
        wscale: None,
        sack: false,
        timestamps: None,
    };
    answer.take_options(options);
    Some(Segment {
        source,
        source_port: header.get_source(),
        destination_port: header.get_destination(),
        acknowledged: header.get_acknowledgement(),
        ttl,
        bytes,
        answer,
    })
}

impl TcpAnswer {
    /// Reads options until their end or the first that cannot be one. The packet crate's own reader trusts their lengths.
    fn take_options(&mut self, mut options: &[u8]) {
        while let Some((kind, rest)) = options.split_first() {
            match kind {
                0 => return,
                1 => {
                    options = rest;
                    continue;
                }
                _ => {}
            }
            let Some((value, next)) = rest.split_first().and_then(|(length, rest)| {
                let length = usize::from(*length).checked_sub(2)?;
                rest.split_at_checked(length)
            }) else {
                return;
            };
            match (kind, value) {
                (2, [high, low]) => self.mss = Some(u16::from_be_bytes([*high, *low])),
                (3, [shift]) => self.wscale = Some(*shift),
                (4, []) => self.sack = true,
                (8, stamps) => self.timestamps = <[u8; 8]>::try_from(stamps).ok().map(u64::from_be_bytes).map(halves),
                _ => {}
            }
            options = next;
        }
    }
}

fn halves(both: u64) -> (u32, u32) {
    let lower = both & u64::from(u32::MAX);
    (u32::try_from(both >> 32).unwrap_or_default(), u32::try_from(lower).unwrap_or_default())
}

const HEADER_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_fuzz::{Reading, Target};

    use super::*;

    fn answer(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 60, 0, 0, 0, 0, 57, 6, 0, 0, 127, 0, 0, 9, 127, 0, 0, 1];
        packet.extend([1, 0xbb, 0x9c, 0x40, 0, 0, 0, 1, 0xab, 0xcd, 0, 2]);
        packet.extend([u8::try_from((20 + options.len()) / 4).unwrap() << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        packet.extend(options);
        packet
    }

    #[test]
    fn an_open_port_shows_what_its_host_offers() {
        let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 8];
        let segment = parse(Family::V4, &answer(0x12, &options)).unwrap();
        assert_eq!(
            (segment.source_port, segment.destination_port, segment.acknowledged),
            (443, 40_000, 0xabcd_0002)
        );
        assert_eq!((segment.ttl, segment.bytes), (57, 60));
        let expected = TcpAnswer {
            flags: 0x12,
            window: 64_240,
            mss: Some(1_460),
            wscale: Some(8),
            sack: true,
            timestamps: Some((7, 9)),
        };
        assert_eq!(segment.answer, expected);
        assert!(segment.answer.is_open());
    }

    #[test]
    fn a_reset_is_an_answer_and_other_segments_are_none() {
        assert!(!parse(Family::V4, &answer(0x14, &[])).unwrap().answer.is_open());
        for flags in [0x02, 0x04, 0x10, 0x11, 0x18] {
            assert_eq!(parse(Family::V4, &answer(flags, &[])), None, "{flags:#x}");
        }
    }

    #[test]
    fn job_19_options_that_lie_about_their_length_end_the_reading() {
        for options in [[2, 0, 5, 0xb4], [2, 1, 5, 0xb4], [2, 200, 5, 0xb4], [1, 1, 1, 2]] {
            assert_eq!(parse(Family::V4, &answer(0x12, &options)).unwrap().answer.mss, None);
        }
        let mut lying = answer(0x12, &[]);
        lying[32] = 0xf0;
        assert_eq!(parse(Family::V4, &lying), None, "a header longer than the segment");
        lying[32] = 0x10;
        assert_eq!(parse(Family::V4, &lying), None, "a header shorter than a header");
    }

    proptest! {
        #[test]
        fn job_19_no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), place in 0_usize..60, value: u8) {
            for family in [Family::V4, Family::V6] {
                let _ = parse(family, &bytes);
            }
            let mut near = answer(0x12, &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 8]);
            near[place] = value;
            let _ = parse(Family::V4, &near);
        }
    }

    #[test]
    fn job_19_fuzz_tcp_segment() {
        let target = Target::new("tcp_segment", include_str!("../../../corpus/packets.txt"));
        target.survives(|packet| Reading::of([Family::V4, Family::V6].into_iter().any(|family| parse(family, packet).is_some())));
    }
}
