//! Whose is each message of a batch: every answer goes to the flow that asked.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};

use shared_protocol::report::PingSocket;

use super::channel::Channel;
use super::packet::{self, Family, Message};
use super::registry::{FlowId, Registry};
use super::sweep::{Sweep, SweepAnswer, SweepArrival, SweepBatch, Whole};
use super::{Answer, Arrival, Outlet, Receipt, Shared, is_full};
use crate::clock::{self, Moment};
use crate::net::message::{Queued, Received};
use crate::net::path::{self, ErrorMessage, PathAnswer, PathArrival, PathError};

/// A batch in the works: the registry is locked once for all of it.
pub(super) struct Hands<'a> {
    pub(super) shared: &'a Shared,
    pub(super) channel: &'a Channel,
    pub(super) registry: MutexGuard<'a, Registry<Outlet>>,
    /// The clocks of user space when the batch was read.
    pub(super) moment: Moment,
    /// What each sweep gets of it, in one piece.
    pub(super) sweeps: Vec<(FlowId, Arc<Sweep>, Vec<SweepArrival>)>,
}

/// A message with what its socket says about it.
struct Told<'a> {
    message: Message<'a>,
    /// Who sent it; for an error, absent where the kernel does not tell.
    from: Option<IpAddr>,
    /// The error behind it.
    error: Option<ErrorMessage<'a>>,
    receipt: Receipt,
}

