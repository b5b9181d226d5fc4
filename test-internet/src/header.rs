//! The IP header of a packet: read once, and the few fields that are rewritten on the way.

use std::net::IpAddr;

use pnet_packet::icmp::{IcmpPacket, MutableIcmpPacket};
use pnet_packet::icmpv6::{Icmpv6Packet, MutableIcmpv6Packet};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{Ipv4Flags, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{MutableTcpPacket, TcpPacket};
use pnet_packet::udp::{MutableUdpPacket, UdpPacket};
use pnet_packet::{icmp, icmpv6, ipv4, tcp, udp};

/// What matters of an IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: IpNextHeaderProtocol,
    pub(crate) ttl: u8,
    /// Bytes before the transport header.
    pub(crate) bytes: usize,
    /// Flow label of IPv6.
    pub(crate) label: u32,
    /// Whether routers may not fragment it.
    pub(crate) whole: bool,
}

impl Header {
    /// Reads a packet that is all there; `None` for anything else, and for fragments.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let header = Ipv4Packet::new(packet)?;
        let bytes = usize::from(header.get_header_length()) * 4;
        let total = usize::from(header.get_total_length());
        let fragment = header.get_fragment_offset() != 0 || header.get_flags() & Ipv4Flags::MoreFragments != 0;
        if bytes < Ipv4Packet::minimum_packet_size() || total < bytes || total != packet.len() || fragment {
            return None;
        }
        Some(Self {
            source: IpAddr::V4(header.get_source()),
            destination: IpAddr::V4(header.get_destination()),
            protocol: header.get_next_level_protocol(),
            ttl: header.get_ttl(),
            bytes,
            label: 0,
            whole: header.get_flags() & Ipv4Flags::DontFragment != 0,
        })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        let header = Ipv6Packet::new(packet)?;
        let bytes = Ipv6Packet::minimum_packet_size();
        if bytes + usize::from(header.get_payload_length()) != packet.len() {
            return None;
        }
        Some(Self {
            source: IpAddr::V6(header.get_source()),
            destination: IpAddr::V6(header.get_destination()),
            protocol: header.get_next_header(),
            ttl: header.get_hop_limit(),
            bytes,
            label: header.get_flow_label(),
            whole: true,
        })
    }

    pub(crate) const fn is_v4(&self) -> bool {
        self.destination.is_ipv4()
    }

    /// The first four bytes of the transport header, which routers take for a flow's.
    pub(crate) fn ports(&self, packet: &[u8]) -> Option<[u8; 4]> {
        packet.get(self.bytes..)?.first_chunk().copied()
    }
}

/// A packet around a transport header and its data; time to live and checksums are put in when it leaves.
pub(crate) fn wrap(source: IpAddr, destination: IpAddr, protocol: IpNextHeaderProtocol, payload: &[u8]) -> Option<Vec<u8>> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0; Ipv4Packet::minimum_packet_size()];
            packet.extend(payload);
            let total = u16::try_from(packet.len()).ok()?;
            let mut header = MutableIpv4Packet::new(&mut packet)?;
            header.set_version(4);
            header.set_header_length(5);
            header.set_total_length(total);
            header.set_next_level_protocol(protocol);
            header.set_source(source);
            header.set_destination(destination);
            Some(packet)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0; Ipv6Packet::minimum_packet_size()];
            packet.extend(payload);
            let length = u16::try_from(payload.len()).ok()?;
            let mut header = MutableIpv6Packet::new(&mut packet)?;
            header.set_version(6);
            header.set_payload_length(length);
            header.set_next_header(protocol);
            header.set_source(source);
            header.set_destination(destination);
            Some(packet)
        }
        _ => None,
    }
}

/// Writes the time to live, and the checksum of the header.
pub(crate) fn set_ttl(packet: &mut [u8], ttl: u8) {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            if let Some(mut header) = MutableIpv4Packet::new(packet) {
                header.set_ttl(ttl);
            }
            sum_header(packet);
        }
        _ => {
            if let Some(mut header) = MutableIpv6Packet::new(packet) {
                header.set_hop_limit(ttl);
            }
        }
    }
}

