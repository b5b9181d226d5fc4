//! Reads sockets and their error queues.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Shared;
use super::channel::Channel;
use super::hands::Hands;
use super::socket::MESSAGE_BYTES;
use crate::clock;
use crate::net::batch::ReceiveBatch;
use crate::net::message::{self, Received};

/// Reads the socket at a position for as long as the engine lives.
pub(super) async fn run(shared: Arc<Shared>, position: usize) {
    let Some(channel) = shared.channels.get(position) else { return };
    let mut batch = ReceiveBatch::new(BATCH, MESSAGE_BYTES);
    let mut dropped = 0;
    watch_for(channel.watched(), || {
        // Timestamps first: the one of a request stands in the queue before its reply does.
        let stamps = shared.drain_batch(channel, &mut batch, MsgFlags::MSG_ERRQUEUE, &mut dropped);
        let replies = shared.drain_batch(channel, &mut batch, MsgFlags::empty(), &mut dropped);
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
    for _ in 0..MESSAGES {
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
    /// Takes what a socket, or its error queue, holds, up to a bound, and hands it to the flows it belongs to.
    fn drain_batch(&self, channel: &Channel, batch: &mut ReceiveBatch, queue: MsgFlags, dropped: &mut u32) -> Drained {
        for _ in 0..BATCHES {
            let count = match batch.receive(channel.socket(), queue) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Drained::Empty,
                // An error left on the socket by an earlier packet: the error queue tells whose it was. Reading on clears it.
                Err(_) => continue,
            };
            let mut hands = Hands {
                shared: self,
                channel,
                registry: self.registry(),
                moment: clock::moment(),
                sweeps: Vec::new(),
            };
            for received in (0..count).filter_map(|at| batch.message(at)) {
                self.count_drops(dropped, received.dropped);
                if queue.contains(MsgFlags::MSG_ERRQUEUE) {
                    hands.take_queued(&received);
                } else {
                    hands.take_message(&received);
                }
            }
            hands.hand_over();
            if count < batch.capacity() {
                return Drained::Empty;
            }
        }
        Drained::MoreMayBe
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

/// Messages read in one call.
const BATCH: usize = 64;
/// Calls before other tasks may run.
const BATCHES: usize = 4;
/// Messages of the quieter sockets that are read before other tasks may run.
const MESSAGES: usize = 256;
