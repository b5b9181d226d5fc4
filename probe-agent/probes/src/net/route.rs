//! Whether the host has a way to an address, asked of the kernel without a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether the kernel has a route: connecting a datagram socket looks one up and sends nothing.
pub(crate) fn exists(address: IpAddr) -> bool {
    let local: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind(SocketAddr::new(local, 0)).is_ok_and(|socket| socket.connect(SocketAddr::new(address, DISCARD_PORT)).is_ok())
}

/// Any port but 0 will do; this one is the discard service (RFC 863).
const DISCARD_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_route_to_loopback() {
        assert!(exists(Ipv4Addr::LOCALHOST.into()));
    }
}
