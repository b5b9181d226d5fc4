//! Whose packet is this: the source ports in use, and how each flow numbers what it sends from its own. Pure.
//!
//! A token stands in each packet: for UDP in IP identification and checksum, for TCP in the lower half of the sequence number, whose
//! upper half is random for each flow but for the bits by which the kernel's filter knows our answers from everybody else's.

use std::collections::HashMap;
use std::net::IpAddr;

use super::quoted::{QuotedMark, QuotedPorts};
use super::segment::Segment;
use crate::net::icmp::{Family, FlowId};

/// A port that a flow sends from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::net) struct PortKey {
    pub family: Family,
    pub protocol: Protocol,
    pub port: u16,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::net) enum Protocol {
    Udp,
    Tcp,
}

/// What a flow's packets are numbered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbering {
    /// Upper half of the sequence numbers of TCP.
    upper: u16,
    first: u16,
}

impl Numbering {
    /// A numbering from random bits.
    pub(super) fn new(prefix: u16, random: u32) -> Self {
        let [a, b, c, d] = random.to_be_bytes();
        Self {
            upper: (prefix & PREFIX_MASK) | (u16::from_be_bytes([a, b]) & !PREFIX_MASK),
            // Never 0, which the kernel would fill in, and which is no checksum.
            first: (u16::from_be_bytes([c, d]) & FIRST_MASK) + 1,
        }
    }

    /// The token of a packet; `None` beyond the last that there is.
    pub(super) fn token(self, index: u32) -> Option<u16> {
        let index = u16::try_from(index).ok().filter(|index| *index < INDEXES)?;
        Some(self.first + index)
    }

    /// The sequence number of a first segment.
    pub(super) fn sequence(self, index: u32) -> Option<u32> {
        Some(u32::from(self.upper) << 16 | u32::from(self.token(index)?))
    }

    fn index_of_token(self, token: u16) -> Option<u32> {
        token.checked_sub(self.first).map(u32::from)
    }

    fn index_of_sequence(self, sequence: u32) -> Option<u32> {
        let lower = u16::try_from(sequence & 0xffff).ok()?;
        (sequence >> 16 == u32::from(self.upper)).then(|| self.index_of_token(lower)).flatten()
    }
}

/// The ports in use.
#[derive(Debug, Default)]
pub(in crate::net) struct PortBook {
    held: HashMap<PortKey, Held>,
}

#[derive(Debug)]
struct Held {
    flow: FlowId,
    target: IpAddr,
    numbering: Numbering,
    /// Packets with numbers below this have left, or were about to.
    sent: u32,
}

impl PortBook {
    pub(super) fn open(&mut self, key: PortKey, flow: FlowId, target: IpAddr, numbering: Numbering) {
        let held = Held {
            flow,
            target,
            numbering,
            sent: 0,
        };
        self.held.insert(key, held);
    }

    pub(super) fn note_sending(&mut self, key: PortKey, index: u32) {
        if let Some(held) = self.held.get_mut(&key) {
            held.sent = held.sent.max(index.saturating_add(1));
        }
    }

    pub(super) fn close(&mut self, key: PortKey) {
        self.held.remove(&key);
    }

    /// The flow whose packet an error quotes, and which of its packets that was, where the quote still tells. A router may quote what
    /// somebody on the way has rewritten, so the address it quotes decides nothing where the marks do.
    pub(in crate::net) fn find_quoted(&self, family: Family, quoted: &QuotedPorts) -> Option<(FlowId, Option<u32>)> {
        let protocol = match quoted.mark {
            QuotedMark::Udp { .. } => Protocol::Udp,
            QuotedMark::Tcp { .. } => Protocol::Tcp,
        };
        let held = self.held.get(&PortKey {
            family,
            protocol,
            port: quoted.source_port,
        })?;
        let index = match quoted.mark {
            QuotedMark::Udp { identification, checksum } => {
                let by_identification = identification.and_then(|token| held.known(held.numbering.index_of_token(token)));
                by_identification.or_else(|| held.known(held.numbering.index_of_token(checksum)))
            }
            QuotedMark::Tcp { sequence } => held.known(held.numbering.index_of_sequence(sequence)),
        };
        let is_ours = index.is_some() || (protocol == Protocol::Udp && held.target == quoted.destination && held.sent > 0);
        is_ours.then_some((held.flow, index))
    }

    /// The flow whose packet a segment answers, and which of its packets that was.
    pub(in crate::net) fn find_segment(&self, family: Family, segment: &Segment) -> Option<(FlowId, u32)> {
        let held = self.held.get(&PortKey {
            family,
            protocol: Protocol::Tcp,
            port: segment.destination_port,
        })?;
        let index = held.known(held.numbering.index_of_sequence(segment.acknowledged.wrapping_sub(1)))?;
        (held.target == segment.source).then_some((held.flow, index))
    }
}

impl Held {
    fn known(&self, index: Option<u32>) -> Option<u32> {
        index.filter(|index| *index < self.sent)
    }
}

