//! ICMP echo messages as bytes: building requests, reading replies and errors that anyone may have forged. Pure.

use std::net::IpAddr;

use pnet_packet::icmp::echo_reply::EchoReplyPacket;
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpType, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

/// Bytes of an echo message before its data (RFC 792, RFC 4443).
pub(crate) const ECHO_HEADER_BYTES: usize = 8;
/// Bytes of the random cookie at the start of an echo's data.
pub(crate) const COOKIE_BYTES: usize = 16;

/// Version of IP, and so of ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    const fn echo_request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn echo_reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }

    /// Types of the errors that may answer a request: RFC 792; RFC 4443 section 2.1.
    pub(crate) const fn error_types(self) -> &'static [u8] {
        match self {
            Self::V4 => &[3, 11, 12],
            Self::V6 => &[1, 2, 3, 4],
        }
    }

    /// Every type that a ping wants to read.
    pub(crate) fn wanted_types(self) -> impl Iterator<Item = u8> {
        self.error_types().iter().copied().chain([self.echo_reply()])
    }
}

/// An echo message: a reply, or the request that an error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo<'a> {
    pub identifier: u16,
    pub sequence: u16,
    pub data: &'a [u8],
}

/// What came from the network for a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The answer to a request.
    Reply(Echo<'a>),
    /// An error about a request, with as much of it as the sender quoted.
    Error {
        /// Type and code.
        kind: (u8, u8),
        /// Where the quoted request was going.
        destination: IpAddr,
        request: Echo<'a>,
    },
}

/// Writes an echo request: header, cookie, then a pattern that differs in each byte. The kernel fills in the checksum of `ICMPv6`.
pub(crate) fn echo_request(family: Family, identifier: u16, sequence: u16, cookie: &[u8; COOKIE_BYTES], payload_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; ECHO_HEADER_BYTES];
    bytes.extend(cookie.iter().copied().chain((0..=u8::MAX).cycle()).take(payload_bytes));
    if let Some(mut request) = MutableEchoRequestPacket::new(&mut bytes) {
        request.set_icmp_type(IcmpType(family.echo_request()));
        request.set_identifier(identifier);
        request.set_sequence_number(sequence);
    }
    let sum = IcmpPacket::new(&bytes).map_or(0, |packet| checksum(&packet));
    if let (Family::V4, Some(mut request)) = (family, MutableEchoRequestPacket::new(&mut bytes)) {
        request.set_checksum(sum);
    }
    bytes
}

/// The checksum of a message in which words that were 0 are set, from what it was before (RFC 1624).
pub(crate) fn checksum_with(before: u16, words: [u16; 2]) -> u16 {
    let sum = words.into_iter().map(u32::from).fold(u32::from(!before), |sum, word| sum + word);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}

/// A shorter cookie as the start of one of full length.
pub(crate) fn widened<const N: usize>(cookie: [u8; N]) -> [u8; COOKIE_BYTES] {
    let mut wide = [0; COOKIE_BYTES];
    for (to, from) in wide.iter_mut().zip(cookie) {
        *to = from;
    }
    wide
}

/// What a raw IPv4 socket hands over: sender, time to live and the ICMP message inside.
pub(crate) fn strip_ipv4(bytes: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    let header = Ipv4Packet::new(bytes)?;
    let message = ipv4_payload(&header, bytes)?;
    Some((IpAddr::V4(header.get_source()), header.get_ttl(), message))
}

/// Whether the checksum of an `ICMPv4` message is right: a raw socket sees a message before the kernel has checked it.
pub(crate) fn checksum_holds(message: &[u8]) -> bool {
    IcmpPacket::new(message).is_some_and(|packet| checksum(&packet) == packet.get_checksum())
}

/// Reads a message of ICMP; `None` for every other type and for what is malformed.
pub(crate) fn parse(family: Family, bytes: &[u8]) -> Option<Message<'_>> {
    let packet = IcmpPacket::new(bytes)?;
    let kind = packet.get_icmp_type().0;
    let code = packet.get_icmp_code().0;
    if kind == family.echo_reply() && code == 0 {
        return echo(bytes).map(Message::Reply);
    }
    if !family.error_types().contains(&kind) {
        return None;
    }
    let (destination, quoted) = quoted(family, bytes.get(ECHO_HEADER_BYTES..)?)?;
    Some(Message::Error {
        kind: (kind, code),
        destination,
        request: quoted_request(family, quoted)?,
    })
}

