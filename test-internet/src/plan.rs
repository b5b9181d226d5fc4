//! Where packets go: paths with their nodes looked up, and the way one packet takes through them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::description::{By, Description, Either, InvalidWorld, Node, Path, Stage};
use crate::header::Header;
use crate::node::Station;

/// Every path.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    routes: Vec<Route>,
    /// What was looked up lately.
    known: HashMap<IpAddr, Option<usize>>,
}

#[derive(Debug)]
struct Route {
    to: Vec<IpNet>,
    stages: Vec<Choice>,
    /// The one way, where there is only one.
    only: Option<Way>,
    packets: u64,
}

/// The nodes that one packet passes.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) hops: Arc<[usize]>,
    /// Nothing comes out at its other end.
    pub(crate) endless: bool,
}

#[derive(Debug)]
enum Choice {
    One(usize),
    Either { ways: Vec<Vec<usize>>, by: By, every_ns: u64 },
    Round(Vec<usize>),
}

/// Makes the nodes and paths of a description.
pub(crate) fn build(description: Description) -> Result<(Vec<Station>, Plan), InvalidWorld> {
    let mut nodes = Vec::new();
    for node in description.nodes {
        nodes.extend(expand(node)?);
    }
    let mut names = HashMap::new();
    for (number, node) in nodes.iter().enumerate() {
        if names.insert(node.name.clone(), number).is_some() {
            return Err(InvalidWorld::Twice(node.name.clone()));
        }
    }
    let mut plan = Plan::default();
    for path in description.paths {
        let route = Route::new(path, &names, &nodes)?;
        plan.routes.push(route);
    }
    plan.add_nodes_on_the_way(&nodes);
    let stations = nodes.into_iter().map(Station::new).collect::<Result<_, _>>()?;
    Ok((stations, plan))
}

/// One node of a description may stand for many.
fn expand(node: Node) -> Result<Vec<Node>, InvalidWorld> {
    let Some(count) = node.count else { return Ok(vec![node]) };
    (0..count)
        .map(|number| {
            let addresses = node.addresses.iter().map(|network| later(network, number)).collect::<Option<_>>();
            Ok(Node {
                name: format!("{}{}", node.name, number.saturating_add(1)),
                addresses: addresses.ok_or_else(|| InvalidWorld::Addresses(node.name.clone()))?,
                ..node.clone()
            })
        })
        .collect()
}

/// The address so many after another; networks cannot be counted on.
fn later(network: &IpNet, number: u32) -> Option<IpNet> {
    if network.prefix_len() != network.max_prefix_len() {
        return None;
    }
    match network.addr() {
        IpAddr::V4(address) => u32::from(address).checked_add(number).map(|address| IpAddr::V4(Ipv4Addr::from(address)).into()),
        IpAddr::V6(address) => u128::from(address)
            .checked_add(number.into())
            .map(|address| IpAddr::V6(Ipv6Addr::from(address)).into()),
    }
}

