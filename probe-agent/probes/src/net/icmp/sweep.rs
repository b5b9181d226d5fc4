//! An exchange with thousands of addresses: whole batches leave and come in one call each, and an answer finds its request by arithmetic.
//!
//! Request `index` goes to address `index % addresses`; its number in the packet is a sequence of one of the identifiers that the sweep
//! has for itself. A reply belongs to it when identifier, sequence, cookie and sender all match.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::channel::Requests;
use super::packet::{self, COOKIE_BYTES, Echo, Family};
use super::registry::{Flow, FlowId, Quotes};
use super::socket::HeaderFields;
use super::tap::{self, IP_HEADER_BYTES, Identifiers, Passing, Tap, TapSockets};
use super::{EchoRequest, IcmpEngine, Outlet, SendError, Shared};
use crate::clock::{self, Moment};
use crate::net::batch::SendBatch;
use crate::net::departures::NoRoom;
use crate::net::gate::Gate;
use crate::net::ring::Frame;
use crate::net::stamped::Timestamps;

/// A sweep as the readers know it.
#[derive(Debug)]
pub(in crate::net) struct Sweep {
    addresses: Arc<[IpAddr]>,
    cookie: [u8; COOKIE_BYTES],
    cookie_bytes: usize,
    /// Requests with numbers below this have left, or were about to.
    sent: AtomicU32,
    outlet: mpsc::Sender<SweepBatch>,
    lost: AtomicU64,
}

/// What came in one call, or the stamps of what left.
#[derive(Debug)]
pub(crate) struct SweepBatch {
    /// The clocks of user space when it was read.
    pub moment: Moment,
    pub arrivals: Vec<SweepArrival>,
}

/// Something that came back for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SweepArrival {
    pub index: u32,
    /// By the kernel's timestamp: wall clock, nanoseconds.
    pub at_ns: Option<i64>,
    /// Number of the interface where it was seen; 0 where a socket brought it.
    pub interface: u32,
    pub what: SweepAnswer,
}

/// Where the requests and replies of a sweep are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// Where they pass the interfaces, if they can be and nobody else does; else by the sockets.
    AtInterfaces,
    /// By the sockets that serve every flow.
    BySockets,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SweepAnswer {
    /// The kernel says when the request left.
    Transmitted,
    /// The reply.
    Reply,
    /// An ICMP error.
    Error,
}

/// What a probe holds to send the requests of a sweep. Dropping it ends it.
pub(crate) struct SweepFlow {
    shared: Arc<Shared>,
    id: FlowId,
    sweep: Arc<Sweep>,
    request: EchoRequest,
    /// The first identifier of each family; the next are for 65,536 requests each.
    identifiers: (Option<u16>, Option<u16>),
    /// The way of IPv4 where it is not that of every flow.
    tap: Option<Tap>,
    batch: SendBatch,
    data: Vec<u8>,
}

/// How far a batch has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many of the requests left.
    pub count: usize,
    /// The clocks just before the kernel got them.
    pub moment: Moment,
}

