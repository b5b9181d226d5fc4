//! ICMP echo for every probe of the process: one pair of sockets a family, one reader a socket, answers handed to the flow they belong to.
//!
//! [`IcmpSockets::open`] runs while privilege lasts, before there is a runtime; [`IcmpEngine::start`] then reads them for the life of
//! the process. Without the right to raw sockets, datagram sockets are tried; without those, ping is unavailable and says why.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared_protocol::frame::Capability;
use shared_protocol::report::PingSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::net::departures::Departures;

mod channel;
mod flow;
pub(crate) mod meaning;
mod option;
pub(crate) mod packet;
mod reader;
mod registry;
mod socket;
mod sockets;
mod stamping;

use channel::Channel;
pub(crate) use flow::{Departure, EchoRequest, IcmpFlow, SendError};
pub(crate) use option::Fragmentation;
pub(crate) use packet::Family;
use registry::{Flow, FlowId, Registry};
pub use sockets::IcmpSockets;

/// Sends and receives ICMP for every probe of the process.
pub struct IcmpEngine {
    shared: Arc<Shared>,
    capabilities: Vec<Capability>,
    /// Ends the readers when the engine is dropped.
    _readers: JoinSet<()>,
}

/// What readers and flows share.
pub(crate) struct Shared {
    channels: Vec<Channel>,
    registry: Mutex<Registry<mpsc::Sender<Arrival>>>,
    departures: Arc<Departures>,
    /// Answers that were lost on this host: in the kernel's buffers, or because a flow did not keep up.
    drops: AtomicU64,
    /// Messages that were none of ours, or malformed.
    foreign: AtomicU64,
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
        let channels = sockets.into_channels()?;
        let count = channels.len();
        let shared = Arc::new(Shared {
            channels,
            registry: Mutex::new(Registry::new()),
            departures: Arc::default(),
            drops: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        });
        let mut readers = JoinSet::new();
        for position in 0..count {
            readers.spawn(reader::run(Arc::clone(&shared), position));
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
            outlet,
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
    fn channel(&self, family: Family, fragmentation: Fragmentation) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.serves(family, fragmentation))
    }

    fn registry(&self) -> MutexGuard<'_, Registry<mpsc::Sender<Arrival>>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an answer to its flow. A flow that does not keep up loses it, and it is counted: the reader waits for nobody.
    fn deliver(&self, id: FlowId, arrival: Arrival) {
        let full = self
            .registry()
            .outlet(id)
            .is_some_and(|outlet| matches!(outlet.try_send(arrival), Err(mpsc::error::TrySendError::Full(_))));
        if full {
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Answers a flow may be behind: each request of the longest ping with its timestamp and reply, several times over.
const ARRIVALS_BOUND: usize = 1_024;
