//! Which of this host's interfaces leads to a link on which addresses lie, and in whose name it is asked.

use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::mac_address::MacAddress;

/// A link that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Name of the interface.
    pub interface: String,
    /// Its number.
    pub index: u32,
    /// Its address on the link.
    pub mac: MacAddress,
    /// Its address in whose name is asked.
    pub source: IpAddr,
    /// Every address that this host has, on whichever interface: Linux answers for all of them on each.
    pub own: Vec<IpAddr>,
}

/// Why no link can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoLink {
    /// Nothing is called so.
    #[error("this host has no interface called {0}")]
    NoInterface(String),
    /// It is somewhere else.
    #[error("{0} does not lie in the network of {1}: only a router would know the way, and neighbours are asked without one")]
    NotOnLink(String, String),
    /// There is nobody to ask.
    #[error("{0} has no neighbours that could be asked: it is no Ethernet")]
    NoEthernet(String),
    /// Nobody would hear it.
    #[error("{0} is down")]
    Down(String),
    /// The kernel does not say.
    #[error("the interfaces of this host cannot be read: {0}")]
    Unreadable(Errno),
}

/// An interface with its networks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    name: String,
    index: u32,
    /// On an Ethernet, or what looks like one.
    mac: Option<MacAddress>,
    state: State,
    /// Its addresses, with the lengths of their networks' prefixes.
    networks: Vec<(IpAddr, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Down,
}

impl Link {
    /// Finds the link on which a whole run of addresses lies, from the first to the last; of a named interface only, where one is.
    pub(crate) fn find(addresses: (IpAddr, IpAddr), named: Option<&str>) -> Result<Self, NoLink> {
        let entries = getifaddrs().map_err(NoLink::Unreadable)?;
        choose(&interfaces(entries), addresses, named)
    }
}

impl NoLink {
    /// The stable code of the error in a report.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::NoInterface(_) | Self::NotOnLink(..) | Self::NoEthernet(_) => ErrorCode::NotOnLink,
            Self::Down(_) => ErrorCode::LinkDown,
            Self::Unreadable(_) => ErrorCode::Resource,
        }
    }

    /// Whose fault it is.
    pub(crate) const fn fault(&self) -> Fault {
        match self {
            Self::NoInterface(_) | Self::NotOnLink(..) | Self::NoEthernet(_) => Fault::Path,
            Self::Down(_) | Self::Unreadable(_) => Fault::Agent,
        }
    }
}

fn choose(interfaces: &[Interface], (first, last): (IpAddr, IpAddr), named: Option<&str>) -> Result<Link, NoLink> {
    if let Some(name) = named
        && !interfaces.iter().any(|interface| interface.name == name)
    {
        return Err(NoLink::NoInterface(name.to_owned()));
    }
    let candidates = interfaces
        .iter()
        .filter(|interface| named.is_none_or(|name| interface.name == name))
        .flat_map(|interface| interface.networks.iter().map(move |(own, prefix)| (interface, *own, *prefix)))
        .filter(|(_, own, prefix)| contains(*own, *prefix, first) && contains(*own, *prefix, last));
    // One that can be asked, before the narrowest network, before the lowest number: as the kernel would choose, but that it works.
    let chosen = candidates.min_by_key(|(interface, _, prefix)| {
        let usable = interface.mac.is_some() && interface.state == State::Up;
        (!usable, u32::MAX - prefix, interface.index)
    });
    let Some((interface, source, _)) = chosen else {
        let all = if first == last { first.to_string() } else { format!("{first} to {last}") };
        return Err(NoLink::NotOnLink(
            all,
            named.map_or_else(|| "any interface of this host".to_owned(), str::to_owned),
        ));
    };
    let mac = interface.mac.ok_or_else(|| NoLink::NoEthernet(interface.name.clone()))?;
    if interface.state == State::Down {
        return Err(NoLink::Down(interface.name.clone()));
    }
    Ok(Link {
        interface: interface.name.clone(),
        index: interface.index,
        mac,
        source,
        own: interfaces.iter().flat_map(|interface| interface.networks.iter().map(|(own, _)| *own)).collect(),
    })
}

fn contains(own: IpAddr, prefix: u32, address: IpAddr) -> bool {
    let (own, address, width) = match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) => (u128::from(own.to_bits()), u128::from(address.to_bits()), 32),
        (IpAddr::V6(own), IpAddr::V6(address)) => (own.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    (own ^ address).checked_shr(width - prefix.min(width)).unwrap_or_default() == 0
}

