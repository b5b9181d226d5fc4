//! What TCP and UDP answer: enough of both for a probe to see a port, and no more.

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags, TcpOption, TcpOptionPacket, TcpPacket};
use pnet_packet::udp::{MutableUdpPacket, UdpPacket};

use crate::answer::Reaction;
use crate::description::{Port, Ports};
use crate::header::{self, Header};
use crate::icmp::Complaint;
use crate::truth::Cause;

/// Whether a segment wants an answer: not a reset, nor a bare acknowledgement.
pub(crate) fn asks(segment: &TcpPacket<'_>, bytes: usize) -> bool {
    let flags = segment.get_flags();
    let data = bytes.saturating_sub(usize::from(segment.get_data_offset()) * 4);
    flags & TcpFlags::RST == 0 && (flags & (TcpFlags::SYN | TcpFlags::FIN) != 0 || data > 0)
}

/// What comes of a datagram.
pub(crate) fn udp(ports: &Ports, header: &Header, payload: &[u8]) -> Reaction {
    let Some(datagram) = UdpPacket::new(payload) else {
        return Reaction::Nothing(Cause::Filtered);
    };
    match state(ports, datagram.get_destination()) {
        Port::Filtered => Reaction::Nothing(Cause::Filtered),
        Port::Closed => Reaction::Complains(Complaint::PortUnreachable),
        Port::Open => {
            let data = ports
                .answer
                .clone()
                .unwrap_or_else(|| payload.get(UdpPacket::minimum_packet_size()..).unwrap_or_default().to_vec());
            Reaction::of(datagram_back(header, &datagram, &data))
        }
    }
}

fn datagram_back(header: &Header, asked: &UdpPacket<'_>, data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; UdpPacket::minimum_packet_size()];
    bytes.extend(data);
    let length = u16::try_from(bytes.len()).ok()?;
    let mut datagram = MutableUdpPacket::new(&mut bytes)?;
    datagram.set_source(asked.get_destination());
    datagram.set_destination(asked.get_source());
    datagram.set_length(length);
    back(header, &bytes)
}

/// What comes of a segment.
pub(crate) fn tcp(ports: &Ports, header: &Header, payload: &[u8], at: u64) -> Reaction {
    let Some(segment) = TcpPacket::new(payload) else {
        return Reaction::Nothing(Cause::Filtered);
    };
    let is_first = segment.get_flags() & TcpFlags::SYN != 0;
    match state(ports, segment.get_destination()) {
        Port::Filtered => Reaction::Nothing(Cause::Filtered),
        Port::Open if is_first => Reaction::of(accepted(ports, header, &segment, at)),
        Port::Open => Reaction::of(plain(header, &segment, payload.len(), TcpFlags::FIN | TcpFlags::ACK)),
        Port::Closed => Reaction::of(plain(header, &segment, payload.len(), TcpFlags::RST | TcpFlags::ACK)),
    }
}

fn state(ports: &Ports, port: u16) -> Port {
    if ports.open.contains(&port) {
        Port::Open
    } else if ports.closed.contains(&port) {
        Port::Closed
    } else if ports.filtered.contains(&port) {
        Port::Filtered
    } else {
        ports.others
    }
}

/// A SYN-ACK with the options that the host has.
fn accepted(ports: &Ports, header: &Header, asked: &TcpPacket<'_>, at: u64) -> Option<Vec<u8>> {
    let mut options = Vec::new();
    options.extend(ports.mss.map(TcpOption::mss));
    if ports.selective_acknowledgement {
        options.push(TcpOption::sack_perm());
    }
    if ports.timestamps {
        let milliseconds = u32::try_from(at / 1_000_000 % u64::from(u32::MAX)).ok()?;
        options.push(TcpOption::timestamp(milliseconds, 0));
    }
    options.extend(ports.window_scale.map(TcpOption::wscale));
    let length = options.iter().map(TcpOptionPacket::packet_size).sum::<usize>().next_multiple_of(4);
    let mut bytes = vec![0; TcpPacket::minimum_packet_size() + length];
    let words = u8::try_from(bytes.len() / 4).ok()?;
    let mut segment = MutableTcpPacket::new(&mut bytes)?;
    segment.set_data_offset(words);
    segment.set_options(&options);
    segment.set_source(asked.get_destination());
    segment.set_destination(asked.get_source());
    // A number that differs from port to port and is the same when a world is run again.
    segment.set_sequence(u32::from(asked.get_source()) << 16 | u32::from(asked.get_destination()));
    segment.set_acknowledgement(asked.get_sequence().wrapping_add(1));
    segment.set_flags(TcpFlags::SYN | TcpFlags::ACK);
    segment.set_window(65_535);
    back(header, &bytes)
}

/// A segment without options that acknowledges what it answers.
fn plain(header: &Header, asked: &TcpPacket<'_>, asked_bytes: usize, flags: u8) -> Option<Vec<u8>> {
    let data = asked_bytes.saturating_sub(usize::from(asked.get_data_offset()) * 4);
    let counted = asked.get_flags() & (TcpFlags::SYN | TcpFlags::FIN) != 0;
    let heard = u32::try_from(data).ok()?.wrapping_add(u32::from(counted));
    let mut bytes = vec![0; TcpPacket::minimum_packet_size()];
    let mut segment = MutableTcpPacket::new(&mut bytes)?;
    segment.set_data_offset(5);
    segment.set_source(asked.get_destination());
    segment.set_destination(asked.get_source());
    segment.set_sequence(asked.get_acknowledgement());
    segment.set_acknowledgement(asked.get_sequence().wrapping_add(heard));
    segment.set_flags(flags);
    back(header, &bytes)
}

fn back(header: &Header, payload: &[u8]) -> Option<Vec<u8>> {
    debug_assert!(matches!(header.protocol, IpNextHeaderProtocols::Tcp | IpNextHeaderProtocols::Udp));
    let mut packet = header::wrap(header.destination, header.source, header.protocol, payload)?;
    header::sum_transport(&mut packet);
    Some(packet)
}