/// Reads the echo request that an error quotes, from its ICMP header on.
pub(crate) fn quoted_request(family: Family, bytes: &[u8]) -> Option<Echo<'_>> {
    let packet = IcmpPacket::new(bytes)?;
    (packet.get_icmp_type().0 == family.echo_request()).then(|| echo(bytes)).flatten()
}

fn echo(bytes: &[u8]) -> Option<Echo<'_>> {
    let packet = EchoReplyPacket::new(bytes)?;
    Some(Echo {
        identifier: packet.get_identifier(),
        sequence: packet.get_sequence_number(),
        data: bytes.get(ECHO_HEADER_BYTES..)?,
    })
}

fn quoted(family: Family, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    match family {
        Family::V4 => {
            let header = Ipv4Packet::new(bytes)?;
            let message = ipv4_payload(&header, bytes)?;
            Some((IpAddr::V4(header.get_destination()), message))
        }
        Family::V6 => {
            // Requests leave without extension headers, so none are looked for.
            let header = Ipv6Packet::new(bytes)?;
            if header.get_version() != 6 || header.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
                return None;
            }
            let message = bytes.get(Ipv6Packet::minimum_packet_size()..)?;
            Some((IpAddr::V6(header.get_destination()), message))
        }
    }
}

fn ipv4_payload<'a>(header: &Ipv4Packet<'_>, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let start = usize::from(header.get_header_length()) * 4;
    let is_ours = header.get_version() == 4
        && start >= Ipv4Packet::minimum_packet_size()
        && header.get_next_level_protocol() == IpNextHeaderProtocols::Icmp
        && header.get_fragment_offset() == 0;
    if is_ours { bytes.get(start..) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_fuzz::{Reading, Target};

    use super::*;

    const COOKIE: [u8; COOKIE_BYTES] = *b"0123456789abcdef";

    fn reply_to(family: Family, request: &[u8]) -> Vec<u8> {
        let mut reply = request.to_vec();
        reply[0] = family.echo_reply();
        reply[2..4].fill(0);
        let sum = checksum(&IcmpPacket::new(&reply).unwrap());
        reply[2..4].copy_from_slice(&sum.to_be_bytes());
        reply
    }

    fn ipv4(protocol: u8, destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, protocol, 0, 0, 127, 0, 0, 7];
        packet.extend(destination);
        packet.extend(payload);
        packet
    }

    fn unreachable_v4(quoted: &[u8]) -> Vec<u8> {
        let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
        message.extend(quoted);
        let sum = checksum(&IcmpPacket::new(&message).unwrap());
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    #[test]
    fn a_request_carries_its_numbers_cookie_and_size() {
        let request = echo_request(Family::V4, 0x1234, 7, &COOKIE, 56);
        assert_eq!(request.len(), 64);
        assert!(checksum_holds(&request));
        let echo = quoted_request(Family::V4, &request).unwrap();
        assert_eq!((echo.identifier, echo.sequence), (0x1234, 7));
        assert_eq!(&echo.data[..COOKIE_BYTES], COOKIE);
        assert_eq!(echo_request(Family::V6, 1, 1, &COOKIE, 5).len(), 13);
    }

    #[test]
    fn a_reply_is_read_in_both_families() {
        for family in [Family::V4, Family::V6] {
            let request = echo_request(family, 9, 65_535, &COOKIE, 16);
            let reply = reply_to(family, &request);
            let Some(Message::Reply(echo)) = parse(family, &reply) else {
                panic!("not a reply")
            };
            assert_eq!((echo.identifier, echo.sequence, echo.data), (9, 65_535, &COOKIE[..]));
            assert_eq!(parse(family, &request), None, "our own request, as loopback shows it");
        }
    }

    #[test]
    fn an_error_gives_the_request_it_quotes_even_when_only_eight_bytes_are_quoted() {
        let request = echo_request(Family::V4, 9, 3, &COOKIE, 16);
        for kept in [8, 12, 24] {
            let error = unreachable_v4(&ipv4(1, [127, 0, 0, 9], &request[..kept]));
            let Some(Message::Error { kind, destination, request }) = parse(Family::V4, &error) else {
                panic!("not an error")
            };
            assert_eq!((kind, destination), ((3, 1), "127.0.0.9".parse().unwrap()));
            assert_eq!((request.identifier, request.sequence, request.data), (9, 3, &COOKIE[..kept - 8]));
        }
    }

    #[test]
    fn job_19_malformed_messages_are_nothing() {
        let request = echo_request(Family::V4, 9, 3, &COOKIE, 16);
        let quoted = ipv4(1, [127, 0, 0, 9], &request);
        for cut in 0..28 {
            assert_eq!(parse(Family::V4, &unreachable_v4(&quoted[..cut.min(27)])), None);
        }
        assert_eq!(parse(Family::V4, &unreachable_v4(&ipv4(17, [127, 0, 0, 9], &request))), None, "not ICMP");
        let mut fragment = quoted;
        fragment[7] = 1;
        assert_eq!(parse(Family::V4, &unreachable_v4(&fragment)), None, "not the first fragment");
        let mut short_header = ipv4(1, [127, 0, 0, 9], &request);
        short_header[0] = 0x41;
        assert_eq!(strip_ipv4(&short_header), None);
        short_header[0] = 0x4f;
        assert_eq!(strip_ipv4(&short_header), None, "a header longer than the packet");
    }

    #[test]
    fn job_19_a_wrong_checksum_is_seen() {
        let mut reply = reply_to(Family::V4, &echo_request(Family::V4, 9, 3, &COOKIE, 56));
        assert!(checksum_holds(&reply));
        reply[20] ^= 1;
        assert!(!checksum_holds(&reply));
        assert!(!checksum_holds(&reply[..3]));
    }

    proptest! {
        #[test]
        fn a_checksum_is_right_after_its_words_are_set(identifier: u16, sequence: u16, payload in 0_usize..100) {
            let plain = echo_request(Family::V4, 0, 0, &COOKIE, payload);
            let set = echo_request(Family::V4, identifier, sequence, &COOKIE, payload);
            let before = u16::from_be_bytes([plain[2], plain[3]]);
            let after = checksum_with(before, [identifier, sequence]);
            let right = u16::from_be_bytes([set[2], set[3]]);
            // 0 and its complement are one number.
            prop_assert!(after == right || [after, right].into_iter().all(|sum| matches!(sum, 0 | u16::MAX)));
        }

        #[test]
        fn job_19_no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160), kind in prop::sample::select(vec![0_u8, 1, 2, 3, 4, 11, 12, 129])) {
            let mut message = bytes;
            if let Some(first) = message.first_mut() {
                *first = kind;
            }
            for family in [Family::V4, Family::V6] {
                if let Some(Message::Reply(echo) | Message::Error { request: echo, .. }) = parse(family, &message) {
                    prop_assert!(echo.data.len() + ECHO_HEADER_BYTES <= message.len());
                }
            }
            if let Some((_, _, inner)) = strip_ipv4(&message) {
                prop_assert!(inner.len() + 20 <= message.len());
            }
            let _ = checksum_holds(&message);
        }
    }

    #[test]
    fn job_19_fuzz_icmp_message() {
        let target = Target::new("icmp_message", include_str!("../../../corpus/packets.txt"));
        target.survives(|packet| {
            let (family, message) = match strip_ipv4(packet) {
                Some((_, _, message)) => (Family::V4, message),
                None => (Family::V6, packet.get(Ipv6Packet::minimum_packet_size()..).unwrap_or_default()),
            };
            let _ = checksum_holds(message);
            let _ = quoted_request(family, message);
            let found = parse(family, message);
            if let Some(Message::Reply(echo) | Message::Error { request: echo, .. }) = found {
                assert!(echo.data.len() + ECHO_HEADER_BYTES <= message.len());
            }
            Reading::of(found.is_some())
        });
    }
}