/// Upper bits of TCP sequence numbers that are the same for all flows of the process.
pub(super) const PREFIX_MASK: u16 = 0xfff0;
const FIRST_MASK: u16 = 0x7fff;
/// Packets of a flow that can be told apart: tokens stay below 2¹⁶ whatever the first is.
const INDEXES: u16 = 0x7000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::icmp::flow_id;
    use crate::net::path::segment::TcpAnswer;

    const KEY: PortKey = PortKey {
        family: Family::V4,
        protocol: Protocol::Udp,
        port: 40_000,
    };

    fn quoted(destination: &str, identification: u16, checksum: u16) -> QuotedPorts {
        QuotedPorts {
            destination: destination.parse().unwrap(),
            source_port: 40_000,
            destination_port: 33_434,
            mark: QuotedMark::Udp {
                identification: Some(identification),
                checksum,
            },
        }
    }

    #[test]
    fn an_error_finds_its_packet_by_either_mark_and_only_among_those_that_left() {
        let mut book = PortBook::default();
        let numbering = Numbering::new(0, 99);
        assert_eq!(numbering.token(5), Some(105));
        book.open(KEY, flow_id(1), "127.0.0.9".parse().unwrap(), numbering);
        book.note_sending(KEY, 5);
        let find = |quoted| book.find_quoted(Family::V4, &quoted);
        assert_eq!(find(quoted("127.0.0.9", 105, 0)), Some((flow_id(1), Some(5))));
        assert_eq!(
            find(quoted("127.0.0.9", 9, 103)),
            Some((flow_id(1), Some(3))),
            "the identification was rewritten"
        );
        assert_eq!(find(quoted("10.0.0.1", 105, 0)), Some((flow_id(1), Some(5))), "the address was rewritten");
        assert_eq!(find(quoted("127.0.0.9", 106, 7)), Some((flow_id(1), None)), "number 6 has not left");
        assert_eq!(find(quoted("10.0.0.1", 106, 7)), None);
        let other_port = QuotedPorts {
            source_port: 40_001,
            ..quoted("127.0.0.9", 105, 0)
        };
        assert_eq!(find(other_port), None);
        book.close(KEY);
        assert_eq!(book.find_quoted(Family::V4, &quoted("127.0.0.9", 105, 0)), None);
    }

    #[test]
    fn job_19_a_segment_belongs_to_a_flow_by_sender_port_and_sequence_together() {
        let key = PortKey {
            protocol: Protocol::Tcp,
            ..KEY
        };
        let numbering = Numbering::new(0xabc0, 0x1234_5678);
        let mut book = PortBook::default();
        book.open(key, flow_id(2), "127.0.0.9".parse().unwrap(), numbering);
        book.note_sending(key, 3);
        let segment = Segment {
            source: "127.0.0.9".parse().unwrap(),
            source_port: 443,
            destination_port: 40_000,
            acknowledged: numbering.sequence(3).unwrap() + 1,
            ttl: 64,
            bytes: 60,
            answer: TcpAnswer {
                flags: 0x12,
                window: 1,
                mss: None,
                wscale: None,
                sack: false,
                timestamps: None,
            },
        };
        assert_eq!(book.find_segment(Family::V4, &segment), Some((flow_id(2), 3)));
        for other in [
            Segment {
                source: "127.0.0.8".parse().unwrap(),
                ..segment
            },
            Segment {
                destination_port: 40_001,
                ..segment
            },
            Segment {
                acknowledged: segment.acknowledged + 1,
                ..segment
            },
            Segment {
                acknowledged: segment.acknowledged ^ 0x0001_0000,
                ..segment
            },
        ] {
            assert_eq!(book.find_segment(Family::V4, &other), None, "{other:?}");
        }
        assert_eq!(book.find_segment(Family::V6, &segment), None);
    }

    proptest! {
        #[test]
        fn every_number_comes_back_and_keeps_the_prefix(prefix: u16, random: u32, index in 0_u32..28_672) {
            let numbering = Numbering::new(prefix, random);
            let sequence = numbering.sequence(index).unwrap();
            prop_assert_eq!(sequence >> 20, u32::from(prefix & PREFIX_MASK) >> 4);
            prop_assert_eq!((sequence + 1) >> 20, sequence >> 20);
            prop_assert_eq!(numbering.index_of_sequence(sequence), Some(index));
            prop_assert_eq!(numbering.index_of_token(numbering.token(index).unwrap()), Some(index));
            prop_assert!(numbering.token(index).unwrap() > 0);
        }
    }

    #[test]
    fn there_are_no_numbers_beyond_the_last() {
        assert_eq!(Numbering::new(0, u32::MAX).token(28_671), Some(0x8000 + 0x6fff));
        assert_eq!((Numbering::new(0, 0).token(28_672), Numbering::new(0, 0).sequence(u32::MAX)), (None, None));
    }
}