/// Puts together what the kernel tells in pieces: one for each interface, then one for each of its addresses.
fn interfaces(entries: impl Iterator<Item = InterfaceAddress>) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for entry in entries {
        // An address may have a label of its own behind the interface's name.
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        if let Some(link) = entry.address.as_ref().and_then(SockaddrStorage::as_link_addr) {
            let mac = link.addr().map(MacAddress::new);
            let is_ethernet = link.hatype() == libc::ARPHRD_ETHER && !entry.flags.contains(InterfaceFlags::IFF_NOARP);
            let runs = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
            interfaces.push(Interface {
                name: name.to_owned(),
                index: u32::try_from(link.ifindex()).unwrap_or_default(),
                mac: mac.filter(|mac| is_ethernet && mac.is_of_one()),
                state: if runs { State::Up } else { State::Down },
                networks: Vec::new(),
            });
        } else if let Some(interface) = interfaces.iter_mut().find(|interface| interface.name == name) {
            let address = entry.address.as_ref().and_then(ip_of);
            let mask = entry.netmask.as_ref().and_then(ip_of);
            interface.networks.extend(address.zip(mask.map(prefix_of)));
        }
    }
    interfaces
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

const fn prefix_of(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, networks: &[&str]) -> Interface {
        let network = |text: &&str| {
            let (address, prefix) = text.split_once('/').unwrap();
            (address.parse().unwrap(), prefix.parse().unwrap())
        };
        Interface {
            name: name.to_owned(),
            index,
            mac: Some(MacAddress::new([2, 0, 0, 0, 0, u8::try_from(index).unwrap()])),
            state: State::Up,
            networks: networks.iter().map(network).collect(),
        }
    }

    fn host() -> Vec<Interface> {
        let loopback = Interface {
            mac: None,
            ..interface("lo", 1, &["127.0.0.1/8", "::1/128"])
        };
        vec![
            loopback,
            interface("eth0", 2, &["192.0.2.10/24", "2001:db8::10/64"]),
            interface("eth1", 3, &["10.0.0.1/8"]),
            interface("eth2", 4, &["10.1.0.1/16", "192.0.2.11/24"]),
        ]
    }

    fn found(interfaces: &[Interface], first: &str, last: &str, named: Option<&str>) -> Result<(String, String), ErrorCode> {
        let link = choose(interfaces, (first.parse().unwrap(), last.parse().unwrap()), named);
        link.map(|link| (link.interface, link.source.to_string())).map_err(|none| none.code())
    }

    fn link(interface: &str, source: &str) -> (String, String) {
        (interface.to_owned(), source.to_owned())
    }

    #[test]
    fn the_narrowest_network_that_holds_all_addresses_is_chosen_and_of_like_ones_the_first() {
        let host = host();
        assert_eq!(found(&host, "10.1.2.3", "10.1.2.3", None), Ok(link("eth2", "10.1.0.1")));
        assert_eq!(found(&host, "10.1.255.254", "10.2.0.1", None), Ok(link("eth1", "10.0.0.1")));
        assert_eq!(found(&host, "192.0.2.1", "192.0.2.254", None), Ok(link("eth0", "192.0.2.10")));
        assert_eq!(found(&host, "192.0.2.1", "192.0.2.254", Some("eth2")), Ok(link("eth2", "192.0.2.11")));
        assert_eq!(found(&host, "2001:db8::1", "2001:db8::ffff", None), Ok(link("eth0", "2001:db8::10")));
        let link = choose(&host, ("192.0.2.1".parse().unwrap(), "192.0.2.1".parse().unwrap()), None).unwrap();
        assert_eq!(link.own.len(), 7, "all that the host has");
    }

    #[test]
    fn nbr_03_what_lies_elsewhere_or_has_no_neighbours_is_refused_by_a_code() {
        let mut host = host();
        for (first, last, named) in [
            ("192.0.3.1", "192.0.3.1", None),
            ("192.0.2.1", "192.0.3.1", None),
            ("10.1.2.3", "10.1.2.3", Some("eth0")),
            ("10.1.2.3", "10.1.2.3", Some("eth9")),
            ("2001:db9::1", "2001:db9::1", None),
            ("127.0.0.1", "127.0.0.1", None),
            ("::1", "::1", Some("lo")),
        ] {
            assert_eq!(found(&host, first, last, named), Err(ErrorCode::NotOnLink), "{first} {named:?}");
        }
        host[1].networks.truncate(1);
        assert_eq!(found(&host, "2001:db8::1", "2001:db8::1", None), Err(ErrorCode::NotOnLink), "no IPv6 at all");
    }

    #[test]
    fn nbr_05_an_interface_that_is_down_is_said_to_be_and_stands_back_behind_one_that_is_up() {
        let mut host = host();
        host[3].state = State::Down;
        assert_eq!(found(&host, "10.1.2.3", "10.1.2.3", None), Ok(link("eth1", "10.0.0.1")));
        assert_eq!(found(&host, "10.1.2.3", "10.1.2.3", Some("eth2")), Err(ErrorCode::LinkDown));
        host[2].state = State::Down;
        assert_eq!(found(&host, "10.1.2.3", "10.1.2.3", None), Err(ErrorCode::LinkDown));
    }

    #[test]
    fn the_hosts_own_interfaces_are_read() {
        let read = interfaces(getifaddrs().unwrap());
        let loopback = read.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!(loopback.mac, None);
        assert!(loopback.index > 0);
    }
}
