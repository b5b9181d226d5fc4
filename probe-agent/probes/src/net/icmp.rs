//! ICMP echo for every probe of the process: one pair of sockets a family, one reader a socket, answers handed to the flow they belong to.
//!
//! [`IcmpSockets::open`] runs while privilege lasts, before there is a runtime; [`IcmpEngine::start`] then reads them for the life of
//! the process. Without the right to raw sockets, datagram sockets are tried; without those, ping is unavailable and says why.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared_protocol::frame::Capability;
use shared_protocol::report::PingSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::net::departures::Departures;
use crate::net::neighbor::{NeighborParts, read_neighbors};
use crate::net::path::{self, PathArrival, PathParts};

mod channel;
mod flow;
mod hands;
pub(crate) mod meaning;
mod option;
pub(crate) mod packet;
mod reader;
mod registry;
mod socket;
mod sockets;
mod sparing;
mod stamping;
mod sweep;
mod tap;

use channel::Channel;
pub(crate) use flow::{Departure, EchoRequest, IcmpFlow, SendError};
pub(crate) use option::Fragmentation;
pub(in crate::net) use option::set_fragmentation;
pub(in crate::net) use packet as echo_packet;
pub(crate) use packet::Family;
pub(in crate::net) use reader::{Backlog, Reader, drain, watch_for};
use registry::Registry;
#[cfg(test)]
pub(in crate::net) use registry::flow_id;
pub(in crate::net) use registry::{EchoNumber, Flow, FlowId, Quotes};
pub(in crate::net) use socket::{HeaderFields, widen};
pub use sockets::IcmpSockets;
use sockets::Rest;
use stamping::ReceiveStamps;
use sweep::Sweep;
#[cfg(test)]
pub(crate) use sweep::SweepArrival;
pub(crate) use sweep::{BATCH, Hearing, SweepAnswer, SweepBatch, SweepFlow};
use tap::TapSockets;

/// Sends and receives ICMP for every probe of the process.
pub struct IcmpEngine {
    pub(in crate::net) shared: Arc<Shared>,
    capabilities: Vec<Capability>,
    /// Ends the readers when the engine is dropped.
    _readers: JoinSet<()>,
}

/// What readers and flows share.
pub(crate) struct Shared {
    channels: Vec<Channel>,
    registry: Mutex<Registry<Outlet>>,
    pub(in crate::net) path: PathParts,
    /// By which links are asked.
    pub(in crate::net) neighbors: Option<NeighborParts>,
    /// The cheaper way of a sweep, while no sweep has it.
    tap: Mutex<Option<TapSockets>>,
    /// Whether no socket is handed replies of IPv4, since nobody waits for one; changed by who holds the registry.
    spared: AtomicBool,
    /// Keeps what is received stamped.
    _stamps: Option<ReceiveStamps>,
    pub(in crate::net) departures: Arc<Departures>,
    /// Answers that were lost on this host: in the kernel's buffers, or because a flow did not keep up.
    drops: AtomicU64,
    /// Messages that were none of ours, or malformed.
    foreign: AtomicU64,
    pub(in crate::net) backlog: Backlog,
}

/// Where the answers of a flow go.
#[derive(Debug)]
pub(in crate::net) enum Outlet {
    /// To a ping.
    Echo(mpsc::Sender<Arrival>),
    /// To a probe of single packets along a path.
    Path(mpsc::Sender<PathArrival>),
    /// To a ping of many targets.
    Sweep(Arc<Sweep>),
}

/// What came back for one request of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Which request of the flow.
    pub index: u32,
    pub what: Answer,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The kernel says when the request left: wall clock, nanoseconds.
    Transmitted { at_ns: i64 },
    /// The reply.
    Reply(Receipt),
    /// An ICMP error.
    Error { from: Option<IpAddr>, kind: (u8, u8), receipt: Receipt },
}

/// When and how an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// By the kernel's timestamp: wall clock, nanoseconds.
    pub at_ns: Option<i64>,
    /// By the clocks of user space.
    pub moment: crate::clock::Moment,
    pub ttl: Option<u8>,
    /// Bytes of ICMP, header included.
    pub bytes: u32,
}

