//! Reads one socket and its error queue, and hands each answer to the flow that asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use shared_protocol::report::PingSocket;
use tokio::io::Interest;

use super::channel::Channel;
use super::packet::{self, Family, Message};
use super::socket::MESSAGE_BYTES;
use super::{Answer, Arrival, Receipt, Shared};
use crate::clock;
use crate::net::message::{Queued, Received};

/// Reads the socket at a position for as long as the engine lives.
pub(super) async fn run(shared: Arc<Shared>, position: usize) {
    let Some(channel) = shared.channels.get(position) else { return };
    let mut buffer = vec![0; MESSAGE_BYTES];
    let mut dropped = 0;
    loop {
        let Ok(mut guard) = channel.watched().ready(Interest::READABLE | Interest::ERROR).await else {
            return;
        };
        // Timestamps first: the one of a request stands in the queue before its reply does.
        let stamps = drain(channel, &mut buffer, MsgFlags::MSG_ERRQUEUE, |received| shared.take_queued(channel, &received));
        let replies = drain(channel, &mut buffer, MsgFlags::empty(), |received| {
            if let Some(total) = received.dropped {
                shared.drops.fetch_add(u64::from(total.wrapping_sub(dropped)), Ordering::Relaxed);
                dropped = total;
            }
            shared.take_message(channel, &received);
        });
        if stamps == Drained::Empty && replies == Drained::Empty {
            guard.clear_ready();
        } else {
            // A flood must not keep the flows from emptying their channels.
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    Empty,
    MoreMayBe,
}

fn drain(channel: &Channel, buffer: &mut [u8], queue: MsgFlags, mut take: impl FnMut(Received<'_>)) -> Drained {
    for _ in 0..BATCH {
        match channel.socket().receive(buffer, queue) {
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
                    let what = Answer::Transmitted { at_ns };
                    self.deliver(flow, Arrival { index, what });
                }
            }
            Some(Queued::IcmpError { kind, from }) => {
                // The queue of a datagram socket gives the request from its ICMP header on, and where it was going as the peer.
                let request = packet::quoted_request(channel.socket().family, received.bytes);
                if let (Some(request), Some(destination)) = (request, received.peer) {
                    let message = Message::Error { kind, destination, request };
                    self.take_ours(destination, &message, received, from);
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
        let parsed = taken.and_then(|(source, ttl, bytes)| Some((source, ttl, bytes, packet::parse(socket.family, bytes)?)));
        match parsed {
            Some((source, ttl, bytes, message)) if !received.cut => {
                let inner = Received {
                    bytes,
                    ttl: received.ttl.or(Some(ttl)),
                    stamped_ns: received.stamped_ns,
                    ..Received::default()
                };
                self.take_ours(source, &message, &inner, Some(source));
            }
            _ => self.count_foreign(),
        }
    }

    fn take_ours(&self, source: std::net::IpAddr, message: &Message<'_>, received: &Received<'_>, from: Option<std::net::IpAddr>) {
        let found = self.registry().find(source, message);
        let Some((flow, index)) = found else {
            self.count_foreign();
            return;
        };
        let receipt = Receipt {
            at_ns: received.stamped_ns,
            moment: clock::moment(),
            ttl: received.ttl,
            bytes: u32::try_from(received.bytes.len()).unwrap_or(u32::MAX),
        };
        let what = match message {
            Message::Reply(_) => Answer::Reply(receipt),
            Message::Error { kind, .. } => Answer::Error { from, kind: *kind, receipt },
        };
        self.deliver(flow, Arrival { index, what });
    }

    fn count_foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }
}

/// Messages read in one go before other tasks may run.
const BATCH: usize = 256;
