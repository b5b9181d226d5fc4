//! What becomes of the connections and packets of peers that are named while somebody speaks with them.

use std::net::IpAddr;

use aya::Pod;
use aya::maps::{HashMap, MapData, MapError};
use shared_protocol::report::{ConnectionFacts, Direction, FlowDrops, FlowFacts, Peer, ProgramCost, Transport};
use shared_protocol::time::MonotonicMicros;

use crate::attach::{Attachment, Hook};
use crate::endpoint::{AF_INET, AF_INET6, Endpoints};
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::programs::Programs;
use crate::reasons::Reasons;

mod raw;

use raw::{Connection, Dropped, Dropping, RawPeer};

/// The programs that look at the peers which are named. They leave the kernel when this is dropped.
pub struct Facts {
    programs: Programs,
    peers: HashMap<MapData, RawPeer, u32>,
    open: HashMap<MapData, u64, Connection>,
    ended: HashMap<MapData, Endpoints, Connection>,
    drops: HashMap<MapData, Dropping, Dropped>,
    reasons: Reasons,
}

impl Facts {
    /// Loads the programs and puts them onto their hooks, for one network namespace, which is named by its inode.
    ///
    /// # Errors
    /// [`ObserveError`]: with its remedy.
    pub fn start(kernel: &Kernel, namespace: u32) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::FACTS, kernel, &NO_CHECK, |loader| {
            loader.override_global("only_namespace", &namespace, true);
        })?;
        let (peers, open, ended, drops) = (
            programs.take("peers")?,
            programs.take("open")?,
            programs.take("ended")?,
            programs.take("drops")?,
        );
        programs.attach(kernel, &HOOKS)?;
        let reasons = Reasons::of(kernel);
        programs.attachment.missing.extend(reasons.missing());
        Ok(Self {
            peers: HashMap::try_from(peers)?,
            open: HashMap::try_from(open)?,
            ended: HashMap::try_from(ended)?,
            drops: HashMap::try_from(drops)?,
            reasons,
            programs,
        })
    }

    /// How well it could be set up, and what was given up since.
    pub const fn attachment(&self) -> &Attachment {
        &self.programs.attachment
    }

    /// What the programs have cost up to now; none before the first run.
    pub fn cost(&self) -> Option<ProgramCost> {
        self.programs.cost()
    }

    /// What the kernel saw and could not tell, up to now.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn lost(&self) -> Result<u64, ObserveError> {
        self.programs.lost()
    }

    /// Gives up the hook that has cost most of those that can be done without, and names it.
    pub fn give_up_one(&mut self) -> Option<&'static str> {
        self.programs.give_up_one()
    }

    /// Looks at a peer from here on.
    ///
    /// # Errors
    /// [`ObserveError::Read`] where there is no room for one more.
    pub fn watch(&mut self, peer: Peer) -> Result<(), ObserveError> {
        Ok(self.peers.insert(RawPeer::from(peer), 1, 0)?)
    }

    /// Looks away, and forgets what was seen of it.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn forget(&mut self, peer: Peer) -> Result<(), ObserveError> {
        gone(self.peers.remove(&RawPeer::from(peer)))?;
        for (socket, connection) in listed(&self.open)? {
            if connection.ends.is_with(peer, Transport::Tcp) {
                gone(self.open.remove(&socket))?;
            }
        }
        for (ends, _) in listed(&self.ended)? {
            if ends.is_with(peer, Transport::Tcp) {
                gone(self.ended.remove(&ends))?;
            }
        }
        for (dropping, _) in listed(&self.drops)? {
            if dropping.ends.is_with(peer, dropping.transport()) {
                gone(self.drops.remove(&dropping))?;
            }
        }
        Ok(())
    }

    /// What was seen of the flows with a peer that have these ports at this end, in their order.
    ///
    /// # Errors
    /// [`ObserveError::Read`].
    pub fn flows(&self, peer: Peer, local_ports: &[u16], now: MonotonicMicros) -> Result<Vec<FlowFacts>, ObserveError> {
        // A connection that ends while this looks is in one of the two all the same.
        let mut connections: Vec<Connection> = listed(&self.open)?.into_iter().map(|(_, connection)| connection).collect();
        connections.extend(listed(&self.ended)?.into_iter().map(|(_, connection)| connection));
        let drops = listed(&self.drops)?;
        let flows = local_ports.iter().map(|local_port| {
            let is_it = |ends: &Endpoints, transport| ends.local_port == *local_port && ends.is_with(peer, transport);
            // The last is the one that has ended.
            let connection = connections.iter().rfind(|connection| is_it(&connection.ends, Transport::Tcp));
            let mut dropped: Vec<FlowDrops> = drops
                .iter()
                .filter(|(dropping, _)| is_it(&dropping.ends, dropping.transport()))
                .map(|(dropping, dropped)| self.told(dropping, dropped, connection))
                .collect();
            dropped.sort_by(|one, other| other.packets.cmp(&one.packets).then_with(|| one.reason.cmp(&other.reason)));
            dropped.truncate(REASONS_TOLD);
            FlowFacts {
                transport: peer.transport,
                local_port: *local_port,
                remote: peer.remote,
                tcp: connection.map(|connection| connection.told(now)),
                drops: dropped,
            }
        });
        Ok(flows.collect())
    }

    fn told(&self, dropping: &Dropping, dropped: &Dropped, connection: Option<&Connection>) -> FlowDrops {
        FlowDrops {
            reason: self.reasons.name(dropping.reason),
            direction: if dropping.outward == 0 { Direction::Received } else { Direction::Sent },
            packets: dropped.packets,
            last_us: connection.map(|connection| connection.since_syn_us(dropped.last_ns)),
        }
    }
}