impl Hands<'_> {
    /// Takes an entry of the error queue.
    pub(super) fn take_queued(&mut self, received: &Received<'_>) {
        match received.queued {
            Some(Queued::Transmitted(number)) => {
                if let Some(at_ns) = received.stamped_ns
                    && let Some((flow, index)) = self.channel.transmitted(number, at_ns)
                {
                    self.deliver_transmitted(flow, index, at_ns);
                }
            }
            Some(Queued::IcmpError { kind, from, mtu }) => {
                // The queue of a datagram socket gives the request from its ICMP header on, and where it was going as the peer.
                let request = packet::quoted_request(self.channel.socket().family, received.bytes);
                if let (Some(request), Some(destination)) = (request, received.peer) {
                    let told = Told {
                        message: Message::Error { kind, destination, request },
                        from,
                        error: Some(ErrorMessage {
                            kind,
                            mtu,
                            quoted: &[],
                            extensions: &[],
                        }),
                        receipt: self.receipt(received, received.ttl, received.bytes),
                    };
                    self.take_ours(destination, &told);
                }
            }
            None => {}
        }
    }

    /// Takes a message of the network.
    pub(super) fn take_message(&mut self, received: &Received<'_>) {
        let socket = self.channel.socket();
        let (kind, family) = (socket.kind, socket.family);
        let taken = match (kind, family) {
            (PingSocket::Raw, Family::V4) => packet::strip_ipv4(received.bytes).filter(|(_, _, message)| packet::checksum_holds(message)),
            (PingSocket::Raw, Family::V6) | (PingSocket::Datagram, _) => received.peer.map(|peer| (peer, received.ttl.unwrap_or_default(), received.bytes)),
        };
        let Some((source, ttl, bytes)) = taken.filter(|_| !received.cut) else {
            return self.shared.count_foreign();
        };
        let receipt = self.receipt(received, received.ttl.or(Some(ttl)), bytes);
        let error = path::parse_error(family, bytes);
        match packet::parse(family, bytes) {
            Some(message) => {
                let told = Told {
                    message,
                    from: Some(source),
                    error,
                    receipt,
                };
                self.take_ours(source, &told);
            }
            None => self.take_error_of_ports(family, source, receipt, error),
        }
    }

    /// Hands what was collected over to the sweeps.
    pub(super) fn hand_over(self) {
        for (_, sweep, arrivals) in self.sweeps {
            sweep.hand_over(SweepBatch { moment: self.moment, arrivals });
        }
    }

    fn take_ours(&mut self, source: IpAddr, told: &Told<'_>) {
        if self.take_for_sweep(source, told) {
            return;
        }
        let Some((flow, index)) = self.registry.find(source, &told.message) else {
            return self.shared.count_foreign();
        };
        let receipt = told.receipt;
        let full = match self.registry.outlet(flow) {
            Some(Outlet::Path(outlet)) => {
                let what = match (&told.message, &told.error) {
                    (Message::Error { .. }, Some(error)) => PathAnswer::Error(Box::new(on_path(error, told.from, receipt))),
                    (Message::Error { .. }, None) | (Message::Reply(_), _) => PathAnswer::Echo(receipt),
                };
                is_full(&outlet.try_send(PathArrival { index: Some(index), what }))
            }
            Some(Outlet::Echo(outlet)) => {
                let what = match told.message {
                    Message::Reply(_) => Answer::Reply(receipt),
                    Message::Error { kind, .. } => Answer::Error {
                        from: told.from,
                        kind,
                        receipt,
                    },
                };
                is_full(&outlet.try_send(Arrival { index, what }))
            }
            Some(Outlet::Sweep(_)) | None => false,
        };
        self.shared.count_full(full);
    }

    /// Whether the message carries an identifier that is a sweep's, and so is nobody else's.
    fn take_for_sweep(&mut self, source: IpAddr, told: &Told<'_>) -> bool {
        let (other_end, echo, whole) = match &told.message {
            Message::Reply(echo) => (source, echo, Whole::Reply),
            Message::Error { destination, request, .. } => (*destination, request, Whole::Quoted),
        };
        let Some((flow, block)) = self.registry.find_block(Family::of(other_end), echo.identifier) else {
            return false;
        };
        let Some(at) = self.collected(flow) else { return false };
        let Some((_, sweep, arrivals)) = self.sweeps.get_mut(at) else { return false };
        let Some(index) = sweep.index_of(block, other_end, echo, whole) else {
            self.shared.count_foreign();
            return true;
        };
        arrivals.push(SweepArrival {
            index,
            at_ns: told.receipt.at_ns,
            interface: 0,
            what: match whole {
                Whole::Reply => SweepAnswer::Reply,
                Whole::Quoted => SweepAnswer::Error,
            },
        });
        true
    }

    /// Where the arrivals of a sweep are collected; `None` where the flow is none.
    fn collected(&mut self, flow: FlowId) -> Option<usize> {
        if let Some(at) = self.sweeps.iter().position(|(known, ..)| *known == flow) {
            return Some(at);
        }
        let Some(Outlet::Sweep(sweep)) = self.registry.outlet(flow) else {
            return None;
        };
        self.sweeps.push((flow, Arc::clone(sweep), Vec::new()));
        Some(self.sweeps.len() - 1)
    }

    fn deliver_transmitted(&mut self, flow: FlowId, index: u32, at_ns: i64) {
        if let Some(at) = self.collected(flow) {
            if let Some((_, _, arrivals)) = self.sweeps.get_mut(at) {
                arrivals.push(SweepArrival {
                    index,
                    at_ns: Some(at_ns),
                    interface: 0,
                    what: SweepAnswer::Transmitted,
                });
            }
            return;
        }
        self.shared.count_full(tell_transmitted(&self.registry, flow, index, at_ns));
    }

    /// An error about a packet of UDP or TCP.
    fn take_error_of_ports(&self, family: Family, source: IpAddr, receipt: Receipt, error: Option<ErrorMessage<'_>>) {
        let found = error.and_then(|error| Some((error, error.ports(family)?)));
        let found = found.and_then(|(error, ports)| Some((error, self.shared.path.ports().find_quoted(family, &ports)?)));
        let Some((error, (flow, index))) = found else {
            return self.shared.count_foreign();
        };
        let what = PathAnswer::Error(Box::new(on_path(&error, Some(source), receipt)));
        if let Some(Outlet::Path(outlet)) = self.registry.outlet(flow) {
            self.shared.count_full(is_full(&outlet.try_send(PathArrival { index, what })));
        }
    }

    fn receipt(&self, received: &Received<'_>, ttl: Option<u8>, message: &[u8]) -> Receipt {
        Receipt {
            at_ns: received.stamped_ns,
            moment: self.moment,
            ttl,
            bytes: u32::try_from(message.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Tells a flow when one of its packets left; whether it had no room for the word.
pub(super) fn tell_transmitted(registry: &Registry<Outlet>, flow: FlowId, index: u32, at_ns: i64) -> bool {
    match registry.outlet(flow) {
        Some(Outlet::Echo(outlet)) => is_full(&outlet.try_send(Arrival {
            index,
            what: Answer::Transmitted { at_ns },
        })),
        Some(Outlet::Path(outlet)) => is_full(&outlet.try_send(PathArrival {
            index: Some(index),
            what: PathAnswer::Transmitted { at_ns },
        })),
        Some(Outlet::Sweep(sweep)) => {
            sweep.hand_over(SweepBatch {
                moment: clock::moment(),
                arrivals: vec![SweepArrival {
                    index,
                    at_ns: Some(at_ns),
                    interface: 0,
                    what: SweepAnswer::Transmitted,
                }],
            });
            false
        }
        None => false,
    }
}

fn on_path(error: &ErrorMessage<'_>, from: Option<IpAddr>, receipt: Receipt) -> PathError {
    PathError {
        from,
        kind: error.kind,
        mtu: error.mtu,
        quoted: error.quoted.to_vec(),
        extensions: error.extensions.to_vec(),
        receipt,
    }
}
