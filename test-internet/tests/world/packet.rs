//! Packets as an observer sends them, written out by hand so that the crate under test is not its own witness.

use std::net::IpAddr;

/// What a test looks at.
pub(crate) struct Parsed {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) class: u8,
    /// Type and code, where it is ICMP.
    pub(crate) kind: (u8, u8),
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn parse(packet: &[u8]) -> Parsed {
    let octets = |at: usize| -> IpAddr {
        if packet[0] >> 4 == 4 {
            IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap())
        } else {
            IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap())
        }
    };
    let is_v4 = packet[0] >> 4 == 4;
    let payload = packet[if is_v4 { 20 } else { 40 }..].to_vec();
    Parsed {
        source: octets(if is_v4 { 12 } else { 8 }),
        destination: octets(if is_v4 { 16 } else { 24 }),
        ttl: packet[if is_v4 { 8 } else { 7 }],
        class: if is_v4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 },
        kind: (payload[0], payload[1]),
        payload,
    }
}

/// Sum of sixteen-bit words in ones' complement; 0 over what holds its own checksum.
fn sum(bytes: impl IntoIterator<Item = u8>) -> u16 {
    let bytes: Vec<u8> = bytes.into_iter().collect();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

/// Whether header and transport checksums of a packet hold.
pub(crate) fn sum_is_right(packet: &[u8]) -> bool {
    if packet[0] >> 4 == 4 {
        let header = sum(packet[..20].iter().copied()) == 0;
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]])) == packet.len();
        let payload = &packet[20..];
        let right = match packet[9] {
            1 => sum(payload.iter().copied()),
            protocol => sum(pseudo(&packet[12..20], protocol, payload)),
        };
        header && total && right == 0
    } else {
        let payload = &packet[40..];
        sum(pseudo(&packet[8..40], packet[6], payload)) == 0
    }
}

fn pseudo(addresses: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [addresses, &length, &[0, 0, 0, protocol], payload].concat()
}

pub(crate) fn echo(from: &str, to: &str, ttl: u8, identifier: u16, sequence: u16, data: usize) -> Vec<u8> {
    let is_v4 = !to.contains(':');
    let mut message = vec![if is_v4 { 8 } else { 128 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend((0..data).map(|at| u8::try_from(at % 251).unwrap()));
    wrap(from, to, ttl, if is_v4 { 1 } else { 58 }, message, 2)
}

pub(crate) fn udp(from: &str, to: &str, ttl: u8, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    datagram.extend(u16::try_from(8 + data.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    wrap(from, to, ttl, 17, datagram, 6)
}

pub(crate) fn tcp_syn(from: &str, to: &str, ttl: u8, source: u16, destination: u16, sequence: u32) -> Vec<u8> {
    let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    wrap(from, to, ttl, 6, segment, 16)
}

fn wrap(from: &str, to: &str, ttl: u8, protocol: u8, mut payload: Vec<u8>, checksum: usize) -> Vec<u8> {
    let octets = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let addresses = [octets(from), octets(to)].concat();
    let covered = if protocol == 1 {
        payload.clone()
    } else {
        pseudo(&addresses, protocol, &payload)
    };
    payload[checksum..checksum + 2].copy_from_slice(&sum(covered).to_be_bytes());
    let length = u16::try_from(payload.len()).unwrap();
    let mut packet = if addresses.len() == 8 {
        let total = (length + 20).to_be_bytes();
        vec![0x45, 0, total[0], total[1], 0, 1, 0x40, 0, ttl, protocol, 0, 0]
    } else {
        let length = length.to_be_bytes();
        vec![0x60, 0, 0, 0, length[0], length[1], protocol, ttl]
    };
    packet.extend(addresses);
    if packet[0] >> 4 == 4 {
        sum_header(&mut packet);
    }
    packet.extend(payload);
    packet
}

pub(crate) fn sum_header(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let right = sum(packet[..20].iter().copied());
    packet[10..12].copy_from_slice(&right.to_be_bytes());
}
