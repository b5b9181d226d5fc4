//! The cheaper way of a sweep: requests leave with IP headers of ours, and requests and replies are read where they pass the interfaces.
//!
//! Meanwhile the raw socket, which serves every other flow, is spared the replies to the sweep. What the interfaces show is what passes
//! them: whole packets that no network address translation of this host has changed. So only short requests go this way, and a sweep
//! of which no request is seen leaving takes the other.

use std::io;
use std::net::Ipv4Addr;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::packet::{self, ECHO_HEADER_BYTES, Echo, Message};
use super::{EchoRequest, Family, Fragmentation};
use crate::net::filter::{
    self, AND, ANY_BIT, EQUAL, INDEX_BY_IPV4_HEADER, Kept, LOAD_BYTE, LOAD_BYTE_INDEXED, LOAD_HALF, LOAD_HALF_INDEXED, PROTOCOL_OF_PACKET, Step,
};
use crate::net::ring::{Direction, Frame, Ring, RingSocket};

/// What it needs, opened while privilege lasts.
#[derive(Debug)]
pub(in crate::net) struct TapSockets {
    sender: Socket,
    ring: RingSocket,
}

/// The way, in use by one sweep.
pub(super) struct Tap {
    pub(super) sender: Socket,
    pub(super) ring: Ring,
}

/// Neighbouring identifiers: as many as a power of two, from a multiple of it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identifiers {
    pub first: u16,
    pub count: u16,
}