impl IcmpEngine {
    /// Starts reading the sockets; needs a running tokio runtime. Dropping the engine ends it.
    ///
    /// # Errors
    /// Where the runtime cannot watch the sockets.
    pub fn start(sockets: IcmpSockets) -> std::io::Result<Self> {
        let capabilities = sockets.capabilities();
        let (channels, rest) = sockets.into_parts()?;
        let Rest { path, neighbors, tap, stamps } = rest;
        let counts = (channels.len(), path.sender_count(), path.listener_count());
        let shared = Arc::new(Shared {
            channels,
            registry: Mutex::new(Registry::new()),
            path,
            neighbors,
            tap: Mutex::new(tap),
            spared: AtomicBool::new(false),
            _stamps: stamps,
            departures: Arc::default(),
            drops: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            backlog: Backlog::default(),
        });
        let mut readers = JoinSet::new();
        for position in 0..counts.0 {
            readers.spawn(reader::run(Arc::clone(&shared), position));
        }
        for position in 0..counts.1 {
            readers.spawn(path::read_departures(Arc::clone(&shared), position));
        }
        for position in 0..counts.2 {
            readers.spawn(path::read_segments(Arc::clone(&shared), position));
        }
        for family in [Family::V4, Family::V6] {
            readers.spawn(read_neighbors(Arc::clone(&shared), family));
        }
        Ok(Self {
            shared,
            capabilities,
            _readers: readers,
        })
    }

    /// What ping can do, and what would mend what it cannot.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.capabilities.clone()
    }

    /// How many messages came that were none of ours, or malformed.
    pub fn foreign_messages(&self) -> u64 {
        self.shared.foreign.load(Ordering::Relaxed)
    }

    /// Whether there is a socket for a family, and of which kind.
    pub(crate) fn socket(&self, family: Family) -> Option<PingSocket> {
        self.shared.channel(family, Fragmentation::Allowed).map(|channel| channel.socket().kind)
    }

    /// Answers lost on this host since the engine started.
    pub(crate) fn drops(&self) -> u64 {
        self.shared.drops.load(Ordering::Relaxed)
    }

    /// What keeps the owner's rates, for everything that leaves this process towards targets.
    pub(crate) fn departures(&self) -> Arc<Departures> {
        Arc::clone(&self.shared.departures)
    }

    /// Begins an exchange with an address; its answers come by the receiver.
    pub(crate) fn flow(&self, target: IpAddr, cookie: [u8; packet::COOKIE_BYTES], request: EchoRequest) -> (IcmpFlow, mpsc::Receiver<Arrival>) {
        let (outlet, arrivals) = mpsc::channel(ARRIVALS_BOUND);
        let id = self.shared.registry().open(Flow {
            target,
            cookie,
            cookie_bytes: request.payload_bytes.min(packet::COOKIE_BYTES),
            quotes: Quotes::OfTarget,
            outlet: Outlet::Echo(outlet),
        });
        (IcmpFlow::new(Arc::clone(&self.shared), id, target, cookie, request), arrivals)
    }
}

impl std::fmt::Debug for IcmpEngine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IcmpEngine")
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(in crate::net) fn channel(&self, family: Family, fragmentation: Fragmentation) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.serves(family, fragmentation))
    }

    pub(in crate::net) fn registry(&self) -> MutexGuard<'_, Registry<Outlet>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a flow when one of its packets left.
    pub(in crate::net) fn deliver_transmitted(&self, id: FlowId, index: u32, at_ns: i64) {
        let full = hands::tell_transmitted(&self.registry(), id, index, at_ns);
        self.count_full(full);
    }

    /// Tells flows when packets left whose stamps were read while sending.
    pub(in crate::net) fn deliver_ready(&self, stamps: Vec<((FlowId, u32), i64)>) {
        for ((id, index), at_ns) in stamps {
            self.deliver_transmitted(id, index, at_ns);
        }
    }

    /// Hands an answer to its exchange along a path.
    pub(in crate::net) fn deliver_on_path(&self, id: FlowId, arrival: PathArrival) {
        let full = match self.registry().outlet(id) {
            Some(Outlet::Path(outlet)) => is_full(&outlet.try_send(arrival)),
            Some(Outlet::Echo(_) | Outlet::Sweep(_)) | None => false,
        };
        self.count_full(full);
    }

    /// A flow that does not keep up loses answers, and they are counted: the readers wait for nobody.
    pub(in crate::net) fn count_full(&self, full: bool) {
        self.drops.fetch_add(u64::from(full), Ordering::Relaxed);
    }
}

const fn is_full<T>(sent: &Result<(), mpsc::error::TrySendError<T>>) -> bool {
    matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
}

/// Answers a flow may be behind: each request of the longest ping with its timestamp and reply, several times over.
const ARRIVALS_BOUND: usize = 1_024;
