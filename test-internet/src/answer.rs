//! What a host answers, and what can be wrong with an answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::icmp::{IcmpPacket, IcmpType, MutableIcmpPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::tcp::TcpPacket;

use crate::chance::Chance;
use crate::description::{Mangle, Node};
use crate::header::{self, Header};
use crate::icmp::{Complaint, checksum_offset};
use crate::transport;
use crate::truth::Cause;

/// What a host does about a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Answer(Vec<u8>),
    Complains(Complaint),
    Nothing(Cause),
}

impl Reaction {
    pub(crate) fn of(answer: Option<Vec<u8>>) -> Self {
        answer.map_or(Self::Nothing(Cause::Filtered), Self::Answer)
    }
}

/// Whether a packet is of those that are answered at all: errors, resets and acknowledgements are not.
pub(crate) fn asks(header: &Header, packet: &[u8]) -> bool {
    let Some(payload) = packet.get(header.bytes..) else { return false };
    match header.protocol {
        IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => payload.first() == Some(&echo_request(header)),
        IpNextHeaderProtocols::Tcp => TcpPacket::new(payload).is_some_and(|segment| transport::asks(&segment, payload.len())),
        _ => true,
    }
}

/// What a host does about a packet that has reached it.
pub(crate) fn host(node: &Node, header: &Header, packet: &[u8], at: u64) -> Reaction {
    let payload = packet.get(header.bytes..).unwrap_or_default();
    match header.protocol {
        IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 if node.echo => Reaction::of(echo(header, packet)),
        IpNextHeaderProtocols::Udp => transport::udp(&node.udp, header, payload),
        IpNextHeaderProtocols::Tcp => transport::tcp(&node.tcp, header, payload, at),
        _ => Reaction::Nothing(Cause::Filtered),
    }
}

fn echo(header: &Header, packet: &[u8]) -> Option<Vec<u8>> {
    let kind = if header.is_v4() { 0 } else { 129 };
    let mut reply = packet.to_vec();
    header::set_addresses(&mut reply, Some(header.destination), Some(header.source));
    let message = reply.get_mut(header.bytes..)?;
    let mut message = MutableIcmpPacket::new(message)?;
    message.set_icmp_type(IcmpType(kind));
    header::sum_transport(&mut reply);
    Some(reply)
}

const fn echo_request(header: &Header) -> u8 {
    if header.is_v4() { 8 } else { 128 }
}

/// Makes an answer wrong; its checksums are right all the same, but for the one that is to be wrong.
pub(crate) fn mangle(answer: &mut Vec<u8>, how: Mangle, chance: &mut Chance) {
    let Some(header) = Header::read(answer) else { return };
    match how {
        Mangle::Truncated => truncate(answer, &header),
        Mangle::Checksum => {
            let place = checksum_offset(&header).and_then(|offset| answer.get_mut(header.bytes + offset));
            if let Some(byte) = place {
                *byte ^= 0x55;
            }
            return;
        }
        Mangle::Source => {
            let stranger = match header.source {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66)),
            };
            header::set_addresses(answer, Some(stranger), None);
        }
        Mangle::Garbage => {
            let noise = answer.get_mut(header.bytes + 8..).unwrap_or_default();
            chance.fill(noise);
        }
        Mangle::Identifier => change(answer, &header, Word::Identifier),
        Mangle::Early => change(answer, &header, Word::Sequence),
    }
    header::sum_transport(answer);
}

/// Which sixteen bits of the observer's own probe are changed in its answer.
#[derive(Clone, Copy)]
enum Word {
    /// Identifier of an echo; the observer's port.
    Identifier,
    /// Sequence number of an echo; the port that it asks.
    Sequence,
}

fn change(answer: &mut [u8], header: &Header, word: Word) {
    let Some(message) = answer.get_mut(header.bytes..) else { return };
    let is_echo = matches!(message.first(), Some(0 | 129)) && IcmpPacket::new(message).is_some();
    let is_icmp = matches!(header.protocol, IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6);
    let place = if is_icmp && is_echo {
        Some((0, true))
    } else if is_icmp {
        quoted_transport(message)
    } else {
        // The observer's port is where the answer goes to.
        return add_one(message, if matches!(word, Word::Identifier) { 2 } else { 0 });
    };
    let Some((start, is_echo)) = place else { return };
    let offset = match (word, is_echo) {
        (Word::Identifier, true) => 4,
        (Word::Sequence, true) => 6,
        (Word::Identifier, false) => 0,
        (Word::Sequence, false) => 2,
    };
    add_one(message, start + offset);
}

/// Where the transport header of a quoted packet begins, and whether it is ICMP's.
fn quoted_transport(message: &[u8]) -> Option<(usize, bool)> {
    let quoted = message.get(8..)?;
    let (bytes, protocol) = match quoted.first()? >> 4 {
        4 => (usize::from(quoted.first()? & 15) * 4, *quoted.get(9)?),
        _ => (40, *quoted.get(6)?),
    };
    Some((8 + bytes, matches!(protocol, 1 | 58)))
}

fn add_one(message: &mut [u8], at: usize) {
    if let Some(place) = message.get_mut(at..at + 2) {
        let value = place.iter().fold(0_u16, |value, byte| value << 8 | u16::from(*byte));
        place.copy_from_slice(&value.wrapping_add(1).to_be_bytes());
    }
}

/// Keeps half of what is behind the IP header; the header says so, because no kernel would pass on what is shorter than it says.
fn truncate(answer: &mut Vec<u8>, header: &Header) {
    let kept = answer.len().saturating_sub(header.bytes) / 2;
    let payload = answer.get(header.bytes..header.bytes + kept).unwrap_or_default().to_vec();
    if let Some(shorter) = header::wrap(header.source, header.destination, header.protocol, &payload) {
        *answer = shorter;
    }
}