impl IcmpEngine {
    /// Begins a sweep of so many requests to addresses in turn. `None` where there is no raw socket for one of their families, or no
    /// identifier left.
    pub(crate) fn sweep(
        &self,
        addresses: &Arc<[IpAddr]>,
        requests: u32,
        request: EchoRequest,
        hearing: Hearing,
    ) -> Option<(SweepFlow, mpsc::Receiver<SweepBatch>)> {
        let shared = Arc::clone(&self.shared);
        let (outlet, arrivals) = mpsc::channel(BATCHES_BOUND);
        let cookie: [u8; COOKIE_BYTES] = rand::random();
        let sweep = Arc::new(Sweep {
            addresses: Arc::clone(addresses),
            cookie,
            cookie_bytes: request.payload_bytes.min(COOKIE_BYTES),
            sent: AtomicU32::new(0),
            outlet,
            lost: AtomicU64::new(0),
        });
        let id = shared.registry().open(Flow {
            target: Ipv4Addr::UNSPECIFIED.into(),
            cookie,
            cookie_bytes: sweep.cookie_bytes,
            quotes: Quotes::OfTarget,
            outlet: Outlet::Sweep(Arc::clone(&sweep)),
        });
        let mut flow = SweepFlow {
            shared,
            id,
            sweep,
            request,
            identifiers: (None, None),
            tap: None,
            batch: SendBatch::new(BATCH),
            data: Vec::new(),
        };
        for family in [Family::V4, Family::V6] {
            if addresses.iter().any(|address| Family::of(*address) == family) {
                flow.shared
                    .channel(family, request.fragmentation)
                    .filter(|channel| channel.socket().identifier.is_none())?;
                let identifiers = flow.reserve(family, requests)?;
                if family == Family::V4 && hearing == Hearing::AtInterfaces && tap::is_short(&request) {
                    flow.begin_tap(identifiers);
                }
                if family == Family::V4 && flow.tap.is_none() {
                    let _registry = flow.shared.registry();
                    flow.shared.hear_others();
                }
            }
        }
        Some((flow, arrivals))
    }
}

impl SweepFlow {
    fn reserve(&mut self, family: Family, requests: u32) -> Option<Identifiers> {
        let wished: u16 = rand::random();
        let blocks = requests.div_ceil(BLOCK);
        let identifiers = self.shared.registry().reserve_blocks(self.id, family, blocks, wished)?;
        match family {
            Family::V4 => self.identifiers.0 = Some(identifiers.first),
            Family::V6 => self.identifiers.1 = Some(identifiers.first),
        }
        Some(identifiers)
    }

    /// Takes the way along the interfaces, unless another sweep has it.
    fn begin_tap(&mut self, identifiers: Identifiers) {
        let Some(sockets) = self.shared.tap().take() else { return };
        match Tap::begin(sockets, identifiers, self.sweep.addresses.len(), self.tapped_bytes()) {
            Ok(tap) => {
                self.shared.spare(self.id, identifiers);
                self.tap = Some(tap);
            }
            Err(error) => tracing::debug!(%error, "sweeps are heard by their sockets from now on"),
        }
    }

    /// Whether what leaves is looked for at the interfaces, of which the first requests have to show whether that holds.
    pub(crate) const fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// What the interfaces have shown since it was last asked.
    pub(crate) fn drain(&mut self) -> Option<SweepBatch> {
        let (tap, first) = (self.tap.as_mut()?, self.identifiers.0?);
        let mut arrivals = Vec::new();
        let (sweep, shared) = (&self.sweep, &self.shared);
        tap.ring.drain(|frame| match sweep.seen(first, &frame) {
            Seen::Ours(arrival) => arrivals.push(arrival),
            Seen::Foreign => shared.count_foreign(),
            Seen::Passing => {}
        });
        (!arrivals.is_empty()).then(|| SweepBatch {
            moment: clock::moment(),
            arrivals,
        })
    }

