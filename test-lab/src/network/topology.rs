//! Small internets of namespaces, in which the kernel itself forwards: beside the worlds of `test-internet`, which know their own truth, they
//! show that probes find the same where real routers answer.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::namespace::Namespace;
use crate::clock;

/// The shapes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Four routers in a row.
    Chain,
    /// Two ways of equal cost, chosen by flow.
    Diamond,
    /// Two routers that send what is for the target to each other.
    Loop,
    /// A router that puts its own address in place of the observer's.
    Nat,
    /// A link that takes 1,400 bytes, and a router before it that says so.
    MtuStep,
    /// The chain without IPv4.
    VersionSix,
}

/// A topology that stands.
pub struct Built {
    /// Where the observer's programs run.
    pub observer: Namespace,
    /// The target's namespace.
    pub target: Namespace,
    /// The target's addresses.
    pub addresses: Vec<IpAddr>,
    /// Addresses of the hops in their order, for people: one way a line.
    pub map: Vec<String>,
    /// They live as long as this does.
    _routers: Vec<Namespace>,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Chain, Self::Diamond, Self::Loop, Self::Nat, Self::MtuStep, Self::VersionSix];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain-of-kernels",
            Self::Diamond => "diamond-of-kernels",
            Self::Loop => "loop-of-kernels",
            Self::Nat => "nat-of-kernels",
            Self::MtuStep => "mtu-of-kernels",
            Self::VersionSix => "version-six-of-kernels",
        }
    }

    /// What it is, in a line.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Chain => "four routers of the kernel in a row",
            Self::Diamond => "two ways of equal cost, chosen by flow",
            Self::Loop => "two routers that send what is for 198.51.100.0/24 to each other",
            Self::Nat => "a router that puts its own address in place of the observer's",
            Self::MtuStep => "a link that takes 1,400 bytes, and a router before it that says so",
            Self::VersionSix => "four routers in a row, without IPv4",
        }
    }

    /// Makes its namespaces and wires them.
    ///
    /// # Errors
    /// When this process may not, or `ip` or `nft` is missing.
    pub fn build(self) -> Result<Built> {
        let versions: &'static [u8] = if self == Self::VersionSix { &[6] } else { &[4, 6] };
        let wiring = Wiring::new(6, versions)?;
        let links: &[(usize, usize, u32)] = match self {
            Self::Chain | Self::VersionSix | Self::Nat => &[(0, 1, 1_500), (1, 2, 1_500), (2, 3, 1_500), (3, 4, 1_500), (4, 5, 1_500)],
            Self::MtuStep => &[(0, 1, 1_500), (1, 2, 1_500), (2, 3, 1_400), (3, 4, 1_500), (4, 5, 1_500)],
            // 1 is where the ways part, 4 where they meet.
            Self::Diamond => &[(0, 1, 1_500), (1, 2, 1_500), (1, 3, 1_500), (2, 4, 1_500), (3, 4, 1_500), (4, 5, 1_500)],
            Self::Loop => &[(0, 1, 1_500), (1, 2, 1_500), (2, 5, 1_500)],
        };
        for (from, to, mtu) in links {
            wiring.link(*from, *to, *mtu)?;
        }
        match self {
            Self::Chain | Self::VersionSix | Self::MtuStep => wiring.route_in_a_row(&[0, 1, 2, 3, 4, 5])?,
            Self::Nat => {
                wiring.route_in_a_row(&[0, 1, 2, 3, 4, 5])?;
                wiring.node(2)?.filter(NAT)?;
            }
            Self::Diamond => wiring.route_diamond()?,
            Self::Loop => {
                wiring.route_in_a_row(&[0, 1, 2, 5])?;
                wiring.route(1, "198.51.100.0/24", "2001:db8:ffff::/48", &[2])?;
                wiring.route(2, "198.51.100.0/24", "2001:db8:ffff::/48", &[1])?;
            }
        }
        let (near, far) = links.last().map(|(near, far, _)| (*near, *far)).context("a topology has links")?;
        let addresses = versions.iter().map(|version| address(*version, near, far, End::Far)).collect();
        let map = wiring.map(links);
        wiring.finish(addresses, map)
    }
}

/// Namespaces while they are wired: the first is the observer, the last the target.
struct Wiring {
    nodes: Vec<Namespace>,
    versions: &'static [u8],
}

/// The two ends of a link.
#[derive(Clone, Copy)]
enum End {
    Near,
    Far,
}

impl Wiring {
    fn new(count: usize, versions: &'static [u8]) -> Result<Self> {
        let nodes = (0..count).map(|_| Namespace::new()).collect::<Result<Vec<_>>>()?;
        for node in &nodes {
            for (option, value) in [
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                // Errors are told as often as they are due.
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv6/icmp/ratelimit", "0"),
                ("ipv4/icmp_msgs_per_sec", "100000"),
                // Flows are told apart by their ports too.
                ("ipv4/fib_multipath_hash_policy", "1"),
                ("ipv6/fib_multipath_hash_policy", "1"),
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/router_solicitations", "0"),
            ] {
                node.set(option, value)?;
            }
        }
        Ok(Self { nodes, versions })
    }

    fn node(&self, number: usize) -> Result<&Namespace> {
        self.nodes.get(number).context("no such node")
    }

