//! Whether the host has a way to an address, and from which of its own it would send, asked of the kernel without a packet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether the kernel has a route.
pub(crate) fn exists(address: IpAddr) -> bool {
    source(address).is_ok()
}

/// The address that packets to another leave from: connecting a datagram socket looks up the route and sends nothing.
pub(crate) fn source(address: IpAddr) -> io::Result<IpAddr> {
    let local: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(local, 0))?;
    socket.connect(SocketAddr::new(address, DISCARD_PORT))?;
    Ok(socket.local_addr()?.ip())
}

/// Any port but 0 will do; this one is the discard service (RFC 863).
const DISCARD_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_route_to_loopback() {
        assert!(exists(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(source(Ipv4Addr::new(127, 0, 0, 9).into()).unwrap(), Ipv4Addr::LOCALHOST);
    }
}