/// Writes what is given of the traffic class.
pub(crate) fn set_marks(packet: &mut [u8], dscp: Option<u8>, ecn: Option<u8>) {
    let mark = |old: u8| dscp.unwrap_or(old >> 2) << 2 | ecn.unwrap_or(old) & 3;
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            if let Some(mut header) = MutableIpv4Packet::new(packet) {
                let class = mark(header.get_dscp() << 2 | header.get_ecn());
                header.set_dscp(class >> 2);
                header.set_ecn(class & 3);
            }
            sum_header(packet);
        }
        _ => {
            if let Some(mut header) = MutableIpv6Packet::new(packet) {
                let class = mark(header.get_traffic_class());
                header.set_traffic_class(class);
            }
        }
    }
}

/// Writes addresses of its own family, and the checksum of the header.
pub(crate) fn set_addresses(packet: &mut [u8], source: Option<IpAddr>, destination: Option<IpAddr>) {
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        if let Some(mut header) = MutableIpv4Packet::new(packet) {
            if let Some(IpAddr::V4(source)) = source {
                header.set_source(source);
            }
            if let Some(IpAddr::V4(destination)) = destination {
                header.set_destination(destination);
            }
        }
        sum_header(packet);
    } else if let Some(mut header) = MutableIpv6Packet::new(packet) {
        if let Some(IpAddr::V6(source)) = source {
            header.set_source(source);
        }
        if let Some(IpAddr::V6(destination)) = destination {
            header.set_destination(destination);
        }
    }
}

/// Writes the checksum of an IPv4 header.
pub(crate) fn set_header_checksum(packet: &mut [u8], checksum: u16) {
    if let Some(mut header) = MutableIpv4Packet::new(packet) {
        header.set_checksum(checksum);
    }
}

fn sum_header(packet: &mut [u8]) {
    // What claims a longer header than it has would not let itself be summed.
    let whole = Ipv4Packet::new(packet).is_some_and(|header| usize::from(header.get_header_length()) * 4 <= packet.len());
    if whole && let Some(mut header) = MutableIpv4Packet::new(packet) {
        let sum = ipv4::checksum(&header.to_immutable());
        header.set_checksum(sum);
    }
}

/// Writes the checksum of the transport header of a packet that is all there.
pub(crate) fn sum_transport(packet: &mut [u8]) {
    let Some(header) = Header::read(packet) else { return };
    let Some(payload) = packet.get_mut(header.bytes..) else { return };
    let ends = (header.source, header.destination);
    match header.protocol {
        IpNextHeaderProtocols::Icmp => {
            let sum = IcmpPacket::new(payload).map(|message| icmp::checksum(&message));
            if let (Some(sum), Some(mut message)) = (sum, MutableIcmpPacket::new(payload)) {
                message.set_checksum(sum);
            }
        }
        IpNextHeaderProtocols::Icmpv6 => {
            let sum = match ends {
                (IpAddr::V6(source), IpAddr::V6(destination)) => Icmpv6Packet::new(payload).map(|message| icmpv6::checksum(&message, &source, &destination)),
                _ => None,
            };
            if let (Some(sum), Some(mut message)) = (sum, MutableIcmpv6Packet::new(payload)) {
                message.set_checksum(sum);
            }
        }
        IpNextHeaderProtocols::Udp => {
            let sum = UdpPacket::new(payload).and_then(|datagram| match ends {
                (IpAddr::V4(source), IpAddr::V4(destination)) => Some(udp::ipv4_checksum(&datagram, &source, &destination)),
                (IpAddr::V6(source), IpAddr::V6(destination)) => Some(udp::ipv6_checksum(&datagram, &source, &destination)),
                _ => None,
            });
            if let (Some(sum), Some(mut datagram)) = (sum, MutableUdpPacket::new(payload)) {
                datagram.set_checksum(sum);
            }
        }
        IpNextHeaderProtocols::Tcp => {
            let sum = TcpPacket::new(payload).and_then(|segment| match ends {
                (IpAddr::V4(source), IpAddr::V4(destination)) => Some(tcp::ipv4_checksum(&segment, &source, &destination)),
                (IpAddr::V6(source), IpAddr::V6(destination)) => Some(tcp::ipv6_checksum(&segment, &source, &destination)),
                _ => None,
            });
            if let (Some(sum), Some(mut segment)) = (sum, MutableTcpPacket::new(payload)) {
                segment.set_checksum(sum);
            }
        }
        _ => {}
    }
}