    /// A pair of interfaces, one in each of two namespaces, called after where they lead to.
    fn link(&self, near: usize, far: usize, mtu: u32) -> Result<()> {
        let (left, right) = (self.node(near)?, self.node(far)?);
        let peer = right.path();
        left.configure(&[format!("link add to{far} mtu {mtu} type veth peer name to{near} mtu {mtu} netns {peer}")])?;
        for (node, name, end) in [(left, far, End::Near), (right, near, End::Far)] {
            let mut commands = vec![format!("link set to{name} up")];
            for version in self.versions {
                let (length, more) = if *version == 4 { (24, "") } else { (64, " nodad") };
                let own = address(*version, near, far, end);
                commands.push(format!("addr add {own}/{length} dev to{name}{more}"));
            }
            node.configure(&commands)?;
        }
        Ok(())
    }

    /// Everything further along goes to the next, everything before to the one before.
    fn route_in_a_row(&self, row: &[usize]) -> Result<()> {
        for (place, node) in row.iter().enumerate() {
            if let Some(next) = row.get(place + 1) {
                self.route(*node, "0.0.0.0/0", "::/0", &[*next])?;
            }
            let Some(before) = place.checked_sub(1).and_then(|before| row.get(before)) else {
                continue;
            };
            let is_last = place + 1 == row.len();
            if is_last {
                self.route(*node, "0.0.0.0/0", "::/0", &[*before])?;
            } else {
                self.route_back(*node, *before, row.get(..place).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// The links between nodes that lie before are reached through one of them.
    fn route_back(&self, node: usize, through: usize, before: &[usize]) -> Result<()> {
        for pair in before.windows(2) {
            if let [near, far] = pair {
                let (four, six) = networks(*near, *far);
                self.route(node, &four, &six, &[through])?;
            }
        }
        Ok(())
    }

    fn route_diamond(&self) -> Result<()> {
        self.route(0, "0.0.0.0/0", "::/0", &[1])?;
        self.route(1, "0.0.0.0/0", "::/0", &[2, 3])?;
        for middle in [2, 3] {
            self.route(middle, "0.0.0.0/0", "::/0", &[4])?;
            self.route_back(middle, 1, &[0, 1])?;
        }
        self.route(5, "0.0.0.0/0", "::/0", &[4])?;
        self.route_back(4, 2, &[0, 1, 2])?;
        self.route_back(4, 3, &[1, 3])
    }

    /// A route of both versions through one neighbour, or several of equal cost.
    fn route(&self, node: usize, four: &str, six: &str, through: &[usize]) -> Result<()> {
        let mut commands = Vec::new();
        for version in self.versions {
            let to = if *version == 4 { four } else { six };
            let word = if through.len() > 1 { "nexthop via" } else { "via" };
            let vias = through.iter().map(|neighbour| {
                let (near, far) = (node.min(*neighbour), node.max(*neighbour));
                let end = if *neighbour == near { End::Near } else { End::Far };
                format!("{word} {}", address(*version, near, far, end))
            });
            commands.push(format!("route replace {to} {}", vias.collect::<Vec<_>>().join(" ")));
        }
        self.node(node)?.configure(&commands)
    }

    fn map(&self, links: &[(usize, usize, u32)]) -> Vec<String> {
        let name = |node: usize| match node {
            0 => "observer".to_owned(),
            5 => "target".to_owned(),
            router => format!("router{router}"),
        };
        let line = |(near, far, mtu): &(usize, usize, u32)| {
            let ends: Vec<String> = self
                .versions
                .iter()
                .map(|version| format!("{} — {}", address(*version, *near, *far, End::Near), address(*version, *near, *far, End::Far)))
                .collect();
            format!("{} → {}: {}, mtu {mtu}", name(*near), name(*far), ends.join(", "))
        };
        links.iter().map(line).collect()
    }

    fn finish(mut self, addresses: Vec<IpAddr>, map: Vec<String>) -> Result<Built> {
        let target = self.nodes.pop().context("no target")?;
        let mut routers = self.nodes.into_iter();
        let observer = routers.next().context("no observer")?;
        observer.within(|| warm(&addresses))??;
        Ok(Built {
            observer,
            target,
            addresses,
            map,
            _routers: routers.collect(),
        })
    }
}

/// Waits until every way works: a new interface drops what is sent before the kernel has noticed that its link is up.
pub(super) fn warm(addresses: &[IpAddr]) -> Result<()> {
    let began = clock::start();
    for address in addresses {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // So many flows that each of two ways has some.
        for _ in 0..16 {
            let socket = UdpSocket::bind(any)?;
            socket.connect((*address, DISCARD))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            loop {
                // The target says that nobody listens.
                let refused = socket.send(b"?").and_then(|_| socket.recv(&mut [0; 8]));
                match refused.map_err(|error| error.kind()) {
                    Err(ErrorKind::ConnectionRefused) => break,
                    _ if began.elapsed() > WARM_WITHIN => bail!("{address} does not answer through the new network"),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// A port at which nobody listens.
const DISCARD: u16 = 9;
const WARM_WITHIN: Duration = Duration::from_secs(20);

/// The address of an end of the link between two nodes.
fn address(version: u8, near: usize, far: usize, end: End) -> IpAddr {
    let byte = |node: usize| u8::try_from(node).unwrap_or(u8::MAX);
    let host = match end {
        End::Near => 1,
        End::Far => 2,
    };
    if version == 4 {
        IpAddr::from([10, byte(near), byte(far), host])
    } else {
        IpAddr::from([0x2001, 0xdb8, u16::from(byte(near)), u16::from(byte(far)), 0, 0, 0, u16::from(host)])
    }
}

/// The networks of the link between two nodes.
fn networks(near: usize, far: usize) -> (String, String) {
    (format!("10.{near}.{far}.0/24"), format!("2001:db8:{near:x}:{far:x}::/64"))
}

const NAT: &str = "table ip lab {
    chain leaving {
        type nat hook postrouting priority 100;
        oifname \"to3\" masquerade
    }
}
";
