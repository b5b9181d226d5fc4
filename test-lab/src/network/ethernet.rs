//! Hosts on one link: a namespace for each, with an interface `eth0` on a switch of the kernel's.

use std::net::IpAddr;

use anyhow::{Context, Result};
use shared_protocol::mac_address::MacAddress;

use super::namespace::Namespace;
use super::topology::warm;

/// A link with its hosts.
pub struct Ethernet {
    hosts: Vec<Namespace>,
    /// It lives as long as its hosts.
    _switch: Namespace,
}

impl Ethernet {
    /// Hosts with these addresses and the lengths of their networks' prefixes (`203.0.113.1/24`), in order; what other hosts have is reached from
    /// the first when this returns.
    ///
    /// # Errors
    /// When this process may not, or `ip` is missing.
    pub fn of(hosts: &[&[&str]]) -> Result<Self> {
        let switch = Namespace::new()?;
        switch.configure(&["link add name switch type bridge mcast_snooping 0".to_owned(), "link set switch up".to_owned()])?;
        let made = hosts
            .iter()
            .enumerate()
            .map(|(place, addresses)| plug(&switch, place, addresses))
            .collect::<Result<Vec<_>>>()?;
        let others = hosts.iter().skip(1).flat_map(|addresses| addresses.iter());
        let others = others.map(|address| address_of(address)).collect::<Result<Vec<_>>>()?;
        let own = hosts.first().map_or(&[][..], |addresses| *addresses);
        let own = own.iter().map(|address| address_of(address)).collect::<Result<Vec<_>>>()?;
        let reached: Vec<IpAddr> = others
            .into_iter()
            .filter(|other| !own.contains(other) && own.iter().any(|own| own.is_ipv4() == other.is_ipv4()))
            .collect();
        made.first().context("a link has hosts")?.within(|| warm(&reached))??;
        Ok(Self { hosts: made, _switch: switch })
    }

    /// The host at this place.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn host(&self, place: usize) -> Result<&Namespace> {
        self.hosts.get(place).context("no such host")
    }

    /// The address on the link of the host at this place.
    pub fn mac(place: usize) -> MacAddress {
        MacAddress::new([2, 0, 0, 0, 0, u8::try_from(place + 1).unwrap_or(u8::MAX)])
    }
}

/// Makes a host and plugs it in.
fn plug(switch: &Namespace, place: usize, addresses: &[&str]) -> Result<Namespace> {
    let host = Namespace::new()?;
    for (option, value) in [
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        // Errors are told as often as they are due.
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/icmp_msgs_per_sec", "100000"),
    ] {
        host.set(option, value)?;
    }
    let (mac, path) = (Ethernet::mac(place), host.path());
    switch.configure(&[
        format!("link add name port{place} type veth peer name eth0 address {mac} netns {path}"),
        format!("link set port{place} master switch up"),
    ])?;
    let mut commands = vec!["link set eth0 up".to_owned()];
    commands.extend(addresses.iter().map(|address| {
        let more = if address.contains(':') { " nodad" } else { "" };
        format!("addr add {address} dev eth0{more}")
    }));
    host.configure(&commands)?;
    Ok(host)
}

fn address_of(network: &str) -> Result<IpAddr> {
    let (address, _) = network.split_once('/').context("an address and the length of its network's prefix")?;
    Ok(address.parse()?)
}
