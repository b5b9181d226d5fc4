//! A socket with the book of what it has sent and for which the kernel has not told the time yet.
#![expect(unsafe_code, reason = "the runtime takes descriptors only on their owner's word that they stay open")]

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::option::Fragmentation;
use super::packet::Family;
use super::registry::FlowId;
use super::socket::{HeaderFields, IcmpSocket, Timestamps};
use crate::clock::{self, Moment};

/// A socket, watched by the runtime, and its book of departures.
pub(super) struct Channel {
    watched: AsyncFd<IcmpSocket>,
    fragmentation: Fragmentation,
    book: Mutex<Book>,
}

/// Packets whose transmit timestamp is still to come, by the number the kernel counts them with.
#[derive(Debug, Default)]
struct Book {
    next: u32,
    awaited: BTreeMap<u32, Awaited>,
}

#[derive(Debug, Clone, Copy)]
struct Awaited {
    flow: FlowId,
    index: u32,
    /// Wall clock before the packet was handed to the kernel, nanoseconds.
    not_before_ns: i64,
}

impl Channel {
    pub(super) fn new(socket: IcmpSocket, fragmentation: Fragmentation) -> io::Result<Self> {
        // The runtime panics outside of itself; an error serves callers better.
        tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        // SAFETY: `IcmpSocket` owns its descriptor, never closes or exchanges it before it is dropped, and is moved into the `AsyncFd`.
        let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) };
        Ok(Self {
            watched: watched.map_err(|error| error.into_parts().1)?,
            fragmentation,
            book: Mutex::new(Book::default()),
        })
    }

    pub(super) fn serves(&self, family: Family, fragmentation: Fragmentation) -> bool {
        self.socket().family == family && self.fragmentation == fragmentation
    }

    pub(super) fn socket(&self) -> &IcmpSocket {
        self.watched.get_ref()
    }

    pub(super) fn watched(&self) -> &AsyncFd<IcmpSocket> {
        &self.watched
    }

    /// Sends a request and books it. Returns the clocks just before the kernel got it.
    ///
    /// The book stays locked meanwhile: a timestamp can be ready before `sendmsg` returns.
    pub(super) fn send(&self, flow: FlowId, index: u32, message: &[u8], target: IpAddr, fields: HeaderFields) -> Result<Moment, Errno> {
        let socket = self.socket();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moment = clock::moment();
        let mut sent = socket.send(message, target, fields);
        if sent.is_err() {
            // The error may be an earlier packet's, left on the shared socket: only what fails twice is this packet's own.
            book.restart(socket);
            socket.take_pending_error();
            moment = clock::moment();
            sent = socket.send(message, target, fields);
        }
        match sent {
            Ok(()) => {
                book.enter(flow, index, &moment, socket.timestamps);
                Ok(moment)
            }
            Err(errno) => {
                book.restart(socket);
                Err(errno)
            }
        }
    }

    /// Finds the request that the kernel has stamped. `None` when it is not in the book, or the stamp cannot be its own.
    pub(super) fn transmitted(&self, number: u32, at_ns: i64) -> Option<(FlowId, u32)> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let awaited = book.awaited.remove(&number)?;
        if at_ns.saturating_add(STAMP_TOLERANCE_NS) < awaited.not_before_ns {
            return None;
        }
        Some((awaited.flow, awaited.index))
    }
}

impl Book {
    fn enter(&mut self, flow: FlowId, index: u32, moment: &Moment, timestamps: Timestamps) {
        if timestamps == Timestamps::Missing {
            return;
        }
        self.awaited.insert(
            self.next,
            Awaited {
                flow,
                index,
                not_before_ns: moment.wall_ns(),
            },
        );
        self.next = self.next.wrapping_add(1);
        if self.awaited.len() > AWAITED_BOUND {
            self.awaited.pop_first();
        }
    }

    fn restart(&mut self, socket: &IcmpSocket) {
        socket.restart_count();
        self.next = 0;
        self.awaited.clear();
    }
}

/// Wall clock and kernel timestamp are one clock; this much is for their reading.
const STAMP_TOLERANCE_NS: i64 = 1_000;
/// Timestamps awaited at the same time; when more are missing, the oldest are given up.
const AWAITED_BOUND: usize = 8_192;
