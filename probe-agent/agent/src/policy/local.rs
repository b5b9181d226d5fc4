//! The host's own addresses, its broadcast addresses and its gateways: targets only by the owner's word.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Addresses that are this host, or its next hop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// Addresses of its interfaces.
    pub own: BTreeSet<IpAddr>,
    /// Its gateways.
    pub gateways: BTreeSet<IpAddr>,
    /// Broadcast addresses of its networks.
    pub broadcast: BTreeSet<IpAddr>,
}

impl LocalAddresses {
    /// Reads them from the host as it is at the moment.
    pub fn read() -> Self {
        let mut read = Self::default();
        for interface in getifaddrs().into_iter().flatten() {
            read.own.extend(interface.address.as_ref().and_then(ip_of));
            read.broadcast.extend(interface.broadcast.as_ref().and_then(ip_of));
        }
        let table = |path| std::fs::read_to_string(path).unwrap_or_default();
        read.gateways.extend(table("/proc/net/route").lines().filter_map(gateway_v4));
        read.gateways.extend(table("/proc/net/ipv6_route").lines().filter_map(gateway_v6));
        // On a point-to-point link the peer stands where others have their broadcast address; where no such address is set, the own one does.
        read.broadcast.retain(|address| !read.gateways.contains(address) && !read.own.contains(address));
        read
    }

    /// Whether an address is this host or its next hop.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(&address) || self.gateways.contains(&address)
    }

    /// Whether an address is the broadcast address of one of the host's networks.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        self.broadcast.contains(&address)
    }
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// A line of `/proc/net/route`: the gateway is the third column, in the host's byte order.
fn gateway_v4(line: &str) -> Option<IpAddr> {
    let column = line.split_ascii_whitespace().nth(2)?;
    let address = Ipv4Addr::from(u32::from_str_radix(hexadecimal(column, 8)?, 16).ok()?.to_ne_bytes());
    (!address.is_unspecified()).then_some(IpAddr::V4(address))
}

/// A line of `/proc/net/ipv6_route`: the next hop is the fifth column.
fn gateway_v6(line: &str) -> Option<IpAddr> {
    let column = line.split_ascii_whitespace().nth(4)?;
    let address = Ipv6Addr::from(u128::from_str_radix(hexadecimal(column, 32)?, 16).ok()?);
    (!address.is_unspecified()).then_some(IpAddr::V6(address))
}

fn hexadecimal(text: &str, digits: usize) -> Option<&str> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_one_of_the_hosts_own() {
        assert!(LocalAddresses::read().own.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn gateways_are_read_from_the_kernels_tables() {
        let line = format!("eth0\t00000000\t{:08X}\t0003\t0\t0\t100\t00000000\t0\t0\t0", u32::from_ne_bytes([192, 0, 2, 1]));
        assert_eq!(gateway_v4(&line), Some("192.0.2.1".parse().unwrap()));
        for line in [
            "Iface\tDestination\tGateway \tFlags",
            "eth0\t0002A8C0\t00000000\t0001",
            "",
            "a b c",
            "a b +1234567",
        ] {
            assert_eq!(gateway_v4(line), None, "{line}");
        }
        let line = format!(
            "{0} 00 {0} 00 20010db8000000000000000000000001 00000400 00000002 00000000 00000003 eth0",
            "0".repeat(32)
        );
        assert_eq!(gateway_v6(&line), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(gateway_v6(&line.replace("20010db8000000000000000000000001", &"0".repeat(32))), None);
        assert_eq!(gateway_v6("x"), None);
    }
}
