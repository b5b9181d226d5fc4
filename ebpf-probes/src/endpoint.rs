//! The two ends of a socket as the programs tell them, and what the programs are told to look for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aya::{EbpfLoader, Pod};
use shared_protocol::report::{Masked, TcpState};

/// `struct endpoints` of programs/endpoint.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoints {
    pub(crate) local: [u8; 16],
    pub(crate) remote: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) family: u16,
    pub(crate) unused: u16,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Endpoints {}

impl Endpoints {
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.address(&self.local), self.local_port)
    }

    pub(crate) fn remote(&self, masked: &[Masked]) -> SocketAddr {
        let address = self.address(&self.remote);
        let shown = if masked.contains(&Masked::Addresses) { hidden(address) } else { address };
        SocketAddr::new(shown, self.remote_port)
    }

    fn address(&self, bytes: &[u8; 16]) -> IpAddr {
        let [a, b, c, d, ..] = *bytes;
        if self.family == AF_INET {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            // An IPv6 socket may speak with an IPv4 address.
            Ipv6Addr::from(*bytes).to_canonical()
        }
    }
}

/// The state of a connection by the numbers of `include/net/tcp_states.h`.
pub(crate) const fn tcp_state(number: u32) -> TcpState {
    match number {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 | 12 => TcpState::SynReceived,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        11 => TcpState::Closing,
        _ => TcpState::Closed,
    }
}

/// A task's name for itself.
pub(crate) fn command(bytes: &[u8; 16]) -> String {
    text(bytes)
}

/// What the kernel keeps up to a zero, harmless to whoever prints it.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).chars().filter(|character| !character.is_control()).collect()
}

/// An address without its last part.
fn hidden(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
    }
}

/// What the programs are told to look for, in the form in which they read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    port: u16,
    family: u16,
    address: [u8; 16],
}

impl Filter {
    pub(crate) fn new(port: Option<u16>, address: Option<IpAddr>) -> Self {
        let mut bytes = [0; 16];
        let family = match address {
            None => 0,
            Some(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                [bytes[0], bytes[1], bytes[2], bytes[3]] = [a, b, c, d];
                AF_INET
            }
            Some(IpAddr::V6(address)) => {
                bytes = address.octets();
                AF_INET6
            }
        };
        Self {
            port: port.unwrap_or_default(),
            family,
            address: bytes,
        }
    }

    pub(crate) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global("only_port", &self.port, true)
            .override_global("only_family", &self.family, true)
            .override_global("only_address", &self.address, true);
    }
}

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_keeps_its_network_only() {
        for (address, shown) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("127.0.0.1", "127.0.0.0"),
        ] {
            assert_eq!(hidden(address.parse().unwrap()).to_string(), shown);
        }
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_told_as_what_it_is() {
        let ends = Endpoints {
            remote: "::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets(),
            remote_port: 80,
            family: AF_INET6,
            ..Endpoints::default()
        };
        assert_eq!(ends.remote(&[]).to_string(), "192.0.2.1:80");
        assert_eq!(ends.remote(&[Masked::Addresses]).to_string(), "192.0.2.0:80");
    }
}
