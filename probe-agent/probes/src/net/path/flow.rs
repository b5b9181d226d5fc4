//! One exchange along a path with one address: what a probe holds to send single packets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nix::errno::Errno;
use socket2::Socket;
use tokio::sync::mpsc;

use super::book::{Numbering, PortKey, Protocol};
use super::fallback::Fallback;
use super::packet::{self, COOKIE_BYTES, Ends, Mark};
use super::{Content, PathArrival, PathArrivals, PathPlan, PathProbe, PathProtocol, PathRefusal, PathShape, holding, least_bytes};
use crate::clock::Moment;
use crate::net::departures::NoRoom;
use crate::net::gate::Gate;
use crate::net::icmp::{Departure, EchoNumber, Family, Flow, FlowId, HeaderFields, IcmpEngine, Outlet, Quotes, SendError, Shared, echo_packet};
use crate::net::route;

/// An exchange along a path. Dropping it ends it.
pub(crate) struct PathFlow {
    shared: Arc<Shared>,
    id: FlowId,
    plan: PathPlan,
    cookie: [u8; COOKIE_BYTES],
    carrier: Carrier,
}

/// What carries the packets.
enum Carrier {
    /// Echo requests with headers of our own.
    Echo {
        source: IpAddr,
        wished: EchoNumber,
        checksum: Option<u16>,
    },
    /// Echo requests by datagram sockets.
    EchoDatagram { first: u16 },
    /// UDP or TCP with headers of our own, from a port that is held meanwhile.
    Ports {
        source: IpAddr,
        key: PortKey,
        numbering: Numbering,
        _held: Option<Socket>,
    },
    /// UDP by datagram sockets.
    Datagrams(Fallback),
}

impl IcmpEngine {
    /// Begins an exchange along a path; what comes back for it comes by the receiver.
    pub(crate) fn path(&self, plan: PathPlan) -> Result<(PathFlow, PathArrivals), PathRefusal> {
        let shared = Arc::clone(&self.shared);
        let source = route::source(plan.target).map_err(PathRefusal::NoRoute)?;
        let (outlet, arrivals) = mpsc::channel(ARRIVALS_BOUND);
        let cookie: [u8; COOKIE_BYTES] = rand::random();
        let id = shared.registry().open(Flow {
            target: plan.target,
            cookie: echo_packet::widened(cookie),
            cookie_bytes: COOKIE_BYTES,
            quotes: Quotes::EvenRewritten,
            outlet: Outlet::Path(outlet.clone()),
        });
        let opened = open(&shared, id, plan, source, outlet);
        let (carrier, answers) = opened.inspect_err(|_| shared.registry().close(id))?;
        let flow = PathFlow {
            shared,
            id,
            plan,
            cookie,
            carrier,
        };
        Ok((flow, PathArrivals::new(plan.target, arrivals, answers)))
    }
}

fn open(
    shared: &Shared,
    id: FlowId,
    plan: PathPlan,
    source: IpAddr,
    outlet: mpsc::Sender<PathArrival>,
) -> Result<(Carrier, Option<holding::Answers>), PathRefusal> {
    let family = Family::of(plan.target);
    let has_headers = shared.path.sender(family).is_some();
    let (protocol, held, answers, port) = match (plan.protocol, has_headers) {
        (PathProtocol::Icmp, true) => {
            let wished = EchoNumber {
                family,
                identifier: rand::random(),
                sequence: rand::random(),
            };
            let checksum = (plan.shape == PathShape::Constant).then(rand::random);
            return Ok((Carrier::Echo { source, wished, checksum }, None));
        }
        (PathProtocol::Icmp, false) => return Ok((Carrier::EchoDatagram { first: rand::random() }, None)),
        (PathProtocol::Udp, false) => return Ok((Carrier::Datagrams(Fallback::new(plan.target, outlet)), None)),
        (PathProtocol::Tcp, false) => return Err(PathRefusal::NoSocket),
        (PathProtocol::Udp, true) => {
            let (answers, port) = holding::hold_udp(family, plan.source_port).map_err(PathRefusal::Port)?;
            (Protocol::Udp, None, Some(answers), port)
        }
        (PathProtocol::Tcp, true) => {
            let (socket, port) = holding::hold_tcp(family, plan.source_port).map_err(PathRefusal::Port)?;
            shared.path.listeners.listen(family).map_err(|_| PathRefusal::NoSocket)?;
            (Protocol::Tcp, Some(socket), None, port)
        }
    };
    let key = PortKey { family, protocol, port };
    let numbering = Numbering::new(shared.path.prefix, rand::random());
    shared.path.ports().open(key, id, plan.target, numbering);
    let carrier = Carrier::Ports {
        source,
        key,
        numbering,
        _held: held,
    };
    Ok((carrier, answers))
}

impl PathFlow {
    /// Whether packets carry headers of our own, so that errors come with what they quote.
    pub(crate) const fn has_own_headers(&self) -> bool {
        matches!(self.carrier, Carrier::Echo { .. } | Carrier::Ports { .. })
    }

    /// The address and port that packets leave from, where this host chose them; the port is 0 for ICMP.
    pub(crate) const fn source(&self) -> Option<SocketAddr> {
        match &self.carrier {
            Carrier::Echo { source, .. } => Some(SocketAddr::new(*source, 0)),
            Carrier::Ports { source, key, .. } => Some(SocketAddr::new(*source, key.port)),
            Carrier::EchoDatagram { .. } | Carrier::Datagrams(_) => None,
        }
    }

