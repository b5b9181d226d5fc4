//! Errors of ICMP: what they quote, and how well.

use std::net::IpAddr;

use pnet_packet::ip::IpNextHeaderProtocols;

use crate::header::{self, Header};
use crate::node::Station;

/// What an error says, in the numbers of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    TimeExceeded,
    PortUnreachable,
    TooBig(u16),
    /// Type and code as the world's author wrote them.
    Said((u8, u8)),
}

impl Complaint {
    const fn numbers(self, is_v4: bool) -> (u8, u8) {
        match (self, is_v4) {
            (Self::TimeExceeded, true) => (11, 0),
            (Self::TimeExceeded, false) => (3, 0),
            (Self::PortUnreachable, true) => (3, 3),
            (Self::PortUnreachable, false) => (1, 4),
            (Self::TooBig(_), true) => (3, 4),
            (Self::TooBig(_), false) => (2, 0),
            (Self::Said(numbers), _) => numbers,
        }
    }

    /// The four bytes after the checksum: the length of what is quoted where RFC 4884 has a place for it, and the MTU.
    fn rest(self, is_v4: bool, numbers: (u8, u8), extended: Option<usize>) -> [u8; 4] {
        let words = |size: usize| extended.and_then(|bytes| u8::try_from(bytes / size).ok()).unwrap_or(0);
        let mtu = match self {
            Self::TooBig(mtu) => mtu,
            Self::TimeExceeded | Self::PortUnreachable | Self::Said(_) => 0,
        };
        let [high, low] = mtu.to_be_bytes();
        match (is_v4, numbers.0) {
            (true, _) => [0, words(4), high, low],
            (false, 2) => [0, 0, high, low],
            (false, _) => [words(8), 0, 0, 0],
        }
    }
}

/// The error by which a station complains to `to` about a packet as it quotes it; none if it has no address of that family.
pub(crate) fn error(station: &Station, complaint: Complaint, from: IpAddr, to: IpAddr, quoted: &[u8]) -> Option<Vec<u8>> {
    let about = Header::read(quoted)?;
    let is_v4 = about.is_v4();
    let numbers = complaint.numbers(is_v4);
    let quote = quote(station, &about, quoted);
    // Packet-too-big of IPv6 has no place for a length, so it carries no structure.
    let extended = !station.extension.is_empty() && (is_v4 || numbers.0 != 2);
    let mut shown = quote;
    if extended {
        let unit = if is_v4 { 4 } else { 8 };
        // RFC 4884 section 4: at least 128 bytes, and a structure of old implementations is looked for behind exactly as many.
        shown.truncate(EXTENDED_QUOTE);
        shown.resize(EXTENDED_QUOTE.next_multiple_of(unit), 0);
    }
    let mut message = vec![numbers.0, numbers.1, 0, 0];
    message.extend(complaint.rest(is_v4, numbers, extended.then_some(shown.len())));
    message.extend(shown);
    if extended {
        message.extend(&station.extension);
    }
    let protocol = if is_v4 { IpNextHeaderProtocols::Icmp } else { IpNextHeaderProtocols::Icmpv6 };
    let mut packet = header::wrap(from, to, protocol, &message)?;
    header::sum_transport(&mut packet);
    Some(packet)
}

fn quote(station: &Station, about: &Header, packet: &[u8]) -> Vec<u8> {
    let wrong = &station.node.quoted;
    let mut quote = packet.to_vec();
    if wrong.dscp.is_some() || wrong.ecn.is_some() {
        header::set_marks(&mut quote, wrong.dscp, wrong.ecn);
    }
    if wrong.source.is_some() || wrong.destination.is_some() {
        header::set_addresses(&mut quote, wrong.source, wrong.destination);
    }
    if let Some(ttl) = wrong.ttl {
        header::set_ttl(&mut quote, ttl);
    }
    if let (Some(checksum), true) = (wrong.header_checksum, about.is_v4()) {
        header::set_header_checksum(&mut quote, checksum);
    }
    if let (Some(checksum), Some(offset)) = (wrong.checksum, checksum_offset(about)) {
        let start = about.bytes + offset;
        if let Some(place) = quote.get_mut(start..start + 2) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
    }
    // RFC 1812 section 4.3.2.3: not more than 576 bytes with the error's own headers; RFC 4443: not more than the least MTU.
    let most = if about.is_v4() { 576 - 28 } else { 1_280 - 48 };
    let wanted = station.node.quotes.map_or(most, |payload| about.bytes.saturating_add(payload));
    quote.truncate(wanted.min(most));
    quote
}

/// Where the checksum stands in a transport header.
pub(crate) fn checksum_offset(header: &Header) -> Option<usize> {
    match header.protocol {
        IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => Some(2),
        IpNextHeaderProtocols::Udp => Some(6),
        IpNextHeaderProtocols::Tcp => Some(16),
        _ => None,
    }
}

/// Whether a transport header begins with ports.
pub(crate) fn has_ports(header: &Header) -> bool {
    matches!(header.protocol, IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::Tcp)
}

/// Bytes of the quoted packet in an error with a structure behind it.
const EXTENDED_QUOTE: usize = 128;