impl Connection {
    fn since_syn_us(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.syn_sent_ns) / 1_000
    }

    fn told(&self, now: MonotonicMicros) -> ConnectionFacts {
        let when = |at_ns: u64| (at_ns > 0).then(|| self.since_syn_us(at_ns));
        let waited = when(self.established_ns).or_else(|| when(self.closed_ns));
        ConnectionFacts {
            syn_sent_us: waited.unwrap_or_else(|| self.since_syn_us(now.micros().saturating_mul(1_000))),
            established: self.established_ns > 0,
            srtt_us: (self.srtt_us > 0).then(|| self.srtt_us.into()),
            retransmits: self.retransmits,
            reset_received_us: when(self.reset_received_ns),
            reset_sent_us: when(self.reset_sent_ns),
        }
    }
}

impl Endpoints {
    fn is_with(&self, peer: Peer, transport: Transport) -> bool {
        transport == peer.transport && self.remote(&[]) == peer.remote
    }
}

impl From<Peer> for RawPeer {
    fn from(peer: Peer) -> Self {
        let mut address = [0; 16];
        let family = match peer.remote.ip() {
            IpAddr::V4(of_four) => {
                let [a, b, c, d] = of_four.octets();
                [address[0], address[1], address[2], address[3]] = [a, b, c, d];
                AF_INET
            }
            IpAddr::V6(of_six) => {
                address = of_six.octets();
                AF_INET6
            }
        };
        Self {
            address,
            port: peer.remote.port(),
            family,
            protocol: match peer.transport {
                Transport::Tcp => raw::IPPROTO_TCP,
                Transport::Udp => raw::IPPROTO_UDP,
            },
        }
    }
}

fn listed<K: Pod, V: Pod>(map: &HashMap<MapData, K, V>) -> Result<Vec<(K, V)>, MapError> {
    // An entry may be met again while others come and go.
    map.iter().take(2 * ENTRIES).collect()
}

/// Somebody else may have been faster.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

pub(crate) const HOOKS: [Hook; 5] = [
    Hook {
        tracepoint: "inet_sock_set_state",
        typed: "fact_state",
        plain: "fact_state_plain",
        without: None,
    },
    Hook {
        tracepoint: "kfree_skb",
        typed: "fact_drop",
        plain: "fact_drop_plain",
        without: Some("dropped packets"),
    },
    Hook {
        tracepoint: "tcp_receive_reset",
        typed: "fact_reset_received",
        plain: "fact_reset_received_plain",
        without: Some("resets that came"),
    },
    Hook {
        tracepoint: "tcp_send_reset",
        typed: "fact_reset_sent",
        plain: "fact_reset_sent_plain",
        without: Some("resets that were sent"),
    },
    Hook {
        tracepoint: "tcp_retransmit_skb",
        typed: "fact_retransmit",
        plain: "fact_retransmit_plain",
        without: Some("segments sent again by connections that are not over"),
    },
];

/// The connections of whoever asks are what it is checked by.
const NO_CHECK: u16 = 0;
/// Entries of each map but that of peers.
const ENTRIES: usize = 2_048;
/// Most reasons for which packets of one flow are told to have been dropped.
const REASONS_TOLD: usize = 8;