/// An echo message at an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing<'a> {
    /// A request that leaves.
    Request { destination: Ipv4Addr, echo: Echo<'a> },
    /// A reply that comes.
    Reply { source: Ipv4Addr, echo: Echo<'a> },
}

impl TapSockets {
    /// Opens it; needs the right to raw sockets.
    pub(super) fn open() -> io::Result<Self> {
        // Of this protocol the kernel takes headers from us, and hands over no packets.
        let sender = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
        sender.set_nonblocking(true)?;
        Ok(Self {
            sender,
            ring: RingSocket::open()?,
        })
    }
}

impl Tap {
    /// Begins to hear the echo messages with these identifiers: there is room for the replies of so many targets, of so many bytes each, and
    /// for as many requests as may be on their way out, however late they are read.
    pub(super) fn begin(sockets: TapSockets, identifiers: Identifiers, targets: usize, bytes: usize) -> io::Result<Self> {
        let ring = Ring::begin(sockets.ring, &those_of(identifiers), targets.saturating_add(LEAVING), bytes)?;
        Ok(Self { sender: sockets.sender, ring })
    }

    /// Ends it, for the next sweep to begin.
    pub(super) fn end(self) -> io::Result<TapSockets> {
        let ring = self.ring.end()?;
        Ok(TapSockets { sender: self.sender, ring })
    }
}

/// Whether requests can go this way: they and their replies must pass every link whole (RFC 791 asks each host for 576 bytes).
pub(super) const fn is_short(request: &EchoRequest) -> bool {
    IP_HEADER_BYTES + ECHO_HEADER_BYTES + request.payload_bytes <= WHOLE_BYTES
}

/// The IP header of a request; the kernel fills in length, checksum and source.
pub(super) fn header(request: &EchoRequest, index: u32, target: Ipv4Addr) -> [u8; IP_HEADER_BYTES] {
    // The code point is the upper six bits; the lower two are ECN's (RFC 3168).
    let class = request.dscp << 2;
    let flags = match request.fragmentation {
        Fragmentation::Allowed => 0,
        Fragmentation::Forbidden => DONT_FRAGMENT,
    };
    // The kernel would choose one in place of 0, which is half the cost of its own header.
    let [high, low] = u16::try_from(index % u32::from(u16::MAX) + 1).unwrap_or(1).to_be_bytes();
    let [a, b, c, d] = target.octets();
    [0x45, class, 0, 0, high, low, flags, 0, request.ttl, ICMP_PROTOCOL, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

/// Reads a packet at an interface; `None` for everything but echo messages on their way.
pub(super) fn passing<'a>(frame: &Frame<'a>) -> Option<Passing<'a>> {
    let total = u16::from_be_bytes(frame.bytes.get(2..4)?.try_into().ok()?);
    // Behind a short packet stands what fills its frame.
    let bytes = frame.bytes.get(..usize::from(total))?;
    let (_, _, message) = packet::strip_ipv4(bytes)?;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    match frame.direction {
        Direction::Out => Some(Passing::Request {
            destination: address(16)?,
            echo: packet::quoted_request(Family::V4, message)?,
        }),
        Direction::In => match packet::parse(Family::V4, message).filter(|_| packet::checksum_holds(message))? {
            Message::Reply(echo) => Some(Passing::Reply { source: address(12)?, echo }),
            Message::Error { .. } => None,
        },
    }
}

/// For the ring: whole echo messages with these identifiers.
fn those_of(identifiers: Identifiers) -> Vec<SockFilter> {
    let head = [
        Step::Do(LOAD_HALF, PROTOCOL_OF_PACKET),
        Step::Only(EQUAL, ETHERNET_IPV4),
        Step::Do(LOAD_BYTE, 9),
        Step::Only(EQUAL, ICMP_PROTOCOL.into()),
        Step::Do(LOAD_HALF, 6),
        Step::Not(ANY_BIT, FRAGMENT),
        Step::Do(INDEX_BY_IPV4_HEADER, 0),
        Step::Do(LOAD_BYTE_INDEXED, 0),
        // Of a request (8) or a reply (0).
        Step::Not(ANY_BIT, 0xf7),
    ];
    let kept = Kept {
        passing: KEPT_BYTES,
        others: 0,
    };
    filter::compile(&[&head[..], &with_identifier(identifiers)].concat(), kept)
}

/// For the raw socket: everything but replies with these identifiers.
pub(super) fn all_but(identifiers: Identifiers) -> Vec<SockFilter> {
    let head = [Step::Do(INDEX_BY_IPV4_HEADER, 0), Step::Do(LOAD_BYTE_INDEXED, 0), Step::Only(EQUAL, ECHO_REPLY)];
    let kept = Kept { passing: 0, others: u32::MAX };
    filter::compile(&[&head[..], &with_identifier(identifiers)].concat(), kept)
}

fn with_identifier(identifiers: Identifiers) -> [Step; 3] {
    [
        Step::Do(LOAD_HALF_INDEXED, 4),
        Step::Do(AND, u32::from(!(identifiers.count - 1))),
        Step::Only(EQUAL, identifiers.first.into()),
    ]
}

pub(super) const IP_HEADER_BYTES: usize = 20;
/// More requests than leave without having been seen.
const LEAVING: usize = 2_048;
const ICMP_PROTOCOL: u8 = 1;
const ECHO_REPLY: u32 = 0;
const DONT_FRAGMENT: u8 = 0x40;
/// More fragments, or an offset.
const FRAGMENT: u32 = 0x3fff;
const WHOLE_BYTES: usize = 576;
/// The longest header of IPv4, and the longest request that goes this way.
const KEPT_BYTES: u32 = 60 + 576;
const ETHERNET_IPV4: u32 = 0x0800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::icmp::packet::COOKIE_BYTES;

    const COOKIE: [u8; COOKIE_BYTES] = *b"0123456789abcdef";

    fn request(payload_bytes: usize) -> EchoRequest {
        EchoRequest {
            payload_bytes,
            ttl: 9,
            dscp: 46,
            fragmentation: Fragmentation::Forbidden,
            first: (0, 0),
        }
    }

    /// A request as the interface sees it, with a filler behind.
    fn at_interface(direction: Direction, edit: impl FnOnce(&mut Vec<u8>)) -> Option<(u16, u16)> {
        let mut bytes = header(&request(16), 65_535, Ipv4Addr::new(198, 18, 0, 7)).to_vec();
        bytes.extend(packet::echo_request(Family::V4, 0x1234, 7, &COOKIE, 16));
        let total = u16::try_from(bytes.len()).unwrap();
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes.extend([0xff; 2]);
        edit(&mut bytes);
        let frame = Frame {
            at_ns: 1,
            direction,
            interface: 1,
            bytes: &bytes,
        };
        passing(&frame).map(|passing| match passing {
            Passing::Request { destination, echo } => {
                assert_eq!(destination, Ipv4Addr::new(198, 18, 0, 7));
                (echo.identifier, echo.sequence)
            }
            Passing::Reply { source, echo } => {
                assert_eq!(source, Ipv4Addr::UNSPECIFIED);
                (echo.identifier, echo.sequence)
            }
        })
    }

    /// Makes a reply of a request: the type, and the checksum that follows from it.
    fn replied(bytes: &mut [u8]) {
        bytes[20] = 0;
        let sum = u16::from_be_bytes([bytes[22], bytes[23]]);
        let (sum, carried) = sum.overflowing_add(8 << 8);
        bytes[22..24].copy_from_slice(&(sum + u16::from(carried)).to_be_bytes());
    }

    #[test]
    fn requests_that_leave_and_replies_that_come_are_read_and_nothing_else() {
        assert_eq!(at_interface(Direction::Out, |_| {}), Some((0x1234, 7)));
        assert_eq!(at_interface(Direction::In, |bytes| replied(bytes)), Some((0x1234, 7)));
        assert_eq!(at_interface(Direction::In, |_| {}), None, "a request that comes, as over loopback");
        assert_eq!(at_interface(Direction::Out, |bytes| replied(bytes)), None, "a reply that leaves");
        assert_eq!(at_interface(Direction::In, |bytes| bytes[20] = 0), None, "a wrong checksum");
        assert_eq!(at_interface(Direction::Out, |bytes| bytes[3] = 200), None, "cut short");
        assert_eq!(at_interface(Direction::Out, |bytes| bytes.truncate(3)), None);
    }

    #[test]
    fn a_header_says_what_was_asked_for_and_its_number_is_never_zero() {
        for index in [0, 1, 65_534, 65_535, 131_070, u32::MAX] {
            let header = header(&request(0), index, Ipv4Addr::LOCALHOST);
            assert_ne!(header[4..6], [0, 0], "{index}");
            assert_eq!((header[1], header[6], header[8], &header[16..]), (46 << 2, 0x40, 9, &[127, 0, 0, 1][..]));
        }
        assert!(is_short(&request(548)) && !is_short(&request(549)));
    }
}