impl Route {
    fn new(path: Path, names: &HashMap<String, usize>, nodes: &[Node]) -> Result<Self, InvalidWorld> {
        let mut stages = Vec::new();
        for stage in path.hops {
            match stage {
                Stage::Name(name) => stages.extend(find(&name, names)?.into_iter().map(Choice::One)),
                Stage::Loop(round) => stages.push(Choice::Round(find_all(&round.r#loop, names)?)),
                Stage::Either(Either { ways, by, every_us }) => stages.push(Choice::Either {
                    ways: ways.iter().map(|way| find_all(way, names)).collect::<Result<_, _>>()?,
                    by,
                    every_ns: every_us.saturating_mul(1_000).max(1),
                }),
            }
        }
        let last = match stages.last().ok_or(InvalidWorld::NoHop)? {
            Choice::One(number) => nodes.get(*number),
            Choice::Either { .. } | Choice::Round(_) => None,
        };
        let to = if path.to.is_empty() {
            last.map(|node| node.addresses.clone()).unwrap_or_default()
        } else {
            path.to
        };
        if to.is_empty() {
            return Err(InvalidWorld::NoHop);
        }
        Ok(Self::through(to, stages))
    }

    fn through(to: Vec<IpNet>, stages: Vec<Choice>) -> Self {
        let fixed = |choice: &Choice| matches!(choice, Choice::One(_) | Choice::Round(_));
        let only = stages.iter().all(fixed).then(|| walk(&stages, |_, _, _| 0));
        Self { to, stages, only, packets: 0 }
    }

    fn way(&mut self, header: &Header, packet: &[u8], at: u64) -> Way {
        let number = self.packets;
        self.packets += 1;
        if let Some(way) = &self.only {
            return way.clone();
        }
        walk(&self.stages, |by, every_ns, stage| match by {
            By::Packet => number,
            By::Time => at / every_ns,
            By::Destination => hash((stage, header.destination)),
            By::Flow => hash((stage, header.source, header.destination, header.protocol.0, header.ports(packet), header.label)),
        })
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The nodes of one way; `number` says which of several is taken.
fn walk(stages: &[Choice], number: impl Fn(By, u64, usize) -> u64) -> Way {
    let mut hops = Vec::new();
    for (place, stage) in stages.iter().enumerate() {
        match stage {
            Choice::One(node) => hops.push(*node),
            Choice::Either { ways, by, every_ns } => {
                let count = u64::try_from(ways.len()).unwrap_or(1).max(1);
                let chosen = usize::try_from(number(*by, *every_ns, place) % count).unwrap_or(0);
                hops.extend(ways.get(chosen).into_iter().flatten());
            }
            Choice::Round(round) => {
                // No packet has more hops to live than these.
                let left = MOST_HOPS.saturating_sub(hops.len());
                hops.extend(round.iter().cycle().take(left));
                return Way {
                    hops: hops.into(),
                    endless: true,
                };
            }
        }
    }
    Way {
        hops: hops.into(),
        endless: false,
    }
}

/// A name, or all nodes from the first to the last that are named.
fn find(name: &str, names: &HashMap<String, usize>) -> Result<Vec<usize>, InvalidWorld> {
    let number = |name: &str| names.get(name).copied().ok_or_else(|| InvalidWorld::UnknownNode(name.to_owned()));
    match name.split_once("..") {
        None => Ok(vec![number(name)?]),
        Some((first, last)) => Ok((number(first)?..=number(last)?).collect()),
    }
}

fn find_all(list: &[String], names: &HashMap<String, usize>) -> Result<Vec<usize>, InvalidWorld> {
    let found: Vec<Vec<usize>> = list.iter().map(|name| find(name, names)).collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

impl Plan {
    /// Nodes on the only way to somewhere can be sent to themselves, unless a path says how.
    fn add_nodes_on_the_way(&mut self, nodes: &[Node]) {
        let mut more: Vec<Route> = Vec::new();
        for route in &self.routes {
            let Some(way) = route.only.as_ref().filter(|way| !way.endless) else {
                continue;
            };
            for (before, number) in way.hops.iter().enumerate().take(way.hops.len().saturating_sub(1)) {
                let to: Vec<IpNet> = nodes.get(*number).map(|node| node.addresses.clone()).unwrap_or_default();
                let is_new = |network: &IpNet| !self.routes.iter().chain(&more).any(|route| route.to.contains(network));
                let to: Vec<IpNet> = to.into_iter().filter(is_new).collect();
                if !to.is_empty() {
                    let stages = way.hops.iter().take(before + 1).map(|hop| Choice::One(*hop)).collect();
                    more.push(Route::through(to, stages));
                }
            }
        }
        self.routes.extend(more);
    }

    /// The way that a packet takes; `None` where none leads.
    pub(crate) fn way(&mut self, header: &Header, packet: &[u8], at: u64) -> Option<Way> {
        let number = self.route(header.destination)?;
        Some(self.routes.get_mut(number)?.way(header, packet, at))
    }

    /// The path of the longest prefix.
    fn route(&mut self, destination: IpAddr) -> Option<usize> {
        if let Some(found) = self.known.get(&destination) {
            return *found;
        }
        let lengths = self.routes.iter().enumerate().filter_map(|(number, route)| {
            let prefixes = route.to.iter().filter(|network| network.contains(&destination));
            Some((prefixes.map(IpNet::prefix_len).max()?, number))
        });
        // The first of equals.
        let found = lengths.max_by_key(|(length, number)| (*length, usize::MAX - number)).map(|(_, number)| number);
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(destination, found);
        found
    }
}

/// One more than any time to live.
const MOST_HOPS: usize = 256;
/// Destinations whose path is remembered.
const KNOWN: usize = 200_000;