    /// Waits until what stands in the sockets has been read, as whoever is about to give something up does.
    pub(crate) async fn catch_up(&self) {
        self.shared.catch_up().await;
    }

    /// Sends packet `index` once it has its place under the owner's rates, if the owner's policy lets it. Each index is sent once.
    pub(crate) async fn send(&self, index: u32, probe: &PathProbe, gate: &dyn Gate) -> Result<Departure, SendError> {
        let target = self.plan.target;
        let place = self.shared.departures.wait(target, gate.pace()).await;
        place.map_err(|NoRoom| SendError::NoRoom)?;
        match self.plan.protocol {
            PathProtocol::Icmp => gate.check_address(target),
            PathProtocol::Udp | PathProtocol::Tcp => gate.check_endpoint(SocketAddr::new(target, probe.destination_port)),
        }
        .map_err(SendError::Denied)?;
        let moment = self.send_at_once(index, probe)?;
        Ok(Departure { moment })
    }

    fn send_at_once(&self, index: u32, probe: &PathProbe) -> Result<Moment, SendError> {
        match &self.carrier {
            Carrier::Echo { source, wished, checksum } => {
                let number = self.reserve(index, *wished)?;
                let mark = Mark::Icmp {
                    identifier: number.identifier,
                    sequence: number.sequence,
                    checksum: *checksum,
                };
                self.send_whole(*source, mark, index, probe)
            }
            Carrier::EchoDatagram { first } => self.send_datagram(*first, index, probe),
            Carrier::Ports { source, key, numbering, .. } => {
                let mark = match key.protocol {
                    Protocol::Udp => numbering.token(index).map(|token| Mark::Udp { source_port: key.port, token }),
                    Protocol::Tcp => numbering.sequence(index).map(|sequence| Mark::Tcp {
                        source_port: key.port,
                        sequence,
                    }),
                };
                let mark = mark.ok_or(SendError::NumbersExhausted)?;
                self.shared.path.ports().note_sending(*key, index);
                self.send_whole(*source, mark, index, probe)
            }
            Carrier::Datagrams(fallback) => fallback.send(index, probe).map_err(SendError::Kernel),
        }
    }

    fn send_whole(&self, source: IpAddr, mark: Mark, index: u32, probe: &PathProbe) -> Result<Moment, SendError> {
        let target = self.plan.target;
        let sender = self.shared.path.sender(Family::of(target)).ok_or(SendError::NoSocket)?;
        let ends = Ends::new(source, target).ok_or(SendError::NoSocket)?;
        let packet = packet::build(ends, mark, self.cookie, probe).ok_or(SendError::Kernel(Errno::EMSGSIZE))?;
        let left = sender.send(self.id, index, &packet, target);
        left.inspect_err(|_| self.shared.deliver_ready(sender.take_ready())).map_err(SendError::Kernel)
    }

    /// An echo request by a datagram socket: the kernel writes the headers.
    fn send_datagram(&self, first: u16, index: u32, probe: &PathProbe) -> Result<Moment, SendError> {
        let target = self.plan.target;
        let family = Family::of(target);
        let channel = self.shared.channel(family, probe.fragmentation).ok_or(SendError::NoSocket)?;
        let wished = EchoNumber {
            family,
            identifier: channel.socket().identifier.unwrap_or_default(),
            sequence: first,
        };
        let number = self.reserve(index, wished)?;
        let payload_bytes = match &probe.content {
            Content::Sized(whole) => whole
                .checked_sub(least_bytes(target, PathProtocol::Icmp))
                .map(|more| more + LEAST_PAYLOAD_BYTES),
            Content::Payload(payload) => Some(payload.len()),
        };
        let payload_bytes = payload_bytes.ok_or(SendError::Kernel(Errno::EMSGSIZE))?;
        let cookie = echo_packet::widened(self.cookie);
        let message = echo_packet::echo_request(family, number.identifier, number.sequence, &cookie, payload_bytes);
        let fields = HeaderFields {
            ttl: probe.ttl,
            dscp: probe.dscp,
        };
        channel.send(self.id, index, &message, target, fields).map_err(SendError::Kernel)
    }

    fn reserve(&self, index: u32, first: EchoNumber) -> Result<EchoNumber, SendError> {
        let wished = EchoNumber {
            // Sequences wrap around at 16 bits.
            sequence: first.sequence.wrapping_add(u16::try_from(index & 0xffff).unwrap_or_default()),
            ..first
        };
        self.shared.reserve(self.id, index, wished).ok_or(SendError::NumbersExhausted)
    }
}

impl Drop for PathFlow {
    fn drop(&mut self) {
        if let Carrier::Ports { key, .. } = &self.carrier {
            self.shared.path.ports().close(*key);
            if key.protocol == Protocol::Tcp {
                self.shared.path.listeners.leave(key.family);
            }
        }
        self.shared.registry().close(self.id);
    }
}

/// Answers a flow may be behind: every hop's answers to a full window of packets, with their timestamps, several times over.
const ARRIVALS_BOUND: usize = 1_024;
/// What the shortest echo request carries.
const LEAST_PAYLOAD_BYTES: usize = COOKIE_BYTES + 2;
