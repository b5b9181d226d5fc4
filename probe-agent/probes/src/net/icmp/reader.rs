//! Reads one socket and its error queue, and hands each answer to the flow that asked.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use shared_protocol::report::PingSocket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::channel::Channel;
use super::packet::{self, Family, Message};
use super::socket::MESSAGE_BYTES;
use super::{Answer, Arrival, Outlet, Receipt, Shared};
use crate::clock;
use crate::net::message::{self, Queued, Received};
use crate::net::path::{self, ErrorMessage, PathAnswer, PathArrival, PathError};

/// Reads the socket at a position for as long as the engine lives.
pub(super) async fn run(shared: Arc<Shared>, position: usize) {
    let Some(channel) = shared.channels.get(position) else { return };
    let mut buffer = vec![0; MESSAGE_BYTES];
    let mut dropped = 0;
    watch_for(channel.watched(), || {
        // Timestamps first: the one of a request stands in the queue before its reply does.
        let stamps = drain(channel.socket(), &mut buffer, MsgFlags::MSG_ERRQUEUE, |received| {
            shared.take_queued(channel, &received);
        });
        let replies = drain(channel.socket(), &mut buffer, MsgFlags::empty(), |received| {
            shared.count_drops(&mut dropped, received.dropped);
            shared.take_message(channel, &received);
        });
        stamps.max(replies)
    })
    .await;
}

/// Calls `on_ready` whenever a socket has something, for as long as the socket can be watched.
pub(in crate::net) async fn watch_for<S: AsRawFd>(watched: &AsyncFd<S>, mut on_ready: impl FnMut() -> Drained) {
    loop {
        let Ok(mut guard) = watched.ready(Interest::READABLE | Interest::ERROR).await else {
            return;
        };
        match on_ready() {
            Drained::Empty => guard.clear_ready(),
            // A flood must not keep the flows from emptying their channels.
            Drained::MoreMayBe => tokio::task::yield_now().await,
        }
    }
}

/// Whether a socket has been emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) enum Drained {
    Empty,
    MoreMayBe,
}

/// Takes what a socket, or its error queue, holds, up to a bound.
pub(in crate::net) fn drain(socket: &impl AsFd, buffer: &mut [u8], queue: MsgFlags, mut take: impl FnMut(Received<'_>)) -> Drained {
    for _ in 0..BATCH {
        match message::receive(socket, buffer, queue) {
            Ok(received) => take(received),
            Err(Errno::EAGAIN) => return Drained::Empty,
            // An error left on the socket by an earlier packet: the error queue tells whose it was. Reading on clears it.
            Err(_) => {}
        }
    }
    Drained::MoreMayBe
}

impl Shared {
    fn take_queued(&self, channel: &Channel, received: &Received<'_>) {
        match received.queued {
            Some(Queued::Transmitted(number)) => {
                if let Some(at_ns) = received.stamped_ns
                    && let Some((flow, index)) = channel.transmitted(number, at_ns)
                {
                    self.deliver_transmitted(flow, index, at_ns);
                }
            }
            Some(Queued::IcmpError { kind, from, mtu }) => {
                // The queue of a datagram socket gives the request from its ICMP header on, and where it was going as the peer.
                let request = packet::quoted_request(channel.socket().family, received.bytes);
                if let (Some(request), Some(destination)) = (request, received.peer) {
                    let message = Message::Error { kind, destination, request };
                    let told = ErrorMessage {
                        kind,
                        mtu,
                        quoted: &[],
                        extensions: &[],
                    };
                    self.take_ours(destination, &message, received, from, Some(told));
                }
            }
            None => {}
        }
    }

    fn take_message(&self, channel: &Channel, received: &Received<'_>) {
        let socket = channel.socket();
        let taken = match (socket.kind, socket.family) {
            (PingSocket::Raw, Family::V4) => packet::strip_ipv4(received.bytes).filter(|(_, _, message)| packet::checksum_holds(message)),
            (PingSocket::Raw, Family::V6) | (PingSocket::Datagram, _) => received.peer.map(|peer| (peer, received.ttl.unwrap_or_default(), received.bytes)),
        };
        let Some((source, ttl, bytes)) = taken.filter(|_| !received.cut) else {
            return self.count_foreign();
        };
        let inner = Received {
            bytes,
            ttl: received.ttl.or(Some(ttl)),
            stamped_ns: received.stamped_ns,
            ..Received::default()
        };
        let error = path::parse_error(socket.family, bytes);
        match packet::parse(socket.family, bytes) {
            Some(message) => self.take_ours(source, &message, &inner, Some(source), error),
            None => self.take_error_of_ports(socket.family, source, &inner, error),
        }
    }

    fn take_ours(&self, source: IpAddr, message: &Message<'_>, received: &Received<'_>, from: Option<IpAddr>, error: Option<ErrorMessage<'_>>) {
        let found = {
            let registry = self.registry();
            let found = registry.find(source, message);
            found.map(|(flow, index)| (flow, index, matches!(registry.outlet(flow), Some(Outlet::Path(_)))))
        };
        let Some((flow, index, is_on_path)) = found else {
            self.count_foreign();
            return;
        };
        let receipt = receipt(received);
        let what = match (message, error) {
            (Message::Error { .. }, Some(error)) if is_on_path => {
                let what = PathAnswer::Error(Box::new(on_path(&error, from, receipt)));
                return self.deliver_on_path(flow, PathArrival { index: Some(index), what });
            }
            (Message::Reply(_), _) if is_on_path => {
                let what = PathAnswer::Echo(receipt);
                return self.deliver_on_path(flow, PathArrival { index: Some(index), what });
            }
            (Message::Reply(_), _) => Answer::Reply(receipt),
            (Message::Error { kind, .. }, _) => Answer::Error { from, kind: *kind, receipt },
        };
        self.deliver(flow, Arrival { index, what });
    }

    /// An error about a packet of UDP or TCP.
    fn take_error_of_ports(&self, family: Family, source: IpAddr, received: &Received<'_>, error: Option<ErrorMessage<'_>>) {
        let found = error.and_then(|error| Some((error, error.ports(family)?)));
        let found = found.and_then(|(error, ports)| Some((error, self.path.ports().find_quoted(family, &ports)?)));
        let Some((error, (flow, index))) = found else {
            return self.count_foreign();
        };
        let what = PathAnswer::Error(Box::new(on_path(&error, Some(source), receipt(received))));
        self.deliver_on_path(flow, PathArrival { index, what });
    }

    pub(in crate::net) fn count_foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what the kernel has dropped on a socket since it was last asked.
    pub(in crate::net) fn count_drops(&self, before: &mut u32, total: Option<u32>) {
        if let Some(total) = total {
            self.drops.fetch_add(u64::from(total.wrapping_sub(*before)), Ordering::Relaxed);
            *before = total;
        }
    }
}

fn receipt(received: &Received<'_>) -> Receipt {
    Receipt {
        at_ns: received.stamped_ns,
        moment: clock::moment(),
        ttl: received.ttl,
        bytes: u32::try_from(received.bytes.len()).unwrap_or(u32::MAX),
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

/// Messages read in one go before other tasks may run.
const BATCH: usize = 256;