    /// Waits until `drain` may have something; for ever where nothing is looked for at the interfaces.
    pub(crate) async fn readable(&mut self) {
        match &self.tap {
            Some(tap) => tap.ring.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Counts what the interfaces have shown and this host had no room for.
    pub(crate) fn count_drops(&self) {
        if let Some(tap) = &self.tap {
            self.shared.drops.fetch_add(tap.ring.take_drops().into(), Ordering::Relaxed);
        }
    }

    /// How many of the requests to these addresses may leave now under the owner's rates, and how long the next, whose place is taken
    /// too, has to wait.
    pub(crate) fn reserve_departures(&self, targets: &[IpAddr], gate: &dyn Gate) -> Result<(usize, Duration), NoRoom> {
        self.shared.departures.reserve(targets, gate.pace())
    }

    /// Sends requests that have their places, all of one family, if the owner's policy lets them: it is asked for each address. Stops
    /// before the first that the kernel refuses.
    pub(crate) fn send(&mut self, indexes: &[u32], targets: &[IpAddr], gate: &dyn Gate) -> Result<Left, SendError> {
        for target in targets {
            gate.check_address(*target).map_err(SendError::Denied)?;
        }
        let family = targets.first().map_or(Family::V4, |target| Family::of(*target));
        self.write(family, indexes, targets)?;
        let last = indexes.last().copied().unwrap_or_default();
        self.sweep.sent.fetch_max(last.saturating_add(1), Ordering::Relaxed);
        if let Some(tap) = self.tap.as_ref().filter(|_| family == Family::V4) {
            let moment = clock::moment();
            let sent = self.batch.send(&tap.sender, &self.data, self.tapped_bytes(), targets, None);
            return Ok(Left {
                count: sent.unwrap_or_default(),
                moment,
            });
        }
        let channel = self.shared.channel(family, self.request.fragmentation).ok_or(SendError::NoSocket)?;
        let requests = Requests {
            data: &self.data,
            bytes: packet::ECHO_HEADER_BYTES + self.request.payload_bytes,
            targets,
            fields: HeaderFields {
                ttl: self.request.ttl,
                dscp: self.request.dscp,
            },
        };
        let (count, moment) = channel.send_many(self.id, indexes, &mut self.batch, requests);
        Ok(Left { count, moment })
    }

    /// Sends one request that has its place, alone, so that the kernel says why it refuses it.
    pub(crate) fn send_one(&mut self, index: u32, target: IpAddr, gate: &dyn Gate) -> Result<Moment, SendError> {
        gate.check_address(target).map_err(SendError::Denied)?;
        let family = Family::of(target);
        self.write(family, &[index], &[target])?;
        self.sweep.sent.fetch_max(index.saturating_add(1), Ordering::Relaxed);
        if let Some(tap) = self.tap.as_ref().filter(|_| family == Family::V4) {
            let moment = clock::moment();
            let sent = self.batch.send(&tap.sender, &self.data, self.tapped_bytes(), &[target], None);
            return sent.map(|_| moment).map_err(SendError::Kernel);
        }
        let channel = self.shared.channel(family, self.request.fragmentation).ok_or(SendError::NoSocket)?;
        let fields = HeaderFields {
            ttl: self.request.ttl,
            dscp: self.request.dscp,
        };
        let left = channel.send(self.id, index, &self.data, target, fields);
        // Those that were read where the count was begun anew, be it for an earlier packet.
        self.shared.deliver_ready(channel.take_ready());
        left.map_err(SendError::Kernel)
    }

    /// Answers that the probe did not take in time.
    pub(crate) fn lost(&self) -> u64 {
        self.sweep.lost.load(Ordering::Relaxed)
    }

    /// Whether the kernel says when what goes to an address leaves.
    pub(crate) fn is_stamped(&self, target: IpAddr) -> bool {
        if self.tap.is_some() && target.is_ipv4() {
            return true;
        }
        let channel = self.shared.channel(Family::of(target), self.request.fragmentation);
        channel.is_some_and(|channel| channel.socket().timestamps == Timestamps::Kernel)
    }

    /// Writes the requests one behind another: they differ in identifier, sequence and checksum only, and in their headers where those
    /// are ours.
    fn write(&mut self, family: Family, indexes: &[u32], targets: &[IpAddr]) -> Result<(), SendError> {
        let template = packet::echo_request(family, 0, 0, &self.sweep.cookie, self.request.payload_bytes);
        let sum = u16::from_be_bytes([template.get(2).copied().unwrap_or_default(), template.get(3).copied().unwrap_or_default()]);
        let first = match family {
            Family::V4 => self.identifiers.0,
            Family::V6 => self.identifiers.1,
        };
        let first = first.ok_or(SendError::NumbersExhausted)?;
        self.data.clear();
        for (index, target) in indexes.iter().zip(targets) {
            if let (Some(_), IpAddr::V4(target)) = (&self.tap, target) {
                self.data.extend(tap::header(&self.request, *index, *target));
            }
            let identifier = first.wrapping_add(u16::try_from(index / BLOCK).unwrap_or_default());
            let sequence = u16::try_from(index % BLOCK).unwrap_or_default();
            let start = self.data.len();
            self.data.extend(&template);
            if family == Family::V4 {
                put(&mut self.data, start + 2, packet::checksum_with(sum, [identifier, sequence]));
            }
            put(&mut self.data, start + 4, identifier);
            put(&mut self.data, start + 6, sequence);
        }
        Ok(())
    }

    /// Bytes of a request with its IP header.
    const fn tapped_bytes(&self) -> usize {
        IP_HEADER_BYTES + packet::ECHO_HEADER_BYTES + self.request.payload_bytes
    }
}

impl Drop for SweepFlow {
    fn drop(&mut self) {
        if let Some(tap) = self.tap.take() {
            self.shared.spare_no_more();
            match tap.end() {
                Ok(sockets) => *self.shared.tap() = Some(sockets),
                Err(error) => tracing::debug!(%error, "sweeps are heard by their sockets from now on"),
            }
        }
        self.shared.registry().close(self.id);
    }
}

impl Sweep {
    /// Which request of a block an echo belongs to; `None` where it is none of ours. A quoted one may be cut short.
    pub(super) fn index_of(&self, block: u32, other_end: IpAddr, echo: &Echo<'_>, whole: Whole) -> Option<u32> {
        let index = block.checked_mul(BLOCK)?.checked_add(u32::from(echo.sequence))?;
        let addresses = u32::try_from(self.addresses.len()).ok()?;
        let address = self.addresses.get(usize::try_from(index.checked_rem(addresses)?).ok()?)?;
        let compared = match whole {
            Whole::Reply => self.cookie_bytes,
            Whole::Quoted => self.cookie_bytes.min(echo.data.len()),
        };
        let is_ours = *address == other_end && self.cookie.get(..compared) == echo.data.get(..compared) && index < self.sent.load(Ordering::Relaxed);
        is_ours.then_some(index)
    }

    /// What a packet at an interface is to a sweep whose identifiers begin with this one.
    fn seen(&self, first: u16, frame: &Frame<'_>) -> Seen {
        let (other_end, echo, what) = match tap::passing(frame) {
            Some(Passing::Request { destination, echo }) => (destination, echo, SweepAnswer::Transmitted),
            Some(Passing::Reply { source, echo }) => (source, echo, SweepAnswer::Reply),
            None => return Seen::Passing,
        };
        let block = u32::from(echo.identifier.wrapping_sub(first));
        match (self.index_of(block, other_end.into(), &echo, Whole::Reply), what) {
            (Some(index), what) => Seen::Ours(SweepArrival {
                index,
                at_ns: Some(frame.at_ns),
                interface: frame.interface,
                what,
            }),
            (None, SweepAnswer::Reply) => Seen::Foreign,
            // Somebody else of this host pings by the same number.
            (None, SweepAnswer::Transmitted | SweepAnswer::Error) => Seen::Passing,
        }
    }

    /// Hands over what came; a probe that does not keep up loses it, and it is counted.
    pub(super) fn hand_over(&self, batch: SweepBatch) {
        let count = u64::try_from(batch.arrivals.len()).unwrap_or(u64::MAX);
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outlet.try_send(batch) {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// What a packet at an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Ours(SweepArrival),
    /// A reply that is nobody's.
    Foreign,
    /// Nothing that came for us.
    Passing,
}

impl Shared {
    pub(super) fn tap(&self) -> MutexGuard<'_, Option<TapSockets>> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an echo stands whole, or is what an error quotes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Reply,
    Quoted,
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

/// Most requests that leave in one call.
pub(crate) const BATCH: usize = 64;
/// Sequences of an identifier.
const BLOCK: u32 = 1 << 16;
/// Batches that the probe may be behind.
const BATCHES_BOUND: usize = 4_096;
